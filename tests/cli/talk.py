"""An executor for the tests of the command line; installed by a `.dist-info` beside its copy."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aosui import ExecutorError, Param, Project, ProjectChannel, Prompt, Run, Workflow

__all__ = ["TalkExecutor"]


class TalkExecutor:
    """Says, fails, asks, waits."""

    api_version = 1

    async def workflows(self, project: Project) -> Sequence[Workflow]:
        return [
            Workflow(
                "say",
                params=[
                    Param("text", default="hello\n"),
                    Param("times", type="integer", default=1),
                    Param("loud", type="boolean", default=False),
                    Param("pause", type="number", default=0.0),
                ],
            ),
            Workflow("fail"),
            Workflow("ask"),
            Workflow("wait", title="Wait for ever"),
            Workflow("stubborn"),
        ]

    async def execute(self, run: Run, channel: ProjectChannel) -> object:
        match run.workflow:
            case "say":
                text, times = run.params["text"], run.params["times"]
                for number in range(times):
                    await channel.progress(number, times, message=f"saying {number}")
                    await channel.output(text.upper() if run.params["loud"] else text)
                    await asyncio.sleep(run.params["pause"])
                return {"said": times}
            case "fail":
                await channel.output("before\n", stream="stderr")
                raise ExecutorError("no luck today", code="noLuck")
            case "ask":
                return await channel.ask(
                    Prompt("colour", "Which colour?", options=["red", "blue"], allow_other=False),
                    Prompt("why", "And why?"),
                )
            case "wait":
                await channel.output("ready\n")
                await asyncio.Event().wait()
            case "stubborn":
                await channel.output("ready\n")
                while True:
                    try:
                        await asyncio.Event().wait()
                    except asyncio.CancelledError:
                        await channel.output("no\n")
        return None
