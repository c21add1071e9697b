"""Calls over the pipe, and the run that the server speaks for."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final, Protocol

from aosui._logging import logger
from aosui.channel import ProjectChannel
from aosui.errors import AosuiError, ChannelClosed, ExecutorError
from aosui.events import ErrorInfo, PromptInfo
from aosui.pipe.messages import (
    Ack,
    Answer,
    Ask,
    Cancel,
    Cancelled,
    Checkpoint,
    Emit,
    Failed,
    FromExecutor,
    FromServer,
    Input,
    NextInput,
    Output,
    SayProgress,
    Succeeded,
    Unask,
)
from aosui.pipe.stream import MAX_FRAME_BYTES, WINDOW_BYTES
from aosui.values import Option, Prompt

__all__ = ["Call", "OtherEnd", "RemoteRun", "returned"]

ACK_BYTES: Final = WINDOW_BYTES // 4
LAST_WORDS: Final = 0.5
"""Seconds for what a cancelled run has said last when the event log is behind."""

End = Succeeded | Failed | Cancelled


class OtherEnd(Protocol):
    """The process at the other end of the pipe."""

    def send(self, message: FromServer) -> None:
        """Say something to it; never waits."""

    def end(self, why: str) -> None:
        """End it; its calls fail."""


class Call:
    """Something asked of an executor: it ends with exactly one message."""

    def __init__(self, call_id: str) -> None:
        self.id = call_id
        self.ended: asyncio.Future[End] = asyncio.get_running_loop().create_future()

    def take(self, message: FromExecutor, _size: int) -> None:
        """Take what the executor says about this call."""
        if isinstance(message, Succeeded | Failed | Cancelled) and not self.ended.done():
            self.ended.set_result(message)


def returned(end: End) -> object:
    """Do what the call did: return, or raise `ExecutorError` or CancelledError."""
    match end:
        case Succeeded():
            return end.result
        case Failed():
            error = end.error
            raise ExecutorError(
                error.message, code=error.code, retryable=error.retryable, details=error.details
            )
        case Cancelled():
            raise asyncio.CancelledError


class RemoteRun(Call):
    """A call of `execute`: what the executor says is said again on the run's channel, in order."""

    def __init__(self, run_id: str, channel: ProjectChannel, other: OtherEnd) -> None:
        super().__init__(run_id)
        self._channel = channel
        self._other = other
        self._said: deque[tuple[FromExecutor, int]] = deque()
        self._unsaid = 0
        self._stirred = asyncio.Event()
        self._asking: dict[int, asyncio.Task[None]] = {}
        self._inputs = channel.inputs()
        self._feeding: asyncio.Task[None] | None = None

    def take(self, message: FromExecutor, size: int) -> None:
        super().take(message, size)
        if not self.ended.done():
            self._said.append((message, size))
            self._unsaid += size
            if self._unsaid > WINDOW_BYTES + MAX_FRAME_BYTES:
                self._other.end("it said more than its window allows")
        self._stirred.set()

    async def result(self) -> object:
        """
        Wait for the end of the run and do what it did.

        Cancelled, this cancels the executor and goes on to wait.
        """
        speaking = asyncio.create_task(self._speak())
        both: list[asyncio.Future[Any]] = [speaking, self.ended]
        try:
            await asyncio.wait(both)
        except asyncio.CancelledError:
            self._other.send(Cancel(self.id))
            await asyncio.wait([self.ended])
            await asyncio.wait([speaking], timeout=LAST_WORDS)
        finally:
            for task in (speaking, self._feeding, *self._asking.values()):
                if task is not None:
                    task.cancel()
        end = self.ended.result()
        if isinstance(end, Failed) and end.traceback:
            logger.error(
                "executor failed",
                code=end.error.code,
                project=self._channel.project.id,
                run=self.id,
                exception=end.traceback,
            )
        return returned(end)

    async def _speak(self) -> None:
        spoken = 0
        try:
            while self._said or not self.ended.done():
                while self._said:
                    message, size = self._said.popleft()
                    await self._say(message)
                    self._unsaid -= size
                    spoken += size
                    if spoken >= ACK_BYTES:
                        self._other.send(Ack(self.id, spoken))
                        spoken = 0
                self._stirred.clear()
                if not self.ended.done():
                    await self._stirred.wait()
        except ChannelClosed:
            pass
        except (AosuiError, TypeError, ValueError) as error:
            self._other.end(f"it said what its channel does not take: {error}")

    async def _say(self, message: FromExecutor) -> None:
        channel = self._channel
        match message:
            case Output():
                await channel.output(message.text, stream=message.stream)
            case Emit():
                await channel.event(message.name, message.data)
            case SayProgress():
                await channel.progress(message.current, message.total, message=message.message)
            case Checkpoint():
                await channel.checkpoint(message.value)
            case Ask():
                prompts = [_prompt(info) for info in message.prompts]
                task = asyncio.create_task(self._ask(message.question, prompts))
                self._asking[message.question] = task
                await asyncio.sleep(0)  # asked before what is said next
            case Unask() if message.question in self._asking:
                self._asking[message.question].cancel()
                await asyncio.sleep(0)
            case NextInput() if self._feeding is None or self._feeding.done():
                self._feeding = asyncio.create_task(self._feed())

    async def _ask(self, question: int, prompts: list[Prompt]) -> None:
        try:
            answers = await self._channel.ask(*prompts)
        except AosuiError as error:
            info = ErrorInfo(error.code, error.message, error.retryable, error.details)
            self._other.send(Answer(self.id, question, error=info))
        except ValueError as error:
            self._other.end(f"it asked what nobody can answer: {error}")
        else:
            self._other.send(Answer(self.id, question, dict(answers)))
        finally:
            self._asking.pop(question, None)

    async def _feed(self) -> None:
        self._other.send(Input(self.id, await anext(self._inputs, None)))


def _prompt(info: PromptInfo) -> Prompt:
    return Prompt(
        info.prompt_id,
        info.text,
        info.header,
        [Option(option.value, option.label, option.description) for option in info.options],
        info.multiple,
        info.allow_other,
    )
