"""Checkpoints: a retry goes on where the run before it stopped."""

import asyncio
from collections.abc import Sequence

from aosui import ExecutorError, Project, ProjectChannel, Run, Workflow


class MigrationExecutor:
    """Applies `migrations/*.sql` in order, each of them once."""

    api_version = 1

    async def workflows(self, project: Project) -> Sequence[Workflow]:
        return [Workflow("migrate", title="Apply migrations")]

    async def execute(self, run: Run, channel: ProjectChannel) -> object:
        # None at the first attempt; a retry finds what was stored last.
        done: list[str] = run.checkpoint or []
        files = await asyncio.to_thread(sorted, channel.project.root.glob("migrations/*.sql"))
        for number, path in enumerate(files):
            await channel.progress(number, len(files), message=path.name)
            if path.name in done:
                continue
            sql = await asyncio.to_thread(path.read_text)
            if "DROP" in sql:
                raise ExecutorError(f"{path.name} drops something: edit it", retryable=True)
            await channel.output(f"{path.name}: applied\n")
            done = [*done, path.name]
            await channel.checkpoint(done)
        return {"applied": len(done)}
