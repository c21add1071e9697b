"""What a server under load is told: lines on stdin, as words."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

__all__ = ["orders"]


async def orders() -> AsyncIterator[list[str]]:
    """Yield the words of each line until stdin ends."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    while line := await lines.readline():
        yield line.decode().split()
