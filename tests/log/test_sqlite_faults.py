"""Disk full, locked, damaged, read-only, newer: provoked for real."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from aosui.errors import LogUnavailable
from aosui.log import LogFileError, LogNotWritable, LogSchemaNewer
from aosui.log.logfile import PAGE_BYTES, SCHEMA_VERSION
from aosui.log.sqlite import SqliteLog

from .owner import Owner, entry, run

MIB = 1024 * 1024


async def fill(path: Path, *, large: bool = False) -> str:
    """Make a log with some events, close it, and return its project's epoch."""
    log = SqliteLog(path)
    owner = Owner(log)
    epoch = (await owner.open()).epoch
    await owner.append(*(entry(seq, 10_000 if large else 100) for seq in range(1, 201)))
    await owner.append(entry(201), runs=[run("a")])
    await log.close()
    return epoch


# -- no room, no lock: the same append succeeds later


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("may not mount a small file system here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


async def test_disk_full(small_disk: Path) -> None:
    log = SqliteLog(small_disk / "log.db")
    first, second = Owner(log, "first"), Owner(log, "second")
    await first.open()
    await second.open()
    await second.append(entry(1))
    filler = small_disk / "filler"
    batch: list[bytes] = []

    async def append_for_ever() -> None:
        while True:
            batch[:] = [entry(first.seq + number, 1000) for number in range(1, 51)]
            await first.append(*batch, runs=[run("a", text=str(first.seq))])
            with filler.open("ab") as file:
                file.write(bytes(20_000))

    with pytest.raises(LogUnavailable, match="the disk is full") as raised:
        await append_for_ever()
    assert str(small_disk) not in raised.value.message
    stored = [entry(seq, 1000) for seq in range(1, first.seq + 1)]
    assert first.delivered == await first.read() == stored
    state = await log.run("first", "a")
    for _ in range(3):
        with pytest.raises(LogUnavailable):
            await first.append(*batch, runs=[run("a", text="again")], requests={"r": b"1"})
    assert await log.run("first", "a") == state
    assert await log.request("first", "r") is None
    assert (await first.open()).seq == len(stored)
    assert await second.read() == [entry(1)]
    filler.unlink()
    await first.append(*batch, runs=[run("a", text="again")], requests={"r": b"1"})
    await second.append(entry(2))
    assert first.delivered == await first.read() == stored + batch
    assert await log.run("first", "a") == run("a", text="again")
    assert await log.request("first", "r") == b"1"
    await log.close()


async def test_stopped_and_started_on_a_full_disk(small_disk: Path) -> None:
    log = SqliteLog(small_disk / "log.db")
    owner = Owner(log)
    epoch = (await owner.open()).epoch
    await owner.append(entry(1))
    filler = small_disk / "filler"
    with suppress(OSError), filler.open("ab", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    with pytest.raises(LogUnavailable):
        await owner.append(*(entry(seq, 1000) for seq in range(2, 1000)))
    await log.close()
    with suppress(LogUnavailable):
        await log.connect()
        await log.close()
    filler.unlink()
    position = await owner.open()
    assert (position.epoch, position.seq) == (epoch, 1)
    await owner.append(entry(2))
    assert await owner.read() == owner.delivered == [entry(1), entry(2)]
    await log.close()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_write_that_fails(sqlite_log: SqliteLog, tmp_path: Path) -> None:
    owner = Owner(sqlite_log)
    await owner.open()
    await owner.append(entry(1))
    large = [entry(seq, 10_000) for seq in range(2, 202)]
    with largest_file(os.path.getsize(tmp_path / "log.db-wal") + PAGE_BYTES * 10):
        for _ in range(2):
            with pytest.raises(LogUnavailable):
                await owner.append(*large, runs=[run("a")], checkpoints={"a": b"1"})
        assert await owner.read() == [entry(1)]
        assert await owner.run_ids() == []
        await owner.append(entry(2))
    assert await owner.append(*large, runs=[run("a")], after=2) == 1
    assert owner.delivered == await owner.read() == [entry(1), entry(2), *large]


async def test_a_large_batch_that_fails_takes_no_small_one_of_another_project_with_it(
    sqlite_log: SqliteLog, tmp_path: Path
) -> None:
    first, second = Owner(sqlite_log, "first"), Owner(sqlite_log, "second")
    await first.open()
    await second.open()
    large = [entry(seq, 10_000) for seq in range(1, 201)]
    with largest_file(os.path.getsize(tmp_path / "log.db-wal") + PAGE_BYTES * 20):
        outcomes = await asyncio.gather(
            second.append(entry(1)),
            first.append(*large),
            second.append(entry(2), after=1),
            return_exceptions=True,
        )
    assert [outcomes[0], outcomes[2]] == [1, 1]
    assert isinstance(outcomes[1], LogUnavailable)
    assert second.delivered == await second.read() == [entry(1), entry(2)]
    assert first.delivered == await first.read() == []
    assert await first.append(*large) == 1


async def test_the_file_is_locked_by_a_stranger(sqlite_log: SqliteLog, tmp_path: Path) -> None:
    owner, other = Owner(sqlite_log), Owner(sqlite_log, "other")
    await owner.open()
    await other.open()
    await owner.append(entry(1))
    with closing(sqlite3.connect(tmp_path / "log.db", isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        outcomes = await asyncio.gather(
            owner.append(entry(2)), other.append(entry(1)), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [LogUnavailable] * 2
        assert "another program holds its file" in str(outcomes[0])
        with pytest.raises(LogUnavailable):
            await sqlite_log.open("third", print)
        assert await owner.read() == owner.delivered == [entry(1)]
    await owner.append(entry(2))
    await other.append(entry(1))
    assert owner.delivered == await owner.read() == [entry(1), entry(2)]
    assert other.delivered == [entry(1)]


async def test_a_start_under_a_strangers_lock_can_be_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    epoch = await fill(path)
    log = SqliteLog(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogUnavailable):
            await log.connect()
    assert (await Owner(log).open()).epoch == epoch
    await log.close()


# -- damage


def spoil_all(path: Path) -> None:
    path.write_bytes(b"this is no database" * 1000)


def spoil_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(100))


def spoil_schema(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(100)
        file.write(os.urandom(PAGE_BYTES - 100))


def cut_off(path: Path) -> None:
    os.truncate(path, PAGE_BYTES)


def spoil_shortly(path: Path) -> None:
    path.write_bytes(b"x")


@pytest.mark.parametrize("spoil", [spoil_all, spoil_header, spoil_schema, cut_off, spoil_shortly])
async def test_a_damaged_file_is_moved_aside_and_a_new_log_begins(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], None]
) -> None:
    path = tmp_path / "log.db"
    epoch = await fill(path)
    spoil(path)
    spoiled = path.read_bytes()
    Path(f"{path}-wal").write_bytes(b"old")
    log = SqliteLog(path)
    owner = Owner(log)
    position = await owner.open()
    assert (position.seq, position.epoch == epoch) == (0, False)
    await owner.append(entry(1))
    assert await owner.read() == [entry(1)]
    await log.close()
    (aside,) = tmp_path.glob("log.db.*.aside")
    assert aside.read_bytes() == spoiled
    assert Path(f"{aside}-wal").read_bytes() == b"old"
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "moved aside" in record.getMessage()
    assert str(aside) in record.getMessage()
    again = SqliteLog(path)
    assert (await Owner(again).open()).epoch == position.epoch
    await again.close()


def spoil_a_page(path: Path) -> None:
    """Spoil the pages in the middle of a file, so that nobody sees it before reading there."""
    with path.open("r+b") as file:
        size = os.path.getsize(path)
        assert size > PAGE_BYTES * 100
        file.seek(size // 2 // PAGE_BYTES * PAGE_BYTES)
        file.write(b"\xff" * PAGE_BYTES * 4)


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not what():
            await asyncio.sleep(0.005)


async def test_damage_found_beside_the_serving_is_said_and_moved_aside_at_the_next_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "log.db"
    epoch = await fill(path, large=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as stranger:
        stranger.execute("UPDATE session SET clean = 0")
    spoil_a_page(path)
    log = SqliteLog(path)
    owner = Owner(log)
    assert (await owner.open()).epoch == epoch
    await until(lambda: "the event log is damaged" in caplog.text)
    await owner.append(entry(202))
    await log.close()
    caplog.clear()
    log = SqliteLog(path)
    position = await Owner(log).open()
    assert (position.seq, position.epoch == epoch) == (0, False)
    assert "moved aside" in caplog.text
    assert len([*tmp_path.glob("log.db.*.aside")]) == 1
    await log.close()
    caplog.clear()
    log = SqliteLog(path)
    assert (await Owner(log).open()).epoch == position.epoch
    assert caplog.text == ""
    await log.close()


async def test_damage_met_while_reading_pauses_and_is_moved_aside_at_the_next_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "log.db"
    log = SqliteLog(path)
    owner = Owner(log)
    epoch = (await owner.open()).epoch
    for seq in range(1, 2001):
        await owner.append(entry(seq, 1000))
    await log.close()
    spoil_a_page(path)
    owner.log = log
    await owner.open()
    for _ in range(2):
        with pytest.raises(LogUnavailable, match="damaged: start aosui again"):
            await owner.read()
    assert caplog.text.count("the event log is damaged") == 1
    await log.close()
    position = await owner.open()
    assert (position.seq, position.epoch == epoch) == (0, False)
    await log.close()


# -- files that are not ours to write


def contents(directory: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in directory.iterdir()
        if not path.name.endswith((".lock", "-shm"))
    }


@pytest.mark.parametrize("unclean", [False, True], ids=["closed", "killed"])
async def test_a_newer_schema_is_refused_and_not_touched(tmp_path: Path, unclean: bool) -> None:
    path = tmp_path / "log.db"
    await fill(path)
    newer = sqlite3.connect(path, isolation_level=None)
    newer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    if unclean:
        copy = tmp_path / "copy"
        copy.mkdir()
        for file in tmp_path.glob("log.db*"):
            shutil.copy(file, copy)
        path = copy / "log.db"
        assert os.path.getsize(f"{path}-wal") > 0
    newer.close()
    before = contents(path.parent)
    with pytest.raises(LogSchemaNewer, match=f"its format is {SCHEMA_VERSION + 1}") as raised:
        await SqliteLog(path).connect()
    assert str(path) in str(raised.value)
    assert {name: body for name, body in contents(path.parent).items() if body} == {
        name: body for name, body in before.items() if body
    }


async def test_another_programs_database_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "places.db"
    with closing(sqlite3.connect(path)) as stranger:
        stranger.execute("CREATE TABLE places (url TEXT)")
    before = path.read_bytes()
    with pytest.raises(LogFileError, match="another program's database"):
        await SqliteLog(path).connect()
    assert path.read_bytes() == before


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be somebody whom file modes concern."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that others may enter."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)
        os.chmod(name, 0o755)


async def test_a_read_only_directory(open_directory: Path) -> None:
    path = open_directory / "log.db"
    os.chmod(open_directory, 0o555)
    with as_nobody(), pytest.raises(LogNotWritable, match="Permission denied") as raised:
        await SqliteLog(path).connect()
    assert raised.value.path == str(path)
    assert str(path) in str(raised.value)
    assert [*open_directory.iterdir()] == []


async def test_a_read_only_file(open_directory: Path) -> None:
    path = open_directory / "log.db"
    await fill(path)
    before = contents(open_directory)
    os.chmod(path, 0o444)
    os.chmod(f"{path}.lock", 0o666)
    os.chmod(open_directory, 0o777)
    with as_nobody(), pytest.raises(LogNotWritable):
        await SqliteLog(path).connect()
    assert contents(open_directory) == before


async def test_no_such_directory(tmp_path: Path) -> None:
    with pytest.raises(LogNotWritable, match="No such file or directory"):
        await SqliteLog(tmp_path / "missing" / "log.db").connect()
    with pytest.raises(LogNotWritable, match="directory"):
        await SqliteLog(tmp_path).connect()


async def test_what_could_not_be_opened_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with closing(sqlite3.connect(path)) as stranger:
        stranger.execute("CREATE TABLE places (url TEXT)")
    log = SqliteLog(path)
    for _ in range(2):
        with pytest.raises(LogFileError, match="another program"):
            await log.connect()
    path.unlink()
    await log.connect()
    await log.close()
    with suppress(FileNotFoundError):
        os.unlink(f"{path}.lock")
