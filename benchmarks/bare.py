"""
The reference in Python: asyncio with nothing in it. `python -m benchmarks.bare [thread]`

It writes each event to each viewer's transport, in one piece, and does nothing else; with `thread`,
each event goes to a thread and comes back first, as it must where a log on a disk has to accept it.
It speaks the protocol of the peers. What it costs is what no program on this loop can go below.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from queue import SimpleQueue

from benchmarks.orders import orders
from benchmarks.peers.servers.speaker import announce

REPLY = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
EVENT = (
    b'{"type":"run.output","runId":"0123456789abcdef0123","projectId":"bench-012345","seq":%d,'
    b'"ts":"2026-01-01T00:00:00.000Z","stream":"stdout","text":"@%019d ' + b"x" * 98 + b'\\n"}'
)


class Viewer(asyncio.Protocol):
    """Says yes to every handshake."""

    def __init__(self, transports: dict[asyncio.WriteTransport, None]) -> None:
        self.transports = transports

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.transport not in self.transports:
            self.transports[self.transport] = None
            self.transport.write(REPLY)

    def connection_lost(self, error: Exception | None) -> None:
        self.transports.pop(self.transport, None)


class Elsewhere:
    """A thread to which an event goes, and from which it comes back."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[asyncio.Future[None]] = SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    async def visit(self) -> None:
        future: asyncio.Future[None] = self._loop.create_future()
        self._queue.put(future)
        await future

    def _run(self) -> None:
        while True:
            self._loop.call_soon_threadsafe(self._queue.get().set_result, None)


async def main(*, thread: bool) -> None:
    loop = asyncio.get_running_loop()
    transports: dict[asyncio.WriteTransport, None] = {}
    server = await loop.create_server(lambda: Viewer(transports), "127.0.0.1", 0, backlog=4096)
    announce(server.sockets[0].getsockname()[1])
    elsewhere = Elsewhere() if thread else None
    seq = 0
    async for mode, count, gap in orders():
        for _ in range(int(count)):
            if mode == "lone":
                await asyncio.sleep(int(gap) / 1000)
            seq += 1
            event = EVENT % (seq, time.monotonic_ns())
            if elsewhere is not None:
                await elsewhere.visit()
            frame = b"\x81\x7e" + len(event).to_bytes(2) + event
            for transport in transports:
                transport.write(frame)
            if mode != "lone":
                await asyncio.sleep(0)


if __name__ == "__main__":
    asyncio.run(main(thread="thread" in sys.argv[1:]))
