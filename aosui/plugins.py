"""The installed plugins, as the server uses them: in this process, or isolated."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint
from typing import Any

from aosui.errors import ExecutorError
from aosui.executors import BrokenExecutor, Executors, Plugin
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
    await asyncio.gather(*(_check(plugin) for plugin in executors.plugins.values()))


async def _check(plugin: Plugin) -> None:
    if not isinstance(plugin.executor, IsolatedExecutor):
        return
    try:
        await plugin.executor.check()
    except ExecutorError as error:
        plugin.status = error.becomes if isinstance(error, BrokenExecutor) else "broken"
        plugin.reason = error.message
