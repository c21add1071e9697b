"""Slow and lost viewers, over real sockets: they cost nobody anything and lose nothing."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

import aosui

from .support import BEARER, SECONDS, TOKEN, eventually

LINE = "x" * 200 + "\n"


class Tap:
    """An executor that speaks while a test has it open."""

    api_version = 1

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}

    async def workflows(self, project: aosui.Project) -> Sequence[aosui.Workflow]:
        count = aosui.Param("lines", type="integer", default=1000)
        pause = aosui.Param("pause", type="number", default=0)
        return [aosui.Workflow("pour", params=[count, pause])]

    async def execute(self, run: aosui.Run, channel: aosui.ProjectChannel) -> object:
        for number in range(run.params["lines"]):
            await channel.output(f"{time.monotonic():.6f} {number} {LINE}")
            if run.params["pause"]:
                await asyncio.sleep(run.params["pause"])
        return None


class Running:
    def __init__(self, registry: aosui.ProjectRegistry, port: int, ids: list[str]) -> None:
        self.registry = registry
        self.port = port
        self.ids = ids

    async def pour(self, project_id: str, lines: int, pause: float = 0) -> None:
        params = {"lines": lines, "pause": pause}
        await self.registry.start_run(project_id, "tap:pour", params)

    def stalled(self, project_id: str, *, through: int | None = None) -> socket.socket:
        """Connect a viewer that does its handshake and then reads no more."""
        raw = socket.create_connection(("127.0.0.1", through or self.port))
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.sendall(
            f"GET /ws?projectId={project_id} HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{self.port}\r\nAuthorization: Bearer {TOKEN}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            "Sec-WebSocket-Protocol: aosui.v1\r\n\r\n".encode()
        )
        return raw


@asynccontextmanager
async def running(folder: Path, count: int = 1, **limits: Any) -> AsyncIterator[Running]:
    roots = [folder / f"project{number}" for number in range(count)]
    for root in roots:
        root.mkdir()
    app = aosui.create_app(
        token=TOKEN, projects=roots, executors={"tap": Tap()}, limits=aosui.Limits(**limits)
    )
    async with TestServer(app) as server:
        registry = app[aosui.WS_REGISTRY]
        assert server.port is not None
        yield Running(registry, server.port, [project.id for project in registry])


@asynccontextmanager
async def viewer(
    s: Running, project_id: str, *, autoping: bool = True, **query: str
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    url = f"http://127.0.0.1:{s.port}/ws"
    async with (
        aiohttp.ClientSession(headers=BEARER) as session,
        session.ws_connect(
            url,
            params={"projectId": project_id, **query},
            protocols=["aosui.v1"],
            max_msg_size=0,
            autoping=autoping,
        ) as ws,
    ):
        yield ws


async def frame(ws: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    message = await ws.receive(SECONDS)
    assert message.type is aiohttp.WSMsgType.TEXT, message
    value = json.loads(message.data)
    assert isinstance(value, dict)
    return value


def is_end(value: dict[str, Any]) -> bool:
    return value["type"] == "run.updated" and value["run"]["endedAt"] is not None


async def test_a_viewer_stalled_in_a_flood_is_dropped_and_its_descriptor_freed(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, stall_seconds=0.5) as s:
        descriptors = len(os.listdir("/proc/self/fd"))
        with s.stalled(s.ids[0]):
            await eventually(lambda: s.registry.connection_count() == 1)
            await s.pour(s.ids[0], 60_000)
            await eventually(lambda: s.registry.connection_count() == 0)
        await eventually(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)
        await eventually(lambda: not s.registry.opened(s.ids[0]).active)


async def test_a_viewer_stalled_in_a_trickle_is_found_by_its_ping(tmp_path: Path) -> None:
    async with running(tmp_path, ping_seconds=0.4, pong_seconds=0.2) as s:
        with s.stalled(s.ids[0]):
            await eventually(lambda: s.registry.connection_count() == 1)
            await s.pour(s.ids[0], 50, pause=0.01)
            await eventually(lambda: s.registry.connection_count() == 0)


@pytest.mark.parametrize("kind", ["pings", "requests"])
async def test_a_viewer_that_asks_on_and_on_and_never_reads_is_dropped(
    tmp_path: Path, kind: str
) -> None:
    rates = {"requests_per_second": 1_000_000, "request_burst": 1_000_000}
    async with running(tmp_path, connection_bytes=100_000, refusals=1_000_000, **rates) as s:
        text = b'{"type": "nothing", "projectId": "' + s.ids[0].encode() + b'", "id": "1"}'
        one = masked(0x9, b"x" * 100) if kind == "pings" else masked(0x1, text)
        loop = asyncio.get_running_loop()
        with s.stalled(s.ids[0]) as raw:
            await eventually(lambda: s.registry.connection_count() == 1)
            raw.setblocking(False)

            async def ask_on_and_on() -> None:
                while True:
                    await loop.sock_sendall(raw, one * 500)

            with pytest.raises(ConnectionError):
                await asyncio.wait_for(ask_on_and_on(), SECONDS)
            await eventually(lambda: s.registry.connection_count() == 0)


def masked(opcode: int, payload: bytes) -> bytes:
    """Make a client's WebSocket frame; its mask is all zeros."""
    assert len(payload) < 126
    return bytes((0x80 | opcode, 0x80 | len(payload))) + bytes(4) + payload


async def test_a_half_open_line_is_found_within_one_and_a_half_intervals(tmp_path: Path) -> None:
    ping, pong = 0.8, 0.3
    async with (
        running(tmp_path, ping_seconds=ping, pong_seconds=pong) as s,
        proxy(s.port) as silent,
    ):
        with s.stalled(s.ids[0], through=silent.port):
            await eventually(lambda: s.registry.connection_count() == 1)
            silent.freeze()
            await eventually(lambda: s.registry.connection_count() == 0)


async def test_a_viewer_that_lives_is_not_dropped_though_it_says_nothing(tmp_path: Path) -> None:
    async with (
        running(tmp_path, ping_seconds=0.05, pong_seconds=0.5) as s,
        viewer(s, s.ids[0], autoping=False) as ws,
    ):
        pings = 0
        while pings < 10:
            message = await ws.receive(SECONDS)
            if message.type is aiohttp.WSMsgType.PING:
                pings += 1
                await ws.pong(message.data)
        assert s.registry.connection_count() == 1


async def test_a_slow_reader_gets_everything_in_order_or_is_told_of_the_gap(
    tmp_path: Path,
) -> None:
    limits = {"high_water_bytes": 20_000, "low_water_bytes": 10_000, "ring_bytes": 30_000}
    async with running(tmp_path, kept_bytes=400_000, **limits) as s, viewer(s, s.ids[0]) as ws:
        last = 0
        gaps = 0
        await s.pour(s.ids[0], 20_000)
        while True:
            value = await frame(ws)
            if value["type"] == "gap":
                assert value["fromSeq"] == last + 1
                assert value["reason"] == "tooOld"
                last = value["toSeq"]
                snapshot = await frame(ws)
                assert (snapshot["type"], snapshot["seq"]) == ("snapshot", last)
                gaps += 1
                if all(run["endedAt"] for run in snapshot["runs"]):
                    break
            elif "run" in value["type"]:
                assert value["seq"] == last + 1
                last = value["seq"]
                if is_end(value):
                    break
                if last % 500 == 0:
                    await asyncio.sleep(0.01)
        assert last <= s.registry.opened(s.ids[0]).hub.seq
        assert gaps or last == s.registry.opened(s.ids[0]).hub.seq


async def test_fifty_stalled_viewers_cost_the_good_one_nothing(tmp_path: Path) -> None:
    lines = 400
    async with running(tmp_path) as s:
        stalled = [s.stalled(s.ids[0]) for _ in range(50)]
        try:
            await eventually(lambda: s.registry.connection_count() == 50)
            async with viewer(s, s.ids[0]) as ws:
                while (await frame(ws))["type"] != "synced":
                    pass
                await s.pour(s.ids[0], lines, pause=0.001)
                got = []
                while not is_end(value := await frame(ws)):
                    if value["type"] == "run.output":
                        got.append(int(value["text"].split()[1]))
            assert got == list(range(lines))
        finally:
            for raw in stalled:
                raw.close()


async def test_five_hundred_reconnects_at_once_get_one_snapshot(tmp_path: Path) -> None:
    async with running(tmp_path) as s:
        await s.pour(s.ids[0], 20)
        await eventually(lambda: not s.registry.opened(s.ids[0]).active)
        hub = s.registry.opened(s.ids[0]).hub
        await eventually(lambda: hub.quiet)
        shared = hub.snapshot_frame()

        async def reconnect() -> str:
            async with viewer(s, s.ids[0], since="3", epoch=hub.epoch) as ws:
                welcome = await frame(ws)
                assert welcome["resume"]["recovered"] is True
                snapshot = (await ws.receive(SECONDS)).data
                seqs = []
                while (value := await frame(ws))["type"] != "synced":
                    seqs.append(value["seq"])
                assert seqs == list(range(4, hub.seq + 1))
                return str(snapshot)

        snapshots = set(await asyncio.gather(*(reconnect() for _ in range(500))))
        assert len(snapshots) == 1
        assert hub.snapshot_frame() is shared


class Proxy:
    """A line of the tests' own, which can go silent without being closed."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self._target = port
        self._flowing = asyncio.Event()
        self._flowing.set()

    def freeze(self) -> None:
        self._flowing.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        finally:
            writer.close()
            far_writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass


@asynccontextmanager
async def proxy(port: int) -> AsyncIterator[Proxy]:
    line = Proxy(port)
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(asyncio.CancelledError):
            await line.serve(reader, writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    line.port = server.sockets[0].getsockname()[1]
    try:
        yield line
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
