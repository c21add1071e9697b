"""Watch and steer the workflows of several local projects, live, from one aiohttp application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aosui.channel import ProjectChannel
from aosui.errors import (
    AosuiError,
    ChannelClosed,
    ExecutorError,
    LimitExceeded,
    NotSerialisable,
    ProjectNotFound,
)
from aosui.limits import Limits
from aosui.log import EventLog
from aosui.log.memory import MemoryLog
from aosui.values import REQUIRED, Option, Param, Project, Prompt, Run, Workflow

if TYPE_CHECKING:
    from aosui.app import WS_REGISTRY, create_app, get_registry, setup
    from aosui.blocking import SyncChannel, run_blocking
    from aosui.executors import Executor, IncompleteWorkflows
    from aosui.guard import allow_anyone
    from aosui.log.sqlite import SqliteLog
    from aosui.process import run_process
    from aosui.registry import ProjectRegistry

__all__ = [
    "REQUIRED",
    "WS_REGISTRY",
    "AosuiError",
    "ChannelClosed",
    "EventLog",
    "Executor",
    "ExecutorError",
    "IncompleteWorkflows",
    "LimitExceeded",
    "Limits",
    "MemoryLog",
    "NotSerialisable",
    "Option",
    "Param",
    "Project",
    "ProjectChannel",
    "ProjectNotFound",
    "ProjectRegistry",
    "Prompt",
    "Run",
    "SqliteLog",
    "SyncChannel",
    "Workflow",
    "allow_anyone",
    "create_app",
    "get_registry",
    "run_blocking",
    "run_process",
    "setup",
]

_LAZY = {
    "Executor": "aosui.executors",
    "IncompleteWorkflows": "aosui.executors",
    "WS_REGISTRY": "aosui.app",
    "ProjectRegistry": "aosui.registry",
    "SqliteLog": "aosui.log.sqlite",
    "SyncChannel": "aosui.blocking",
    "allow_anyone": "aosui.guard",
    "create_app": "aosui.app",
    "get_registry": "aosui.app",
    "run_blocking": "aosui.blocking",
    "run_process": "aosui.process",
    "setup": "aosui.app",
}
"""The server's names are imported at first use: executors and their processes need none of them."""


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module 'aosui' has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value
