"""A `claude` command that needs no network, and what it saw."""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aosui_claude import ClaudeExecutor

STAND_IN = Path(__file__).with_name("stand_in.py")


class Claude:
    """The stand-in, installed in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "claude"
        self._seen = directory / "seen.jsonl"
        self.path.write_text(f"#!{sys.executable}\n{STAND_IN.read_text()}")
        self.path.chmod(0o755)

    def executor(self) -> ClaudeExecutor:
        return ClaudeExecutor(cli_path=str(self.path))

    @property
    def seen(self) -> Sequence[dict[str, Any]]:
        """What it was given, in order: its arguments and environment, then the frames."""
        return [json.loads(line) for line in self._seen.read_text().splitlines()]

    @property
    def prompts(self) -> list[str]:
        return [frame["message"]["content"] for frame in self.seen if frame.get("type") == "user"]

    @property
    def resumed(self) -> list[str | None]:
        """The session that each start of it was to go on with."""
        starts = [frame["argv"] for frame in self.seen if "argv" in frame]
        flag = "--resume="
        return [
            next((word.removeprefix(flag) for word in argv if word.startswith(flag)), None)
            for argv in starts
        ]

    def all_ended(self) -> bool:
        """Wait until the processes that it told of have ended."""
        pids = [pid for frame in self.seen for pid in frame.get("pids", ())]
        assert pids
        return all(ended(pid) for pid in pids)


def ended(pid: int) -> bool:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 5)[0])
    finally:
        os.close(handle)


@pytest.fixture
def claude(tmp_path_factory: pytest.TempPathFactory) -> Claude:
    return Claude(tmp_path_factory.mktemp("claude"))
