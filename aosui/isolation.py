"""
Executors in processes of their own: what one blocks, leaks or crashes is its own.

    run -> IsolatedExecutor -> RemoteProcess -> pipe -> aosui/executor_process.py -> executor

A process is started at the first use, lives until it crashes or the server stops, and is started
again by whatever needs it next. The server speaks for it through the `ProjectChannel` of each run.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from aosui._logging import logger
from aosui.captured import log_lines
from aosui.channel import ProjectChannel
from aosui.errors import ExecutorError
from aosui.events import ErrorInfo
from aosui.executors import API_VERSION, Becomes, BrokenExecutor, IncompleteWorkflows
from aosui.pipe.messages import (
    FROM_EXECUTOR,
    PIPE_VERSION,
    Broken,
    Cancel,
    Close,
    Execute,
    Failed,
    FromServer,
    Hello,
    ListingInfo,
    ListWorkflows,
    ProjectInfo,
    Ready,
    RunInfo,
)
from aosui.pipe.stream import MAX_FRAME_BYTES, Pipe, PipeError, open_pipe
from aosui.process import describe_exit
from aosui.protocol import encode_data
from aosui.remote import Call, RemoteRun, returned
from aosui.tree import ProcessTree
from aosui.values import Project, Run, Workflow

__all__ = ["IsolatedExecutor"]

START_SECONDS: Final = 60.0
"""What a process has to import its plugin."""
AGAIN_SECONDS: Final = 2.0
"""A process that could not start is not tried again before."""
REST_SECONDS: Final = 0.5
"""What the last words of a process have to arrive after it has ended."""
CLOSE_SECONDS: Final = 2.0
"""What an executor has to close itself when the server stops..."""
END_SECONDS: Final = 2.4
"""...and what the end of its process is waited for: the reaper kills what needs more than 2 s."""
MAX_BACKLOG: Final = 16 * 1024 * 1024
"""Bytes that a process has not taken: with more, it does not read its pipe any more."""


class IsolatedExecutor:
    """
    An executor that lives in a process of its own.

    `entry_point` is `module:attribute`, imported there alone. Raises `NotSerialisable` when
    `options` are not JSON. Its methods may raise `BrokenExecutor`, when the process cannot start,
    and `ExecutorError` with the code `executorCrashed`, when it ends unasked.
    """

    api_version = API_VERSION

    def __init__(self, name: str, entry_point: str, options: Mapping[str, Any]) -> None:
        self._hello = Hello(PIPE_VERSION, name, entry_point, dict(options), list(sys.path))
        encode_data(self._hello, MAX_FRAME_BYTES, what="the executor's configuration")
        self._process: RemoteProcess | None = None
        self._processes: set[RemoteProcess] = set()
        self._closed = False

    async def check(self) -> None:
        """Start the process if it is not there yet; raises `BrokenExecutor`."""
        await self._running()

    async def workflows(self, project: Project) -> Sequence[Workflow]:
        return await (await self._running()).workflows(project)

    async def execute(self, run: Run, channel: ProjectChannel) -> object:
        return await (await self._running()).execute(run, channel)

    def run_abandoned(self, run_id: str) -> None:
        """End the process of a run that does not end; its other runs crash with it."""
        for process in self._processes:
            if process.runs(run_id):
                process.end("another of its runs did not end when it was cancelled")

    async def close(self) -> None:
        self._closed = True
        if self._processes:
            await asyncio.wait(
                [asyncio.create_task(process.close()) for process in self._processes]
            )

    async def _running(self) -> RemoteProcess:
        if self._closed:
            raise ExecutorError("the server is stopping", retryable=True)
        process = self._process
        if process is None or (process.over and not process.just_broken):
            process = self._process = RemoteProcess(self._hello)
            self._processes.add(process)
            process.life.add_done_callback(lambda _: self._processes.discard(process))
        await process.ready()
        return process


class RemoteProcess:
    """One process of an executor, from its start to its end."""

    def __init__(self, hello: Hello) -> None:
        self.over = False
        self._name = hello.executor
        self._log = logger.bind(executor=hello.executor)
        self._pipe: Pipe | None = None
        self._tree: ProcessTree | None = None
        self._calls: dict[str, Call] = {}
        self._numbers = itertools.count(1)
        self._decided = asyncio.Event()
        self._up = False
        self._closing = False
        self._why = ""
        self._broken: tuple[str, Becomes] | None = None
        self._again_at = 0.0
        self.life = asyncio.create_task(self._live(hello))

    @property
    def just_broken(self) -> bool:
        """Whether it could not start, and so lately that it is not to be tried again."""
        return self._broken is not None and asyncio.get_running_loop().time() < self._again_at

    def runs(self, run_id: str) -> bool:
        return run_id in self._calls

    async def ready(self) -> None:
        """Wait until the executor is there; raises `BrokenExecutor` when it will not be."""
        await self._decided.wait()
        if self._broken is not None:
            reason, becomes = self._broken
            raise BrokenExecutor(reason, becomes=becomes)
        if self.over:
            raise ExecutorError(
                "the executor's process ended at once", code="executorCrashed", retryable=True
            )

    async def workflows(self, project: Project) -> Sequence[Workflow]:
        call_id = f"workflows-{next(self._numbers)}"
        call = self._calls[call_id] = Call(call_id)
        try:
            self.send(ListWorkflows(call_id, ProjectInfo.of(project)))
            listing = msgspec.convert(returned(await call.ended), ListingInfo)
        except asyncio.CancelledError:
            self.send(Cancel(call_id))
            raise
        finally:
            del self._calls[call_id]
        workflows = [info.workflow() for info in listing.workflows]
        if listing.problem:
            raise IncompleteWorkflows(listing.problem, workflows)
        return workflows

    async def execute(self, run: Run, channel: ProjectChannel) -> object:
        remote = RemoteRun(run.id, channel, self)
        self._calls[run.id] = remote
        info = RunInfo(run.workflow, dict(run.params), run.attempt, run.retry_of, run.checkpoint)
        try:
            self.send(Execute(run.id, ProjectInfo.of(channel.project), info))
            return await remote.result()
        finally:
            del self._calls[run.id]

    def send(self, message: FromServer) -> None:
        """Say something to the executor; what it does not read for long ends it."""
        if self.over or self._pipe is None:
            return
        self._pipe.send(message)
        if self._pipe.backlog > MAX_BACKLOG:
            self.end("it does not read what the server says")

    def end(self, why: str) -> None:
        """End the process and all that came of it; what it still runs fails with `why`."""
        if not self.over:
            self.over = True
            self._why = why
        if self._tree is not None:
            self._tree.end()

    async def close(self) -> None:
        """Let the executor close itself, then end the process."""
        self._closing = True
        if self._up and not self.over:
            call = self._calls["close"] = Call("close")
            self.send(Close("close"))
            either: list[asyncio.Future[Any]] = [call.ended, self.life]
            await asyncio.wait(either, timeout=CLOSE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait([self.life], timeout=REST_SECONDS)
        self.end("the server stops")
        await asyncio.wait([self.life], timeout=END_SECONDS)

    # -- its life

    async def _live(self, hello: Hello) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as at_last:
            at_last.callback(loop.call_later(START_SECONDS, self._start_is_late).cancel)
            try:
                how = await self._until_exit(hello, at_last)
            except (OSError, RuntimeError) as error:  # no more descriptors, or threads
                how = f"could not be started ({error})", None, ""
            self._ended(*how)
            if self._tree is not None:
                await asyncio.wait([self._tree.gone])

    async def _until_exit(
        self, hello: Hello, at_last: contextlib.ExitStack
    ) -> tuple[str, Mapping[str, Any] | None, str]:
        """Start the process and read what it says until it ends: returns how it ended."""
        tree = self._tree = ProcessTree(
            sys.executable, "-P", "-m", "aosui.executor_process", self._name
        )
        at_last.callback(tree.end)
        if self.over:
            tree.end()
        words = asyncio.create_task(log_lines(tree.stderr, self._log))
        at_last.callback(words.cancel)
        pipe = self._pipe = await open_pipe(tree.stdout, tree.stdin)
        at_last.callback(pipe.close)
        self.send(hello)
        reading = asyncio.create_task(self._read(pipe))
        at_last.callback(reading.cancel)
        ends: list[asyncio.Future[Any]] = [tree.exited, reading]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait([*ends, words], timeout=REST_SECONDS)
        tree.end()
        await asyncio.wait([tree.exited])
        status = tree.exited.result()
        last = await words if status and status > 0 and words.done() else ""
        return *_describe(status), last

    async def _read(self, pipe: Pipe) -> None:
        try:
            async for message, size in pipe.receive(FROM_EXECUTOR):
                match message:
                    case Ready():
                        if message.version != PIPE_VERSION:
                            raise PipeError(f"it speaks version {message.version} of the pipe")
                        self._up = True
                        self._decided.set()
                    case Broken():
                        self._break(message.reason, message.becomes)
                    case _ if message.id in self._calls:
                        self._calls[message.id].take(message, size)
        except PipeError as error:
            self.end(f"it said what is no message: {error}")

    def _start_is_late(self) -> None:
        if not self._decided.is_set():
            self.end(f"it was not ready after {START_SECONDS:g} s")

    def _break(self, reason: str, becomes: Becomes = "broken") -> None:
        self.over = True
        self._broken = reason, becomes
        self._again_at = asyncio.get_running_loop().time() + AGAIN_SECONDS
        self._decided.set()

    def _ended(self, how: str, details: Mapping[str, Any] | None, last: str) -> None:
        """Let everybody know that the process is no more."""
        self.over = True
        if self._why:
            how = f"was ended: {self._why}"
        if not self._decided.is_set():
            when = " before it was ready" if details and not self._why else ""
            self._break(f"its process {how}{when}" + (f": {last}" if last else ""))
        elif self._up and (self._why or not self._closing):
            self._log.error(
                "executor's process ended",
                code="executorCrashed",
                reason=how,
                runs=len(self._calls),
            )
        crashed = ErrorInfo(
            "executorCrashed", f"the executor's process {how}", retryable=True, details=details
        )
        for call in self._calls.values():
            call.take(Failed(call.id, crashed), 0)


def _describe(status: int | None) -> tuple[str, dict[str, Any]]:
    """Say how a process ended, in words and for programs."""
    if status is None:
        return "was killed with all that came of it", {}
    if status >= 0:
        return describe_exit(status), {"exitCode": status}
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = str(-status)
    return describe_exit(status), {"signal": name}
