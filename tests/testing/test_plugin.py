"""The pytest plugin gives its fixture, and costs nothing to those who do not use it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from aosui.testing import RecordingChannel


def test_the_fixture_is_a_channel_of_an_empty_project(
    aosui_channel: RecordingChannel, tmp_path: Path
) -> None:
    assert aosui_channel.project.root == tmp_path
    assert list(tmp_path.iterdir()) == []


def run(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_plugin_does_not_import_aosui() -> None:
    run("import sys, _aosui_pytest; assert 'aosui' not in sys.modules")


def test_the_kit_needs_neither_pytest_nor_the_server() -> None:
    run(
        "import sys, aosui.testing;"
        "assert not {'pytest', '_pytest', 'aiohttp', 'hypothesis'} & set(sys.modules)"
    )
