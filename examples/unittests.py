"""A command of the machine: the project's unit tests, line by line."""

import sys
from collections.abc import Sequence

from aosui import ExecutorError, Param, Project, ProjectChannel, Run, Workflow, run_process


class UnittestExecutor:
    """Runs `python -m unittest` and counts."""

    api_version = 1

    async def workflows(self, project: Project) -> Sequence[Workflow]:
        pattern = Param("pattern", default="test*.py", description="Which files")
        return [Workflow("unittest", title="Unit tests", params=[pattern])]

    async def execute(self, run: Run, channel: ProjectChannel) -> object:
        passed = 0

        async def count(line: str) -> None:
            nonlocal passed
            if line.endswith(" ... ok"):
                passed += 1
                await channel.progress(passed, message=line.partition(" ")[0])

        # A list of arguments: what a user types is an argument, whatever is in it.
        options = ("-v", f"--pattern={run.params['pattern']}")
        command = (sys.executable, "-m", "unittest", "discover", *options)
        status = await run_process(channel, *command, on_line=count)
        if status != 0:
            raise ExecutorError("not all tests passed", code="testsFailed", retryable=True)
        return {"passed": passed}
