"""How late the event loop is, measured all the time."""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ["LagMeter"]


class LagMeter:
    """
    Measures how much later than asked a timer of the event loop fires.

    One timer for the whole application, every `seconds`; the last `samples` are kept. Each time it
    fires is a beat: `beats` counts them, `beat_at` is when the last one was (`loop.time()`).
    """

    def __init__(self, seconds: float = 0.1, samples: int = 600) -> None:
        self._seconds = seconds
        self._lags: deque[float] = deque(maxlen=samples)
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self.beats = 0
        self.beat_at = 0.0

    def start(self) -> None:
        """Begin to measure on the running loop."""
        loop = asyncio.get_running_loop()
        self.beat_at = loop.time()
        self._due = self.beat_at + self._seconds
        self._timer = loop.call_at(self._due, self._tick)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def figures(self) -> dict[str, float]:
        """Return the lag of the last minute in milliseconds: p50, p99 and max."""
        lags = sorted(self._lags) or [0.0]
        last = len(lags) - 1
        figures = {"p50": lags[last // 2], "p99": lags[round(last * 0.99)], "max": lags[-1]}
        return {name: round(lag * 1000, 3) for name, lag in figures.items()}

    def _tick(self) -> None:
        self._lags.append(max(0.0, asyncio.get_running_loop().time() - self._due))
        self.beats += 1
        self.start()
