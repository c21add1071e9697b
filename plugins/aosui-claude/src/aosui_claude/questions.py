"""What Claude asks for, as questions: permission to use a tool, and questions of its own."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from claude_agent_sdk import PermissionResultAllow, PermissionResultDeny, ToolPermissionContext

from aosui import LimitExceeded, Option, ProjectChannel, Prompt
from aosui_claude.fitting import fit, shorten, valid

__all__ = ["Questions"]

ASK_USER: Final = "AskUserQuestion"
ALLOW: Final = "allow"
ALWAYS: Final = "always"
DENY: Final = "deny"
REFUSED: Final = "The user refused this."
MAX_INPUT: Final = 1_500
"""Characters of a tool's input in a question; more of it is in the event `permission`."""


class Questions:
    """
    Ask one question at a time: all that are open have to fit into 12 KiB together.

    `ask` is what claude-agent-sdk calls `can_use_tool`.
    """

    def __init__(self, channel: ProjectChannel) -> None:
        self._channel = channel
        self._turn = asyncio.Lock()
        self._asking: set[asyncio.Task[Any]] = set()

    async def ask(
        self, tool: str, arguments: dict[str, Any], context: ToolPermissionContext
    ) -> PermissionResultAllow | PermissionResultDeny:
        """Ask the user about the use of a tool and wait for the answer."""
        task = asyncio.current_task()
        assert task is not None
        self._asking.add(task)
        try:
            async with self._turn:
                if tool == ASK_USER:
                    return await self._ask_user(arguments)
                return await self._ask_permission(tool, arguments, context)
        except LimitExceeded:
            return PermissionResultDeny(message="This is too long to be asked: make it shorter.")
        finally:
            self._asking.discard(task)

    async def close(self) -> None:
        """Stop asking: what is open is closed."""
        for task in self._asking:
            task.cancel()
        if self._asking:
            await asyncio.wait(self._asking)

    async def _ask_permission(
        self, tool: str, arguments: dict[str, Any], context: ToolPermissionContext
    ) -> PermissionResultAllow | PermissionResultDeny:
        await self._channel.event(
            "permission",
            fit({"tool": tool, "toolUseId": context.tool_use_id, "input": arguments}),
        )
        wants = context.title or f"Claude wants to use {context.display_name or tool}"
        reasons = (context.description, context.decision_reason, context.blocked_path)
        details = json.dumps(arguments, indent=2, ensure_ascii=False)
        options = [Option(ALLOW, "Allow"), Option(DENY, "Refuse")]
        if context.suggestions:
            options.insert(1, Option(ALWAYS, "Allow, and do not ask again"))
        answers = await self._channel.ask(
            Prompt(
                "permission",
                shorten("\n".join([wants, *(reason for reason in reasons if reason)]), MAX_INPUT)
                + f"\n\n{shorten(details, MAX_INPUT)}",
                header=shorten(f"Permission: {context.display_name or tool}", 60),
                options=options,
            )
        )
        match answers["permission"]:
            case "allow":
                return PermissionResultAllow()
            case "always":
                return PermissionResultAllow(updated_permissions=context.suggestions)
            case "deny":
                return PermissionResultDeny(message=REFUSED)
            case words:
                # What is neither is no permission, but a word to Claude.
                return PermissionResultDeny(message=f"{REFUSED} They say: {words}")

    async def _ask_user(
        self, arguments: dict[str, Any]
    ) -> PermissionResultAllow | PermissionResultDeny:
        try:
            asked = [str(question["question"]) for question in arguments["questions"]]
            prompts = [
                _prompt(f"question-{number}", question)
                for number, question in enumerate(arguments["questions"], start=1)
            ]
            if not prompts:
                raise ValueError("no question")
        except (KeyError, TypeError, ValueError) as error:
            return PermissionResultDeny(message=f"These questions are malformed: {error!r}")
        given = await self._channel.ask(*prompts)
        answers = {}
        for text, prompt in zip(asked, prompts, strict=True):
            answer = given[prompt.id]
            answers[text] = answer if isinstance(answer, str) else ", ".join(answer)
        return PermissionResultAllow(updated_input={**arguments, "answers": answers})


def _prompt(prompt_id: str, question: dict[str, Any]) -> Prompt:
    return Prompt(
        prompt_id,
        valid(str(question["question"])),
        header=valid(str(question.get("header") or "")),
        options=[
            Option(
                valid(str(option["label"])),
                description=valid(str(option.get("description") or "")),
            )
            for option in question.get("options") or ()
        ],
        multiple=question.get("multiSelect") is True,
    )
