"""
Who blocks the event loop: named while it does, with its stack.

A thread looks at the beats of the loop's `LagMeter`. Lateness that the thread shares with the loop
(the machine was suspended, the process stopped or starved) is nobody's fault and not counted,
unless this process itself was at work: then somebody held the interpreter.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Final

from attrs import frozen

from aosui._logging import logger
from aosui.clock import timestamp_at
from aosui.executors import TASK_PREFIX, Executors, Plugin
from aosui.lag import LagMeter

__all__ = ["Patience", "Watchdog"]

TICK_SECONDS: Final = 0.1
BLOCKED_SECONDS: Final = 0.5
"""A loop that has not beaten for this long is blocked."""
AGAIN_SECONDS: Final = 60.0
"""The same place is not named again in the log before."""
IDLE: Final = ("selectors", "asyncio.base_events", "asyncio.runners", "uvloop")
"""Modules in which the loop itself is at work, or waits."""


class Patience:
    """Adds up for how long the loop has not beaten while it could have."""

    def __init__(self, now: float, cpu: float, beats: int) -> None:
        self._now = now
        self._cpu = cpu
        self._beats = beats
        self.silence = 0.0

    def look(self, now: float, cpu: float, beats: int) -> float:
        """
        Take what one tick of the thread sees and return the loop's silence in seconds.

        `now` is monotonic time, `cpu` the CPU time of this process, `beats` what the loop counts.
        """
        passed, used = now - self._now, cpu - self._cpu
        on_time = passed < 2 * TICK_SECONDS
        if beats != self._beats or not (on_time or used > passed / 4):
            self.silence = 0.0
        else:
            self.silence += passed
        self._now, self._cpu, self._beats = now, cpu, beats
        return self.silence


@frozen
class _Sighting:
    """Somebody blocks the loop: since `at` in words, since `since` on the loop's clock."""

    plugin: Plugin | None
    where: str
    at: str
    since: float


class Watchdog:
    """Names in the log, and on its `Plugin`, the executor that blocks the event loop."""

    def __init__(self, meter: LagMeter, executors: Executors) -> None:
        self._meter = meter
        self._executors = executors
        self._stopped = threading.Event()
        self._named: dict[str, float] = {}
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch the running loop, whose meter beats already."""
        self._thread = threading.Thread(
            target=self._watch,
            args=(asyncio.get_running_loop(), threading.get_ident()),
            name="aosui watchdog",
            daemon=True,
        )
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self, loop: asyncio.AbstractEventLoop, loop_thread: int) -> None:
        meter = self._meter
        patience = Patience(time.monotonic(), time.process_time(), meter.beats)
        sighting: _Sighting | None = None
        while not self._stopped.wait(TICK_SECONDS):
            silence = patience.look(time.monotonic(), time.process_time(), meter.beats)
            if sighting is None and silence >= BLOCKED_SECONDS:
                frame = sys._current_frames().get(loop_thread)
                if frame is not None and frame.f_globals.get("__name__") not in IDLE:
                    sighting = self._name(loop, frame, silence)
            elif sighting is not None and silence == 0.0 and meter.beat_at > sighting.since:
                self._forgive(sighting, meter.beat_at - sighting.since)
                sighting = None

    def _name(self, loop: asyncio.AbstractEventLoop, frame: FrameType, silence: float) -> _Sighting:
        frames = list(_outwards(frame))
        plugin = self._find(loop, frames)
        own = [one for one in frames if plugin is not None and _belongs(one, plugin)]
        where = _place(own[0] if own else frame)
        now = time.monotonic()
        if now - self._named.get(where, -AGAIN_SECONDS) >= AGAIN_SECONDS:
            self._named[where] = now
            stack = "".join(traceback.format_stack(frame))
            words = {"where": where, "seconds": round(silence, 1), "stack": stack}
            if plugin is None:
                logger.error("the event loop is blocked", code="loopBlocked", **words)
            else:
                logger.error(
                    "an executor blocks the event loop: all projects wait",
                    code="executorBlocked",
                    executor=plugin.name,
                    distribution=plugin.distribution,
                    advice=f'isolate it: [executors.{plugin.name}] isolation = "process"',
                    **words,
                )
        began = timestamp_at(round((time.time() - silence) * 1000))
        return _Sighting(plugin, where, began, self._meter.beat_at)

    def _forgive(self, sighting: _Sighting, seconds: float) -> None:
        """The loop is free: keep for how long it was not."""
        executor = None
        if sighting.plugin is not None:
            executor = sighting.plugin.name
            sighting.plugin.blocked = {
                "at": sighting.at,
                "seconds": round(seconds, 1),
                "where": sighting.where,
            }
        logger.info(
            "the event loop is free again",
            executor=executor,
            where=sighting.where,
            seconds=round(seconds, 1),
        )

    def _find(self, loop: asyncio.AbstractEventLoop, frames: Iterable[FrameType]) -> Plugin | None:
        """Find the plugin at work: by the running task, else by the modules on the stack."""
        with contextlib.suppress(RuntimeError):
            task = asyncio.current_task(loop)
            if task is not None and task.get_name().startswith(TASK_PREFIX):
                name = task.get_name().removeprefix(TASK_PREFIX)
                if name in self._executors.plugins:
                    return self._executors.plugins[name]
        plugins = list(self._executors.plugins.values())
        for frame in frames:
            for plugin in plugins:
                if _belongs(frame, plugin):
                    return plugin
        return None


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _belongs(frame: FrameType, plugin: Plugin) -> bool:
    """Whether a frame runs code of the package that an executor comes from."""
    package = type(plugin.executor).__module__.partition(".")[0]
    module = str(frame.f_globals.get("__name__", ""))
    return package not in ("aosui", "builtins") and module.partition(".")[0] == package


def _place(frame: FrameType) -> str:
    """Say where a frame is, without a path of the server."""
    module = frame.f_globals.get("__name__", "?")
    return f"{module}:{frame.f_lineno} in {frame.f_code.co_qualname}"
