"""The installed plugins, as the server uses them: in this process, or isolated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint
from typing import Any

from aosui.executors import BrokenExecutor, Executors
from aosui.isolation import IsolatedExecutor

__all__ = ["check_plugins", "load_plugins"]


async def load_plugins(
    options: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    found: Iterable[EntryPoint] | None = None,
) -> Executors:
    """
    Load the plugins of the entry point group `aosui.executors`.

    `options` are the tables `[executors.NAME]` by name. A process of an isolated executor is
    started when it is first used.
    """
    return await Executors.load(options, found=found, isolate=IsolatedExecutor)


async def check_plugins(executors: Executors) -> None:
    """Start the isolated executors as well, so that every plugin's `status` is what it is."""
    for plugin in executors.plugins.values():
        if isinstance(plugin.executor, IsolatedExecutor):
            try:
                await plugin.executor.check()
            except BrokenExecutor as error:
                plugin.status, plugin.reason = error.becomes, error.message
