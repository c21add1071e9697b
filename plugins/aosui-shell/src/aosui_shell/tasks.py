"""What can be run in a directory, from all sources together; nothing is executed to find out."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from aosui import Workflow
from attrs import Factory, define, frozen

__all__ = ["COMMAND", "Found", "Source", "Task", "read_file"]

COMMAND: Final = "command"
"""The workflow that runs any command; no project may define one of this name."""
MAX_FILE_BYTES: Final = 4 * 1024 * 1024
MAX_TASKS: Final = 500
"""Of one source: a generated Makefile has thousands of targets that nobody wants to choose from."""


@frozen
class Task:
    """A workflow and the command that it is."""

    workflow: Workflow
    argv: Sequence[str]


@define
class Found:
    """The tasks of one or several sources, and what is wrong with those, each with its file."""

    tasks: dict[str, Task] = Factory(dict)
    problems: list[str] = Factory(list)

    def add(self, task: Task, file: str) -> None:
        """Take one task; past the limit none is taken, and the file is named once."""
        too_many = f"{file}: has more than {MAX_TASKS} tasks, the rest is not listed"
        if len(self.tasks) < MAX_TASKS:
            self.tasks[task.workflow.name] = task
        elif too_many not in self.problems:
            self.problems.append(too_many)

    def merge(self, other: Found) -> None:
        self.tasks.update(other.tasks)
        self.problems += other.problems


Source = Callable[[Path], Found]
"""Looks into a directory; blocks. What it cannot read it reports, it raises nothing."""


def read_file(path: Path) -> bytes | None:
    """
    Read a regular file, through symlinks: None when there is none, or it is something else.

    Raises OSError when it cannot be read or is larger than 4 MiB. A pipe does not block it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(MAX_FILE_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > MAX_FILE_BYTES:
        raise OSError(None, f"is larger than {MAX_FILE_BYTES // 1024**2} MiB")
    return content
