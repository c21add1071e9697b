"""A real server, a line to it that can be cut, and an executor that does as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from attrs import Factory, define

from aosui import ExecutorError, Param, Project, ProjectChannel, Prompt, Run, Workflow
from aosui.app import WS_REGISTRY, create_app
from aosui.registry import ProjectRegistry

TOKEN = "a-token-of-the-tests"


class TalkExecutor:
    """Runs whose steps the test takes: `step` lets `lines` go on by one line."""

    api_version = 1

    def __init__(self) -> None:
        self.steps = asyncio.Semaphore(0)
        self.started = 0

    def step(self, count: int = 1) -> None:
        for _ in range(count):
            self.steps.release()

    async def workflows(self, project: Project) -> Sequence[Workflow]:
        return [
            Workflow("lines", params=[Param("count", type="integer", default=3)]),
            Workflow("flood", params=[Param("count", type="integer")]),
            Workflow("ask"),
            Workflow("echo"),
            Workflow("fail"),
        ]

    async def execute(self, run: Run, channel: ProjectChannel) -> object:
        self.started += 1
        match run.workflow:
            case "lines":
                for number in range(run.params["count"]):
                    await self.steps.acquire()
                    await channel.output(f"{number}\n")
            case "flood":
                for number in range(run.params["count"]):
                    await channel.output(f"{number} {'x' * 1000}\n")
            case "ask":
                return await channel.ask(Prompt("colour", "Which colour?", options=["red", "blue"]))
            case "echo":
                async for text in channel.inputs():
                    return text
            case "fail":
                raise ExecutorError("no luck", retryable=True)
        return None


@define
class Relay:
    """A TCP line to a server: `cut` breaks it unsaid, `mute` loses what the server says."""

    target: int
    port: int = 0
    mute: bool = False
    made: int = 0
    _server: asyncio.Server | None = None
    _writers: list[asyncio.StreamWriter] = Factory(list)

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.made += 1
        try:
            onward_reader, onward = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers += [writer, onward]
        await asyncio.gather(
            self._pump(reader, onward, lambda: False),
            self._pump(onward_reader, writer, lambda: self.mute),
        )

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        lost: Callable[[], bool],
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if not lost():
                    writer.write(data)
                    await writer.drain()
        writer.close()


@define
class Site:
    """A running server with one open project, reached through a relay."""

    executor: TalkExecutor
    root: Path
    server: TestServer
    relay: Relay

    @property
    def registry(self) -> ProjectRegistry:
        app: web.Application = self.server.app
        return app[WS_REGISTRY]

    @property
    def project_id(self) -> str:
        [project] = self.registry
        return project.id

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.relay.port}/#token={TOKEN}"

    async def restart(self) -> None:
        """Stop the server and start another one with an empty log behind the same port."""
        await self.server.close()
        self.server = await _start(self.executor, self.root)
        assert self.server.port is not None
        self.relay.target = self.server.port


async def _start(executor: TalkExecutor, root: Path, **options: Any) -> TestServer:
    app = create_app(
        token=TOKEN,
        executors={"talk": executor},
        projects=[root],
        allowed_hosts=["127.0.0.1"],
        **options,
    )
    server = TestServer(app)
    await server.start_server()
    return server


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait for what no event tells of."""
    while not condition():
        await asyncio.sleep(0.005)


MakeSite = Callable[..., Awaitable[Site]]


@pytest.fixture
async def make_site(tmp_path: Path) -> AsyncIterator[MakeSite]:
    """Return a function that starts a `Site`; its keywords are `create_app`'s."""
    sites: list[Site] = []

    async def make(**options: Any) -> Site:
        root = tmp_path / "site"
        root.mkdir()
        executor = TalkExecutor()
        server = await _start(executor, root, **options)
        assert server.port is not None
        relay = Relay(server.port)
        await relay.open()
        sites.append(Site(executor, root, server, relay))
        return sites[-1]

    yield make
    for site in sites:
        await site.relay.close()
        await site.server.close()


@pytest.fixture
async def site(make_site: MakeSite) -> Site:
    return await make_site()
