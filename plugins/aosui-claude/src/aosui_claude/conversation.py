"""One conversation with Claude Code: a process, its messages, its end."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final

from claude_agent_sdk import (
    ClaudeAgentOptions,
    ClaudeSDKClient,
    ClaudeSDKError,
    CLIConnectionError,
    CLIJSONDecodeError,
    CLINotFoundError,
    ProcessError,
    ResultError,
    ResultMessage,
)

from aosui import ExecutorError, ProjectChannel
from aosui.orphans import MARKER, end_marked, new_mark
from aosui.process import describe_exit
from aosui_claude.fitting import shorten, valid
from aosui_claude.messages import Messages
from aosui_claude.questions import Questions

__all__ = ["Conversation"]

GO_ON: Final = "You were stopped before you had finished. Go on from where you were."
INTERRUPT_SECONDS: Final = 1.0
"""How long Claude may take, after an interrupt, to say its last words and leave."""
LEAVE_SECONDS: Final = 1.5
"""How long its process may then take to end by itself: an executor has 5 s for all of it."""
LINGER_SECONDS: Final = 15.0
"""How long a silent process may stay after its result: something may hold its output open."""
MAX_MESSAGE_BYTES: Final = 32 * 1024 * 1024
MAX_STDERR_LINES: Final = 1_000
MAX_RESULT_CHARACTERS: Final = 3_000


class Conversation:
    """
    Say `prompt` to Claude Code and follow what it does until it is done.

    `checkpoint` is that of the run which this one retries: its session is gone on with.
    """

    def __init__(
        self,
        channel: ProjectChannel,
        prompt: str,
        checkpoint: Any = None,
        cli_path: str | None = None,
        *,
        linger: float = LINGER_SECONDS,
    ) -> None:
        self._channel = channel
        self._linger = linger
        self._digest = hashlib.sha256(prompt.encode()).hexdigest()[:16]
        session = checkpoint.get("sessionId") if isinstance(checkpoint, dict) else None
        resumed = session is not None and checkpoint.get("prompt") == self._digest
        self._prompt = GO_ON if resumed else prompt
        self._mark = new_mark()
        self._messages = Messages(channel, self._digest, session)
        self._questions = Questions(channel)
        self._stderr = _Stderr()
        self._client = ClaudeSDKClient(
            ClaudeAgentOptions(
                cli_path=cli_path,
                cwd=channel.project.root,
                resume=session,
                system_prompt={"type": "preset", "preset": "claude_code"},
                setting_sources=["user", "project", "local"],
                include_partial_messages=True,
                can_use_tool=self._questions.ask,
                stderr=self._stderr.take,
                max_buffer_size=MAX_MESSAGE_BYTES,
                # The mark finds everything that Claude started, wherever it went.
                env={MARKER: self._mark, "AOSUI_TOKEN": ""},
            )
        )

    async def hold(self) -> object:
        """
        Return the result; cancelled, interrupt Claude and then end its processes.

        Raises `ExecutorError` when Claude reports an error, or its process fails.
        """
        talk = asyncio.create_task(self._talk(), name="conversation with Claude")
        try:
            await asyncio.wait({talk})
        except asyncio.CancelledError:
            await self._interrupt(talk)
            raise
        return talk.result()

    async def _interrupt(self, talk: asyncio.Task[object]) -> None:
        with contextlib.suppress(Exception):  # it may be starting, or deaf, or gone
            async with asyncio.timeout(INTERRUPT_SECONDS):
                await self._client.interrupt()
                await asyncio.wait({talk})
        talk.cancel()
        await asyncio.wait({talk}, timeout=LEAVE_SECONDS)
        await end_marked(self._mark)
        await asyncio.wait({talk})
        if not talk.cancelled():
            talk.exception()

    async def _talk(self) -> object:
        failure: ExecutorError | None = None
        try:
            await self._client.connect(self._say())
            await self._follow()
        except ResultError:
            pass  # the result that it tells of was shown before
        except ClaudeSDKError as error:
            failure = self._failure(error)
            failure.__cause__ = error
        finally:
            await self._client.disconnect()
            await self._questions.close()
            await end_marked(self._mark)
        await self._stderr.show(self._channel)
        if failure is not None:
            raise failure
        return _result(self._messages.result)

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None) as patience:
                async for message in self._client.receive_messages():
                    patience.reschedule(None)
                    await self._stderr.show(self._channel)
                    await self._messages.show(message)
                    if self._messages.done:
                        patience.reschedule(loop.time() + self._linger)

    async def _say(self) -> AsyncIterator[dict[str, Any]]:
        yield {
            "type": "user",
            "message": {"role": "user", "content": self._prompt},
            "parent_tool_use_id": None,
            "session_id": "default",
        }

    def _failure(self, error: ClaudeSDKError) -> ExecutorError:
        """Say in words for people, without paths of the server, what went wrong."""
        match error:
            case CLINotFoundError():
                return ExecutorError(
                    "Claude Code was not found: install it, or set cli_path in [executors.claude]",
                    code="claudeNotFound",
                )
            case CLIConnectionError(__cause__=OSError(strerror=reason)):
                return ExecutorError(
                    f"Claude Code cannot be started: {reason}", code="claudeNotFound"
                )
            case ProcessError(exit_code=int(status)):
                words = f"Claude Code {describe_exit(status)}"
                if self._stderr.last:
                    words += f": {shorten(self._stderr.last, 500)}"
                return ExecutorError(words, code="claudeEnded", retryable=True)
            case CLIJSONDecodeError():
                return ExecutorError(
                    f"Claude Code said what is no JSON: {shorten(error.line, 200)}",
                    code="claudeMalformed",
                    retryable=True,
                )
            case CLIConnectionError():
                words = f"the connection to Claude Code failed: {shorten(str(error), 200)}"
                return ExecutorError(words, code="claudeEnded", retryable=True)
        words = f"Claude Code said what is not understood: {shorten(str(error), 200)}"
        return ExecutorError(words, code="claudeMalformed", retryable=True)


class _Stderr:
    """What Claude Code writes to stderr, on its way to the channel."""

    def __init__(self) -> None:
        self.last = ""
        self._lines: deque[str] = deque()
        self._left_out = 0

    def take(self, line: str) -> None:
        self.last = line
        if len(self._lines) < MAX_STDERR_LINES:
            self._lines.append(valid(line))
        else:
            self._left_out += 1

    async def show(self, channel: ProjectChannel) -> None:
        """Bring what is there to the channel."""
        while self._lines:
            await channel.output(f"{self._lines.popleft()}\n", stream="stderr")
        if self._left_out:
            left_out, self._left_out = self._left_out, 0
            await channel.output(f"({left_out} more lines)\n", stream="stderr")


def _result(message: ResultMessage | None) -> object:
    if message is None:
        raise ExecutorError(
            "Claude Code ended without a result", code="claudeEnded", retryable=True
        )
    if message.is_error:
        words = "; ".join(message.errors or ()) or message.result or message.subtype
        raise ExecutorError(shorten(words, 1_000), code="claudeFailed", retryable=True)
    return {
        "text": shorten(message.result or "", MAX_RESULT_CHARACTERS),
        "sessionId": message.session_id,
        "costUsd": message.total_cost_usd,
        "turns": message.num_turns,
        "durationMs": message.duration_ms,
    }
