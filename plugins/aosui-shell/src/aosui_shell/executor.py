"""`ShellExecutor`: lists a project's tasks and runs them in a terminal."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from aosui import (
    ExecutorError,
    IncompleteWorkflows,
    Param,
    Project,
    ProjectChannel,
    Run,
    Workflow,
    run_process,
)
from aosui.process import check_exit
from attrs import define, field

from aosui_shell.configured import find_configured
from aosui_shell.makefile import find_targets
from aosui_shell.scripts import find_scripts
from aosui_shell.tasks import COMMAND, Found, Source

__all__ = ["ShellExecutor"]

SOURCES: Final[tuple[Source, ...]] = (find_configured, find_targets, find_scripts)
PAGERS: Final = {"PAGER": "cat", "GIT_PAGER": "cat"}
"""In a terminal, `git log` and others would wait for somebody to turn the page."""
STARTERS: Final = frozenset({"TERM", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"})
"""
What whoever started the server left in its environment, and what is not meant for a task: its
terminal, which `run_process` knows better, and the make that it was started by.
"""


@define(kw_only=True)
class ShellExecutor:
    """
    The executor `shell`: the project's own tasks.

    With `allow_command` there is also `shell:command`, which runs any command. It is an option of
    this class and so comes from the user's config: no file of a project can set it.
    """

    api_version: ClassVar[int] = 1

    allow_command: bool = field(default=False)

    @allow_command.validator
    def _check_allow_command(self, attribute: object, value: object) -> None:
        if not isinstance(value, bool):
            raise TypeError(f"allow_command must be true or false, not {value!r}")

    async def workflows(self, project: Project) -> Sequence[Workflow]:
        found = await asyncio.to_thread(_find, project.root)
        workflows = [task.workflow for task in found.tasks.values()]
        if self.allow_command:
            command = Param(COMMAND, description="A command line, as for `sh -c`.")
            workflows.append(
                Workflow(COMMAND, description="Run a command in the project.", params=[command])
            )
        if found.problems:
            raise IncompleteWorkflows("; ".join(found.problems), workflows)
        return workflows

    async def execute(self, run: Run, channel: ProjectChannel) -> object:
        inherited = {name: value for name, value in os.environ.items() if name not in STARTERS}
        environment = {**inherited, **PAGERS}
        if run.workflow == COMMAND and self.allow_command:
            argv: Sequence[str] = ("sh", "-c", "--", run.params[COMMAND])
        else:
            found = await asyncio.to_thread(_find, channel.project.root)
            task = found.tasks.get(run.workflow)
            if task is None:
                reasons = "; ".join(found.problems) or "its file has changed"
                raise ExecutorError(f"the task {run.workflow!r} is not there any more: {reasons}")
            argv = task.argv
            environment |= _variables(run.params)
        check_exit(await run_process(channel, *argv, env=environment, pty=True), run.workflow)
        return {"exitCode": 0}


def _find(root: Path) -> Found:
    found = Found()
    for source in SOURCES:
        found.merge(source(root))
    return found


def _variables(params: Mapping[str, Any]) -> dict[str, str]:
    """Write parameters as shells like them: a boolean is "1" or empty, and unset is unset."""
    return {
        name: ("1" if value else "") if isinstance(value, bool) else str(value)
        for name, value in params.items()
        if value is not None
    }
