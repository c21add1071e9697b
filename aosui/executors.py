"""Executors: the protocol that plugins follow, and finding and judging the installed ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from aosui.channel import ProjectChannel
from aosui.values import Project, Run, Workflow

__all__ = ["Executor"]


class Executor(Protocol):
    """
    What a plugin provides; no base class is needed.

    `api_version = 1` is expected of the class. `async def close(self) -> None` is optional and
    awaited at shutdown.
    """

    async def workflows(self, project: Project) -> Sequence[Workflow]:
        """List what can be run in a project; has 5 seconds, is asked at each listing and start."""

    async def execute(self, run: Run, channel: ProjectChannel) -> object:
        """
        Do the work: what it returns is the run's result (JSON), what it raises fails the run.

        A cancel is one `CancelledError` at the current await.
        """
