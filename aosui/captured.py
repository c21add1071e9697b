"""What a process prints, line by line in the server's log."""

from __future__ import annotations

import asyncio
import os
from typing import Final

from structlog.stdlib import BoundLogger

__all__ = ["log_lines"]

READ_BYTES: Final = 64 * 1024
MAX_LINE: Final = 2000
"""Bytes of a line; the rest of it is left out."""
BURST: Final = 200
LINES_PER_SECOND: Final = 20.0


async def log_lines(descriptor: int, log: BoundLogger) -> str:
    """
    Read a descriptor to its end, close it and return the last line.

    All is read at once, whoever prints how much: of a flood, 20 lines a second reach the log.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(READ_BYTES)
    source, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0)
    )
    rest, last = b"", ""
    allowed, at, left_out = float(BURST), loop.time(), 0
    try:
        while data := await reader.read(READ_BYTES):
            *lines, rest = (rest + data).split(b"\n")
            rest = rest[:MAX_LINE]
            now = loop.time()
            allowed, at = min(BURST, allowed + (now - at) * LINES_PER_SECOND), now
            shown = lines[: int(allowed)]
            allowed -= len(shown)
            if shown and left_out:
                log.warning("lines of a flood were left out", lines=left_out)
                left_out = 0
            for line in shown:
                log.info("executor prints", text=_text(line))
            left_out += len(lines) - len(shown)
            last = next((_text(line) for line in reversed(lines) if line.strip()), last)
        if rest.strip():
            last = _text(rest)
            log.info("executor prints", text=last)
        if left_out:
            log.warning("lines of a flood were left out", lines=left_out)
    finally:
        source.close()
    return last


def _text(line: bytes) -> str:
    return line[:MAX_LINE].decode("utf-8", "replace").rstrip()
