"""Watch and steer the workflows of several local projects, live, from one aiohttp application."""

from __future__ import annotations

from aosui.channel import ProjectChannel
from aosui.errors import (
    AosuiError,
    ChannelClosed,
    ExecutorError,
    LimitExceeded,
    NotSerialisable,
    ProjectNotFound,
)
from aosui.executors import Executor
from aosui.values import REQUIRED, Option, Param, Project, Prompt, Run, Workflow

__all__ = [
    "REQUIRED",
    "AosuiError",
    "ChannelClosed",
    "Executor",
    "ExecutorError",
    "LimitExceeded",
    "NotSerialisable",
    "Option",
    "Param",
    "Project",
    "ProjectChannel",
    "ProjectNotFound",
    "Prompt",
    "Run",
    "Workflow",
]
