"""A project without a server: its hub and its runner on a log in memory, for tests of runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from attrs import define

from aosui import Limits, Project
from aosui.events import FINAL_STATES, RunStatus
from aosui.executors import Executors
from aosui.hub import Hub
from aosui.runner import Runner

from .support import SECONDS, FaultyLog, Frame, Scripted

__all__ = ["Bench", "bench"]


@define
class Bench:
    """A project at work."""

    hub: Hub
    runner: Runner
    log: FaultyLog
    executor: Scripted

    async def start(self, workflow: str, **params: object) -> str:
        started = await self.runner.start(f"test:{workflow}", params, by="ann")
        return started.run_id

    async def run(self, workflow: str, **params: object) -> RunStatus:
        """Start a run and wait for its end."""
        return await self.ended(await self.start(workflow, **params))

    async def state(self, run_id: str, *states: str) -> RunStatus:
        """Wait until a run was in one of the states, as viewers were told; returns its status."""
        seen = 0
        async with asyncio.timeout(SECONDS):
            while True:
                entries = await self.hub.read(seen, 10**6, 10**9)
                seen += len(entries)
                for event in map(json.loads, entries):
                    if event["type"] == "run.updated" and event["run"]["runId"] == run_id:
                        status = msgspec.convert(event["run"], RunStatus)
                        if status.state in states:
                            return status
                await asyncio.sleep(0.002)

    async def ended(self, run_id: str) -> RunStatus:
        return await self.state(run_id, *FINAL_STATES)

    async def events(self, run_id: str | None = None) -> list[Frame]:
        """Return the stored events of a run, or all."""
        entries = await self.hub.read(0, 10**6, 10**9)
        events: list[Frame] = [json.loads(entry) for entry in entries]
        return [event for event in events if run_id in (None, run_of(event))]

    async def told(self, run_id: str) -> list[str]:
        """Return the states that viewers were told, in order."""
        return [
            event["run"]["state"]
            for event in await self.events(run_id)
            if event["type"] == "run.updated"
        ]

    async def question(self, run_id: str) -> str:
        """Wait until a run asks; returns the question's id."""
        status = await self.state(run_id, "waiting")
        return status.questions[-1].question_id


def run_of(event: Frame) -> Any:
    return event.get("runId") or event.get("run", {}).get("runId")


@asynccontextmanager
async def bench(
    executor: Scripted, *, log: FaultyLog | None = None, root: Path = Path("/"), **limits: Any
) -> AsyncIterator[Bench]:
    """Open a project; its runs are cancelled and abandoned at the end."""
    bounds = Limits(**{"cancel_seconds": 0.1, **limits})
    log = log or FaultyLog()
    hub = Hub(Project("p", "Site", root), log, bounds)
    await hub.open()
    runner = Runner(hub, Executors({"test": executor}), bounds)
    yield Bench(hub, runner, log, executor)
    log.refusing = False
    runner.cancel_all()
    async with asyncio.timeout(SECONDS):
        await runner.ended()
    await hub.close(SECONDS)
