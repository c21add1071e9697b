"""Kill and restart, watch meanwhile, and check at the end."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import socket
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from attrs import define, field

from aosui.registry import project_id_of

from .history import Checker, Cursor
from .server import TOKEN

HEADERS = {"Authorization": f"Bearer {TOKEN}"}
PROJECTS = 3
VIEWERS = 2
TALKERS = 2

_decode = msgspec.json.Decoder(dict[str, Any]).decode


@define
class Report:
    """What came out; `violations` is empty when every promise was kept."""

    rounds: int = 0
    events: int = 0
    seen: int = 0
    skipped: int = 0
    requests: int = 0
    starts: list[float] = field(factory=list)
    lag: dict[str, float] = field(factory=dict)
    violations: list[str] = field(factory=list)

    def __str__(self) -> str:
        starts = sorted(self.starts)
        return (
            f"{self.rounds} rounds of kill -9: {self.events} events in the logs' numbering, "
            f"{self.seen} compared, {self.skipped} skipped by announced gaps, "
            f"{self.requests} requests with ids; start {starts[len(starts) // 2]:.2f} s median, "
            f"{starts[-1]:.2f} s at most; loop lag {self.lag} ms; "
            f"{len(self.violations)} violations"
        )


class Harness:
    """One server process, and its viewers, over any number of rounds."""

    def __init__(self, folder: Path, *, seed: int, broken: str | None = None) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.broken = broken
        self.port = free_port()
        self.up = asyncio.Event()
        self.process: asyncio.subprocess.Process | None = None
        self.report = Report()
        self.checkers: list[Checker] = []
        for number in range(PROJECTS):
            root = folder / f"project{number}"
            root.mkdir()
            self.checkers.append(Checker(project_id_of(root.resolve()), root.name))

    async def run(self, rounds: int, seconds: tuple[float, float] = (0.1, 1.0)) -> Report:
        """Run the rounds; each lets the server live for a random time between `seconds`."""
        async with aiohttp.ClientSession(f"http://127.0.0.1:{self.port}", headers=HEADERS) as http:
            cursors = [Cursor(checker) for checker in self.checkers for _ in range(VIEWERS)]
            await self.start()
            viewers = [asyncio.create_task(self.view(http, cursor)) for cursor in cursors]
            for _ in range(rounds):
                talk = asyncio.create_task(self.talk(http))
                await asyncio.sleep(self.random.uniform(*seconds))
                if not self.report.rounds:
                    await self.measure(http)
                await self.kill()
                await self.start()
                await talk
                self.report.rounds += 1
                if any(checker.violations for checker in self.checkers):
                    break
            await asyncio.sleep(0.5)
            for viewer in viewers:
                viewer.cancel()
            await asyncio.gather(*viewers, return_exceptions=True)
            await self.stop_talkers(http)
            for checker in self.checkers:
                await self.compare(http, checker)
            await self.kill()
        self.report.skipped = sum(cursor.skipped for cursor in cursors)
        for checker in self.checkers:
            self.report.seen += len(checker.seen)
            self.report.violations += checker.violations
        return self.report

    async def start(self) -> None:
        began = time.perf_counter()
        arguments = ["-m", "tests.crash.server", str(self.folder), str(self.port)]
        if self.broken:
            arguments += ["--break", self.broken]
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            cwd=Path(__file__).parents[2],
            stdout=asyncio.subprocess.PIPE,
        )
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            line = await self.process.stdout.readline()
        if line.strip() != b"ready":
            raise RuntimeError(f"the server did not start: {line!r}")
        self.report.starts.append(time.perf_counter() - began)
        self.up.set()

    async def kill(self) -> None:
        assert self.process is not None
        self.up.clear()
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def view(self, http: aiohttp.ClientSession, cursor: Cursor) -> None:
        """Watch one project for ever, coming back by the rules of the protocol."""
        while True:
            await self.up.wait()
            query = {"projectId": cursor.checker.project_id}
            if cursor.since is not None and cursor.epoch is not None:
                query |= {"since": str(cursor.since), "epoch": cursor.epoch}
            try:
                async with http.ws_connect(
                    "/ws", params=query, protocols=["aosui.v1"], max_msg_size=0
                ) as ws:
                    async for message in ws:
                        if message.type is aiohttp.WSMsgType.TEXT:
                            cursor.take(_decode(message.data), message.data)
            except (aiohttp.ClientError, ConnectionError):
                pass
            await asyncio.sleep(0.01)

    async def talk(self, http: aiohttp.ClientSession) -> None:
        """Start runs, each with an id that is sent again until it was answered."""
        for checker in self.checkers:
            for workflow in ["talk:talk"] * TALKERS + ["talk:brief"] * 3:
                await self.request(
                    http, checker, f"/api/projects/{checker.project_id}/runs", workflow
                )

    async def request(
        self, http: aiohttp.ClientSession, checker: Checker, path: str, workflow: str
    ) -> None:
        request_id = str(uuid.uuid4())
        body: dict[str, Any] = {"id": request_id, "workflow": workflow, "params": {}}
        self.report.requests += 1
        while True:
            await self.up.wait()
            try:
                async with http.post(path, json=body) as response:
                    reply = await response.json()
            except (aiohttp.ClientError, ConnectionError, ValueError):
                await asyncio.sleep(0.01)
                continue
            if response.status == 202:
                runs = checker.queued_by_request.setdefault(request_id, set())
                runs.add(reply["runId"])
                return
            if not reply["error"]["retryable"]:
                checker.wrong(f"request: {reply}")
                return
            await asyncio.sleep(0.01)

    async def stop_talkers(self, http: aiohttp.ClientSession) -> None:
        """Cancel every run of every project, until none is active."""
        async with asyncio.timeout(60):
            while await self.cancel_active(http):
                await asyncio.sleep(0.05)

    async def cancel_active(self, http: aiohttp.ClientSession) -> bool:
        """Cancel the runs that the snapshots show; returns whether any project was active."""
        async with http.get("/api/projects") as response:
            projects = (await response.json())["projects"]
        active = [one["projectId"] for one in projects if one["activity"]["active"]]
        for project_id in active:
            base = f"/api/projects/{project_id}"
            async with http.get(base) as response:
                runs = (await response.json())["runs"]
            for run in runs:
                if run["endedAt"] is None:
                    async with http.post(f"{base}/runs/{run['runId']}/cancel") as response:
                        await response.read()
        return bool(active)

    async def compare(self, http: aiohttp.ClientSession, checker: Checker) -> None:
        after: int | None = 0
        events: list[tuple[dict[str, Any], str]] = []
        page: dict[str, Any] = {}
        first: int | None = None
        while after is not None:
            async with http.get(
                f"/api/projects/{checker.project_id}/events", params={"after": str(after)}
            ) as response:
                page = msgspec.json.decode(await response.read(), type=dict[str, Any])
            first = page["firstSeq"] if first is None else first
            events += [(event, msgspec.json.encode(event).decode()) for event in page["events"]]
            after = page["next"]
        self.report.events += page["seq"]
        seen = {seq: canonical(text) for seq, text in checker.seen.items()}
        checker.seen = seen
        checker.logged(events, first or 1, page["seq"])

    async def measure(self, http: aiohttp.ClientSession) -> None:
        try:
            async with http.get("/health?verbose=1") as response:
                self.report.lag = (await response.json())["lag"]
        except (aiohttp.ClientError, ConnectionError):
            pass


def canonical(text: str) -> str:
    """Write a frame as the comparison has it."""
    return msgspec.json.encode(json.loads(text)).decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
