"""
The process of an isolated executor: `python -m aosui.executor_process NAME`.

It speaks the pipe of `docs/pipe.md` on its standard input and output, which are taken away before
anything of the executor is imported: what the executor prints goes to standard error.
"""

from __future__ import annotations

import asyncio
import faulthandler
import io
import itertools
import logging
import os
import sys
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import EntryPoint
from types import MappingProxyType
from typing import Final, NoReturn

import msgspec
from attrs import frozen

from aosui.channel import ProjectChannel
from aosui.errors import AosuiError, ChannelClosed, ExecutorError, LimitExceeded
from aosui.events import Progress, PromptInfo, Stream
from aosui.executors import GROUP, Becomes, Executor, Plugin, list_workflows
from aosui.failure import failure_info
from aosui.pipe.messages import (
    FROM_SERVER,
    PIPE_VERSION,
    Ack,
    Answer,
    Ask,
    Broken,
    Cancel,
    Cancelled,
    Checkpoint,
    Close,
    Emit,
    Execute,
    Failed,
    FromServer,
    Hello,
    Input,
    ListingInfo,
    ListWorkflows,
    NextInput,
    Output,
    Ready,
    SayProgress,
    Succeeded,
    Unask,
    WorkflowInfo,
)
from aosui.pipe.stream import WINDOW_BYTES, Pipe, PipeError, open_pipe
from aosui.protocol import MAX_QUESTIONS_BYTES, MAX_RESULT_BYTES, cut, encode_data
from aosui.values import Run

__all__: list[str] = []

MAX_REASON: Final = 4 * 1024
MAX_TRACEBACK: Final = 16 * 1024


class PipedRun:
    """The `RunPort` of a run whose supervisor is at the other end of the pipe."""

    def __init__(self, run_id: str, pipe: Pipe) -> None:
        self._id = run_id
        self._pipe = pipe
        self._unacknowledged = 0
        self._room = asyncio.Event()
        self._questions: dict[int, asyncio.Future[Mapping[str, str | list[str]]]] = {}
        self._numbers = itertools.count(1)
        self._inputs: deque[str] = deque()
        self._came = asyncio.Event()
        self._wanted = False
        self._no_more = False
        self._over = False

    # -- what the channel asks: RunPort

    @property
    def full(self) -> bool:
        if self._over:
            raise ChannelClosed
        return self._unacknowledged >= WINDOW_BYTES

    async def room(self) -> None:
        while not self._over and self._unacknowledged >= WINDOW_BYTES:
            self._room.clear()
            await self._room.wait()

    def output(self, stream: Stream, text: str) -> None:
        try:
            self._say(Output(self._id, stream, text))
        except UnicodeEncodeError:
            self.output(stream, text.encode("utf-8", "replace").decode())

    def event(self, name: str, data: bytes) -> None:
        self._say(Emit(self._id, name, msgspec.Raw(data)))

    def progress(self, progress: Progress) -> None:
        self._say(SayProgress(self._id, progress.current, progress.total, progress.message))

    def checkpoint(self, value: bytes) -> None:
        self._say(Checkpoint(self._id, msgspec.Raw(value)))

    async def ask(self, prompts: Sequence[PromptInfo]) -> Mapping[str, str | list[str]]:
        if len(encode_data(prompts, None, what="the question")) > MAX_QUESTIONS_BYTES:
            raise LimitExceeded(
                f"the open questions of a run are at most {MAX_QUESTIONS_BYTES} bytes together",
                details={"limit": "questions"},
            )
        while self.full:
            await self.room()
        number = next(self._numbers)
        self._say(Ask(self._id, number, list(prompts)))
        future: asyncio.Future[Mapping[str, str | list[str]]]
        future = self._questions[number] = asyncio.get_running_loop().create_future()
        try:
            return await future
        finally:
            if self._questions.pop(number, None) is not None and not self._over:
                self._say(Unask(self._id, number))

    async def next_input(self) -> str | None:
        while not self._inputs:
            if self._over or self._no_more:
                return None
            if not self._wanted:
                self._wanted = True
                self._say(NextInput(self._id))
            self._came.clear()
            await self._came.wait()
        return self._inputs.popleft()

    # -- what the server says

    def acknowledge(self, size: int) -> None:
        self._unacknowledged -= size
        self._room.set()

    def answer(self, answer: Answer) -> None:
        future = self._questions.pop(answer.question, None)
        if future is None or future.done():
            return
        if answer.error is None:
            future.set_result(answer.answers or {})
        elif answer.error.code == LimitExceeded.code:
            future.set_exception(LimitExceeded(answer.error.message, details=answer.error.details))
        else:
            future.set_exception(ExecutorError(answer.error.message, code=answer.error.code))

    def take_input(self, text: str | None) -> None:
        self._wanted = False
        if text is None:
            self._no_more = True
        else:
            self._inputs.append(text)
        self._came.set()

    def close(self) -> None:
        """End: everything said from now on is refused."""
        self._over = True
        self._room.set()
        self._came.set()
        for question in self._questions.values():
            question.cancel()

    def _say(
        self, message: Output | Emit | SayProgress | Checkpoint | Ask | Unask | NextInput
    ) -> None:
        if self._over:
            raise ChannelClosed
        self._unacknowledged += self._pipe.send(message)


@frozen
class _Raised:
    error: BaseException


class Process:
    """What the server's messages do; the executor is made by the first one."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._executor: Executor | None = None
        self._calls: dict[str, asyncio.Task[object]] = {}
        self._runs: dict[str, PipedRun] = {}

    async def serve(self) -> None:
        """Do what the server says until it is gone, says that it was all, or no executor is."""
        async for message, _ in self._pipe.receive(FROM_SERVER):
            match message:
                case Hello():
                    self._begin(message)
                    if self._executor is None:
                        break
                case Close():
                    await self._close(message.id)
                    break
                case _:
                    self._take(message)
        await self._pipe.finish()

    def _take(self, message: FromServer) -> None:
        match message:
            case ListWorkflows():
                self._call(message.id, partial(self._workflows, message))
            case Execute():
                run = self._runs[message.id] = PipedRun(message.id, self._pipe)
                self._call(message.id, partial(self._execute, message, run))
            case Cancel() if message.id in self._calls:
                self._calls[message.id].cancel()
            case Ack() if message.id in self._runs:
                self._runs[message.id].acknowledge(message.bytes)
            case Answer() if message.id in self._runs:
                self._runs[message.id].answer(message)
            case Input() if message.id in self._runs:
                self._runs[message.id].take_input(message.text)

    def _begin(self, hello: Hello) -> None:
        plugin = Plugin(hello.executor)
        if hello.version != PIPE_VERSION:
            plugin.status = "incompatible"
            plugin.reason = f"the pipe is of version {hello.version}, this is {PIPE_VERSION}"
        else:
            sys.path[:] = hello.path or sys.path
            plugin.load(EntryPoint(hello.executor, hello.entry_point, GROUP), hello.options)
        self._executor = plugin.executor
        if plugin.status == "ok":
            self._pipe.send(Ready(PIPE_VERSION))
        else:
            becomes: Becomes = "incompatible" if plugin.status == "incompatible" else "broken"
            self._pipe.send(Broken(PIPE_VERSION, becomes, cut(plugin.reason, MAX_REASON)))

    # -- calls: each ends with exactly one message, taken from its task's own outcome

    def _call(self, call_id: str, call: Callable[[], Awaitable[object]]) -> None:
        task = self._calls[call_id] = asyncio.create_task(_outcome(call))
        task.add_done_callback(partial(self._ended, call_id))

    async def _workflows(self, message: ListWorkflows) -> object:
        assert self._executor is not None
        listing = await list_workflows(self._executor, message.project.project())
        return ListingInfo(
            [WorkflowInfo.of(workflow) for workflow in listing.workflows], listing.problem
        )

    async def _execute(self, message: Execute, port: PipedRun) -> object:
        assert self._executor is not None
        info = message.run
        run = Run(
            message.id,
            info.workflow,
            MappingProxyType(info.params),
            attempt=info.attempt,
            retry_of=info.retry_of,
            checkpoint=info.checkpoint,
        )
        channel = ProjectChannel(message.project.project(), message.id, port)
        result = await self._executor.execute(run, channel)
        return msgspec.Raw(encode_data(result, MAX_RESULT_BYTES, what="the result"))

    def _ended(self, call_id: str, task: asyncio.Task[object]) -> None:
        del self._calls[call_id]
        run = self._runs.pop(call_id, None)
        if run is not None:
            run.close()
        outcome = None if task.cancelled() else task.result()
        if task.cancelled():
            self._pipe.send(Cancelled(call_id))
        elif isinstance(outcome, _Raised):
            self._fail(call_id, outcome.error)
        else:
            try:
                self._pipe.send(Succeeded(call_id, outcome))
            except (PipeError, TypeError, ValueError, msgspec.MsgspecError) as error:
                self._fail(call_id, error)

    def _fail(self, call_id: str, error: BaseException) -> None:
        words = ""
        if not isinstance(error, AosuiError):
            words = "".join(traceback.format_exception(error))[-MAX_TRACEBACK:]
            words = words.encode("utf-8", "replace").decode()
        self._pipe.send(Failed(call_id, failure_info(error), words))

    async def _close(self, call_id: str) -> None:
        close = getattr(self._executor, "close", None)
        outcome = None if close is None else await _outcome(close)
        if isinstance(outcome, _Raised):
            self._fail(call_id, outcome.error)
        else:
            self._pipe.send(Succeeded(call_id))


async def _outcome(call: Callable[[], Awaitable[object]]) -> object:
    """Keep what a call raises: out of a task, SystemExit would stop the event loop."""
    try:
        return await call()
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        return _Raised(error)


def main() -> None:
    faulthandler.enable()
    logging.basicConfig(format="%(levelname)s %(message)s")
    incoming, outgoing = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    asyncio.run(_serve(incoming, outgoing))


async def _serve(incoming: int, outgoing: int) -> NoReturn:
    status = 1
    try:
        await Process(await open_pipe(incoming, outgoing)).serve()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        # What the executor has left keeps no process: neither tasks nor threads are waited for.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
