"""
A connection: a cursor into the log of one project, and the transport that it is written to.

Replay, live delivery and catching up are one pump: from the ring of recent flushes, else from the
log, else a `gap` and a snapshot. Nothing is queued for a viewer but the frames of its own requests.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Protocol

from aosui._logging import logger
from aosui.errors import AosuiError, InternalError, LogUnavailable
from aosui.frames import PING, control, error_info, join_frames, skip_frames
from aosui.limits import Limits
from aosui.log import NotKept
from aosui.protocol import CloseCode

__all__ = ["Connection", "Laggards", "Ring", "Source", "Transport"]

READ_EVENTS = 2000
READ_BYTES = 256 * 1024
LOG_RETRY_SECONDS = 0.25
SLICE_SECONDS = 0.001
"""How long whoever writes to many connections goes on without giving the loop a turn."""


class Transport(Protocol):
    """What a connection needs of the socket; asyncio's transports have it."""

    def write(self, data: bytes | memoryview, /) -> None: ...
    def is_closing(self) -> bool: ...
    def get_write_buffer_size(self) -> int: ...
    def abort(self) -> None: ...


class Source(Protocol):
    """What a connection reads: one project's log as far as it was delivered."""

    project_id: str

    @property
    def ring(self) -> Ring:
        """The last flushes."""

    @property
    def seq(self) -> int:
        """The head: the seq of the last delivered event."""

    async def read(self, after: int, limit: int, max_bytes: int) -> Sequence[bytes]:
        """Read delivered entries; raises `NotKept`, `LogUnavailable`."""

    def snapshot_frame(self) -> bytes:
        """Return the snapshot as a frame; encoded once for all who ask at one head."""


class Ring:
    """The last flushes, as they were written: contiguous, at most `max_bytes` of them."""

    __slots__ = ("_bytes", "_flushes", "_max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._flushes: dict[int, tuple[int, bytes]] = {}
        self._bytes = 0

    def add(self, start: int, end: int, data: bytes) -> None:
        """Add the frames of the events `start + 1 … end`."""
        self._flushes[start] = (end, data)
        self._bytes += len(data)
        while self._bytes > self._max_bytes and len(self._flushes) > 1:
            _, dropped = self._flushes.pop(next(iter(self._flushes)))
            self._bytes -= len(dropped)

    def clear(self) -> None:
        self._flushes.clear()
        self._bytes = 0

    @property
    def start(self) -> int | None:
        """The position from which the ring has everything, None when it is empty."""
        return next(iter(self._flushes), None)

    def after(self, seq: int) -> tuple[int, bytes] | None:
        """Return `(end, frames)` of the events from `seq + 1` to the end of their flush."""
        flush = self._flushes.get(seq)
        if flush is not None or not self._flushes or seq < next(iter(self._flushes)):
            return flush
        for start, (end, data) in self._flushes.items():
            if start < seq < end:
                return end, skip_frames(data, seq - start)
        return None


class Laggards:
    """Connections that wait for their transports to drain: one ticker for all of them."""

    SECONDS = 0.01

    def __init__(self) -> None:
        self._waiting: dict[Connection, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Connection) -> None:
        self._waiting[connection] = None
        if self._timer is None:
            self._wind(self.SECONDS)

    def discard(self, connection: Connection) -> None:
        self._waiting.pop(connection, None)

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._waiting

    def __len__(self) -> int:
        return len(self._waiting)

    def _wind(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._tick)

    def _tick(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        pause = self.SECONDS
        for connection in tuple(self._waiting):
            if connection.drained(now):
                self._waiting.pop(connection, None)
                connection.pump()
                if loop.time() - now > SLICE_SECONDS:
                    pause = 0.0
                    break
        if self._waiting:
            self._wind(pause)


class Connection:
    """
    One viewer of one project, for its whole life.

    `cursor` is the seq of the last event written; `closing` is set from the moment on which nothing
    more may be written. `on_close(code)` closes the socket behind it with a close frame.

    `descriptor` is that of a socket that takes the bytes as they are; None where the transport does
    something to them (TLS). It is `ready` while this viewer stands at the head and nothing waits:
    then the next flush may be written to it. Otherwise that is None, and `pump` must be called.
    """

    __slots__ = (
        "_alive_at",
        "_buffered",
        "_descriptor",
        "_held",
        "_laggards",
        "_limits",
        "_on_close",
        "_ping_at",
        "_reading",
        "_snapshot_bytes",
        "_source",
        "_stalled_at",
        "client_id",
        "closing",
        "cursor",
        "id",
        "last_request_at",
        "ready",
        "synced_at",
        "transport",
        "user",
    )

    def __init__(
        self,
        connection_id: str,
        source: Source,
        transport: Transport,
        laggards: Laggards,
        limits: Limits,
        *,
        client_id: str | None,
        user: str | None,
        on_close: Callable[[CloseCode], None],
        descriptor: int | None = None,
    ) -> None:
        now = asyncio.get_running_loop().time()
        self.id = connection_id
        self.client_id = client_id
        self.user = user
        self.cursor = source.seq
        self.closing = False
        self.synced_at: float | None = None
        self.last_request_at = now
        self.transport = transport
        self.ready: int | None = None
        self._source = source
        self._laggards = laggards
        self._limits = limits
        self._on_close = on_close
        self._descriptor = descriptor
        self._held: tuple[tuple[int, bytes | None], ...] = ()
        self._reading: asyncio.Task[None] | None = None
        self._buffered = 0
        self._snapshot_bytes = 0
        self._stalled_at = now
        self._alive_at = now - random.random() * limits.ping_seconds
        self._ping_at: float | None = None

    def begin(self, welcome: bytes, since: int | None) -> None:
        """
        Write `welcome` and the snapshot, then what came after `since` (None: not recovered).

        Must be called in the same step of the loop in which `welcome` was made from the head.
        """
        head = self._source.seq
        self.cursor = head if since is None else since
        if self.cursor < head:
            self._write_with_snapshot(welcome)
            self._held += ((head, None),)
        else:
            self._write_with_snapshot(welcome, self._synced())
        self.pump()

    @property
    def project_id(self) -> str:
        return self._source.project_id

    def send(self, frame: bytes) -> None:
        """Write a frame of this viewer's own, behind the events that it has to see first."""
        if self.closing:
            return
        self._held += ((self._source.seq, frame),)
        if len(self._held) > self._limits.pending_replies:
            logger.warning("viewer takes no replies", project=self.project_id, connection=self.id)
            self.abort()
            return
        self.pump()
        self._check_buffer()

    def write(self, data: bytes | memoryview) -> None:
        """Have the transport write, unless it is closing."""
        self.ready = None
        if not self.transport.is_closing():
            self.transport.write(data)

    def control(self, frame: bytes) -> None:
        """Write a control frame of WebSocket at once."""
        if not self.closing:
            self.write(frame)
            self._check_buffer()

    def pump(self) -> None:
        """Write all that this viewer has not got and its transport takes."""
        source = self._source
        self.ready = None
        while not self.closing and self._reading is None:
            while self._held and self._held[0][0] <= self.cursor:
                self.write(self._held_frame())
            if self.cursor >= source.seq:
                if not self.transport.get_write_buffer_size():
                    self.ready = self._descriptor
                return
            if self.transport.get_write_buffer_size() > self._limits.high_water_bytes:
                if self not in self._laggards:
                    self._lag()
                return
            found = source.ring.after(self.cursor)
            if found is None or (self._held and self.cursor < self._held[0][0] < found[0]):
                self._reading = asyncio.create_task(self._read())
                return
            self.write(found[1])
            self.cursor = found[0]

    def heard(self) -> None:
        """Note that something came in."""
        self._alive_at = asyncio.get_running_loop().time()
        self._ping_at = None

    def sweep(self, now: float) -> None:
        """Ping who was quiet for long; abort who did not answer."""
        if self.closing:
            return
        buffered = self.transport.get_write_buffer_size()
        self._note_progress(buffered, now)
        if self._ping_at is not None:
            if now - self._ping_at >= self._limits.pong_seconds:
                logger.info("viewer is gone", project=self.project_id, connection=self.id)
                self.abort()
        elif now - self._alive_at >= self._limits.ping_seconds:
            self.write(PING)
            self._ping_at = now
            self._buffered = self.transport.get_write_buffer_size()

    def drained(self, now: float) -> bool:
        """Say whether a laggard can go on; abort it when nothing moved for long."""
        if self.closing:
            return True
        buffered = self.transport.get_write_buffer_size()
        if buffered <= self._limits.low_water_bytes:
            return True
        self._note_progress(buffered, now)
        if now - self._stalled_at >= self._limits.stall_seconds:
            logger.info("viewer stalled", project=self.project_id, connection=self.id)
            self.abort()
        return self.closing

    def close(self, code: CloseCode, error: AosuiError | None = None) -> None:
        """Close the socket with a code, saying why with `error`; nothing is written after that."""
        if not self.closing:
            if error is not None:
                fatal = control("error", self.project_id, error=error_info(error), fatal=True)
                self.write(fatal)
            self._stop()
            self._on_close(code)

    def abort(self) -> None:
        """Drop the socket at once."""
        self._stop()
        self.transport.abort()

    def release(self) -> None:
        """Leave nothing behind: the socket is gone."""
        self._stop()
        self._held = ()
        self._laggards.discard(self)
        if self._reading is not None:
            self._reading.cancel()

    def _stop(self) -> None:
        self.closing = True
        self.ready = None

    def _note_progress(self, buffered: int, now: float) -> None:
        if buffered < self._buffered:
            self._stalled_at = self._alive_at = now
            self._ping_at = None
        self._buffered = buffered

    def _write_with_snapshot(self, before: bytes, after: bytes = b"") -> None:
        snapshot = self._source.snapshot_frame()
        self._snapshot_bytes = len(snapshot)
        self.write(b"".join((before, snapshot, after)))

    def _check_buffer(self) -> None:
        """Drop who asks on and on and reads nothing: only events wait for the transport."""
        room = self._limits.connection_bytes + self._snapshot_bytes
        if self.transport.get_write_buffer_size() > room and not self.closing:
            logger.warning("viewer reads no replies", project=self.project_id, connection=self.id)
            self.abort()

    def _held_frame(self) -> bytes:
        (_, frame), *rest = self._held
        self._held = tuple(rest)
        return self._synced() if frame is None else frame

    def _synced(self) -> bytes:
        self.synced_at = asyncio.get_running_loop().time()
        return control("synced", self.project_id, seq=self.cursor)

    def _lag(self) -> None:
        self._buffered = self.transport.get_write_buffer_size()
        self._stalled_at = asyncio.get_running_loop().time()
        self._laggards.add(self)

    async def _read(self) -> None:
        source = self._source
        head = source.seq
        until = min([head, *(seq for seq, _ in self._held if seq > self.cursor)])
        ring_start = source.ring.start
        if ring_start is not None and self.cursor < ring_start:
            until = min(until, ring_start)
        try:
            entries = await source.read(
                self.cursor, min(until - self.cursor, READ_EVENTS), READ_BYTES
            )
        except NotKept:
            self._skip()
        except LogUnavailable:
            await asyncio.sleep(LOG_RETRY_SECONDS)
        except Exception as error:
            logger.exception("a read failed", code="internal", exc_info=error)
            self.close(CloseCode.INTERNAL, InternalError())
        else:
            if not self.closing and entries:
                self.write(join_frames(entries))
                self.cursor += len(entries)
        self._reading = None
        self.pump()

    def _skip(self) -> None:
        if self.closing:
            return
        head = self._source.seq
        gap = control("gap", self.project_id, fromSeq=self.cursor + 1, toSeq=head, reason="tooOld")
        self._write_with_snapshot(gap)
        self.cursor = head
        logger.info("viewer was overtaken", project=self.project_id, connection=self.id, seq=head)
