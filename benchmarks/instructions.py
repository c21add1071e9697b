"""What an event costs in instructions of Python: what no neighbour of the machine can disturb."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from aosui import Limits, SqliteLog
from aosui.connection import Connection
from aosui.executors import Executors
from aosui.registry import ProjectRegistry
from benchmarks.product import Load

__all__ = ["instructions"]


class Sink:
    """A transport that takes everything."""

    def write(self, data: bytes | memoryview, /) -> None: ...
    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None: ...


class Counter:
    """Counts the instructions of all threads that are started while it is installed."""

    def __init__(self) -> None:
        self.count = 0
        self._counting = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        threading.settrace(self._enter)
        sys.settrace(self._enter)
        try:
            yield
        finally:
            sys.settrace(None)
            threading.settrace(None)

    @contextmanager
    def counting(self) -> Iterator[None]:
        self.count, self._counting = 0, True
        try:
            yield
        finally:
            self._counting = False

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not self._counting:
            return None
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        return self._step

    def _step(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode":
            self.count += 1
        return self._step


def instructions(idle: int, count: int, gap: int) -> float:
    """
    Return the instructions of a lone event with one viewer beside `idle` idle projects.

    `count` events are said, `gap` ms apart: more than any window, or several share a batch.
    """
    return asyncio.run(_measure(idle, count, gap))


async def _measure(idle: int, count: int, gap: int) -> float:
    counter = Counter()
    with tempfile.TemporaryDirectory(prefix="aosui-bench-") as directory, counter.installed():
        load = Load()
        registry = ProjectRegistry(SqliteLog(Path(directory) / "log.db"), Limits())
        registry.executors.adopt(Executors({"load": load}))
        for number in range(idle + 1):
            path = Path(directory) / f"project-{number}"
            path.mkdir()
            opened = registry.opened((await registry.open(path)).id)
        connection = Connection(
            "c",
            opened.hub,
            Sink(),
            registry.laggards,
            registry.limits,
            client_id=None,
            user=None,
            on_close=lambda code: None,
        )
        registry.connect(opened, connection)
        params = {"count": count, "gap": gap}
        await registry.start_run(opened.hub.project_id, "load:lone", params)
        load.gate.set()
        first = opened.hub.seq + count // 10
        last = first + count // 2
        await opened.hub.committed(first)
        with counter.counting():
            await opened.hub.committed(last)
        registry.disconnect(opened, connection)
        await registry.shut_down()
        await registry.finish()
    return counter.count / (last - first)
