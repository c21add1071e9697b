"""A stranger's end of a running `aosui serve`: HTTP and sockets, by hand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from attrs import define

from ..cli.conftest import Cli, Server
from ..support import Frame, Socket

__all__ = ["Caller", "calling", "limits_file", "outputs"]


@define
class Caller:
    """Talks to one server with its token; a stopped server needs a new one."""

    server: Server
    session: aiohttp.ClientSession

    async def http(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Ask below `/api`; returns the status and the body's JSON."""
        async with self.session.request(method, f"{self.server.url}api/{path}", json=body) as reply:
            text = await reply.text()
            return reply.status, json.loads(text) if text else None

    async def projects(self) -> list[str]:
        """The ids of the open projects, in the order of the command line."""
        _, body = await self.http("GET", "projects")
        return [one["projectId"] for one in body["projects"]]

    async def begin(
        self, project_id: str, workflow: str, *, id: str = "", **params: object
    ) -> tuple[int, Any]:
        """Ask for a run; with an empty `id` the server remembers nothing of it."""
        body = {"workflow": workflow, "params": params} | ({"id": id} if id else {})
        return await self.http("POST", f"projects/{project_id}/runs", body)

    async def start(self, project_id: str, workflow: str, **params: object) -> Frame:
        """Start a run; returns `{runId, since, epoch}`."""
        status, body = await self.begin(project_id, workflow, id="", **params)
        assert status == 202, body
        return dict(body)

    async def begun(self, project_id: str, workflow: str, *, id: str) -> Frame:
        """Ask for a run until it is accepted; returns `{runId, since, epoch}`."""
        while True:
            status, body = await self.begin(project_id, workflow, id=id)
            if status == 202:
                return dict(body)
            assert body["error"]["retryable"], body

    async def runs(self, project_id: str) -> list[Frame]:
        """The runs of a project, newest first."""
        _, body = await self.http("GET", f"projects/{project_id}/runs")
        return list(body["runs"])

    async def ended(self, project_id: str, run_id: str) -> Frame:
        """Wait for a run's end; returns its last status."""
        socket = await self.viewer(project_id)
        try:
            return await socket.state(run_id)
        finally:
            await socket.close()

    async def viewer(self, project_id: str, **query: object) -> Socket:
        """Open a socket and read until it is synced."""
        ws = await self.session.ws_connect(
            f"{self.server.url}ws",
            params={"projectId": project_id, **{name: str(value) for name, value in query.items()}},
            protocols=["aosui.v1"],
            max_msg_size=0,
        )
        socket = Socket(ws, project_id)
        await socket.handshake()
        return socket

    async def events(self, project_id: str) -> list[Frame]:
        """All kept events of a project."""
        found: list[Frame] = []
        after: int | None = 0
        while after is not None:
            _, page = await self.http(
                "GET", f"projects/{project_id}/events?after={after}&limit=500"
            )
            found += page["events"]
            after = page["next"]
        return found


@asynccontextmanager
async def calling(server: Server) -> AsyncIterator[Caller]:
    headers = {"Authorization": f"Bearer {server.token}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:
        yield Caller(server, session)


def limits_file(house: Cli, **limits: float) -> Path:
    """Write a config with these `[limits]`."""
    path = house.home / "limits.toml"
    path.write_text("\n".join(["[limits]", *(f"{k} = {v}" for k, v in limits.items()), ""]))
    return path


def outputs(events: list[Frame], run_id: str) -> list[str]:
    """What a run said."""
    return [
        event["text"]
        for event in events
        if event["type"] == "run.output" and event["runId"] == run_id
    ]
