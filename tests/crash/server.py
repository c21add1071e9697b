"""
The server that is killed: three projects, executors that speak in bursts, a SQLite log.

`--break` puts a log in between that breaks its promise, to show that the harness sees it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from aiohttp import web

import aosui
from aosui.log import Deliver, EventLog, Position, StoredRun

TOKEN = "the-crash-harness-knows"
BURST = 50
PAUSE = 0.02


class Talker:
    """Speaks until it is killed; asks, stores checkpoints and reports progress in between."""

    api_version = 1

    async def workflows(self, project: aosui.Project) -> Sequence[aosui.Workflow]:
        return [aosui.Workflow("talk"), aosui.Workflow("brief")]

    async def execute(self, run: aosui.Run, channel: aosui.ProjectChannel) -> object:
        if run.workflow == "brief":
            await channel.output(f"{channel.project.name} brief {run.id}\n")
            return {"brief": True}
        burst = 0
        while True:
            for number in range(BURST):
                await channel.output(f"{channel.project.name} {run.id} {burst} {number}\n")
            await channel.event("burst", {"project": channel.project.name, "burst": burst})
            await channel.progress(burst)
            if burst % 10 == 0:
                await channel.checkpoint({"burst": burst})
            burst += 1
            await asyncio.sleep(PAUSE)


class BrokenLog:
    """A log that breaks the promise in one way, over a real one."""

    def __init__(self, log: aosui.SqliteLog, how: str) -> None:
        self._log = log
        self._how = how
        self._deliver: dict[str, Deliver] = {}
        self._behind: asyncio.Task[None] | None = None
        self._queue: asyncio.Queue[tuple[object, ...]] = asyncio.Queue()
        self._count = 0

    async def open(self, project_id: str, deliver: Deliver) -> Position:
        self._deliver[project_id] = deliver
        return await self._log.open(project_id, lambda entries, runs, first_seq: None)

    async def append(
        self,
        project_id: str,
        after: int,
        entries: Sequence[bytes],
        runs: Sequence[StoredRun],
        requests: Mapping[str, bytes],
        checkpoints: Mapping[str, bytes],
    ) -> int:
        if self._how == "acknowledge-early":
            self._deliver[project_id](entries, runs, 1)
            if self._behind is None:
                self._behind = asyncio.create_task(self._store())
            self._queue.put_nowait((project_id, after, entries, runs, requests, checkpoints))
            return 1
        stored = list(entries)
        for index in range(len(stored)):
            self._count += 1
            if self._count % 10_000 == 0:
                stored[index] = stored[index - 1]
        first = await self._log.append(project_id, after, stored, runs, requests, checkpoints)
        self._deliver[project_id](entries, runs, first)
        return first

    async def _store(self) -> None:
        while True:
            batch = await self._queue.get()
            await asyncio.sleep(0.03)
            await self._log.append(*batch)  # type: ignore[arg-type]

    async def read(
        self, project_id: str, after: int, limit: int, max_bytes: int
    ) -> Sequence[bytes]:
        return await self._log.read(project_id, after, limit, max_bytes)

    async def run(self, project_id: str, run_id: str) -> StoredRun | None:
        return await self._log.run(project_id, run_id)

    async def runs(self, project_id: str, before: str | None, limit: int) -> Sequence[StoredRun]:
        return await self._log.runs(project_id, before, limit)

    async def request(self, project_id: str, request_id: str) -> bytes | None:
        return await self._log.request(project_id, request_id)

    async def checkpoint(self, project_id: str, run_id: str) -> bytes | None:
        return await self._log.checkpoint(project_id, run_id)

    async def release(self, project_id: str) -> None:
        await self._log.release(project_id)

    async def forget(self, project_id: str) -> None:
        await self._log.forget(project_id)

    async def close(self) -> None:
        await self._log.close()


async def serve(folder: Path, port: int, broken: str | None) -> None:
    sqlite = aosui.SqliteLog(folder / "log.sqlite3")
    log: EventLog = BrokenLog(sqlite, broken) if broken else sqlite
    roots = sorted(path for path in folder.iterdir() if path.is_dir())
    app = aosui.create_app(
        token=TOKEN, projects=roots, executors={"talk": Talker()}, log=log, page=False
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--break", dest="broken", choices=["acknowledge-early", "drop"])
    arguments = parser.parse_args()
    os.environ.pop("AOSUI_TOKEN", None)
    asyncio.run(serve(arguments.folder, arguments.port, arguments.broken))
