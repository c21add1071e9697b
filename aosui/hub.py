"""
The hub of a project: its outbox, the one drain to the log, and what follows an accepted batch.

    publish -> outbox -> log.append -> deliver: head and snapshot move, waiters wake, fan-out

The first event after a pause is stored and written at once; what follows waits for the end of a
window that the last batch opened, unless the outbox is full. The window is a few times as long as
that batch took, so it follows the load, the log and the number of viewers, and an idle hub has no
task and no timer.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import msgspec

from aosui._logging import logger
from aosui.clock import timestamp
from aosui.connection import Connection, Ring
from aosui.errors import AosuiError, InternalError, LogUnavailable, ProjectClosed
from aosui.events import Event, RunOutput, Stream
from aosui.fanout import FanOut
from aosui.frames import join_frames, text_frame
from aosui.limits import Limits
from aosui.log import EventLog, LogConflict, Position, StoredRun
from aosui.protocol import CloseCode, encode
from aosui.snapshot import Snapshot
from aosui.values import Project

__all__ = ["Build", "Hub"]

MIN_WINDOW_SECONDS = 0.001
MAX_WINDOW_SECONDS = 0.005
WINDOW_SHARE = 4
"""While events keep coming, the window after a batch is this many times what the batch took."""
MAX_REST_SECONDS = 0.02
"""After a fan-out comes a rest as long as it was, at most this, whatever waits: for the others."""
RETRY_SECONDS = 0.02
NO_RING = Ring(0)
"""The ring of every hub that nobody watches."""

Build = Callable[[int, str], Event]
"""Builds an event from its seq and its time."""


class Hub:
    """
    The live side of one project.

    `seq` is the head: the last event that was delivered. `next_seq` is what the next published
    event will get. Two verbs publish, `publish` and `output`, and never wait, for state must go
    through; whoever can wait looks at `full` first, which says that the outbox has no room, and
    awaits `room()`.
    """

    __slots__ = (
        "_began_at",
        "_closed",
        "_commits",
        "_drain",
        "_fan_out",
        "_flight",
        "_frame",
        "_limits",
        "_log",
        "_name",
        "_outbox",
        "_rested_at",
        "_root",
        "_snapshot",
        "_timer",
        "_wait_for_room",
        "_window_ends_at",
        "epoch",
        "first_seq",
        "full",
        "last_event_at",
        "next_seq",
        "project_id",
        "seq",
    )

    def __init__(self, project: Project, log: EventLog, limits: Limits) -> None:
        self.project_id = project.id
        self.last_event_at = 0.0
        self.epoch = ""
        self.seq = 0
        self.first_seq = 1
        self.next_seq = 1
        self.full = False
        self._name = project.name
        self._root = str(project.root)
        self._log = log
        self._limits = limits
        self._snapshot: Snapshot | None = None
        self._outbox: _Batch | None = None
        self._flight: _Batch | None = None
        self._fan_out: FanOut | None = None
        self._drain: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._began_at = 0.0
        self._rested_at = 0.0
        self._window_ends_at = 0.0
        self._wait_for_room: tuple[asyncio.Future[None], ...] = ()
        self._commits: list[tuple[int, int, asyncio.Future[None]]] | None = None
        self._frame: bytes | None = None
        self._closed = False

    async def open(self) -> None:
        """Take the project's log up; raises `LogUnavailable`."""
        self._stand_at(await self._log.open(self.project_id, self._deliver))

    @property
    def project(self) -> Project:
        """The project whose live side this is; a path is dear, and an idle hub holds none."""
        return Project(self.project_id, self._name, Path(self._root))

    @property
    def snapshot(self) -> Snapshot:
        """What viewers were told until the head; made once somebody or something asks for it."""
        if self._snapshot is None:
            self._snapshot = self._snapshot_of(())
        return self._snapshot

    @property
    def active_bodies(self) -> Sequence[bytes]:
        """The JSON texts of the active runs, oldest first."""
        return self._snapshot.active_bodies() if self._snapshot is not None else ()

    def _stand_at(self, position: Position) -> None:
        self.epoch = position.epoch
        self.seq = position.seq
        self.first_seq = position.first_seq
        self.next_seq = position.seq + 1
        self._frame = None
        self.ring.clear()
        self._snapshot = self._snapshot_of(position.runs) if position.runs else None

    def _snapshot_of(self, runs: Sequence[StoredRun]) -> Snapshot:
        limits = self._limits
        return Snapshot(
            self.project_id,
            self._name,
            self.epoch,
            self.seq,
            runs,
            final_runs=limits.snapshot_final_runs,
            tail_bytes=limits.tail_bytes,
            max_bytes=limits.snapshot_bytes,
        )

    # -- publishing

    @property
    def quiet(self) -> bool:
        """Whether everything published is delivered."""
        return self._drain is None and self._timer is None

    async def room(self, timeout: float | None = None) -> None:
        """Wait until the outbox has room; raises `LogUnavailable` after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while self.full:
                    # One each: a future that is shared is cancelled by any one who waits.
                    waiter = asyncio.get_running_loop().create_future()
                    self._wait_for_room += (waiter,)
                    await waiter
        except TimeoutError:
            raise LogUnavailable from None

    def publish(
        self,
        build: Build,
        *,
        run: StoredRun | None = None,
        request: tuple[str, bytes] | None = None,
    ) -> int:
        """
        Number an event, put it into the outbox and return its seq; never waits.

        `run` is the state of the run that goes with it, `request` the id and the record of the
        request that caused it. Raises `ProjectClosed`.
        """
        seq = self._put(encode(build(self.next_seq, timestamp())))
        if run is not None:
            self._batch().runs[run.run_id] = run
        if request is not None:
            self._batch().requests[request[0]] = request[1]
        return seq

    def output(self, run_id: str, stream: Stream, text: str) -> None:
        """Publish a `run.output`: `publish` for what comes most often."""
        event = RunOutput(run_id, self.project_id, self.next_seq, timestamp(), stream, text)
        try:
            self._put(encode(event))
        except UnicodeEncodeError:
            self.output(run_id, stream, text.encode("utf-8", "replace").decode())

    def checkpoint(self, run_id: str, value: bytes) -> None:
        """Store a run's checkpoint; nobody is shown it."""
        outbox = self._batch()
        outbox.checkpoints[run_id] = value
        outbox.size += len(value)
        if self.quiet:
            self._start_drain()

    def _put(self, entry: bytes) -> int:
        if self._closed:
            raise ProjectClosed
        outbox, limits = self._outbox or self._batch(), self._limits
        outbox.entries.append(entry)
        outbox.size += len(entry)
        seq = self.next_seq
        self.next_seq = seq + 1
        if not self.full and (
            outbox.size >= limits.outbox_bytes or len(outbox.entries) >= limits.outbox_events
        ):
            self.full = True
            self._start_drain()
        elif self._drain is None and self._timer is None:
            self._start_drain()
        return seq

    # -- commits

    async def committed(self, seq: int, timeout: float | None = None) -> None:
        """
        Wait until the event `seq` is delivered, at most `timeout` seconds.

        Raises `LogUnavailable` when it takes longer or the log turned out to be another's.
        """
        if seq <= self.seq:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._commits is None:
            self._commits = []
        heapq.heappush(self._commits, (seq, id(future), future))
        try:
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            raise LogUnavailable from None

    # -- reading

    async def read(self, after: int, limit: int, max_bytes: int) -> Sequence[bytes]:
        """Read delivered entries after a position; raises `NotKept`, `LogUnavailable`."""
        limit = min(limit, self.seq - after)
        if limit <= 0:
            return ()
        return await self._log.read(self.project_id, after, limit, max_bytes)

    async def load_run(self, run_id: str) -> StoredRun | None:
        """Return the latest stored state of a run; raises `LogUnavailable`."""
        return await self._log.run(self.project_id, run_id)

    async def latest_run(self, run_id: str) -> StoredRun | None:
        """Return the latest state of a run, stored or about to be; raises `LogUnavailable`."""
        for batch in self._unstored():
            if run_id in batch.runs:
                return batch.runs[run_id]
        return await self.load_run(run_id)

    async def load_runs(self, before: str | None, limit: int) -> Sequence[StoredRun]:
        """Return runs, newest first, older than `before`; raises `LogUnavailable`."""
        return await self._log.runs(self.project_id, before, limit)

    async def load_request(self, request_id: str) -> bytes | None:
        """Return the record of a request that caused an event; raises `LogUnavailable`."""
        return await self._log.request(self.project_id, request_id)

    async def latest_checkpoint(self, run_id: str) -> bytes | None:
        """Return the last checkpoint of a run, stored or about to be; raises `LogUnavailable`."""
        for batch in self._unstored():
            if run_id in batch.checkpoints:
                return batch.checkpoints[run_id]
        return await self._log.checkpoint(self.project_id, run_id)

    def snapshot_frame(self) -> bytes:
        """Return the snapshot as a frame; encoded once for all who ask at one head."""
        if self._frame is None:
            self._frame = text_frame(self.snapshot.text(timestamp()))
        return self._frame

    # -- connections

    @property
    def connections(self) -> Collection[Connection]:
        """Who watches."""
        return self._fan_out.connections if self._fan_out is not None else ()

    @property
    def ring(self) -> Ring:
        """The last flushes; empty when nobody watches."""
        return self._fan_out.ring if self._fan_out is not None else NO_RING

    def connect(self, connection: Connection) -> None:
        """Deliver to a connection from now on."""
        if self._fan_out is None:
            self._fan_out = FanOut(self._limits.ring_bytes)
        self._fan_out.connections[connection] = None

    def disconnect(self, connection: Connection) -> None:
        """Forget a connection; nothing of it is left."""
        connection.release()
        if self._fan_out is not None:
            self._fan_out.connections.pop(connection, None)
            if not self._fan_out.connections:
                self._fan_out = None

    def close_connections(self, code: CloseCode, error: AosuiError | None = None) -> None:
        """Close every connection with a code, saying why with `error`."""
        for connection in tuple(self.connections):
            connection.close(code, error)

    # -- the end

    async def close(self, seconds: float | None = None) -> None:
        """
        Store what is in the outbox, then give the project's log up; nothing is published any more.

        Raises `LogUnavailable` when storing takes longer than `seconds`: the rest is lost.
        """
        self._closed = True
        try:
            async with asyncio.timeout(seconds):
                self._start_drain()
                while self._drain is not None:
                    await asyncio.wait([self._drain])
        except TimeoutError:
            raise LogUnavailable from None
        finally:
            if self._drain is not None:
                self._drain.cancel()
                await asyncio.wait([self._drain])
            await self._log.release(self.project_id)

    # -- the drain

    def _batch(self) -> _Batch:
        """Return the outbox; an idle hub has none."""
        if self._outbox is None:
            self._outbox = _Batch()
        return self._outbox

    def _start_drain(self) -> None:
        """Store what is in the outbox: now, or at the end of the window or the rest."""
        if self._drain is not None or self._outbox is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        urgent = self.full or self._closed
        due = self._rested_at if urgent else self._window_ends_at
        if due > loop.time() and not self._closed:
            self._timer = loop.call_at(due, self._drain_now)
        else:
            self._drain_now()

    def _drain_now(self) -> None:
        self._timer = None
        self._began_at = asyncio.get_running_loop().time()
        self._drain = asyncio.create_task(self._drain_outbox())

    async def _drain_outbox(self) -> None:
        # What comes next is begun here, not in a callback: that would be a turn of the loop more.
        seconds = 0.0
        try:
            seconds = await self._drain_batch()
        except Exception as error:
            logger.exception(
                "the drain died", code=AosuiError.code, project=self.project_id, exc_info=error
            )
            self._fail_commits()
            self.close_connections(CloseCode.INTERNAL, InternalError())
        finally:
            self._drain = None
        self._open_window(seconds)
        self._start_drain()

    async def _drain_batch(self) -> float:
        """Have a batch stored and written; return how many seconds of fan-out that took."""
        batch, self._outbox = self._batch(), None
        batch.after = self.next_seq - 1 - len(batch.entries)
        self._flight = batch
        self.full = False
        waiting, self._wait_for_room = self._wait_for_room, ()
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)
        try:
            await self._append(batch)
        except LogConflict as conflict:
            await self._start_over(conflict)
        self._flight = None
        return await self._fan_out.written() if self._fan_out is not None else 0.0

    def _open_window(self, fan_out_seconds: float) -> None:
        now = asyncio.get_running_loop().time()
        window = min(
            max((now - self._began_at) * WINDOW_SHARE, MIN_WINDOW_SECONDS), MAX_WINDOW_SECONDS
        )
        self._rested_at = now + min(fan_out_seconds, MAX_REST_SECONDS)
        self._window_ends_at = max(self._rested_at, now + window)

    async def _append(self, batch: _Batch) -> None:
        delay = RETRY_SECONDS
        while True:
            try:
                await self._log.append(
                    self.project_id,
                    batch.after,
                    batch.entries,
                    tuple(batch.runs.values()),
                    batch.requests,
                    batch.checkpoints,
                )
            except LogConflict:
                raise
            except Exception as error:
                if delay == RETRY_SECONDS:
                    logger.error(
                        "the log takes nothing: runs wait",
                        code=LogUnavailable.code,
                        project=self.project_id,
                        exc_info=None if isinstance(error, LogUnavailable) else error,
                        reason=str(error),
                    )
                await asyncio.sleep(delay)
                delay = min(delay * 2, 1.0)
            else:
                if delay > RETRY_SECONDS:
                    logger.info("the log is back", project=self.project_id)
                return

    async def _start_over(self, conflict: LogConflict) -> None:
        logger.error(
            "somebody else wrote to the log: starting over from it",
            code="logUnavailable",
            project=self.project_id,
            seq=conflict.position.seq,
        )
        self._fail_commits()
        self.close_connections(CloseCode.INTERNAL, LogUnavailable())
        while True:
            try:
                self._stand_at(await self._log.open(self.project_id, self._deliver))
                break
            except LogUnavailable:
                await asyncio.sleep(RETRY_SECONDS)
        oldest_first = reversed(list(self._unstored()))
        outbox = self._outbox = _Batch()
        for batch in oldest_first:
            for entry in batch.entries:
                event = msgspec.json.decode(entry)
                event["seq"] = self.next_seq
                outbox.entries.append(encode(event))
                outbox.size += len(entry)
                self.next_seq += 1
            outbox.runs.update(batch.runs)
            outbox.requests.update(batch.requests)
            outbox.checkpoints.update(batch.checkpoints)
        # Who came to wait meanwhile waits for a number of before.
        self._fail_commits()

    def _unstored(self) -> Iterator[_Batch]:
        """Yield what the log has not accepted yet, the newest first."""
        for batch in (self._outbox, self._flight):
            if batch is not None:
                yield batch

    def _fail_commits(self) -> None:
        waiting, self._commits = self._commits or (), None
        for _, _, future in waiting:
            if not future.done():
                future.set_exception(LogUnavailable())

    # -- delivery

    def _deliver(self, entries: Sequence[bytes], runs: Sequence[StoredRun], first_seq: int) -> None:
        snapshot, start = self.snapshot, self.seq
        self.seq = end = start + len(entries)
        self.first_seq = first_seq
        self.last_event_at = asyncio.get_running_loop().time()
        snapshot.fold(entries, runs)
        self._frame = None
        while self._commits and self._commits[0][0] <= end:
            future = heapq.heappop(self._commits)[2]
            if not future.done():
                future.set_result(None)
        if self._fan_out is not None:
            self._fan_out.write(start, end, join_frames(entries))


class _Batch:
    """What is stored together, as the events `after + 1, …`."""

    __slots__ = ("after", "checkpoints", "entries", "requests", "runs", "size")

    def __init__(self) -> None:
        self.after = 0
        self.entries: list[bytes] = []
        self.runs: dict[str, StoredRun] = {}
        self.requests: dict[str, bytes] = {}
        self.checkpoints: dict[str, bytes] = {}
        self.size = 0
