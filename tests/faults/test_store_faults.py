"""The log's file goes wrong under a real server: full, locked, damaged, read-only, newer."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from ..cli.conftest import Cli
from ..support import SocketClosed
from .caller import calling, limits_file, outputs

MIB = 1024 * 1024
COUNT = 60_000
WIDTH = 200
HELD = 10_000
"""More than an outbox and a batch under way hold: an executor that said more did not wait."""


def lines(count: int) -> list[str]:
    return [f"{number:0{WIDTH}}\n" for number in range(count)]


def fill(path: Path) -> None:
    """Take all the room that a file system still has."""
    with suppress(OSError), path.open("ab", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


@pytest.mark.parametrize("end", ["room", "kill"])
async def test_on_a_full_disk_runs_wait_and_nothing_that_was_shown_is_lost(
    house: Cli, disk: Path, end: str
) -> None:
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(24 * MIB))
    other = house.home / "other"
    other.mkdir()
    options = ["--log", disk / "aosui.db", "--config", limits_file(house, commit_seconds=0.5)]
    server = house.serve(house.project, other, *options)
    async with calling(server) as at:
        one, two = await at.projects()
        viewer = await at.viewer(one)
        run_id = (await at.start(one, "faults:flood", count=COUNT, width=WIDTH))["runId"]
        following = asyncio.create_task(viewer.state(run_id))
        trouble = "the log takes nothing: runs wait.*logUnavailable.*the disk is full"
        await asyncio.to_thread(server.stderr.until, trouble)

        fill(disk / "filler")

        accepted = []
        while (answer := await at.begin(two, "talk:say", id=(asked := str(uuid.uuid4()))))[0] < 400:
            accepted.append(answer[1]["runId"])
        status, body = answer
        assert (status, body["error"]["code"]) == (503, "logUnavailable")
        assert body["error"]["retryable"] is True
        assert (await at.viewer(two)).frames[0]["type"] == "welcome"
        assert not following.done()
        said = int((house.project / "said").read_text())
        assert said < viewer.seqs[-1] + HELD < COUNT

        if end == "room":
            ballast.unlink()  # the filler stays: it is small
            assert (await following)["state"] == "succeeded"
            server.stderr.until("the log is back")
            again = await at.begun(two, "talk:say", id=asked)
            assert (await at.ended(two, again["runId"]))["state"] == "succeeded"
            accepted.append(again["runId"])
            assert [run["runId"] for run in reversed(await at.runs(two))] == accepted
            assert outputs(viewer.events, run_id) == lines(COUNT)
            server.send(signal.SIGTERM)
            assert await asyncio.to_thread(server.wait) == 0
        else:
            server.send(signal.SIGKILL)
            await asyncio.to_thread(server.wait)
            with pytest.raises(SocketClosed):
                await following
            ballast.unlink()
    server = house.serve(*options)
    async with calling(server) as at:
        stored = await at.events(one)
        assert stored[: len(viewer.events)] == viewer.events
        assert [event["seq"] for event in stored] == list(range(1, len(stored) + 1))
        said_lines = outputs(stored, run_id)
        assert said_lines == lines(len(said_lines))
        (run,) = await at.runs(one)
        assert run["state"] == ("succeeded" if end == "room" else "interrupted")
        epoch = viewer.frames[0]["epoch"]
        recovered = (await at.viewer(one, since=len(stored), epoch=epoch)).frames[0]["resume"]
        assert recovered["reason"] == "ok"


@pytest.mark.slow
async def test_locked_for_ten_seconds_the_log_goes_on_where_it_was(house: Cli) -> None:
    server = house.serve(house.project)
    asked = str(uuid.uuid4())
    async with calling(server) as at:
        (project,) = await at.projects()
        viewer = await at.viewer(project)
        run_id = (await at.start(project, "talk:say", times=100, pause=0.01))["runId"]
        await viewer.type("run.output")
        with closing(sqlite3.connect(house.state / "aosui.db", isolation_level=None)) as stranger:
            stranger.execute("BEGIN IMMEDIATE")
            for _ in range(2):
                status, body = await at.begin(project, "talk:say", id=asked)
                assert (status, body["error"]["code"]) == (503, "logUnavailable")
            assert [run["runId"] for run in await at.runs(project)] == [run_id]
            head = (await at.viewer(project)).frames[0]["seq"]
            stranger.execute("ROLLBACK")
        again = await at.begun(project, "talk:say", id=asked)
        assert (await viewer.state(run_id))["state"] == "succeeded"
        assert (await at.ended(project, again["runId"]))["state"] == "succeeded"
        assert [run["runId"] for run in await at.runs(project)] == [again["runId"], run_id]
        stored = await at.events(project)
        assert len(stored) > head
        assert stored[: len(viewer.events)] == viewer.events
        assert outputs(stored, run_id) == ["hello\n"] * 100
    assert "another program holds its file" in server.stderr.until("the log is back").string


def spoil(path: Path) -> None:
    """Write garbage over a file but its first bytes."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(100)
        file.write(os.urandom(size - 100))


async def test_a_damaged_log_is_moved_aside_said_so_and_a_new_epoch_begins(house: Cli) -> None:
    log = house.state / "aosui.db"
    server = house.serve(house.project)
    async with calling(server) as at:
        (project,) = await at.projects()
        run_id = (await at.start(project, "talk:say"))["runId"]
        await at.ended(project, run_id)
        epoch = (await at.viewer(project)).frames[0]["epoch"]
    server.send(signal.SIGTERM)
    server.wait()
    spoil(log)
    before = log.read_bytes()
    server = house.serve()
    said = server.stderr.until(r"it was moved aside, a new one begins.*aside=(\S+)")
    assert Path(said[1].strip("'\"")).read_bytes() == before
    async with calling(server) as at:
        assert await at.projects() == [project]
        viewer = await at.viewer(project, since=3, epoch=epoch)
        assert viewer.frames[0]["resume"]["reason"] == "epochChanged"
        assert viewer.frames[0]["epoch"] != epoch
        assert viewer.frames[1]["runs"] == []
        again = await at.start(project, "talk:say")
        assert (await viewer.state(again["runId"]))["state"] == "succeeded"


# -- what a server does not begin with


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A directory with a log in which nothing can be written, not even by root."""
    path = tmp_path / "kept"
    path.mkdir()
    (path / "aosui.db").write_bytes(b"")
    if os.geteuid() != 0:
        path.chmod(0o555)
        yield path
        path.chmod(0o755)
        return
    bind = ["mount", "--bind", str(path), str(path)]
    if shutil.which("mount") is None or subprocess.run(bind, capture_output=True).returncode:
        pytest.skip("may not mount a read-only directory here")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(path)], check=True)
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_read_only_directory_is_named_and_ends_it_with_2(house: Cli, read_only: Path) -> None:
    for name in ("aosui.db", "another.db"):
        ended = house.run("serve", house.project, "--log", read_only / name)
        assert ended.returncode == 2
        assert str(read_only / name) in ended.stderr
        assert "Traceback" not in ended.stderr
    assert os.listdir(read_only) == ["aosui.db"]


def test_a_read_only_state_directory_is_named_and_ends_it_with_2(
    house: Cli, read_only: Path
) -> None:
    ended = house.run("serve", house.project, XDG_STATE_HOME=str(read_only))
    assert ended.returncode == 2
    assert str(read_only / "aosui") in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_log_of_a_newer_aosui_ends_it_with_2_and_is_not_touched(house: Cli) -> None:
    log = house.state / "aosui.db"
    server = house.serve(house.project)
    server.send(signal.SIGTERM)
    server.wait()
    with closing(sqlite3.connect(log)) as file:
        file.execute("PRAGMA user_version = 99")
    before = log.read_bytes()
    ended = house.run("serve")
    assert ended.returncode == 2
    assert re.search(rf"{log}.*newer aosui", ended.stderr)
    assert "Traceback" not in ended.stderr
    assert log.read_bytes() == before
    assert not [name for name in os.listdir(house.state) if "aside" in name]
