"""The SQLite log in good times: its file, its threads, its transactions, its size."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

import pytest

from aosui.errors import LogUnavailable
from aosui.log import LogConflict, NotKept
from aosui.log.logfile import PAGE_BYTES
from aosui.log.sqlite import SqliteLog

from .owner import Owner, entry, run

MIB = 1024 * 1024


def commits(path: Path) -> int:
    """Count the transactions in the write-ahead log: frames that say how large the file is then."""
    frames = Path(f"{path}-wal").read_bytes()[32:]
    sizes = range(4, len(frames), 24 + PAGE_BYTES)
    return sum(int.from_bytes(frames[at : at + 4], "big") > 0 for at in sizes)


async def hold(path: Path) -> sqlite3.Connection:
    """Take the write lock of the file, as a stranger."""
    stranger = sqlite3.connect(path, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    return stranger


async def test_nothing_happens_before_it_is_opened(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db")
    await log.close()
    assert [*tmp_path.iterdir()] == []
    with pytest.raises(LogUnavailable):
        await log.read("p", 0, 1, 1)


async def test_only_its_user_may_read_it(sqlite_log: SqliteLog, tmp_path: Path) -> None:
    await sqlite_log.connect()
    await sqlite_log.connect()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"log.db", "log.db-wal", "log.db-shm", "log.db.lock"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    await sqlite_log.close()
    assert {path.name for path in tmp_path.iterdir()} == {"log.db", "log.db.lock"}


async def test_one_row_a_batch(sqlite_log: SqliteLog, tmp_path: Path) -> None:
    owner = Owner(sqlite_log)
    await owner.open()
    await owner.append(*(entry(seq) for seq in range(1, 1001)))
    await owner.append(entry(1001))
    with closing(sqlite3.connect(tmp_path / "log.db")) as stranger:
        assert stranger.execute("SELECT count(*) FROM batch").fetchone() == (2,)
        assert stranger.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_a_raw_newline_is_refused_and_nothing_stored(sqlite_log: SqliteLog) -> None:
    owner = Owner(sqlite_log)
    await owner.open()
    with pytest.raises(ValueError, match="newline"):
        await owner.append(entry(1), b'{\n"seq":2}', runs=[run("a")])
    assert (await owner.open()).seq == 0
    assert await owner.run_ids() == []
    await owner.append(entry(1))
    assert owner.delivered == await owner.read() == [entry(1)]


async def test_projects_that_wait_together_share_a_transaction(
    sqlite_log: SqliteLog, tmp_path: Path
) -> None:
    owners = [Owner(sqlite_log, f"p{number}") for number in range(10)]
    for owner in owners:
        await owner.open()
        await owner.append(entry(1))
    before = commits(tmp_path / "log.db")
    stranger = await hold(tmp_path / "log.db")
    appends = [asyncio.create_task(owner.append(entry(2))) for owner in owners]
    await asyncio.sleep(0)
    stranger.close()
    await asyncio.gather(*appends)
    # The thread may have taken some before the others came; all of those came before it went on.
    assert commits(tmp_path / "log.db") <= before + 2
    assert [owner.delivered for owner in owners] == [[entry(1), entry(2)]] * 10


async def test_what_is_wrong_with_one_project_concerns_no_other(
    sqlite_log: SqliteLog, tmp_path: Path
) -> None:
    owners = good, conflicting, newline, last = [Owner(sqlite_log, name) for name in "abcd"]
    for owner in owners:
        await owner.open()
        await owner.append(entry(1))
    stranger = await hold(tmp_path / "log.db")
    outcomes = asyncio.gather(
        good.append(entry(2)),
        good.append(entry(3), after=2),
        conflicting.append(b'{"other":1}', after=0),
        newline.append(b"{\n}"),
        last.append(entry(2)),
        return_exceptions=True,
    )
    await asyncio.sleep(0)
    stranger.close()
    one, two, conflict, wrong, three = await outcomes
    assert [one, two, three] == [1, 1, 1]
    assert isinstance(conflict, LogConflict)
    assert isinstance(wrong, ValueError)
    for owner, seq in ((good, 3), (conflicting, 1), (newline, 1), (last, 2)):
        assert await owner.read() == owner.delivered == [entry(s) for s in range(1, seq + 1)]


async def test_a_cancelled_append_of_a_busy_log_is_delivered_once(
    sqlite_log: SqliteLog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    owner = Owner(sqlite_log)
    await owner.open()
    stranger = await hold(tmp_path / "log.db")
    task = asyncio.create_task(owner.append(entry(1)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert owner.delivered == []
    stranger.close()
    await owner.append(entry(1), after=0)
    await owner.append(entry(2), after=1)
    assert owner.batches == [((entry(1),), (), 1), ((entry(2),), (), 1)]
    assert caplog.text == ""


async def test_what_is_delivered_to_nobody_who_waits_is_still_told_when_it_fails(
    sqlite_log: SqliteLog, tmp_path: Path
) -> None:
    reports: asyncio.Queue[BaseException] = asyncio.Queue()

    def report(loop: asyncio.AbstractEventLoop, context: dict[str, BaseException]) -> None:
        reports.put_nowait(context["exception"])

    def deliver(entries: Sequence[bytes], runs: object, first_seq: int) -> None:
        raise ZeroDivisionError

    asyncio.get_running_loop().set_exception_handler(report)
    await sqlite_log.open("p", deliver)
    task = asyncio.create_task(sqlite_log.append("p", 0, [entry(1)], (), {}, {}))
    await asyncio.sleep(0)
    task.cancel()
    assert isinstance(await asyncio.wait_for(reports.get(), 5), ZeroDivisionError)


async def test_the_loop_and_readers_go_on_while_a_write_waits(
    sqlite_log: SqliteLog, tmp_path: Path
) -> None:
    owner = Owner(sqlite_log)
    await owner.open()
    await owner.append(entry(1), runs=[run("a")])
    stranger = await hold(tmp_path / "log.db")
    writing = asyncio.create_task(owner.append(entry(2)))
    for _ in range(20):
        assert await owner.read() == [entry(1)]
        assert await owner.run_ids() == ["a"]
    assert not writing.done()
    stranger.close()
    assert await writing == 1


async def test_closing_waits_for_what_is_under_way(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db")
    owner = Owner(log)
    await owner.open()
    stranger = await hold(tmp_path / "log.db")
    writing = asyncio.create_task(owner.append(entry(1)))
    await asyncio.sleep(0)
    closing = asyncio.create_task(log.close())
    await asyncio.sleep(0)
    assert not closing.done()
    stranger.close()
    await closing
    assert await writing == 1
    assert not [one for one in threading.enumerate() if one.name.startswith("aosui-log")]
    with pytest.raises(LogUnavailable):
        await owner.read()
    again = Owner(SqliteLog(tmp_path / "log.db"))
    assert (await again.open()).seq == 1
    await again.log.close()


async def test_cancelled_while_it_connects_it_can_still_be_closed(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db")
    connecting = asyncio.create_task(log.connect())
    for _ in range(3):  # until the thread that opens the file has begun
        await asyncio.sleep(0)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    await log.close()
    other = SqliteLog(tmp_path / "log.db")
    await other.connect()
    await other.close()


async def test_no_project_waits_while_a_large_one_is_forgotten(sqlite_log: SqliteLog) -> None:
    large, other = Owner(sqlite_log, "large"), Owner(sqlite_log, "other")
    await large.open()
    await other.open()
    for _ in range(80):
        await large.append(*(entry(large.seq + number, 10_000) for number in range(1, 11)))
    forgetting = asyncio.create_task(sqlite_log.forget("large"))
    await asyncio.sleep(0)
    await other.append(entry(1))
    assert not forgetting.done()
    await forgetting
    assert (await large.open()).seq == 0


async def test_neither_file_grows_without_bound(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db", kept_bytes=MIB)
    owner = Owner(log)
    await owner.open()
    largest = 0
    stop = asyncio.Event()

    async def view() -> None:
        while not stop.is_set():
            with suppress(NotKept):
                await owner.read(owner.seq - 50)

    await owner.append(*(entry(seq, 1000) for seq in range(1, 101)))
    viewers = [asyncio.create_task(view()) for _ in range(3)]
    for _ in range(300):
        await owner.append(*(entry(owner.seq + number, 1000) for number in range(1, 101)))
        largest = max(largest, os.path.getsize(tmp_path / "log.db-wal"))
    stop.set()
    await asyncio.gather(*viewers)
    assert largest < 16 * MIB
    await log.close()
    assert os.path.getsize(tmp_path / "log.db") < 4 * MIB


@pytest.mark.slow
@pytest.mark.parametrize("batch", [20, 200])
async def test_64_mib_of_events_and_1000_runs_open_in_less_than_half_a_second(
    tmp_path: Path, batch: int
) -> None:
    path = tmp_path / "log.db"
    log = SqliteLog(path)
    owner = Owner(log)
    await owner.open()
    large = run("x", text="x" * 24 * 1024).body
    runs = [run(f"r{number}", final=True) for number in range(1000)]
    await owner.append(entry(1), runs=[type(one)(one.run_id, True, large) for one in runs])
    while owner.seq < 68 * MIB // 268:
        calls = [
            log.append(
                owner.project_id,
                owner.seq + after,
                [entry(owner.seq + after + number, 268) for number in range(1, batch + 1)],
                (),
                {},
                {},
            )
            for after in range(0, 2000, batch)
        ]
        await asyncio.gather(*calls)
        owner.seq += 2000
    await log.close()
    began = time.perf_counter()
    log = SqliteLog(path)
    position = await Owner(log).open()
    seconds = time.perf_counter() - began
    await log.close()
    assert (position.seq - position.first_seq) * 268 > 62 * MIB
    assert len(position.runs) == 20
    assert seconds < 0.5
