"""The executor `claude` for aosui: Claude Code, through claude-agent-sdk."""

from __future__ import annotations

import asyncio
import os.path
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

from attrs import define, field
from attrs.validators import instance_of, optional

from aosui import Project, ProjectChannel, Run, Workflow
from aosui_claude.commands import PROMPT, find_commands, prompt_of

__all__ = ["ClaudeExecutor"]


def _home(path: str | None) -> str | None:
    return os.path.expanduser(path) if isinstance(path, str) else path


@define
class ClaudeExecutor:
    """
    Runs the commands of a project's `.claude/commands`, and any prompt.

    `cli_path` is the `claude` command to use, `~` for the home directory; without it the SDK's
    own, or the one on PATH. Raises ImportError when claude-agent-sdk is not installed.
    """

    api_version = 1

    cli_path: str | None = field(
        default=None, converter=_home, validator=optional(instance_of(str))
    )

    def __attrs_post_init__(self) -> None:
        # Importing the SDK takes more than a second: looked for now, imported at the first run.
        if find_spec("claude_agent_sdk") is None:
            raise ImportError("claude-agent-sdk is not installed")

    async def workflows(self, project: Project) -> Sequence[Workflow]:
        """List the project's commands, and `prompt`."""
        return [PROMPT, *await asyncio.to_thread(find_commands, project.root)]

    async def execute(self, run: Run, channel: ProjectChannel) -> object:
        """
        Hold the conversation to its end.

        Returns `{text, sessionId, costUsd, turns, durationMs}`. The session's id is the checkpoint.
        """
        await asyncio.to_thread(import_module, "claude_agent_sdk")
        from aosui_claude.conversation import Conversation

        conversation = Conversation(channel, prompt_of(run), run.checkpoint, self.cli_path)
        return await conversation.hold()
