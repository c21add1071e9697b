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
    One call for a worker: `run` in its thread, then `succeed` or `fail`, once; the loop has the
    outcome when all calls that were worked off together have theirs.

    `landed` gets the result on the loop before the caller does, and also when the caller was
    cancelled meanwhile.
    """

    __slots__ = ("_landed", "_outcome", "future", "run")

    def __init__(
        self,
        future: asyncio.Future[T],
        function: Callable[[], T],
        landed: Callable[[T], None] | None,
    ) -> None:
        self.future = future
        self.run = function
        self._landed = landed
        self._outcome: tuple[T] | Exception | None = None

    def succeed(self, result: T) -> None:
        self._outcome = (result,)

    def fail(self, error: Exception) -> None:
        self._outcome = error

    def land(self) -> None:
        """Hand the outcome over, on the loop."""
        assert self._outcome is not None
        if isinstance(self._outcome, Exception):
            if not self.future.done():
                self.future.set_exception(self._outcome)
            return
        (result,) = self._outcome
        if self._landed is not None:
            self._landed(result)
        if not self.future.done():
            self.future.set_result(result)


class Worker:
    """
    One thread; `work` gets the calls that wait, in order, at most `at_once` of them.

    The thread is a daemon: a log that nobody closed does not keep the process alive.
    """

    def __init__(
        self, name: str, work: Callable[[Sequence[Call[Any]]], None], *, at_once: int
    ) -> None:
        self._work = work
        self._at_once = at_once
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Call[Any] | None] = SimpleQueue()
        self._stopped = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def call(self, function: Callable[[], T], landed: Callable[[T], None] | None = None) -> T:
        """Have a function called in the thread, and return what it returns: see `Call`."""
        call: Call[T] = Call(self._loop.create_future(), function, landed)
        self._queue.put(call)
        return await call.future

    async def stop(self) -> None:
        """Wait until everything queued is done and the thread has ended."""
        self._queue.put(None)
        await asyncio.shield(self._stopped)
        self._thread.join()

    def _run(self) -> None:
        # A closed loop means that its owner left without closing the log: nobody waits any more.
        with contextlib.suppress(RuntimeError):
            while (call := self._queue.get()) is not None:
                calls = [call]
                while len(calls) < self._at_once and not self._queue.empty():
                    if (call := self._queue.get()) is None:
                        self._queue.put(None)
                        break
                    calls.append(call)
                self._work(calls)
                self._loop.call_soon_threadsafe(_land, calls)
            self._loop.call_soon_threadsafe(self._stopped.set_result, None)


def _land(calls: Sequence[Call[Any]]) -> None:
    for call in calls:
        try:
            call.land()
        except Exception as error:
            if call.future.done():
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "what an event log delivers to failed", "exception": error}
                )
            else:
                call.future.set_exception(error)
