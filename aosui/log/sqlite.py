"""The event log in one SQLite file: what `aosui serve` keeps over restarts and kill -9."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

from attrs import define, frozen

from aosui.errors import LogUnavailable
from aosui.log import Deliver, Position, StoredRun
from aosui.log.logfile import LogFile, Synchronous
from aosui.log.store import Reader, Writer
from aosui.log.worker import Worker

__all__ = ["SqliteLog"]

P = ParamSpec("P")
T = TypeVar("T")


@define(eq=False)
class _Owner:
    deliver: Deliver
    head: int
    """The seq up to which everything was delivered."""


@frozen(eq=False)
class _Opened:
    """What an open log has: the file, and a thread and the statements for each direction."""

    file: LogFile
    writing: Worker
    writer: Writer
    reading: Worker
    reader: Reader


class SqliteLog:
    """
    An `EventLog` in the SQLite file `path`, whose directory must exist.

    One thread writes and one reads; the event loop never waits for the disk. Appends that wait at
    the same time, of any number of projects, become one transaction.

    What was accepted survives the end of the process in any way, kill -9 included. With
    `synchronous="NORMAL"` the last moments before a power loss may be missing, and every project
    begins a new epoch then; with `"FULL"` the disk has everything that was accepted, and each
    transaction waits for it.

    `kept_bytes` bounds the entries of a project (bytes of JSON text), `kept_runs` its final runs;
    request records go after `request_seconds`, at the next batch that has some.

    The file is opened by `connect`, or by the first `open`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        kept_bytes: int = 64 * 1024 * 1024,
        kept_runs: int = 1000,
        request_seconds: float = 600.0,
        synchronous: Synchronous = "NORMAL",
    ) -> None:
        self.path = os.fspath(path)
        self.kept_bytes = kept_bytes
        self.kept_runs = kept_runs
        self.request_seconds = request_seconds
        self.synchronous: Synchronous = synchronous
        self._owners: dict[str, _Owner] = {}
        self._opened: _Opened | None = None
        self._opening: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """
        Open the file, or make it; nothing happens when it is open.

        Raises `LogLocked` when another process has it, `LogNotWritable`, `LogSchemaNewer`, or their
        root `LogFileError` when it is another program's database; `LogUnavailable` when the same
        may go well later. A damaged file is moved aside, and the server's log says so.
        """
        await self._connected()

    async def open(self, project_id: str, deliver: Deliver) -> Position:
        opened = await self._connected()

        def landed(position: Position) -> None:
            self._owners[project_id] = _Owner(deliver, position.seq)

        return await opened.writing.call(partial(opened.writer.open, project_id), landed)

    async def append(
        self,
        project_id: str,
        after: int,
        entries: Sequence[bytes],
        runs: Sequence[StoredRun],
        requests: Mapping[str, bytes],
        checkpoints: Mapping[str, bytes],
    ) -> int:
        owner = self._owners[project_id]
        opened = self._open_now()
        last = after + len(entries)

        def landed(first_seq: int) -> None:
            if last > owner.head and self._owners.get(project_id) is owner:
                owner.head = last
                owner.deliver(entries, runs, first_seq)

        append = partial(
            opened.writer.append, project_id, after, entries, runs, requests, checkpoints
        )
        return await opened.writing.call(append, landed)

    async def read(
        self, project_id: str, after: int, limit: int, max_bytes: int
    ) -> Sequence[bytes]:
        return await self._read(Reader.read, project_id, after, limit, max_bytes)

    async def run(self, project_id: str, run_id: str) -> StoredRun | None:
        return await self._read(Reader.run, project_id, run_id)

    async def runs(self, project_id: str, before: str | None, limit: int) -> Sequence[StoredRun]:
        return await self._read(Reader.runs, project_id, before, limit)

    async def request(self, project_id: str, request_id: str) -> bytes | None:
        return await self._read(Reader.request, project_id, request_id)

    async def checkpoint(self, project_id: str, run_id: str) -> bytes | None:
        return await self._read(Reader.checkpoint, project_id, run_id)

    async def release(self, project_id: str) -> None:
        self._owners.pop(project_id, None)

    async def forget(self, project_id: str) -> None:
        self._owners.pop(project_id, None)
        opened = await self._connected()
        while not await opened.writing.call(partial(opened.writer.forget, project_id)):
            pass

    async def close(self) -> None:
        self._owners.clear()
        if self._opening is not None:
            await asyncio.wait([self._opening])
        opened, self._opened, self._opening = self._opened, None, None
        if opened is not None:
            await opened.writing.stop()
            await opened.reading.stop()
            await asyncio.to_thread(opened.file.close)

    async def _read(
        self, function: Callable[Concatenate[Reader, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        opened = self._open_now()
        return await opened.reading.call(partial(function, opened.reader, *args, **kwargs))

    def _open_now(self) -> _Opened:
        if self._opened is None:
            raise LogUnavailable("the event log is not open")
        return self._opened

    async def _connected(self) -> _Opened:
        if self._opened is None:
            if self._opening is None:
                self._opening = asyncio.create_task(self._connect())
            # Cancelled, its caller goes alone: the file would stay locked by nobody.
            await asyncio.shield(self._opening)
        return self._open_now()

    async def _connect(self) -> None:
        try:
            file = await asyncio.to_thread(LogFile, self.path, self.synchronous)
        except BaseException:
            self._opening = None
            raise
        if file.unclean:
            file.check()
        writer = Writer(
            file,
            kept_bytes=self.kept_bytes,
            kept_runs=self.kept_runs,
            request_seconds=self.request_seconds,
        )
        reader = Reader(file)
        self._opened = _Opened(
            file,
            Worker("aosui-log-writer", writer.transact, at_once=256),
            writer,
            Worker("aosui-log-reader", reader.work, at_once=1),
            reader,
        )
