"""The time as the wire has it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

__all__ = ["timestamp"]

_last: tuple[int, str] = (-1, "")


def timestamp() -> str:
    """Return the time now as RFC 3339 in UTC with milliseconds."""
    global _last
    now = time.time_ns() // 1_000_000
    if now != _last[0]:
        moment = datetime.fromtimestamp(now / 1000, UTC)
        _last = (now, f"{moment:%Y-%m-%dT%H:%M:%S}.{now % 1000:03d}Z")
    return _last[1]
