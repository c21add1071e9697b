"""Every error code and every close code of the protocol, each provoked over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from aosui import Limits, ProjectChannel, Prompt, Run
from aosui.errors import AosuiError
from aosui.log import LogConflict, Position
from aosui.protocol import CloseCode

from .conftest import MakeSite
from .support import FaultyLog, Gate, HttpReply, Scripted, Site, eventually
from .test_errors import CODES

JSON = {"Content-Type": "application/json"}
STATUS = {code: status for status, codes in CODES.items() for code in codes.split()}


class OthersLog(FaultyLog):
    """A log that somebody else wrote to, while `taken` is set."""

    taken = False

    async def append(self, project_id: str, after: int, *batch: Any) -> int:
        if self.taken:
            self.taken = False
            raise LogConflict(Position("e" * 12, 1, after))
        return await super().append(project_id, after, *batch)


@define
class Server:
    """A server, and what it keeps."""

    site: Site
    log: OthersLog
    make: MakeSite

    @property
    def path(self) -> str:
        return f"/api/projects/{self.site.id}"

    async def post(self, path: str, body: object = None) -> HttpReply:
        return await self.site.http("POST", self.path + path, body)

    async def start(self, workflow: str, **params: object) -> HttpReply:
        return await self.post("/runs", {"workflow": f"test:{workflow}", "params": params})

    async def question(self, run_id: str) -> str:
        socket = await self.site.viewer()
        asked = await socket.state(run_id, "waiting")
        return str(asked["questions"][0]["questionId"])


async def ask(run: Run, channel: ProjectChannel) -> object:
    return await channel.ask(Prompt("p", "?"))


async def fail(run: Run, channel: ProjectChannel) -> object:
    raise ValueError


def scripted() -> Scripted:
    return Scripted(hold=Gate(), ask=ask, fail=fail)


@pytest.fixture
async def server(make_site: MakeSite, tmp_path: Path) -> Server:
    log = OthersLog()
    limits = Limits(
        commit_seconds=0.05,
        cancel_seconds=0.2,
        active_runs=3,
        frame_bytes=10_000,
        connections_per_project=3,
        request_burst=20,
    )
    site = await make_site(scripted(), log=log, limits=limits, roots=[tmp_path])
    return Server(site, log, make_site)


Provoke = Callable[[Server], Awaitable[object]]
ERRORS: dict[str, Provoke] = {}
CLOSES: dict[int, Provoke] = {}


def error(code: str) -> Callable[[Provoke], Provoke]:
    """Say that a function returns the answer with this code."""

    def register(provoke: Provoke) -> Provoke:
        ERRORS[code] = provoke
        return provoke

    return register


def closes(code: int) -> Callable[[Provoke], Provoke]:
    """Say that a function returns this close code."""

    def register(provoke: Provoke) -> Provoke:
        CLOSES[code] = provoke
        return provoke

    return register


@error("badJson")
async def _(server: Server) -> object:
    return await server.site.http("POST", "/api/projects", data=b"{", headers=JSON)


@error("badRequest")
async def _(server: Server) -> object:
    return await server.post("/runs", {})


@error("unknownType")
async def _(server: Server) -> object:
    return await (await server.site.viewer()).request("run.delete")


@error("invalidParams")
async def _(server: Server) -> object:
    return await server.start("hold", more=1)


@error("invalidAnswer")
async def _(server: Server) -> object:
    question = await server.question((await server.start("ask")).body["runId"])
    return await server.post(f"/questions/{question}/answer", {"answers": {}})


@error("unsupportedVersion")
async def _(server: Server) -> object:
    return await (await server.site.connect(protocols=["aosui.v9"])).frame()


@error("unauthorized")
async def _(server: Server) -> object:
    headers = {"Authorization": "Bearer " + "x" * 20}
    return await server.site.http("GET", "/api/projects", headers=headers)


@error("forbidden")
async def _(server: Server) -> object:
    async def nobody(*_: object) -> None:
        return None

    closed = await server.make(Scripted(), authorize=nobody)
    return await closed.http("GET", f"/api/projects/{closed.id}")


@error("originNotAllowed")
async def _(server: Server) -> object:
    return await server.site.http("GET", "/health", headers={"Origin": "http://evil.example"})


@error("hostNotAllowed")
async def _(server: Server) -> object:
    return await server.site.http("GET", "/health", headers={"Host": "evil.example"})


@error("outsideRoot")
async def _(server: Server) -> object:
    return await server.site.http("POST", "/api/projects", {"root": "/"})


@error("wrongProject")
async def _(server: Server) -> object:
    socket = await server.site.viewer()
    socket.project_id = "another"
    return await socket.request("run.cancel", runId="r")


@error("projectNotFound")
async def _(server: Server) -> object:
    return await server.site.http("GET", "/api/projects/nope")


@error("workflowNotFound")
async def _(server: Server) -> object:
    return await server.start("nope")


@error("runNotFound")
async def _(server: Server) -> object:
    return await server.post("/runs/nope/cancel")


@error("questionNotFound")
async def _(server: Server) -> object:
    return await server.post("/questions/nope/answer", {"answers": {}})


@error("notFound")
async def _(server: Server) -> object:
    return await server.site.http("GET", "/api/nope")


@error("methodNotAllowed")
async def _(server: Server) -> object:
    return await server.site.http("PUT", "/api/projects")


@error("projectBusy")
async def _(server: Server) -> object:
    await server.start("hold")
    return await server.site.http("DELETE", server.path)


@error("projectClosed")
async def _(server: Server) -> object:
    socket = await server.site.viewer()
    await server.site.http("DELETE", server.path)
    return await socket.type("error")


@error("runNotActive")
async def _(server: Server) -> object:
    run_id = (await server.start("fail")).body["runId"]
    await server.site.ended(run_id)
    return await server.post(f"/runs/{run_id}/input", {"text": "x"})


@error("runNotRetryable")
async def _(server: Server) -> object:
    run_id = (await server.start("hold")).body["runId"]
    return await server.post(f"/runs/{run_id}/retry")


@error("questionClosed")
async def _(server: Server) -> object:
    question = await server.question((await server.start("ask")).body["runId"])
    body = {"answers": {"p": "x"}}
    await server.post(f"/questions/{question}/answer", body)
    return await server.post(f"/questions/{question}/answer", body)


@error("idReused")
async def _(server: Server) -> object:
    await server.post("/runs", {"id": "1", "workflow": "test:hold"})
    return await server.post("/runs", {"id": "1", "workflow": "test:fail"})


@error("messageTooBig")
async def _(server: Server) -> object:
    return await server.post("/runs", {"workflow": "x" * 10_000})


@error("unsupportedMediaType")
async def _(server: Server) -> object:
    headers = {"Content-Type": "text/plain"}
    return await server.site.http("POST", "/api/projects", data=b"{}", headers=headers)


@error("upgradeRequired")
async def _(server: Server) -> object:
    return await server.site.http("GET", "/ws")


@error("rateLimited")
async def _(server: Server) -> object:
    socket = await server.site.viewer()
    for number in range(50):
        await socket.send("run.cancel", id=str(number), runId="nope")
    return await socket.until(
        lambda frame: not frame.get("ok", True) and frame["error"]["code"] != "runNotFound"
    )


@error("limitExceeded")
async def _(server: Server) -> object:
    for _ in range(3):
        await server.start("hold")
    return await server.start("hold")


@error("connectionLimit")
async def _(server: Server) -> object:
    for _ in range(3):
        await server.site.viewer()
    return await (await server.site.connect()).frame()


@error("internal")
async def _(server: Server) -> object:
    async def broken(*_: object) -> str:
        raise ZeroDivisionError

    buggy = await server.make(Scripted(), authorize=broken)
    return await buggy.http("GET", f"/api/projects/{buggy.id}")


@error("shuttingDown")
async def _(server: Server) -> object:
    server.site.registry.shutting_down = True
    return await server.start("hold")


@error("logUnavailable")
async def _(server: Server) -> object:
    server.log.refusing = True
    reply = await server.start("hold")
    server.log.refusing = False
    return reply


@closes(1001)
async def _(server: Server) -> object:
    socket = await server.site.viewer()
    stopping = asyncio.create_task(server.site.server.close())
    code = await socket.closed()
    await stopping
    return code


@closes(4004)
async def _(server: Server) -> object:
    socket = await server.site.viewer()
    server.log.taken = True
    starting = asyncio.create_task(server.start("hold"))
    code = await socket.closed()
    assert (await starting).status in (202, 503)
    return code


@closes(4007)
async def _(server: Server) -> object:
    for _ in range(3):
        await server.site.viewer()
    return await (await server.site.connect()).closed()


@closes(4008)
async def _(server: Server) -> object:
    socket = await server.site.viewer()
    for _ in range(100):
        await socket.ws.send_str("nonsense")
    return await socket.closed()


@closes(4500)
async def _(server: Server) -> object:
    return await (await server.site.connect(since="x")).closed()


@closes(4501)
async def _(server: Server) -> object:
    headers = {"Authorization": "Bearer " + "x" * 20}
    return await (await server.site.connect(headers=headers)).closed()


@closes(4502)
async def _(server: Server) -> object:
    async def nobody(*_: object) -> None:
        return None

    closed = await server.make(Scripted(), authorize=nobody)
    return await (await closed.connect()).closed()


@closes(4503)
async def _(server: Server) -> object:
    return await (await server.site.connect("nope")).closed()


@closes(4504)
async def _(server: Server) -> object:
    socket = await server.site.viewer()
    await server.site.http("DELETE", server.path)
    return await socket.closed()


@closes(4505)
async def _(server: Server) -> object:
    return await (await server.site.connect(protocols=["aosui.v9"])).closed()


@closes(4506)
async def _(server: Server) -> object:
    socket = await server.site.viewer()
    await socket.ws.send_str("x" * 10_001)
    code = await socket.closed()
    # RFC 6455's own code for it, which clients take like 4506.
    return 4506 if code == 1009 else code


@closes(4508)
async def _(server: Server) -> object:
    socket = await server.site.viewer(clientId="c")
    await server.site.viewer(clientId="c")
    return await socket.closed()


@closes(4510)
async def _(server: Server) -> object:
    quiet = await server.make(Scripted(), dormant_after=0.02)
    return await (await quiet.viewer()).closed()


def test_every_code_of_the_protocol_is_provoked() -> None:
    assert set(ERRORS) == set(STATUS)


def test_every_close_code_of_the_server_is_provoked() -> None:
    of_clients = {CloseCode.OK, CloseCode.CLIENT_RESYNC}
    assert set(CLOSES) == set(CloseCode) - of_clients


@pytest.mark.parametrize("code", list(STATUS))
async def test_error(code: str, server: Server) -> None:
    answer = await ERRORS[code](server)
    if isinstance(answer, HttpReply):
        assert answer.status == STATUS[code]
        answer = answer.body
    assert isinstance(answer, dict)
    info = answer["error"]
    assert set(info) == {"code", "message", "retryable", "details"}
    kind = next(kind for kind in kinds() if kind.code == code)
    assert (info["code"], info["retryable"]) == (code, kind.retryable)
    assert info["message"]
    assert "Traceback" not in info["message"]


@pytest.mark.parametrize("code", [code for code in CloseCode if code not in (1000, 4000)])
async def test_close(code: CloseCode, server: Server) -> None:
    assert await CLOSES[code](server) == code
    if code != CloseCode.GOING_AWAY:
        await eventually(lambda: server.site.registry.connection_count() <= 3)


def kinds(kind: type[AosuiError] = AosuiError) -> list[type[AosuiError]]:
    """List the errors, the most special first: groups share a code with one of theirs."""
    return [found for child in kind.__subclasses__() for found in kinds(child)] + [kind]
