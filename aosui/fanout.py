"""
The fan-out: every flush of a project's events to all who watch the project, in slices of time.

Who is at the head, with nothing waiting in its transport, costs a look at four fields and one
`write`; everybody else is left to its own pump.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator

from aosui._logging import logger
from aosui.connection import SLICE_SECONDS, Connection, Ring

__all__ = ["FanOut"]


class FanOut:
    """The connections of one project, the ring of its last flushes, and the sweep over them."""

    __slots__ = ("_again", "_flush", "_left", "_seconds", "_swept", "connections", "ring")

    def __init__(self, ring_bytes: int) -> None:
        self.connections: dict[Connection, None] = {}
        self.ring = Ring(ring_bytes)
        self._seconds = 0.0
        self._flush = (0, 0, b"")
        self._left: Iterator[Connection] | None = None
        self._swept: asyncio.Future[None] | None = None
        self._again = False

    def write(self, start: int, end: int, data: bytes) -> None:
        """Begin to write the frames of the events `start + 1 … end` to all connections."""
        self.ring.add(start, end, data)
        if self._left is None:
            self._flush = (start, end, data)
            self._sweep()
        else:
            self._again = True

    async def written(self) -> float:
        """
        Wait until the sweep is over; one may wait.

        Returns how many seconds the sweeps took since the last call.
        """
        if self._left is not None:
            self._swept = asyncio.get_running_loop().create_future()
            await self._swept
        seconds, self._seconds = self._seconds, 0.0
        return seconds

    def _sweep(self) -> None:
        self._left = iter(tuple(self.connections))
        self._write_slice()

    def _write_slice(self) -> None:
        """Write to those who are left for one slice of time, the rest in a later turn."""
        # No call into a connection that is at the head: for each of a thousand viewers, less code
        # and fewer objects have to be in the processor's caches.
        assert self._left is not None
        start, end, data = self._flush
        clock, write, size = time.perf_counter, os.write, len(data)
        began = clock()
        until = began + SLICE_SECONDS
        for connection in self._left:
            descriptor = connection.ready
            try:
                if (
                    descriptor is None
                    or connection.cursor != start
                    or connection.transport.is_closing()
                ):
                    connection.pump()
                else:
                    try:
                        written = write(descriptor, data)
                    except OSError:
                        written = 0  # it has no room, or is gone: the transport finds out
                    connection.cursor = end
                    if written < size:
                        connection.write(memoryview(data)[written:])
            except Exception:
                logger.exception(
                    "a connection failed", code="internal", project=connection.project_id
                )
                connection.abort()
            if clock() > until:
                self._seconds += clock() - began
                asyncio.get_running_loop().call_soon(self._write_slice)
                return
        self._seconds += clock() - began
        self._left = None
        if self._again:
            self._again = False
            self._sweep()
        elif self._swept is not None:
            if not self._swept.done():
                self._swept.set_result(None)
            self._swept = None
