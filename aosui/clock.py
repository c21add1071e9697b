"""The time as the wire has it, and time that runs out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

__all__ = ["Countdown", "timestamp", "timestamp_at"]

_begins, _ends, _text = 0.0, 0.0, ""
"""The last millisecond that was asked for; most events come within that of the one before."""


def timestamp() -> str:
    """Return the time now as RFC 3339 in UTC with milliseconds."""
    global _begins, _ends, _text
    now = time.time()
    if not _begins <= now < _ends:
        milliseconds = int(now * 1000)
        _begins, _ends = milliseconds / 1000, (milliseconds + 1) / 1000
        _text = timestamp_at(milliseconds)
    return _text


def timestamp_at(milliseconds: int) -> str:
    """Return a time, in milliseconds since 1970, as RFC 3339 in UTC."""
    return f"{_to_the_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


@lru_cache(maxsize=1)
def _to_the_second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


class Countdown:
    """
    Calls back once `seconds` have run out, not counting the time in which it is held.

    It is held until the first `resume`; with None it never runs out.
    """

    def __init__(self, seconds: float | None, run_out: Callable[[], None]) -> None:
        self._left = seconds
        self._run_out = run_out
        self._timer: asyncio.TimerHandle | None = None

    def resume(self) -> None:
        """Let the time run."""
        if self._left is not None and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._left, self._run_out)

    def hold(self) -> None:
        """Let the time stand."""
        if self._timer is not None:
            self._left = max(0.0, self._timer.when() - asyncio.get_running_loop().time())
            self._timer.cancel()
            self._timer = None
