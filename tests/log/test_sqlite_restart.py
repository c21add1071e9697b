"""What a SQLite log is after its process, or the machine, stopped in any way."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from aosui.log import LogLocked, StoredRun
from aosui.log.epoch import boot_id, new_epoch
from aosui.log.logfile import Synchronous
from aosui.log.sqlite import SqliteLog

from .owner import Owner, entry, run

CHILD = Path(__file__).with_name("child.py")


@contextmanager
def appending(path: Path, synchronous: Synchronous = "NORMAL") -> Iterator[subprocess.Popen[str]]:
    """Run the child that appends; its first line is its epoch."""
    with subprocess.Popen(
        [sys.executable, str(CHILD), str(path), synchronous], stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def lines(child: subprocess.Popen[str], count: int) -> list[str]:
    assert child.stdout is not None
    return [child.stdout.readline().strip() for _ in range(count)]


def lose_power(path: Path) -> None:
    """Make the file that of a machine that stopped under its user: another boot, not closed."""
    with closing(sqlite3.connect(path, isolation_level=None)) as stranger:
        stranger.execute("UPDATE session SET boot = 'another', clean = 0")


@pytest.mark.parametrize("synchronous", ["NORMAL", "FULL"])
async def test_kill_9_loses_nothing_that_was_delivered(
    tmp_path: Path, synchronous: Synchronous
) -> None:
    path = tmp_path / "log.db"
    epochs = set()
    for batches in (1, 7, 60, 200):
        with appending(path, synchronous) as child:
            epoch, *heads = lines(child, 1 + batches)
            child.send_signal(signal.SIGKILL)
            assert child.stdout is not None
            heads += child.stdout.read().split()
        seen = int(heads[-1])
        began = time.perf_counter()
        log = SqliteLog(path, synchronous=synchronous)
        owner = Owner(log, "p")
        position = await owner.open()
        assert time.perf_counter() - began < 0.5
        assert position.seq >= seen
        assert await owner.read() == [b"%d" % seq for seq in range(1, position.seq + 1)]
        assert json.loads(position.runs[0].body) == {"seq": position.seq, "firstSeq": 1}
        epochs |= {epoch, position.epoch}
        await log.close()
    assert len(epochs) == 1


@pytest.mark.parametrize(
    ("synchronous", "kept"), [("NORMAL", False), ("FULL", True)], ids=["normal", "full"]
)
async def test_after_a_power_loss_only_a_full_log_keeps_its_epoch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, synchronous: Synchronous, kept: bool
) -> None:
    path = tmp_path / "log.db"
    text = '{"title":"✓ \\"é\\" \\u0000 1e400","progress":1.50,"big":12345678901234567890'
    states = [
        StoredRun(name, final, f'{text},"firstSeq":{seq},"runId":"{name}"}}'.encode())
        for seq, (name, final) in enumerate([("a", True), ("b", False)], 1)
    ]
    with appending(path, synchronous) as child:
        epoch, *_ = lines(child, 5)
        child.kill()
    log = SqliteLog(path, synchronous=synchronous)
    other, owner = Owner(log, "other"), Owner(log, "p")
    other_epoch = (await other.open()).epoch
    await other.append(entry(1), runs=states, requests={"r": b"1"}, checkpoints={"a": b"2"})
    before = await owner.open()
    assert before.epoch == epoch
    await log.close()
    lose_power(path)

    log = SqliteLog(path)  # what counts is how the log ran that did not stop cleanly
    other, owner = Owner(log, "other"), Owner(log, "p")
    position, other_position = await owner.open(), await other.open()
    assert (position.epoch == epoch, other_position.epoch == other_epoch) == (kept, kept)
    assert position.epoch != other_position.epoch
    assert (position.first_seq, position.seq) == (1, before.seq)
    assert await other.read() == [entry(1)]
    assert await log.request("other", "r") == b"1"
    assert await log.checkpoint("other", "a") == b"2"
    for state, stored in zip(states, other_position.runs, strict=True):
        expected = json.loads(state.body)
        if not kept:
            expected["firstSeq"] = None
        assert json.loads(stored.body) == expected
        assert b'"progress":1.50,"big":12345678901234567890' in stored.body
    assert ("new epochs begin" in caplog.text) == (not kept)
    await other.append(entry(2))
    await log.close()
    again = SqliteLog(path)
    assert (await Owner(again, "p").open()).epoch == position.epoch
    await again.close()


async def test_closed_cleanly_it_may_go_on_after_another_boot(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = SqliteLog(path)
    epoch = (await Owner(log).open()).epoch
    await log.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as stranger:
        assert stranger.execute("SELECT boot, clean FROM session").fetchall() == [(boot_id(), 1)]
        stranger.execute("UPDATE session SET boot = 'another'")
    log = SqliteLog(path)
    assert (await Owner(log).open()).epoch == epoch
    await log.close()


async def test_a_session_is_marked_before_anything_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = SqliteLog(path)
    await log.connect()
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as stranger:
        row = stranger.execute("SELECT boot, synchronous, clean FROM session").fetchone()
    assert row == (boot_id(), "NORMAL", 0)
    await log.close()


async def test_a_second_user_is_told_who_has_it(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    (tmp_path / "link.db").symlink_to(path)
    with appending(path) as child:
        lines(child, 2)
        content = path.read_bytes()
        for name in ("log.db", "link.db"):
            with pytest.raises(LogLocked) as raised:
                await SqliteLog(tmp_path / name).connect()
            holder = raised.value.holder
            assert f"process {child.pid} on {socket.gethostname()} since 2" in holder
            assert raised.value.path == str(path)
            assert holder in str(raised.value)
            assert str(path) in str(raised.value)
        child.kill()
        child.wait()
        assert path.read_bytes()[:100] == content[:100]
    log = SqliteLog(path)
    await log.connect()
    with pytest.raises(LogLocked, match=f"process {os.getpid()} on "):
        await SqliteLog(path).open("p", print)
    await log.close()


async def test_children_do_not_inherit_the_lock(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db")
    await log.connect()
    child = await asyncio.create_subprocess_exec("sleep", "60", close_fds=False)
    await log.close()
    again = SqliteLog(tmp_path / "log.db")
    await again.connect()
    await again.close()
    child.kill()
    await child.wait()


async def test_after_an_unclean_stop_the_file_is_checked_beside_the_serving(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "log.db"
    with appending(path) as child:
        lines(child, 50)
        child.kill()
    caplog.set_level(logging.INFO)
    log = SqliteLog(path)
    owner = Owner(log, "p")
    await owner.open()
    await owner.append(b"{}", runs=[run("new")])
    async with asyncio.timeout(10):
        while "it is undamaged" not in caplog.text:
            await asyncio.sleep(0.005)
    await log.close()
    assert not Path(f"{path}.damaged").exists()
    assert {record.levelname for record in caplog.records} == {"INFO"}
    caplog.clear()
    await log.connect()
    await log.close()
    assert caplog.text == ""


def test_epochs_and_boots() -> None:
    assert len({new_epoch() for _ in range(1000)}) == 1000
    assert boot_id() == boot_id() != ""
