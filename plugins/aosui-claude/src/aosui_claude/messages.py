"""What Claude Code says, for programs (events) and for people (output)."""

from __future__ import annotations

from typing import Any, Final

from claude_agent_sdk import (
    AssistantMessage,
    ContentBlock,
    Message,
    RateLimitEvent,
    ResultMessage,
    ServerToolResultBlock,
    ServerToolUseBlock,
    StreamEvent,
    SystemMessage,
    TaskNotificationMessage,
    TaskStartedMessage,
    TaskUpdatedMessage,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    UserMessage,
)

from aosui import ProjectChannel
from aosui_claude.fitting import fit, shorten, valid

__all__ = ["Messages"]

TELLING: Final = (
    "command",
    "file_path",
    "path",
    "pattern",
    "url",
    "query",
    "description",
    "prompt",
)
"""The arguments of tools that tell the most, the most telling first."""
SHOWN_LINES: Final = 8
SHOWN_CHARACTERS: Final = 1_000


class Messages:
    """
    Turn messages into `claude.*` events and readable text, and keep the result.

    Events: session, message, thinking, toolUse, toolResult, cost, system, rateLimit. The session's
    id is stored as the checkpoint as soon as it is known, with the prompt's digest.
    """

    def __init__(self, channel: ProjectChannel, digest: str, session: str | None) -> None:
        self.result: ResultMessage | None = None
        self._channel = channel
        self._digest = digest
        self._session = session
        self._checkpoint: dict[str, str] = {}
        self._streamed = ""
        self._helpers: set[str] = set()

    @property
    def done(self) -> bool:
        """Whether there is a result, and no helper of Claude's in the background."""
        return self.result is not None and not self._helpers

    async def show(self, message: Message) -> None:
        match message:
            case StreamEvent():
                await self._stream(message)
            case AssistantMessage() | UserMessage():
                await self._show_blocks(message)
            case ResultMessage():
                await self._show_result(message)
            case SystemMessage():
                await self._show_system(message)
            case RateLimitEvent(rate_limit_info=info):
                await self._event("rateLimit", {"status": info.status, "resetsAt": info.resets_at})

    async def _stream(self, message: StreamEvent) -> None:
        """Show text while it comes; the whole of it comes again as a message."""
        delta = message.event.get("delta")
        if message.parent_tool_use_id is not None or not isinstance(delta, dict):
            return
        text = delta.get("text")
        if delta.get("type") == "text_delta" and isinstance(text, str) and text:
            self._streamed += text
            await self._channel.output(valid(text))

    async def _show_blocks(self, message: AssistantMessage | UserMessage) -> None:
        content = message.content
        blocks: list[ContentBlock] = (
            [TextBlock(text=content)] if isinstance(content, str) else list(content)
        )
        by = {"parentToolUseId": message.parent_tool_use_id}
        for block in blocks:
            match block:
                case TextBlock(text=text):
                    role = "assistant" if isinstance(message, AssistantMessage) else "user"
                    model = message.model if isinstance(message, AssistantMessage) else None
                    if role == "assistant" and message.parent_tool_use_id is None:
                        await self._show_text(text)
                    await self._event("message", {"role": role, "text": text, "model": model} | by)
                case ThinkingBlock(thinking=text):
                    await self._event("thinking", {"text": text} | by)
                case ToolUseBlock() | ServerToolUseBlock():
                    await self._channel.output(f"● {summary(block.name, block.input)}\n")
                    use = {"id": block.id, "name": block.name, "input": block.input}
                    await self._event("toolUse", use | by)
                case ToolResultBlock() | ServerToolResultBlock():
                    failed = isinstance(block, ToolResultBlock) and block.is_error is True
                    text = excerpt(block.content)
                    if text:
                        await self._channel.output(text, stream="stderr" if failed else "stdout")
                    result = {
                        "toolUseId": block.tool_use_id,
                        "isError": failed,
                        "content": block.content,
                    }
                    await self._event("toolResult", result | by)

    async def _show_text(self, text: str) -> None:
        streamed, self._streamed = self._streamed, ""
        rest = text.removeprefix(streamed) if text.startswith(streamed) else f"\n{text}"
        await self._channel.output(valid(f"{rest}\n"))

    async def _show_system(self, message: SystemMessage) -> None:
        match message:
            case TaskStartedMessage(task_type="local_agent" | "local_workflow"):
                self._helpers.add(message.task_id)
            case (
                TaskNotificationMessage()
                | TaskUpdatedMessage(status="completed" | "failed" | "stopped" | "killed")
            ):
                self._helpers.discard(message.task_id)
        data = message.data
        if message.subtype != "init":
            dull = ("type", "subtype", "uuid", "session_id", "cwd")
            rest = {key: value for key, value in data.items() if key not in dull}
            await self._event("system", {"subtype": message.subtype, "data": rest})
            return
        await self._keep(data.get("session_id"))
        shown = {"model": "model", "claude_code_version": "version", "permissionMode": "mode"}
        session = {name: data.get(key) for key, name in shown.items()}
        resumed = self._session is not None
        await self._event(
            "session", {"sessionId": data.get("session_id"), "resumed": resumed} | session
        )

    async def _show_result(self, message: ResultMessage) -> None:
        self.result = message
        await self._keep(message.session_id)
        await self._event(
            "cost",
            {
                "usd": message.total_cost_usd,
                "turns": message.num_turns,
                "durationMs": message.duration_ms,
                "apiMs": message.duration_api_ms,
                "usage": message.usage,
                "models": message.model_usage,
            },
        )
        cost = f", ${message.total_cost_usd:.4f}" if message.total_cost_usd is not None else ""
        turns = f"{message.num_turns} turn{'s' if message.num_turns != 1 else ''}"
        await self._channel.output(f"({turns}, {message.duration_ms / 1000:.1f} s{cost})\n")

    async def _keep(self, session: object) -> None:
        checkpoint = {"sessionId": str(session), "prompt": self._digest}
        if isinstance(session, str) and session and checkpoint != self._checkpoint:
            self._checkpoint = checkpoint
            await self._channel.checkpoint(checkpoint)

    async def _event(self, name: str, data: dict[str, Any]) -> None:
        await self._channel.event(name, fit(data))


def summary(name: str, arguments: dict[str, Any]) -> str:
    """Say in a line what a tool is used for: `Bash: npm test`."""
    for key in TELLING:
        if isinstance(value := arguments.get(key), str) and value:
            return f"{valid(name)}: {shorten(' '.join(value.split()), 200)}"
    return valid(name)


def excerpt(content: Any) -> str:
    """Take the first lines of what a tool answers, indented."""
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "\n".join(text for text in texts if isinstance(text, str))
    if not isinstance(content, str) or not content.strip():
        return ""
    lines = valid(content).strip("\n").splitlines()
    shown = [f"  {shorten(line, SHOWN_CHARACTERS)}\n" for line in lines[:SHOWN_LINES]]
    if len(lines) > SHOWN_LINES:
        shown.append(f"  … ({len(lines) - SHOWN_LINES} more lines)\n")
    return "".join(shown)
