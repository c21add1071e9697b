"""A registry with one project and plugins loaded as a server loads them, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import msgspec

from aosui import EventLog, Limits, MemoryLog
from aosui.executors import GROUP, Executors
from aosui.plugins import load_plugins
from aosui.registry import OpenProject, ProjectRegistry

SECONDS = 15.0

Event = dict[str, Any]


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, GROUP)


class Floor:
    """One open project and all that was said in it."""

    def __init__(self, registry: ProjectRegistry, opened: OpenProject) -> None:
        self.registry = registry
        self.opened = opened
        self.events: list[Event] = []

    @property
    def executors(self) -> Executors:
        return self.registry.executors

    async def start(self, workflow: str, params: Mapping[str, Any] | None = None) -> str:
        started = await self.opened.runner.start(workflow, dict(params or {}), by=None)
        return started.run_id

    async def run(self, workflow: str, params: Mapping[str, Any] | None = None) -> Event:
        """Start a run and wait for its end; returns its last status."""
        return await self.ended(await self.start(workflow, params))

    async def ended(self, run_id: str) -> Event:
        event = await self.until(
            lambda event: (
                event["type"] == "run.updated"
                and event["run"]["runId"] == run_id
                and event["run"]["endedAt"] is not None
            )
        )
        return dict(event["run"])

    async def said(self, run_id: str, text: str) -> Event:
        """Wait for an output of a run that has this text."""
        return await self.until(
            lambda event: (
                event["type"] == "run.output" and event["runId"] == run_id and text in event["text"]
            )
        )

    async def asked(self, run_id: str, count: int = 1) -> Event:
        """Wait until a run has so many open questions; returns its status."""
        event = await self.until(
            lambda event: (
                event["type"] == "run.updated"
                and event["run"]["runId"] == run_id
                and len(event["run"]["questions"]) == count
            )
        )
        return dict(event["run"])

    async def until(self, condition: Callable[[Event], object]) -> Event:
        """Wait for an event, past ones included."""
        hub = self.opened.hub
        number = 0
        async with asyncio.timeout(SECONDS):
            while True:
                while number < len(self.events):
                    if condition(self.events[number]):
                        return self.events[number]
                    number += 1
                after = hub.seq if not self.events else self.events[-1]["seq"]
                if not self.events:
                    after = 0
                await hub.committed(after + 1)
                entries = await hub.read(after, 500, 1 << 20)
                self.events += [msgspec.json.decode(entry) for entry in entries]

    def of(self, run_id: str) -> list[Event]:
        """What a run said, without its states."""
        return [event for event in self.events if event.get("runId") == run_id]

    def text(self, run_id: str) -> str:
        return "".join(event.get("text", "") for event in self.of(run_id))


@asynccontextmanager
async def laid(
    root: Path,
    found: Iterable[EntryPoint],
    options: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    log: EventLog | None = None,
    limits: Limits | None = None,
) -> AsyncIterator[Floor]:
    registry = ProjectRegistry(log or MemoryLog(kept_bytes=1 << 26), limits or Limits())
    registry.executors.adopt(await load_plugins(options, found=found))
    try:
        project = await registry.open(root)
        yield Floor(registry, registry.opened(project.id))
    finally:
        await registry.shut_down()
        await registry.finish()


async def eventually(condition: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait for what tells nobody that it came true."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
