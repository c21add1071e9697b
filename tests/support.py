"""
What the tests of the server share: a scripted executor, a log that can refuse, and a stranger's
end of the wire, over real sockets.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import aiohttp
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer
from attrs import Factory, define, frozen

from aosui import MemoryLog, Param, Project, ProjectChannel, ProjectRegistry, Run, Workflow
from aosui.errors import LogUnavailable
from aosui.events import FINAL_STATES
from aosui.log import StoredRun
from aosui.registry import OpenProject

__all__ = [
    "BEARER",
    "SECONDS",
    "TOKEN",
    "Behaviour",
    "FaultyLog",
    "Frame",
    "Gate",
    "HttpReply",
    "RawReply",
    "Scripted",
    "Site",
    "Socket",
    "SocketClosed",
    "eventually",
]

TOKEN = "a-token-for-tests-only"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
SECONDS = 30.0
"""What a test waits for anything at most."""

Frame = dict[str, Any]
Behaviour = Callable[[Run, ProjectChannel], Awaitable[object]]


class Scripted:
    """An executor whose workflows are functions that a test gives it."""

    api_version = 1

    def __init__(self, **behaviours: Behaviour) -> None:
        self._workflows: dict[str, Workflow] = {}
        self._behaviours: dict[str, Behaviour] = {}
        self.started: list[Run] = []
        self.closed = 0
        for name, behaviour in behaviours.items():
            self.add(name, behaviour)

    def add(
        self,
        name: str,
        behaviour: Behaviour,
        *,
        params: Sequence[Param] = (),
        timeout: float | None = None,
    ) -> None:
        self._workflows[name] = Workflow(name, params=params, timeout=timeout)
        self._behaviours[name] = behaviour

    async def workflows(self, project: Project) -> Sequence[Workflow]:
        return list(self._workflows.values())

    async def execute(self, run: Run, channel: ProjectChannel) -> object:
        self.started.append(run)
        return await self._behaviours[run.workflow](run, channel)

    async def close(self) -> None:
        self.closed += 1


class Gate:
    """A behaviour that holds every run until the test opens it."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.holding = 0

    def open(self) -> None:
        self.opened.set()

    async def __call__(self, run: Run, channel: ProjectChannel) -> object:
        self.holding += 1
        try:
            await self.opened.wait()
        finally:
            self.holding -= 1
        return None


class FaultyLog(MemoryLog):
    """A log in memory that takes or gives nothing while `refusing` or `mute` is set."""

    refusing = False
    mute = False

    async def append(
        self,
        project_id: str,
        after: int,
        entries: Sequence[bytes],
        runs: Sequence[StoredRun],
        requests: Mapping[str, bytes],
        checkpoints: Mapping[str, bytes],
    ) -> int:
        if self.refusing:
            raise LogUnavailable
        return await super().append(project_id, after, entries, runs, requests, checkpoints)

    async def read(
        self, project_id: str, after: int, limit: int, max_bytes: int
    ) -> Sequence[bytes]:
        if self.mute:
            raise LogUnavailable
        return await super().read(project_id, after, limit, max_bytes)


class SocketClosed(Exception):
    """The server closed the socket."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class Socket:
    """A viewer that speaks the protocol by hand; `frames` is all that it was sent."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse, project_id: str) -> None:
        self.ws = ws
        self.project_id = project_id
        self.frames: list[Frame] = []
        self.texts: list[str] = []
        self._read = 0

    @property
    def events(self) -> list[Frame]:
        """The events received so far, in order."""
        return [frame for frame in self.frames if is_event(frame)]

    @property
    def seqs(self) -> list[int]:
        return [event["seq"] for event in self.events]

    async def frame(self) -> Frame:
        """Receive the next frame; raises `SocketClosed`."""
        message = await self.ws.receive(SECONDS)
        if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED):
            raise SocketClosed(self.ws.close_code)
        assert message.type is WSMsgType.TEXT, message
        frame = json.loads(message.data)
        assert isinstance(frame, dict)
        self.texts.append(message.data)
        self.frames.append(frame)
        return frame

    async def until(self, wanted: Callable[[Frame], bool]) -> Frame:
        """Receive until a frame is wanted; returns it."""
        while not wanted(frame := await self.frame()):
            pass
        return frame

    async def type(self, kind: str) -> Frame:
        """Receive until a frame of this type."""
        return await self.until(lambda frame: frame["type"] == kind)

    async def state(self, run_id: str, *states: str) -> Frame:
        """Receive until a run is in one of the states (none given: a final one)."""
        wanted = states or tuple(FINAL_STATES)
        for frame in self.frames:
            if (run := run_in(frame, run_id)) is not None and run["state"] in wanted:
                return run
        found = await self.until(
            lambda frame: (run := run_in(frame, run_id)) is not None and run["state"] in wanted
        )
        run = run_in(found, run_id)
        assert run is not None
        return run

    async def seq(self, seq: int) -> None:
        """Receive until the event `seq`."""
        if seq not in self.seqs:
            await self.until(lambda frame: is_event(frame) and frame["seq"] == seq)

    async def handshake(self) -> Frame:
        """Receive until `synced`; returns `welcome`."""
        await self.type("synced")
        return self.frames[0]

    async def send(self, kind: str, **fields: object) -> None:
        await self.send_json({"type": kind, "projectId": self.project_id, **fields})

    async def send_json(self, value: object) -> None:
        await self.ws.send_str(json.dumps(value))

    async def request(self, kind: str, *, id: str | None = None, **fields: object) -> Frame:
        """Send a request and receive until its reply."""
        request_id = id or str(uuid.uuid4())
        await self.send(kind, id=request_id, **fields)
        return await self.reply(request_id)

    async def reply(self, request_id: str) -> Frame:
        return await self.until(
            lambda frame: frame["type"] == "reply" and frame["id"] == request_id
        )

    async def start(self, workflow: str, **params: object) -> str:
        """Start a run of the executor `test`; returns its id."""
        reply = await self.request("run.start", workflow=f"test:{workflow}", params=params)
        assert reply["ok"], reply
        return str(reply["result"]["runId"])

    async def closed(self) -> int:
        """Receive until the server closes; returns the code."""
        try:
            while True:
                await self.frame()
        except SocketClosed as closed:
            return closed.code or 0

    async def close(self, code: int = 1000) -> None:
        await self.ws.close(code=code)


@frozen
class HttpReply:
    """An answer of the HTTP API; `body` is its JSON, None when it has none."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def code(self) -> str:
        """The code of the error that it is."""
        return str(self.body["error"]["code"])


@frozen
class RawReply:
    """An answer read from a bare TCP socket."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["error"]["code"])


@define
class Site:
    """A running server with open projects, and a stranger's ways to talk to it."""

    server: TestServer
    session: aiohttp.ClientSession
    registry: ProjectRegistry
    executor: Scripted
    prefix: str = ""
    sockets: list[Socket] = Factory(list)

    @property
    def app(self) -> web.Application:
        app: web.Application = self.server.app
        return app

    @property
    def ids(self) -> list[str]:
        """The ids of the open projects, in the order in which they were opened."""
        return [project.id for project in self.registry]

    @property
    def id(self) -> str:
        """The id of the first project."""
        return self.ids[0]

    @property
    def opened(self) -> OpenProject:
        """The first project with its live parts."""
        return self.registry.opened(self.id)

    @property
    def origin(self) -> str:
        return str(self.server.make_url("/")).rstrip("/")

    @property
    def port(self) -> int:
        assert self.server.port is not None
        return self.server.port

    async def http(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> HttpReply:
        """Ask the server; `path` is below the prefix."""
        async with self.session.request(
            method,
            self.server.make_url(self.prefix + path),
            json=body,
            data=data,
            headers=headers,
            allow_redirects=False,
        ) as response:
            text = await response.text()
            is_json = response.content_type == "application/json"
            return HttpReply(
                response.status, json.loads(text) if text and is_json else None, response.headers
            )

    async def raw(self, head: str, body: bytes = b"") -> RawReply:
        """Send a request head as it stands (lines, without the last empty one) and a body."""
        return await self.raw_bytes("\r\n".join([*head.splitlines(), "", ""]).encode() + body)

    async def raw_bytes(self, data: bytes) -> RawReply:
        """Send bytes and read the answer to them."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            async with asyncio.timeout(SECONDS):
                lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {
                    name.strip().lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in lines[1:] if line)
                }
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                return RawReply(int(lines[0].split()[1]), headers, body)
        finally:
            writer.transport.abort()

    async def connect(
        self,
        project_id: str | None = None,
        *,
        protocols: Sequence[str] = ("aosui.v1",),
        headers: Mapping[str, str] | None = None,
        session: aiohttp.ClientSession | None = None,
        **query: object,
    ) -> Socket:
        """Open a socket to a project (None: the first); the handshake's frames are not read yet."""
        asked = self.id if project_id is None else project_id
        params = {
            name: str(value)
            for name, value in {"projectId": asked, **query}.items()
            if value is not None
        }
        ws = await (session or self.session).ws_connect(
            self.server.make_url(self.prefix + "/ws").with_query(params),
            protocols=protocols,
            headers=headers,
            max_msg_size=0,
            autoping=True,
        )
        self.sockets.append(Socket(ws, asked))
        return self.sockets[-1]

    async def viewer(self, project_id: str | None = None, **options: Any) -> Socket:
        """Open a socket and read until it is synced."""
        socket = await self.connect(project_id, **options)
        await socket.handshake()
        return socket

    async def start(self, workflow: str, project_id: str | None = None, **params: object) -> str:
        """Start a run of the executor `test` over HTTP; returns its id."""
        reply = await self.http(
            "POST",
            f"/api/projects/{project_id or self.id}/runs",
            {"workflow": f"test:{workflow}", "params": params},
        )
        assert reply.status == 202, reply
        return str(reply.body["runId"])

    async def ended(self, run_id: str, project_id: str | None = None) -> Frame:
        """Wait for a run's end; returns its last status."""
        socket = await self.viewer(project_id)
        try:
            return await socket.state(run_id)
        finally:
            await socket.close()

    async def close(self) -> None:
        for socket in self.sockets:
            await socket.close()
        await self.session.close()
        await self.server.close()


def is_event(frame: Frame) -> bool:
    return "seq" in frame and frame["type"] not in ("welcome", "snapshot", "synced")


def run_in(frame: Frame, run_id: str) -> Frame | None:
    """Return the status of a run that a frame carries."""
    runs = frame.get("runs") or [frame.get("run")]
    for run in runs:
        if run is not None and run["runId"] == run_id:
            return dict(run)
    return None


async def eventually(condition: Callable[[], object]) -> None:
    """Wait for what no event tells of."""
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.002)
