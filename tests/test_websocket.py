"""The WebSocket door: handshake, refusals and close codes, over real sockets."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import struct
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from attrs import define

from aosui import Limits, MemoryLog, ProjectChannel, Run
from aosui.errors import Forbidden
from aosui.hub import Hub
from aosui.limits import Limits as ServerLimits
from aosui.protocol import CLOSE_CODES, CloseCode
from aosui.websocket import Ticket, resume, select_protocol

from .conftest import MakeSite
from .support import (
    BEARER,
    SECONDS,
    TOKEN,
    FaultyLog,
    Frame,
    Gate,
    Scripted,
    Site,
    Socket,
    eventually,
)

HANDSHAKE = """GET {path} HTTP/1.1
Host: 127.0.0.1:{port}
Connection: Upgrade
Upgrade: websocket
Sec-WebSocket-Version: 13
Sec-WebSocket-Key: {key}
Sec-WebSocket-Protocol: aosui.v1
Authorization: Bearer {token}"""


@define
class Wire:
    """A socket spoken to byte by byte."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, first: int, payload: bytes) -> None:
        mask = os.urandom(4)
        size = len(payload)
        head = (
            bytes((first, 0x80 | size))
            if size < 126
            else bytes((first, 0x80 | 127)) + struct.pack("!Q", size)
        )
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        self.writer.write(head + mask + masked)

    async def frame(self) -> tuple[int, bytes]:
        """Read a frame: `(opcode, payload)`."""
        async with asyncio.timeout(SECONDS):
            first, size = await self.reader.readexactly(2)
            if size == 126:
                size = int.from_bytes(await self.reader.readexactly(2))
            elif size == 127:
                size = int.from_bytes(await self.reader.readexactly(8))
            return first & 0x0F, await self.reader.readexactly(size)

    async def until(self, opcode: int) -> bytes:
        while (frame := await self.frame())[0] != opcode:
            pass
        return frame[1]

    async def close_code(self) -> int:
        return int.from_bytes((await self.until(8))[:2])

    async def end(self) -> bytes:
        """Read until the server ends the connection."""
        async with asyncio.timeout(SECONDS):
            return await self.reader.read()


@asynccontextmanager
async def wire(site: Site, **query: str) -> AsyncIterator[Wire]:
    asked = "&".join(f"{name}={value}" for name, value in {"projectId": site.id, **query}.items())
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    key = base64.b64encode(os.urandom(16)).decode()
    head = HANDSHAKE.format(path=f"/ws?{asked}", port=site.port, key=key, token=TOKEN)
    writer.write("\r\n".join([*head.splitlines(), "", ""]).encode())
    async with asyncio.timeout(SECONDS):
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


async def refused(socket: Socket) -> tuple[str, int]:
    """Receive what a refused handshake gets: `(the error's code, the close code)`."""
    frame = await socket.frame()
    assert frame["type"] == "error"
    assert frame["fatal"] is True
    assert set(frame["error"]) == {"code", "message", "retryable", "details"}
    code = await socket.closed()
    assert len(socket.frames) == 1
    return frame["error"]["code"], code


@pytest.fixture
async def site(make_site: MakeSite) -> Site:
    return await make_site(Scripted(hold=Gate()), "a", "b")


class TestHandshake:
    async def test_welcome_snapshot_synced(self, site: Site) -> None:
        socket = await site.viewer()
        welcome, snapshot, synced = socket.frames
        assert [frame["type"] for frame in socket.frames] == ["welcome", "snapshot", "synced"]
        assert {frame["projectId"] for frame in socket.frames} == {site.id}
        assert all(re.fullmatch(r".*\.\d{3}Z", frame["ts"]) for frame in socket.frames)
        assert welcome["protocol"] == 1
        assert welcome["server"]["name"] == "aosui"
        assert re.fullmatch(r"[a-z0-9]{12}", welcome["epoch"])
        assert (welcome["seq"], welcome["firstSeq"]) == (0, 1)
        assert welcome["resume"] == {"recovered": False, "reason": "fresh", "replayed": 0}
        assert welcome["limits"] == {"maxMessageBytes": 256 * 1024, "requestsPerSecond": 50}
        assert welcome["dormantAfterMs"] == 30_000
        assert str(uuid.UUID(welcome["connectionId"])) == welcome["connectionId"]
        assert (snapshot["epoch"], snapshot["seq"]) == (welcome["epoch"], 0)
        assert (snapshot["project"], snapshot["runs"]) == ({"name": "a"}, [])
        assert snapshot["outputTails"] == {}
        assert synced["seq"] == 0

    async def test_says_that_nothing_becomes_dormant(self, make_site: MakeSite) -> None:
        site = await make_site(dormant_after=None)
        assert (await site.viewer()).frames[0]["dormantAfterMs"] is None

    async def test_selects_aosui_v1(self, site: Site) -> None:
        socket = await site.connect(protocols=["other", "aosui.v1"])
        assert socket.ws.protocol == "aosui.v1"
        await socket.handshake()

    async def test_plain_http_is_told_to_upgrade(self, site: Site) -> None:
        reply = await site.http("GET", f"/ws?projectId={site.id}")
        assert (reply.status, reply.code) == (426, "upgradeRequired")
        assert reply.headers["Upgrade"] == "websocket"

    @pytest.mark.parametrize("project_id", ["nope", "..%2Fx", "%00", "x" * 300, ".", "%C3%A9"])
    async def test_an_unknown_project(self, site: Site, project_id: str) -> None:
        async with wire(site, projectId=project_id) as line:
            error = json.loads(await line.until(1))
            assert (error["error"]["code"], error["fatal"]) == ("projectNotFound", True)
            assert await line.close_code() == 4503

    async def test_a_query_that_is_no_utf_8(self, site: Site) -> None:
        for broken in ("%ff", "%ed%a0%80"):
            async with wire(site, projectId=broken) as line:
                assert json.loads(await line.until(1))["error"]["code"] == "projectNotFound"
                assert await line.close_code() == 4503

    async def test_credentials_in_the_query_count_for_nothing(self, site: Site) -> None:
        async with aiohttp.ClientSession() as stranger:
            socket = await site.connect(
                session=stranger, headers={"Origin": site.origin}, token=TOKEN, access_token=TOKEN
            )
            assert await refused(socket) == ("unauthorized", 4501)

    async def test_a_wrong_token(self, site: Site) -> None:
        socket = await site.connect(headers={"Authorization": "Bearer " + "y" * 20})
        assert await refused(socket) == ("unauthorized", 4501)

    async def test_credentials_are_judged_before_the_project(self, site: Site) -> None:
        wrong = {"Authorization": "Bearer " + "y" * 20}
        assert await refused(await site.connect("nope", headers=wrong)) == ("unauthorized", 4501)

    async def test_the_token_as_a_subprotocol(self, site: Site) -> None:
        async with aiohttp.ClientSession() as stranger:
            socket = await site.connect(
                session=stranger, protocols=["aosui.v1", f"aosui.bearer.{TOKEN}"]
            )
            await socket.handshake()
            assert socket.ws.protocol == "aosui.v1"

    async def test_the_session_cookie(self, site: Site) -> None:
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as stranger:
            async with stranger.post(
                site.server.make_url("/api/session"), headers=BEARER
            ) as response:
                assert response.status == 204
            socket = await site.connect(session=stranger, headers={"Origin": site.origin})
            await socket.handshake()

    async def test_another_version(self, site: Site) -> None:
        socket = await site.connect(protocols=["aosui.v2", "aosui.v3"])
        assert socket.ws.protocol == "aosui.v2"
        assert await refused(socket) == ("unsupportedVersion", 4505)

    async def test_no_version(self, site: Site) -> None:
        assert await refused(await site.connect(protocols=[])) == ("unsupportedVersion", 4505)

    @pytest.mark.parametrize(
        ("offered", "selected"),
        [
            (["x", "aosui.v1"], "aosui.v1"),
            (["aosui.bearer.t", "x"], "x"),
            (["aosui.bearer.t"], "aosui.bearer.t"),
            (["aosui.bearer.t", "aosui.v1"], "aosui.v1"),
        ],
    )
    def test_the_subprotocol_is_one_that_was_offered(
        self, offered: list[str], selected: str
    ) -> None:
        assert select_protocol(offered) == selected

    @pytest.mark.parametrize(
        "query",
        [
            {"since": "-1"},
            {"since": "x"},
            {"since": ""},
            {"since": "1.5"},
            {"since": "9" * 17},
            {"since": "٣"},
            {"epoch": ""},
            {"epoch": "a b"},
            {"epoch": "x" * 65},
            {"clientId": ""},
            {"clientId": "x" * 65},
            {"clientId": "../x"},
        ],
    )
    async def test_malformed_parameters(self, site: Site, query: dict[str, Any]) -> None:
        assert await refused(await site.connect(**query)) == ("badRequest", 4500)

    async def test_no_project_id(self, site: Site) -> None:
        assert await refused(await site.connect("")) == ("badRequest", 4500)


class TestAuthorize:
    async def test_none_is_forbidden(self, make_site: MakeSite) -> None:
        async def nobody(request: web.Request, action: str, project_id: str | None) -> None:
            return None

        site = await make_site(authorize=nobody)
        assert await refused(await site.connect()) == ("forbidden", 4502)

    @pytest.mark.parametrize(
        ("refusal", "code", "close"),
        [
            (web.HTTPUnauthorized, "unauthorized", 4501),
            (web.HTTPForbidden, "forbidden", 4502),
            (web.HTTPFound, "forbidden", 4502),
        ],
    )
    async def test_an_http_exception(
        self, make_site: MakeSite, refusal: type[web.HTTPException], code: str, close: int
    ) -> None:
        async def no(request: web.Request, action: str, project_id: str | None) -> str:
            raise refusal("/login") if refusal is web.HTTPFound else refusal()

        site = await make_site(authorize=no)
        assert await refused(await site.connect()) == (code, close)

    async def test_a_bug_in_it_is_internal(
        self, make_site: MakeSite, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def broken(request: web.Request, action: str, project_id: str | None) -> str:
            raise ZeroDivisionError("secret detail")

        site = await make_site(authorize=broken)
        socket = await site.connect()
        assert await refused(socket) == ("internal", 4004)
        assert "secret detail" not in socket.texts[0]
        assert "secret detail" in caplog.text

    async def test_is_asked_for_each_command_and_its_user_becomes_by(
        self, make_site: MakeSite
    ) -> None:
        asked: list[tuple[str, str | None]] = []

        async def viewer(request: web.Request, action: str, project_id: str | None) -> str | None:
            asked.append((action, project_id))
            return "ann" if action in ("view", "start") else None

        gate = Gate()
        site = await make_site(Scripted(hold=gate), authorize=viewer)
        socket = await site.viewer()
        run_id = await socket.start("hold")
        assert (await socket.state(run_id, "running"))["by"] == "ann"
        fields: dict[str, Any] = {"runId": run_id, "text": "x", "questionId": "q", "answers": {}}
        for kind in ("run.cancel", "run.input", "question.answer"):
            reply = await socket.request(kind, **fields)
            assert reply["error"]["code"] == "forbidden"
        assert (await socket.request("run.retry", runId=run_id))["error"]["code"] != "forbidden"
        actions = [action for action, _ in asked]
        assert actions == ["view", "start", "cancel", "input", "answer", "start"]
        assert {project_id for _, project_id in asked} == {site.id}
        assert [view.user for view in site.registry.connections()] == ["ann"]


class TestFrames:
    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("nonsense", "badJson"),
            ('{"type": "ping", "projectId": NaN}', "badJson"),
            ('{"a": ' + "[" * 2000 + "]" * 2000 + "}", "badJson"),
            ('{"a": "\\ud800"}', "badJson"),
            ("[]", "badRequest"),
            ("{}", "badRequest"),
            ('{"type": "ping"}', "badRequest"),
            ('{"type": 1, "projectId": "x"}', "badRequest"),
            ('{"type": "run.cancel", "projectId": "x", "runId": "r"}', "badRequest"),
            ('{"type": "ping", "projectId": "x", "nonce": 9007199254740993}', "badRequest"),
            ('{"type": "nonsense", "projectId": "x"}', "unknownType"),
            ('{"type": "ping", "projectId": "x"}', "wrongProject"),
        ],
    )
    async def test_a_bad_frame_gets_its_error_and_the_connection_goes_on(
        self, site: Site, text: str, code: str
    ) -> None:
        socket = await site.viewer()
        await socket.ws.send_str(text)
        error = await socket.type("error")
        assert (error["error"]["code"], error["fatal"]) == (code, False)
        await socket.send("ping", nonce=1)
        assert (await socket.type("pong"))["nonce"] == 1

    @pytest.mark.parametrize(
        ("frame", "code"),
        [
            ({"type": "run.cancel", "runId": 1}, "badRequest"),
            ({"type": "nonsense"}, "unknownType"),
            ({"type": "run.cancel", "runId": "r", "projectId": "x"}, "wrongProject"),
        ],
    )
    async def test_a_refused_request_gets_a_reply(
        self, site: Site, frame: Frame, code: str
    ) -> None:
        socket = await site.viewer()
        await socket.send_json({"projectId": site.id, "id": "7", **frame})
        reply = await socket.reply("7")
        assert reply["ok"] is False
        assert reply["error"]["code"] == code
        assert reply["projectId"] == site.id

    async def test_binary_is_a_bad_request(self, site: Site) -> None:
        socket = await site.viewer()
        await socket.ws.send_bytes(b'{"type":"ping"}')
        assert (await socket.type("error"))["error"]["code"] == "badRequest"

    async def test_of_duplicate_keys_the_last_wins(self, site: Site) -> None:
        socket = await site.viewer()
        await socket.ws.send_str(
            f'{{"type":"nonsense","type":"ping","projectId":"{site.id}","nonce":1,"nonce":2}}'
        )
        assert (await socket.type("pong"))["nonce"] == 2

    @pytest.mark.parametrize("nonce", ["x", 1, 1.5, None, ""])
    async def test_a_ping_gets_its_nonce_back(self, site: Site, nonce: object) -> None:
        socket = await site.viewer()
        await socket.send("ping", nonce=nonce)
        assert (await socket.type("pong"))["nonce"] == nonce

    async def test_the_largest_frame_is_taken_and_one_byte_more_is_not(
        self, make_site: MakeSite
    ) -> None:
        site = await make_site(limits=Limits(frame_bytes=1000))
        socket = await site.viewer()
        await socket.ws.send_str("x" * 1000)
        assert (await socket.type("error"))["error"]["code"] == "badJson"
        await socket.ws.send_str("x" * 1001)
        assert await socket.closed() == 1009

    async def test_bad_utf_8_closes_with_1007(self, site: Site) -> None:
        async with wire(site) as line:
            line.send(0x81, b"\xff\xfe")
            assert await line.close_code() == 1007

    @pytest.mark.parametrize("first", [0xC1, 0xA1, 0x91, 0x83, 0x8B])
    async def test_reserved_bits_and_opcodes_never_close_with_1000(
        self, site: Site, first: int
    ) -> None:
        async with wire(site) as line:
            line.send(first, b"x")
            assert await line.close_code() == 1002

    async def test_after_its_close_frame_the_server_writes_nothing(self, site: Site) -> None:
        async with wire(site) as line:
            line.send(0x81, b"\xff\xfe")
            assert await line.close_code() == 1007
            for number in range(3):
                await site.registry.send_to_project(site.id, "after", number)
            line.send(0x88, (1000).to_bytes(2))
            assert await line.end() == b""

    async def test_a_websocket_ping_is_answered(self, site: Site) -> None:
        async with wire(site) as line:
            line.send(0x89, b"abc")
            assert await line.until(10) == b"abc"

    async def test_runs_and_questions_of_another_project_are_not_found(self, site: Site) -> None:
        other = await site.viewer(site.ids[1])
        run_id = await site.start("hold")
        for kind in ("run.cancel", "run.retry", "run.input"):
            reply = await other.request(kind, runId=run_id, text="x")
            assert reply["error"]["code"] == "runNotFound"
        assert site.opened.runner.active


class TestTooMuch:
    async def test_a_hundred_bad_frames_close_with_4008(self, site: Site) -> None:
        socket = await site.viewer()
        for _ in range(100):
            await socket.ws.send_str("nonsense")
        assert await socket.closed() == 4008
        errors = [frame for frame in socket.frames if frame["type"] == "error"]
        assert [error["error"]["code"] for error in errors] == ["badJson"] * 100 + ["rateLimited"]
        assert errors[-1]["fatal"] is True

    async def test_ninety_nine_do_not(self, site: Site) -> None:
        socket = await site.viewer()
        for _ in range(99):
            await socket.ws.send_str("nonsense")
        await socket.send("ping", nonce="still here")
        assert (await socket.type("pong"))["nonce"] == "still here"

    async def test_refusals_far_apart_do_not_count_together(self, make_site: MakeSite) -> None:
        site = await make_site(limits=Limits(refusals=2, refusal_seconds=0.02))
        socket = await site.viewer()
        for _ in range(3):
            await socket.ws.send_str("nonsense")
            await socket.type("error")
            await asyncio.sleep(0.03)
        await socket.send("ping", nonce=1)
        await socket.type("pong")

    async def test_a_flood_of_requests_is_rate_limited_then_closed(self, site: Site) -> None:
        socket = await site.viewer()
        for number in range(100):
            await socket.send("run.cancel", id=str(number), runId="nope")
        await socket.reply("99")
        for number in range(100, 400):
            await socket.send("run.cancel", id=str(number), runId="nope")
        assert await socket.closed() == 4008
        codes = [frame["error"]["code"] for frame in socket.frames if frame["type"] == "reply"]
        assert codes[:100] == ["runNotFound"] * 100
        assert codes.count("rateLimited") == 100

    async def test_requests_are_taken_again_as_time_passes(self, make_site: MakeSite) -> None:
        site = await make_site(
            limits=Limits(requests_per_second=20, request_burst=1, refusals=10_000)
        )
        socket = await site.viewer()
        await socket.send("run.cancel", id="1", runId="nope")
        limited = await socket.request("run.cancel", id="2", runId="nope")
        assert limited["error"]["code"] == "rateLimited"
        assert limited["error"]["retryable"] is True
        while limited["error"]["code"] == "rateLimited":
            limited = await socket.request("run.cancel", runId="nope")
        assert limited["error"]["code"] == "runNotFound"

    async def test_one_connection_too_many_for_the_project(self, make_site: MakeSite) -> None:
        site = await make_site(None, "a", "b", limits=Limits(connections_per_project=2))
        first = await site.viewer()
        await site.viewer()
        assert await refused(await site.connect()) == ("connectionLimit", 4007)
        await site.viewer(site.ids[1])
        await first.close()
        await eventually(lambda: site.registry.connection_count(site.id) == 1)
        await site.viewer()

    async def test_one_connection_too_many_for_the_server(self, make_site: MakeSite) -> None:
        site = await make_site(None, "a", "b", limits=Limits(connections=2))
        await site.viewer()
        await site.viewer(site.ids[1])
        assert await refused(await site.connect()) == ("connectionLimit", 4007)

    async def test_a_page_that_comes_back_takes_its_own_place(self, make_site: MakeSite) -> None:
        site = await make_site(limits=Limits(connections_per_project=1))
        first = await site.viewer(clientId="c1")
        await site.viewer(clientId="c1")
        assert await first.closed() == 4508


class TestOneOfAPage:
    async def test_a_second_connection_of_a_page_replaces_the_first(self, site: Site) -> None:
        client_id = str(uuid.uuid4())
        first = await site.viewer(clientId=client_id)
        second = await site.viewer(clientId=client_id)
        assert await first.closed() == 4508
        assert [frame["type"] for frame in first.frames] == ["welcome", "snapshot", "synced"]
        await eventually(lambda: site.registry.connection_count(site.id) == 1)
        await second.send("ping", nonce=1)
        await second.type("pong")

    async def test_other_pages_and_other_projects_stay(self, site: Site) -> None:
        sockets = [
            await site.viewer(clientId="c1"),
            await site.viewer(clientId="c2"),
            await site.viewer(site.ids[1], clientId="c1"),
            await site.viewer(),
            await site.viewer(),
        ]
        for socket in sockets:
            await socket.send("ping", nonce=1)
            await socket.type("pong")


class TestDormancy:
    async def test_an_idle_project_keeps_no_socket(self, make_site: MakeSite) -> None:
        site = await make_site(dormant_after=0.05)
        socket = await site.viewer()
        assert socket.frames[0]["dormantAfterMs"] == 50
        assert await socket.closed() == 4510
        assert [frame["type"] for frame in socket.frames] == ["welcome", "snapshot", "synced"]
        await eventually(lambda: site.registry.connection_count() == 0)

    async def test_an_active_one_keeps_its_sockets_until_it_is_idle(
        self, make_site: MakeSite
    ) -> None:
        gate = Gate()
        site = await make_site(Scripted(hold=gate), "a", "b", dormant_after=0.05)
        run_id = await site.start("hold")
        active, idle = await site.viewer(), await site.viewer(site.ids[1])
        assert await idle.closed() == 4510
        await active.send("ping", nonce=1)
        await active.type("pong")
        gate.open()
        await active.state(run_id)
        assert await active.closed() == 4510

    async def test_requests_delay_it_and_pings_do_not(self, make_site: MakeSite) -> None:
        site = await make_site(dormant_after=0.3)
        asking, pinging = await site.viewer(), await site.viewer()
        closed = asyncio.create_task(pinging.closed())
        while not closed.done():
            await asking.request("run.cancel", runId="nope")
            with suppress(aiohttp.ClientConnectionResetError):
                await pinging.send("ping")
            await asyncio.sleep(0.02)
        assert closed.result() == 4510
        await asking.request("run.cancel", runId="nope")

    async def test_never_when_switched_off(self, make_site: MakeSite) -> None:
        site = await make_site(dormant_after=None, limits=Limits(ping_seconds=0.02, pong_seconds=5))
        socket = await site.viewer()
        await asyncio.sleep(0.1)
        await socket.send("ping", nonce=1)
        await socket.type("pong")


class TestLiveness:
    async def test_who_answers_no_ping_is_gone(self, make_site: MakeSite) -> None:
        site = await make_site(limits=Limits(ping_seconds=0.05, pong_seconds=0.05))
        async with wire(site) as line:
            assert await line.until(9) == b""
            await line.end()
        await eventually(lambda: site.registry.connection_count() == 0)

    async def test_who_answers_stays(self, make_site: MakeSite) -> None:
        site = await make_site(limits=Limits(ping_seconds=0.02, pong_seconds=0.2))
        async with wire(site) as line:
            for _ in range(20):
                await line.until(9)
                line.send(0x8A, b"")
            assert site.registry.connection_count() == 1


class TestClosing:
    async def test_a_deleted_project_closes_with_4504(self, site: Site) -> None:
        socket, other = await site.viewer(), await site.viewer(site.ids[1])
        assert (await site.http("DELETE", f"/api/projects/{site.id}")).status == 204
        assert await socket.closed() == 4504
        assert (socket.frames[-1]["error"]["code"], socket.frames[-1]["fatal"]) == (
            "projectClosed",
            True,
        )
        await other.send("ping", nonce=1)
        await other.type("pong")

    async def test_shutdown_closes_with_1001(self, site: Site) -> None:
        sockets = [await site.viewer(), await site.viewer(site.ids[1])]
        closing = asyncio.create_task(site.server.close())
        assert [await socket.closed() for socket in sockets] == [1001, 1001]
        assert {socket.frames[-1]["type"] for socket in sockets} == {"synced"}
        await closing

    async def test_a_handshake_during_shutdown(self, site: Site) -> None:
        site.registry.shutting_down = True
        assert await refused(await site.connect()) == ("shuttingDown", 1001)

    async def test_a_handshake_that_shutdown_overtakes(self, make_site: MakeSite) -> None:
        asked, go_on = asyncio.Event(), asyncio.Event()

        async def slow(request: web.Request, action: str, project_id: str | None) -> str:
            asked.set()
            await go_on.wait()
            return "ann"

        site = await make_site(authorize=slow)
        socket = await site.connect()
        await asked.wait()
        await site.registry.shut_down()
        go_on.set()
        assert await refused(socket) == ("shuttingDown", 1001)

    async def test_the_client_closes_with_1000(self, site: Site) -> None:
        socket = await site.viewer()
        await socket.close()
        assert socket.ws.close_code == 1000
        await eventually(lambda: site.registry.connection_count() == 0)

    async def test_the_client_resyncs_with_4000_and_goes_on(self, site: Site) -> None:
        socket = await site.viewer()
        await socket.close(4000)
        again = await site.viewer(since=0, epoch=socket.frames[0]["epoch"])
        assert again.frames[0]["resume"]["reason"] == "ok"

    async def test_an_embedder_logs_somebody_out_with_4501(self, site: Site) -> None:
        socket, other = await site.viewer(clientId="c1"), await site.viewer(clientId="c2")
        [view] = [v for v in site.registry.connections(site.id) if v.client_id == "c1"]
        await view.close()
        assert await socket.closed() == 4501
        assert (socket.frames[-1]["error"]["code"], socket.frames[-1]["fatal"]) == (
            "unauthorized",
            True,
        )
        await other.send("ping", nonce=1)
        await other.type("pong")

    async def test_a_silent_client_does_not_hold_up_its_closing(self, site: Site) -> None:
        async with wire(site) as line:
            await line.until(1)
            await site.registry.close(site.id)
            assert await line.close_code() == 4504
            await line.end()


class TestResume:
    """Every row of the protocol's table, section 5."""

    async def publish(self, site: Site, count: int, size: int = 10) -> None:
        for number in range(count):
            await site.registry.send_to_project(site.id, "tick", "x" * size + str(number))

    async def resume(self, site: Site, since: int | None, epoch: str | None) -> Frame:
        socket = await site.viewer(since=since, epoch=epoch)
        resumed = socket.frames[0]["resume"]
        head = socket.frames[0]["seq"]
        replayed: list[int] = []
        if resumed["recovered"]:
            assert since is not None
            replayed = list(range(since + 1, head + 1))
        assert socket.seqs == replayed
        assert resumed["replayed"] == len(replayed)
        assert socket.frames[1]["type"] == "snapshot"
        assert socket.frames[1]["seq"] == head
        assert socket.frames[-1]["seq"] == head
        return dict(resumed)

    async def test_ok(self, site: Site) -> None:
        await self.publish(site, 5)
        epoch = site.opened.hub.epoch
        for since in range(6):
            resumed = await self.resume(site, since, epoch)
            assert resumed == {"recovered": True, "reason": "ok", "replayed": 5 - since}

    async def test_ok_before_any_event(self, site: Site) -> None:
        resumed = await self.resume(site, 0, site.opened.hub.epoch)
        assert resumed == {"recovered": True, "reason": "ok", "replayed": 0}

    async def test_fresh(self, site: Site) -> None:
        await self.publish(site, 1)
        assert (await self.resume(site, None, None))["reason"] == "fresh"
        assert (await self.resume(site, None, site.opened.hub.epoch))["reason"] == "fresh"

    async def test_no_epoch(self, site: Site) -> None:
        assert (await self.resume(site, 0, None))["reason"] == "noEpoch"

    async def test_epoch_changed(self, site: Site) -> None:
        assert (await self.resume(site, 0, "a" * 12))["reason"] == "epochChanged"
        assert (await self.resume(site, 99, "a" * 12))["reason"] == "epochChanged"

    async def test_ahead(self, site: Site) -> None:
        await self.publish(site, 1)
        assert (await self.resume(site, 2, site.opened.hub.epoch))["reason"] == "ahead"

    async def test_too_old(self, make_site: MakeSite) -> None:
        site = await make_site(log=MemoryLog(kept_bytes=2000), limits=Limits(replay_events=50))
        await self.publish(site, 40, 100)
        first, epoch = site.opened.hub.first_seq, site.opened.hub.epoch
        assert 2 < first < 40
        assert (await self.resume(site, 0, epoch))["reason"] == "tooOld"
        assert (await self.resume(site, first - 2, epoch))["reason"] == "tooOld"
        assert (await self.resume(site, first - 1, epoch))["reason"] == "ok"

    async def test_too_old_comes_before_too_far(self, make_site: MakeSite) -> None:
        site = await make_site(log=MemoryLog(kept_bytes=2000), limits=Limits(replay_events=2))
        await self.publish(site, 40, 100)
        assert (await self.resume(site, 0, site.opened.hub.epoch))["reason"] == "tooOld"
        assert (await self.resume(site, 37, site.opened.hub.epoch))["reason"] == "tooFar"

    async def test_too_many_events_behind(self, make_site: MakeSite) -> None:
        site = await make_site(limits=Limits(replay_events=3))
        await self.publish(site, 5)
        epoch = site.opened.hub.epoch
        assert (await self.resume(site, 1, epoch))["reason"] == "tooFar"
        assert (await self.resume(site, 2, epoch))["reason"] == "ok"

    async def test_too_many_bytes_behind(self, make_site: MakeSite) -> None:
        site = await make_site(limits=Limits(replay_bytes=100_000))
        await self.publish(site, 4, 40_000)
        epoch = site.opened.hub.epoch
        assert (await self.resume(site, 1, epoch))["reason"] == "tooFar"
        assert (await self.resume(site, 2, epoch))["reason"] == "ok"

    async def test_too_many_bytes_behind_beside_a_viewer(self, make_site: MakeSite) -> None:
        site = await make_site(limits=Limits(replay_bytes=100_000))
        await site.viewer()
        await self.publish(site, 4, 40_000)
        epoch = site.opened.hub.epoch
        assert (await self.resume(site, 1, epoch))["reason"] == "tooFar"

    @pytest.mark.parametrize(
        ("since", "epoch", "reason"),
        [
            (None, None, "fresh"),
            (None, "e", "fresh"),
            (5, None, "noEpoch"),
            (5, "x", "epochChanged"),
            (21, "e", "ahead"),
            (8, "e", "tooOld"),
            (9, "e", "tooFar"),
            (14, "e", "tooFar"),
            (15, "e", "ok"),
            (20, "e", "ok"),
        ],
    )
    async def test_the_first_row_that_matches(
        self, site: Site, since: int | None, epoch: str | None, reason: str
    ) -> None:
        hub = Hub(site.opened.project, MemoryLog(), ServerLimits())
        hub.epoch, hub.seq, hub.first_seq = "e", 20, 10
        ticket = Ticket("p", since, epoch, None)
        assert resume(hub, ticket, None, Limits(replay_events=5)) == reason

    async def test_a_log_that_gives_nothing_is_no_silence(self, make_site: MakeSite) -> None:
        log = FaultyLog()
        site = await make_site(log=log, limits=Limits(replay_bytes=1000))
        await self.publish(site, 3)
        log.mute = True
        socket = await site.viewer(since=0, epoch=site.opened.hub.epoch)
        assert socket.frames[0]["resume"]["recovered"] is False

    async def test_two_viewers_get_the_same_bytes(self, site: Site) -> None:
        first, second = await site.viewer(), await site.viewer()
        await self.publish(site, 3)
        third = await site.viewer(since=0, epoch=site.opened.hub.epoch)
        for socket in (first, second):
            await socket.seq(3)
        texts = [
            [text for text in socket.texts if '"tick"' in text] for socket in (first, second, third)
        ]
        assert texts[0] == texts[1] == texts[2]
        assert len(texts[0]) == 3


async def test_a_project_that_was_opened_anew_during_a_handshake(make_site: MakeSite) -> None:
    held, go_on = asyncio.Event(), asyncio.Event()

    class SlowLog(MemoryLog):
        async def read(self, *args: Any) -> Any:
            held.set()
            await go_on.wait()
            return await super().read(*args)

    site = await make_site(log=SlowLog(), limits=Limits(replay_bytes=1000))
    root = site.opened.project.root
    await site.registry.send_to_project(site.id, "tick", 1)
    socket = await site.connect(since=0, epoch=site.opened.hub.epoch)
    await held.wait()
    await site.registry.close(site.id)
    await site.registry.open(root)
    go_on.set()
    await socket.handshake()
    await site.registry.send_to_project(site.id, "tick", 2)
    await socket.seq(2)
    assert site.registry.connection_count(site.id) == 1


def test_every_refusal_of_a_handshake_has_a_close_code() -> None:
    provoked = {
        "internal",
        "logUnavailable",
        "connectionLimit",
        "rateLimited",
        "badRequest",
        "unauthorized",
        "forbidden",
        "projectNotFound",
        "projectClosed",
        "unsupportedVersion",
        "messageTooBig",
        "shuttingDown",
    }
    assert set(CLOSE_CODES) == provoked
    assert Forbidden.code in CLOSE_CODES
    assert CloseCode.DORMANT not in CLOSE_CODES.values()


async def test_what_a_client_asks_in_its_last_moment_is_still_done(make_site: MakeSite) -> None:
    gate = Gate()

    async def hold(run: Run, channel: ProjectChannel) -> object:
        return await gate(run, channel)

    site = await make_site(Scripted(hold=hold))
    socket = await site.viewer()
    await socket.send("run.start", id="1", workflow="test:hold", params={})
    await socket.close()
    await eventually(lambda: gate.holding)
    gate.open()
