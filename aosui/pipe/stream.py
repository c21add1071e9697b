"""
Frames on a stream of bytes, and one end of the pipe.

A frame is its length, four bytes with the highest first, and that many bytes of JSON text: one
message. Nothing here knows processes or executors.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from typing import Final, TypeVar

import msgspec

from aosui.pipe.messages import FromExecutor, FromServer
from aosui.protocol import encode

__all__ = ["MAX_FRAME_BYTES", "WINDOW_BYTES", "Frames", "Pipe", "PipeError", "open_pipe"]

MAX_FRAME_BYTES: Final = 1024 * 1024
WINDOW_BYTES: Final = 256 * 1024
"""Frames of one run that the server has not acknowledged: past it, the executor waits."""
READ_BYTES: Final = 64 * 1024
HEAD_BYTES: Final = 4

M = TypeVar("M")


class PipeError(Exception):
    """What is said is no message; of the other end nothing more can be understood."""


class Frames:
    """Takes a stream of bytes apart into the payloads of its frames."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[bytearray]:
        """Give what is complete; raises `PipeError` at a length that no frame has."""
        rest = self._rest
        rest += data
        start = 0
        while len(rest) - start >= HEAD_BYTES:
            body = start + HEAD_BYTES
            size = int.from_bytes(rest[start:body], "big")
            if not 0 < size <= MAX_FRAME_BYTES:
                raise PipeError(f"a frame of {size} bytes: at most {MAX_FRAME_BYTES} are allowed")
            if len(rest) - body < size:
                break
            start = body + size
            yield rest[body:start]
        del rest[:start]


class Pipe:
    """One end: sends messages and receives those of the other direction."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        incoming: asyncio.ReadTransport,
        outgoing: asyncio.WriteTransport,
        gone: asyncio.Future[None],
    ) -> None:
        self._reader = reader
        self._incoming = incoming
        self._outgoing = outgoing
        self._gone = gone

    @property
    def backlog(self) -> int:
        """Bytes that the other end has not taken."""
        return self._outgoing.get_write_buffer_size()

    def send(self, message: FromServer | FromExecutor) -> int:
        """
        Send a message and return the size of its frame; never waits.

        Raises `PipeError` when it is too large, and what msgspec raises for data that is not JSON.
        """
        payload = encode(message)
        if len(payload) > MAX_FRAME_BYTES:
            raise PipeError(
                f"a frame of {len(payload)} bytes: at most {MAX_FRAME_BYTES} are allowed"
            )
        self._outgoing.write(len(payload).to_bytes(HEAD_BYTES, "big") + payload)
        return HEAD_BYTES + len(payload)

    async def receive(self, decoder: msgspec.json.Decoder[M]) -> AsyncIterator[tuple[M, int]]:
        """Iterate over messages and the sizes of their frames to the end; raises `PipeError`."""
        frames = Frames()
        while data := await self._reader.read(READ_BYTES):
            for payload in frames.feed(data):
                try:
                    message = decoder.decode(payload)
                except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
                    raise PipeError(f"not a message: {error}") from None
                yield message, HEAD_BYTES + len(payload)

    def close(self) -> None:
        """Give the pipe up; what is not sent yet is lost."""
        self._incoming.close()
        if not self._gone.done():
            self._outgoing.abort()

    async def finish(self) -> None:
        """Send what is not sent yet, and give the pipe up."""
        self._incoming.close()
        if not self._gone.done():
            self._outgoing.close()
        await self._gone


async def open_pipe(incoming: int, outgoing: int) -> Pipe:
    """Make a pipe of two descriptors, which belong to it from then on."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(READ_BYTES)
    source, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(incoming, "rb", 0)
    )
    sink, protocol = await loop.connect_write_pipe(_Outgoing, os.fdopen(outgoing, "wb", 0))
    return Pipe(reader, source, sink, protocol.gone)


class _Outgoing(asyncio.BaseProtocol):
    def __init__(self) -> None:
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.gone.done():
            self.gone.set_result(None)
