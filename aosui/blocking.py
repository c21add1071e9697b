"""
Run a blocking function for a run: in a thread, with a channel that can be used from there.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar, TypeVarTuple

from aosui.channel import ProjectChannel
from aosui.events import Stream
from aosui.values import Project, Prompt

__all__ = ["SyncChannel", "in_thread", "run_blocking"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


async def run_blocking(
    channel: ProjectChannel, function: Callable[[SyncChannel, *Ts], T], *args: *Ts
) -> T:
    """
    Call `function(sync_channel, *args)` in a thread of its own and return what it returns.

    Cancelled, this waits for the thread: the function's next call on its `SyncChannel` raises
    `asyncio.CancelledError`, and one that waits for an answer stops waiting. A function that says
    nothing for long looks at `sync_channel.cancelled` itself. Cancelled once more, as at the end
    of the event loop, this leaves the thread to itself; it does not keep Python from exiting.
    """
    bridge = _Bridge(asyncio.get_running_loop())
    call = partial(function, SyncChannel(channel, bridge), *args)
    ended = in_thread(partial(contextvars.copy_context().run, call), name=f"run {channel.run_id}")
    try:
        return await asyncio.shield(ended)
    except asyncio.CancelledError:
        if not ended.done():
            bridge.cancel()
            await asyncio.wait([ended])
        raise


class SyncChannel:
    """
    The verbs of `ProjectChannel` for a thread of `run_blocking`: each call returns when it is done.

    After a cancel every call raises `asyncio.CancelledError`, which `except Exception` lets pass.
    """

    __slots__ = ("_bridge", "_channel")

    def __init__(self, channel: ProjectChannel, bridge: _Bridge) -> None:
        self._channel = channel
        self._bridge = bridge

    @property
    def project(self) -> Project:
        return self._channel.project

    @property
    def run_id(self) -> str:
        return self._channel.run_id

    @property
    def cancelled(self) -> bool:
        """Whether the run was asked to end."""
        return self._bridge.cancelled

    def output(self, text: str, *, stream: Stream = "stdout") -> None:
        """Show text as it is, without a newline of ours; `stream` is stdout, stderr or log."""
        self._bridge.call(self._channel.output(text, stream=stream))

    def progress(self, current: float, total: float | None = None, *, message: str = "") -> None:
        """Say how far the run is, in units of your own; a total of None is unknown."""
        self._bridge.call(self._channel.progress(current, total, message=message))

    def event(self, name: str, data: object = None) -> None:
        """Publish an event of the executor's own; viewers see it as `<executor>.<name>`."""
        self._bridge.call(self._channel.event(name, data))

    def ask(self, *prompts: Prompt) -> Mapping[str, str | list[str]]:
        """Ask the user and wait: returns the answers by prompt id."""
        return self._bridge.call(self._channel.ask(*prompts))

    def inputs(self) -> Iterator[str]:
        """Iterate over the texts that users send to the run, as sent; ends with the run."""
        texts = self._channel.inputs()

        async def following() -> str | None:
            return await anext(texts, None)

        while (text := self._bridge.call(following())) is not None:
            yield text

    def checkpoint(self, value: object) -> None:
        """Store what a retry starts from, as `run.checkpoint`; shown to nobody."""
        self._bridge.call(self._channel.checkpoint(value))


class _Bridge:
    """From a thread to the event loop, until somebody cancels."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.cancelled = False
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._lock = threading.Lock()
        self._calls: set[concurrent.futures.Future[Any]] = set()

    def call(self, verb: Coroutine[Any, Any, T]) -> T:
        """Await `verb` on the loop; raises CancelledError when the run was asked to end."""
        if threading.get_ident() == self._loop_thread:
            verb.close()
            raise RuntimeError("a SyncChannel is for the thread of run_blocking, not for the loop")
        with self._lock:
            if self.cancelled:
                verb.close()
                raise asyncio.CancelledError
            call = asyncio.run_coroutine_threadsafe(verb, self._loop)
            self._calls.add(call)
        try:
            return call.result()
        except concurrent.futures.CancelledError:
            raise asyncio.CancelledError from None
        finally:
            with self._lock:
                self._calls.discard(call)

    def cancel(self) -> None:
        with self._lock:
            self.cancelled = True
            calls = list(self._calls)
        for call in calls:
            call.cancel()


def in_thread(function: Callable[[], T], *, name: str) -> asyncio.Future[T]:
    """
    Call a function in a daemon thread of its own: returns the future of its outcome.

    Unlike the loop's pool it has no limit, so that what blocks for long makes nobody else wait.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(settler: Callable[..., None], outcome: object) -> None:
        if not future.done():
            settler(outcome)

    def work() -> None:
        settled: tuple[Callable[..., None], object]
        try:
            settled = (future.set_result, function())
        except StopIteration as error:
            stopped = RuntimeError("the function raised StopIteration")
            stopped.__cause__ = error
            settled = (future.set_exception, stopped)
        except BaseException as error:
            settled = (future.set_exception, error)
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, *settled)

    threading.Thread(target=work, name=f"aosui {name}", daemon=True).start()
    return future
