"""The smallest executor that is of use."""

import asyncio
from collections.abc import Sequence

from aosui import Param, Project, ProjectChannel, Run, Workflow


class CountdownExecutor:
    """Counts down, one step a second."""

    api_version = 1

    async def workflows(self, project: Project) -> Sequence[Workflow]:
        start = Param("start", type="integer", default=10)
        return [Workflow("countdown", title="Count down", params=[start])]

    async def execute(self, run: Run, channel: ProjectChannel) -> object:
        start = run.params["start"]
        for done in range(start):
            await channel.progress(done, start, message=f"{start - done}…")
            await asyncio.sleep(1)
        return {"liftOff": True}
