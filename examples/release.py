"""An approval flow: nothing is released before somebody has said so."""

import asyncio
from collections.abc import Sequence

from aosui import ExecutorError, Option, Param, Project, ProjectChannel, Prompt, Run, Workflow


class ReleaseExecutor:
    """Asks what to release and where, and waits for the answer."""

    api_version = 1

    async def workflows(self, project: Project) -> Sequence[Workflow]:
        return [Workflow("release", title="Release", params=[Param("version", default="1.0")])]

    async def execute(self, run: Run, channel: ProjectChannel) -> object:
        version = run.params["version"]
        try:
            async with asyncio.timeout(3600):
                answers = await channel.ask(
                    Prompt(
                        "go",
                        f"Release {version} of {channel.project.name}?",
                        header="Release",
                        options=[
                            Option("yes", "Release it"),
                            Option("no", "Not now", description="The run ends, nothing happens"),
                        ],
                        allow_other=False,
                    ),
                    Prompt("where", "Where to?", options=["staging", "production"], multiple=True),
                    Prompt("notes", "What is new?"),
                )
        except TimeoutError:
            raise ExecutorError("nobody answered within an hour", retryable=True) from None
        if answers["go"] == "no":
            raise ExecutorError("the release was refused", code="refused")
        for place in answers["where"]:
            await channel.output(f"{version} is on {place}: {answers['notes']}\n")
        await channel.event("released", {"version": version, "where": answers["where"]})
        return {"released": version}
