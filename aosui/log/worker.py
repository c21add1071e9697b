"""A thread that works off calls in order, and brings the outcomes back to the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

__all__ = ["Call", "Worker"]

T = TypeVar("T")


class Call(Generic[T]):
    """
    One call for a worker: `run` in its thread, then `succeed` or `fail`, once.

    `landed` gets the result on the loop before the caller does, and also when the caller was
    cancelled meanwhile.
    """

    __slots__ = ("_function", "_landed", "_loop", "future")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        function: Callable[[], T],
        landed: Callable[[T], None] | None,
    ) -> None:
        self._loop = loop
        self._function = function
        self._landed = landed
        self.future: asyncio.Future[T] = loop.create_future()

    def run(self) -> T:
        return self._function()

    def succeed(self, result: T) -> None:
        self._hop(self._land, result)

    def fail(self, error: Exception) -> None:
        self._hop(self._crash, error)

    def _hop(self, function: Callable[[Any], None], value: object) -> None:
        # The loop is closed when its owner left without closing the log: nobody waits any more.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, value)

    def _land(self, result: T) -> None:
        if self._landed is not None:
            try:
                self._landed(result)
            except Exception as error:
                if self.future.done():
                    raise
                self.future.set_exception(error)
        if not self.future.done():
            self.future.set_result(result)

    def _crash(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Worker:
    """
    One thread; `work` gets the calls that wait, in order, as many as there are.

    The thread is a daemon: a log that nobody closed does not keep the process alive.
    """

    def __init__(self, name: str, work: Callable[[Sequence[Call[Any]]], None]) -> None:
        self._work = work
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Call[Any] | None] = SimpleQueue()
        self._stopped = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def call(self, function: Callable[[], T], landed: Callable[[T], None] | None = None) -> T:
        """Have a function called in the thread, and return what it returns: see `Call`."""
        call = Call(self._loop, function, landed)
        self._queue.put(call)
        return await call.future

    async def stop(self) -> None:
        """Wait until everything queued is done and the thread has ended."""
        self._queue.put(None)
        await asyncio.shield(self._stopped)
        self._thread.join()

    def _run(self) -> None:
        while True:
            waiting = [self._queue.get()]
            while not self._queue.empty():
                waiting.append(self._queue.get())
            calls = [call for call in waiting if call is not None]
            if calls:
                self._work(calls)
            if len(calls) < len(waiting):
                break
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stopped.set_result, None)
