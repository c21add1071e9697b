"""What the peers written in Python share: the events that they deliver, and when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from benchmarks.orders import orders

__all__ = ["announce", "obey", "say"]

LINE = "x" * 119 + "\n"
TOGETHER = 50
"""A flood is this many messages a turn of the loop."""

_seq = 0


def say(*, stamped: bool) -> dict[str, Any]:
    """Return the next event: what aosui makes of one line of output."""
    global _seq
    _seq += 1
    now = datetime.now(UTC)
    return {
        "type": "run.output",
        "runId": "0123456789abcdef0123",
        "projectId": "bench-012345",
        "seq": _seq,
        "ts": f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z",
        "stream": "stdout",
        "text": f"@{time.monotonic_ns():019d} {LINE[21:]}" if stamped else LINE,
    }


def announce(port: int, pid: int | None = None) -> None:
    """Say where the server listens, and which process it is when it is not this one."""
    print("port", port, "" if pid is None else pid, flush=True)


async def obey(publish: Callable[[dict[str, Any]], Awaitable[object]]) -> None:
    """Publish what the lines from stdin ask for: `MODE COUNT GAP`, GAP in ms."""
    async for mode, count, gap in orders():
        for number in range(1, int(count) + 1):
            if mode == "lone":
                await asyncio.sleep(int(gap) / 1000)
            await publish(say(stamped=mode == "lone"))
            if mode == "turn" or number % TOGETHER == 0:
                await asyncio.sleep(0)
