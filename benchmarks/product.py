"""
aosui under load: `python -m benchmarks.product [LOG]`, a whole application, guards on.

It prints `port N` and `projects ID...`, and obeys lines from stdin, each answered with `done`:

    arm MODE COUNT GAP [PROJECT]   starts a run that waits for `go`: `flood` says COUNT lines as
                                   fast as it can, `turn` gives the loop a turn after each, `lone`
                                   says one each GAP ms, with the time in it
    go                             lets all armed runs speak
    waiting COUNT                  starts COUNT runs that wait
    projects COUNT                 opens COUNT projects more
    busy COUNT GAP                 as many more, in which something is said each GAP ms; their ids
                                   come with `done`
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import structlog
from aiohttp import web

from aosui import (
    Limits,
    MemoryLog,
    Param,
    Project,
    ProjectChannel,
    Run,
    SqliteLog,
    Workflow,
    allow_anyone,
    create_app,
    get_registry,
)
from benchmarks.orders import orders

LINE = "x" * 119 + "\n"
PROJECTS = 4


def stamped() -> str:
    """Return a line with the time in it, as long as `LINE`."""
    return f"@{time.monotonic_ns():019d} {LINE[21:]}"


class Load:
    """The executor that speaks."""

    api_version = 1

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    async def workflows(self, project: Project) -> Sequence[Workflow]:
        params = [
            Param("count", type="integer", default=1),
            Param("gap", type="integer", default=0),
        ]
        return [Workflow(name, params=params) for name in ("flood", "turn", "lone", "wait")]

    async def execute(self, run: Run, channel: ProjectChannel) -> object:
        output, count = channel.output, run.params["count"]
        await self.gate.wait()
        match run.workflow:
            case "flood":
                for _ in range(count):
                    await output(LINE)
            case "turn":
                for _ in range(count):
                    await output(LINE)
                    await asyncio.sleep(0)
            case "lone":
                for _ in range(count):
                    await asyncio.sleep(run.params["gap"] / 1000)
                    await output(stamped())
            case "wait":
                await output(LINE)
        # The end of the run is not what is measured.
        await asyncio.Event().wait()
        return None


class Benched:
    """The application, and what the lines from stdin ask of it."""

    def __init__(self, log: str) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="aosui-bench-"))
        self._load = Load()
        self._app = create_app(
            projects=[self._new_project(f"number-{number}") for number in range(PROJECTS)],
            executors={"load": self._load},
            log=MemoryLog() if log == "memory" else SqliteLog(log),
            authorize=allow_anyone,
            dormant_after=None,
            limits=Limits(connections_per_project=5000, connections=10_000, runs=1000),
        )
        self._registry = get_registry(self._app)
        self._opened = 0

    def _new_project(self, name: str) -> Path:
        path = self._directory / name
        path.mkdir()
        return path

    async def serve(self) -> None:
        runner = web.AppRunner(self._app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
        projects = [project.id for project in self._registry]
        self._first = projects[0]
        print("port", runner.addresses[0][1], flush=True)
        print("projects", *projects, flush=True)
        async for words in orders():
            print("done", *await self._do(*words), flush=True)

    async def _do(self, verb: str, *more: str) -> Sequence[str]:
        busy: list[str] = []
        match verb, *more:
            case "arm", mode, count, gap, *project:
                self._load.gate.clear()
                await self._start(
                    mode, project[0] if project else self._first, count=int(count), gap=int(gap)
                )
            case ("go",):
                self._load.gate.set()
            case "waiting", count:
                for _ in range(int(count)):
                    await self._start("wait", self._first)
                self._load.gate.set()
            case "projects", count:
                for _ in range(int(count)):
                    await self._open()
                gc.collect()
            case "busy", count, gap:
                self._load.gate.set()
                for _ in range(int(count)):
                    busy.append(await self._open())
                    await self._start("lone", busy[-1], count=1_000_000, gap=int(gap))
                    # Not all at the same moment.
                    await asyncio.sleep(int(gap) / 1000 / int(count))
            case _:
                raise ValueError(verb)
        return busy

    async def _open(self) -> str:
        self._opened += 1
        path = await asyncio.to_thread(self._new_project, f"project-{self._opened}")
        return (await self._registry.open(path)).id

    async def _start(self, workflow: str, project: str, **params: object) -> None:
        opened = self._registry.opened(project)
        run_id = await self._registry.start_run(project, f"load:{workflow}", params)
        while (await opened.runner.status(run_id)).state != "running" or not opened.hub.quiet:
            await asyncio.sleep(0.001)


def main() -> None:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    with asyncio.Runner() as runner:
        runner.run(Benched(sys.argv[1] if len(sys.argv) > 1 else "memory").serve())


if __name__ == "__main__":
    main()
