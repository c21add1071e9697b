"""What becomes of commands whose aosui, or whose reaper, was killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aosui.errors import ExecutorError
from aosui.orphans import MARKER, end_orphans, new_mark
from aosui.process import run_process
from aosui.testing import RecordingChannel

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

SERVER = textwrap.dedent(
    """
    import asyncio, sys
    from aosui.process import run_process
    from aosui.testing import RecordingChannel

    asyncio.run(run_process(RecordingChannel(root="."), "sh", "-c", sys.argv[1], pty=True))
    """
)


@pytest.fixture
def tag() -> Iterator[str]:
    tag = f"tag-{uuid.uuid4().hex}"
    yield tag
    for pid in tagged(tag):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def arguments() -> Iterator[tuple[int, list[str]]]:
    """Iterate over all processes but zombies: pid and arguments."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (args := (entry / "cmdline").read_text()):
                yield int(entry.name), args.split("\0")


def tagged(tag: str) -> set[int]:
    """Find everything that has to do with a tag."""
    return {pid for pid, args in arguments() if any(tag in arg for arg in args)}


def sleepers(tag: str) -> set[int]:
    return {
        pid for pid, args in arguments() if args[2:] == ["import time; time.sleep(1000)", tag, ""]
    }


def reaper(tag: str) -> int:
    (pid,) = (
        pid
        for pid, args in arguments()
        if any(arg.endswith("reaper.py") for arg in args) and any(tag in arg for arg in args)
    )
    return pid


def spawn(*argv: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(argv, text=True, **options)


def sleeper(tag: str) -> str:
    return f"{sys.executable} -c 'import time; time.sleep(1000)' {tag}"


async def eventually(condition: Callable[[], object], seconds: float = 5) -> None:
    """Wait for what has no event: how other processes are."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    assert condition()


async def test_a_killed_server_takes_its_commands_along(tag: str, tmp_path: Path) -> None:
    script = f"trap '' HUP TERM; (env -i setsid {sleeper(tag)} &) ; {sleeper(tag)} & {sleeper(tag)}"
    server = spawn(sys.executable, "-c", SERVER, script, cwd=tmp_path)
    try:
        await eventually(lambda: len(sleepers(tag)) == 3)
    finally:
        server.kill()
        server.wait()
    await eventually(lambda: not tagged(tag))


async def test_a_killed_reaper_fails_the_run_and_leaves_nothing(tag: str, tmp_path: Path) -> None:
    channel = RecordingChannel(root=tmp_path)
    script = f"setsid {sleeper(tag)} & {sleeper(tag)}; true"
    run = asyncio.ensure_future(run_process(channel, "sh", "-c", script))
    await eventually(lambda: len(sleepers(tag)) == 2)
    os.kill(reaper(tag), signal.SIGKILL)
    with pytest.raises(ExecutorError, match="the process that watched over 'sh' was killed"):
        await run
    await eventually(lambda: not tagged(tag))


class TestEndOrphans:
    async def test_ends_what_a_dead_server_and_its_killed_reaper_left(
        self, tag: str, tmp_path: Path
    ) -> None:
        script = f"setsid {sleeper(tag)} & wait"
        server = spawn(sys.executable, "-c", SERVER, script, cwd=tmp_path)
        try:
            await eventually(lambda: len(sleepers(tag)) == 1)
            server.send_signal(signal.SIGSTOP)  # or it would clean up after its reaper
            os.kill(reaper(tag), signal.SIGKILL)
            await eventually(lambda: tagged(tag) == sleepers(tag) | {server.pid})
            assert await end_orphans(grace=0) == 0, "the server is alive"
            assert len(sleepers(tag)) == 1
        finally:
            server.kill()
            server.wait()
        assert await end_orphans(grace=0.2) == 1
        await eventually(lambda: not tagged(tag))

    async def test_a_zombie_is_dead_and_others_are_none_of_its_business(self) -> None:
        source = "from aosui.orphans import new_mark; print(new_mark())"
        zombie = spawn(sys.executable, "-c", source, stdout=subprocess.PIPE)
        assert zombie.stdout is not None
        with zombie.stdout:
            dead = zombie.stdout.read().strip()
        namespace, pid, started = dead.partition(".")[0].split("-")
        elsewhere = f"{int(namespace) + 1}-{pid}-{started}.x"
        marks = [dead, elsewhere, new_mark(), "", "rubbish", "-1-2-3", f"{namespace}-x-y.z"]
        marked = [spawn("sleep", "1000", env={**os.environ, MARKER: mark}) for mark in marks]
        try:
            assert await end_orphans(grace=0) == 1
            assert marked[0].wait(5) == -signal.SIGKILL
            assert [process.poll() for process in marked[1:]] == [None] * (len(marks) - 1)
        finally:
            zombie.wait()
            for process in marked:
                process.kill()
                process.wait()

    async def test_returns_at_once_when_there_is_nothing(self) -> None:
        started = time.monotonic()
        assert await end_orphans() == 0
        assert time.monotonic() - started < 1
