"""An executor for the tests of faults; installed by a `.dist-info` beside its copy."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aosui import ExecutorError, Param, Project, ProjectChannel, Run, Workflow, run_process

__all__ = ["FaultsExecutor"]

CHILDREN = """
trap '' HUP TERM
setsid sh -c 'echo pid $$; exec sleep 1000' &
sh -c 'echo pid $$; exec sleep 1000' &
echo pid $$
wait
"""


class FaultsExecutor:
    """Floods, and leaves processes behind."""

    api_version = 1

    async def workflows(self, project: Project) -> Sequence[Workflow]:
        return [
            Workflow(
                "flood",
                params=[Param("count", type="integer"), Param("width", type="integer", default=0)],
            ),
            Workflow("large", params=[Param("size", type="integer")]),
            Workflow("large-data", params=[Param("size", type="integer")]),
            Workflow("children"),
            Workflow("hold"),
            Workflow("login", params=[Param("password", secret=True)]),
        ]

    async def execute(self, run: Run, channel: ProjectChannel) -> object:
        match run.workflow:
            case "flood":
                await self._flood(channel, run.params["count"], run.params["width"])
            case "large":
                await channel.output("0123456789" * (run.params["size"] // 10))
            case "large-data":
                await channel.event("large", "x" * run.params["size"])
            case "children":
                await run_process(channel, "sh", "-c", CHILDREN, pty=True)
            case "hold":
                await channel.output("ready\n")
                await asyncio.Event().wait()
            case "login":
                await run_process(channel, "env")
                await channel.checkpoint({"user": "ann"})
                raise ExecutorError("that is not it", code="wrongPassword")
        return None

    async def _flood(self, channel: ProjectChannel, count: int, width: int) -> None:
        said = channel.project.root / "said"
        for number in range(count):
            await channel.output(f"{number:0{width}}\n")
            if number % 1000 == 0:
                said.write_text(str(number))
