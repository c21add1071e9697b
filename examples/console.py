"""Inputs: a run that listens to its users until they have had enough."""

from collections.abc import Sequence

from aosui import Project, ProjectChannel, Run, Workflow


class ConsoleExecutor:
    """Adds up the numbers that users send."""

    api_version = 1

    async def workflows(self, project: Project) -> Sequence[Workflow]:
        return [Workflow("sum", title="Add up numbers", description="Ends with an empty line")]

    async def execute(self, run: Run, channel: ProjectChannel) -> object:
        total = 0.0
        await channel.output("Numbers, please.\n")
        async for text in channel.inputs():
            if not text.strip():
                break
            try:
                total += float(text)
            except ValueError:
                await channel.output(f"{text.strip()!r} is no number\n", stream="stderr")
            else:
                await channel.output(f"= {total:g}\n")
        return {"total": total}
