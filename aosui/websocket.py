"""
The WebSocket door: the handshake, and the frames of one client.

Reading goes through aiohttp; writing goes through the connection, straight to the transport.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import socket
import uuid
from functools import partial
from importlib.metadata import version
from typing import Any

from aiohttp import WSMsgType, web
from attrs import frozen

from aosui._logging import logger
from aosui.commands import ACTIONS
from aosui.connection import Connection
from aosui.errors import (
    AosuiError,
    BadRequest,
    InternalError,
    LogUnavailable,
    ProjectNotFound,
    RateLimited,
    ShuttingDown,
    UnsupportedVersion,
    UpgradeRequired,
    WrongProject,
)
from aosui.frames import control, error_info, pong_frame
from aosui.guard import Authorize, authorized, offered_protocols
from aosui.hub import Hub
from aosui.limits import Limits
from aosui.log import NotKept
from aosui.protocol import (
    BEARER_PREFIX,
    CLOSE_CODES,
    MAX_EVENT_BYTES,
    PROJECT_ID,
    SUBPROTOCOL,
    VERSION,
    CloseCode,
    Command,
    Ping,
    RunInput,
    decode_command,
    decode_object,
)
from aosui.registry import OpenProject, ProjectRegistry

__all__ = ["WebSocketDoor"]

CLOSE_SECONDS = 3.0
FRAMES_A_TURN = 32
"""Frames of one client after which the others have a turn."""
SERVER = {"name": "aosui", "version": version("aosui")}
SEQ = re.compile(r"[0-9]{1,16}")
EPOCH = re.compile(r"[A-Za-z0-9]{1,64}")
CLIENT_ID = re.compile(r"[A-Za-z0-9-]{1,64}")


@frozen
class Ticket:
    """What a client asks for in its handshake."""

    project_id: str
    since: int | None
    epoch: str | None
    client_id: str | None


class WebSocketDoor:
    """The route `{prefix}/ws`."""

    def __init__(self, registry: ProjectRegistry, authorize: Authorize) -> None:
        self._registry = registry
        self._authorize = authorize
        self._closing: set[asyncio.Task[None]] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one client until its socket is closed."""
        limits = self._registry.limits
        ws = web.WebSocketResponse(
            protocols=[select_protocol(offered_protocols(request))],
            autoping=False,
            compress=False,
            max_msg_size=limits.frame_bytes + 1,
            timeout=CLOSE_SECONDS,
        )
        try:
            await ws.prepare(request)
        except web.HTTPBadRequest:
            raise UpgradeRequired from None
        transport = request.transport
        if transport is None:
            return ws
        try:
            await self._serve(request, ws, transport)
        except AosuiError as error:
            await self._refuse(request, ws, transport, error)
        except Exception as error:
            logger.exception("a connection failed", code="internal", exc_info=error)
            await self._refuse(request, ws, transport, InternalError())
        return ws

    async def _serve(
        self, request: web.Request, ws: web.WebSocketResponse, transport: asyncio.WriteTransport
    ) -> None:
        registry = self._registry
        if registry.shutting_down:
            raise ShuttingDown
        if SUBPROTOCOL not in offered_protocols(request):
            raise UnsupportedVersion
        asked = request.query.get("projectId", "")
        project_id = asked if PROJECT_ID.fullmatch(asked) else None
        user = await authorized(self._authorize, request, "view", project_id)
        ticket = read_ticket(request)
        opened = registry.room_for(ticket.project_id, ticket.client_id)
        measured = await measure_replay(opened.hub, ticket, registry.limits)
        # Meanwhile the project may have been closed and opened anew, or the server be stopping.
        opened = registry.room_for(ticket.project_id, ticket.client_id)
        if transport.is_closing():
            return
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family != getattr(socket, "AF_UNIX", None):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, registry.limits.send_buffer_bytes)
        plain = sock is not None and transport.get_extra_info("sslcontext") is None
        connection = Connection(
            str(uuid.uuid4()),
            opened.hub,
            transport,
            registry.laggards,
            registry.limits,
            client_id=ticket.client_id,
            user=user,
            on_close=partial(self._close_later, ws, transport),
            descriptor=sock.fileno() if plain else None,
        )
        registry.connect(opened, connection)
        try:
            welcome(connection, opened.hub, ticket, measured, registry)
            await _Reader(request, ws, connection, opened, self._authorize, registry.limits).read()
        finally:
            registry.disconnect(opened, connection)

    async def _refuse(
        self,
        request: web.Request,
        ws: web.WebSocketResponse,
        transport: asyncio.WriteTransport,
        error: AosuiError,
    ) -> None:
        code = CLOSE_CODES.get(error.code, CloseCode.INTERNAL)
        logger.info("connection refused", code=error.code)
        frame = control(
            "error", request.query.get("projectId", "")[:64], error=error_info(error), fatal=True
        )
        if not ws.closed and not transport.is_closing():
            transport.write(frame)
        await close_socket(ws, transport, code, error.code)

    def _close_later(
        self, ws: web.WebSocketResponse, transport: asyncio.WriteTransport, code: CloseCode
    ) -> None:
        task = asyncio.create_task(close_socket(ws, transport, code, code.reason))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def close_socket(
    ws: web.WebSocketResponse, transport: asyncio.WriteTransport, code: int, reason: str
) -> None:
    """Close with a close frame, and drop the socket of a client that does not answer it."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await ws.close(code=code, message=reason.encode())
    except (TimeoutError, ConnectionError):
        pass
    finally:
        if not transport.is_closing() or transport.get_write_buffer_size():
            transport.abort()


def select_protocol(offered: list[str]) -> str:
    """Choose the subprotocol to answer with; a browser fails a handshake without one of its own."""
    if SUBPROTOCOL in offered:
        return SUBPROTOCOL
    plain = [name for name in offered if not name.startswith(BEARER_PREFIX)]
    return (plain or offered or [SUBPROTOCOL])[0]


def read_ticket(request: web.Request) -> Ticket:
    """Read the parameters of a handshake; raises `BadRequest`, or `ProjectNotFound`."""
    query = request.query
    project_id = query.get("projectId", "")
    if not project_id:
        raise BadRequest("the handshake needs a projectId")
    since, epoch, client_id = query.get("since"), query.get("epoch"), query.get("clientId")
    if since is not None and not SEQ.fullmatch(since):
        raise BadRequest("since must be a seq: an integer of 0 or more")
    if epoch is not None and not EPOCH.fullmatch(epoch):
        raise BadRequest("epoch must be one that the server gave")
    if client_id is not None and not CLIENT_ID.fullmatch(client_id):
        raise BadRequest("clientId must be a UUID")
    if not PROJECT_ID.fullmatch(project_id):
        raise ProjectNotFound
    return Ticket(project_id, int(since) if since is not None else None, epoch, client_id)


async def measure_replay(hub: Hub, ticket: Ticket, limits: Limits) -> str | None:
    """
    Return `tooOld` or `tooFar` when only the log can tell; None when what is behind fits.

    Counting bytes takes a read, so it comes before the step in which the cursor is set.
    """
    behind = hub.seq - ticket.since if ticket.since is not None else 0
    if ticket.epoch != hub.epoch or behind * MAX_EVENT_BYTES <= limits.replay_bytes:
        return None
    if behind > limits.replay_events:
        return "tooFar" if hub.seq - behind + 1 >= hub.first_seq else "tooOld"
    assert ticket.since is not None
    start = hub.ring.start
    if start is not None and start <= ticket.since and limits.ring_bytes < limits.replay_bytes:
        return None
    try:
        entries = await hub.read(ticket.since, behind, limits.replay_bytes)
    except NotKept:
        return "tooOld"
    except LogUnavailable:
        return "tooFar"
    return "tooFar" if len(entries) < behind else None


def resume(hub: Hub, ticket: Ticket, measured: str | None, limits: Limits) -> str:
    """Decide how a client goes on: the first reason of the protocol's table that holds."""
    if ticket.since is None:
        return "fresh"
    if ticket.epoch is None:
        return "noEpoch"
    if ticket.epoch != hub.epoch:
        return "epochChanged"
    if ticket.since > hub.seq:
        return "ahead"
    if ticket.since + 1 < hub.first_seq:
        return "tooOld"
    if hub.seq - ticket.since > limits.replay_events:
        return "tooFar"
    return measured or "ok"


def welcome(
    connection: Connection,
    hub: Hub,
    ticket: Ticket,
    measured: str | None,
    registry: ProjectRegistry,
) -> None:
    """Begin a connection: one synchronous step, so head, snapshot and cursor are one position."""
    limits = registry.limits
    reason = resume(hub, ticket, measured, limits)
    since = ticket.since if reason == "ok" else None
    dormant = registry.dormant_after
    connection.begin(
        control(
            "welcome",
            hub.project_id,
            protocol=VERSION,
            server=SERVER,
            connectionId=connection.id,
            epoch=hub.epoch,
            seq=hub.seq,
            firstSeq=hub.first_seq,
            resume={
                "recovered": since is not None,
                "reason": reason,
                "replayed": hub.seq - since if since is not None else 0,
            },
            limits={
                "maxMessageBytes": limits.frame_bytes,
                "requestsPerSecond": limits.requests_per_second,
            },
            dormantAfterMs=round(dormant * 1000) if dormant is not None else None,
        ),
        since,
    )


class _Reader:
    """Reads the frames of one client and sees to each."""

    __slots__ = (
        "_authorize",
        "_connection",
        "_inputs_in_order",
        "_limits",
        "_opened",
        "_project_id",
        "_rate",
        "_refusals",
        "_request",
        "_tasks",
        "_ws",
    )

    def __init__(
        self,
        request: web.Request,
        ws: web.WebSocketResponse,
        connection: Connection,
        opened: OpenProject,
        authorize: Authorize,
        limits: Limits,
    ) -> None:
        self._request = request
        self._ws = ws
        self._connection = connection
        self._opened = opened
        self._authorize = authorize
        self._limits = limits
        self._project_id = opened.hub.project_id
        self._rate = _Rate(limits.requests_per_second, limits.request_burst)
        self._refusals: list[float] = []
        self._inputs_in_order = asyncio.Lock()
        self._tasks: dict[asyncio.Task[None], None] = {}

    async def read(self) -> None:
        for count in itertools.count(1):
            if count % FRAMES_A_TURN == 0:
                await asyncio.sleep(0)  # receive() waits only when nothing is there
            message = await self._ws.receive()
            kind = message.type
            if kind in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                return
            self._connection.heard()
            if kind is WSMsgType.TEXT:
                self._take(message.data)
            elif kind is WSMsgType.PING:
                self._connection.control(pong_frame(bytes(message.data)))
            elif kind is WSMsgType.BINARY:
                self._refuse(BadRequest("frames are JSON text, not binary"), None)

    def _take(self, text: str) -> None:
        request_id: object = None
        try:
            value = decode_object(text)
            request_id = value.get("id")
            if not self._rate.take():
                raise RateLimited
            command = decode_command(value)
            if command.project_id != self._project_id:
                raise WrongProject
        except AosuiError as error:
            self._refuse(error, request_id)
            return
        if isinstance(command, Ping):
            self._connection.send(control("pong", self._project_id, nonce=command.nonce))
            return
        task = asyncio.create_task(self._do(command))
        self._tasks[task] = None
        task.add_done_callback(self._tasks.__delitem__)

    async def _do(self, command: Command) -> None:
        assert not isinstance(command, Ping)
        connection = self._connection
        connection.last_request_at = asyncio.get_running_loop().time()
        reply: dict[str, Any]
        try:
            if isinstance(command, RunInput):
                async with self._inputs_in_order:
                    result = await self._result(command)
            else:
                result = await self._result(command)
            reply = {"ok": True, "result": result}
        except AosuiError as error:
            reply = {"ok": False, "error": error_info(error)}
        except Exception:
            logger.exception("a command failed", code="internal", project=self._project_id)
            reply = {"ok": False, "error": error_info(InternalError())}
        connection.last_request_at = asyncio.get_running_loop().time()
        connection.send(control("reply", self._project_id, id=command.id, **reply))

    async def _result(self, command: Command) -> dict[str, Any]:
        assert not isinstance(command, Ping)
        action = ACTIONS[type(command)]
        user = await authorized(self._authorize, self._request, action, self._project_id)
        return await self._opened.commands.do(command, user)

    def _refuse(self, error: AosuiError, request_id: object) -> None:
        connection = self._connection
        info = error_info(error)
        if isinstance(request_id, str):
            fields: dict[str, Any] = {"id": request_id[:128], "ok": False, "error": info}
            connection.send(control("reply", self._project_id, **fields))
        else:
            connection.send(control("error", self._project_id, error=info, fatal=False))
        now = asyncio.get_running_loop().time()
        self._refusals.append(now)
        del self._refusals[: -self._limits.refusals]
        if (
            len(self._refusals) == self._limits.refusals
            and now - self._refusals[0] <= self._limits.refusal_seconds
        ):
            limited = RateLimited("too many refused frames")
            logger.info("viewer sends too much", code=limited.code, project=self._project_id)
            connection.close(CloseCode.RATE_LIMITED, limited)


class _Rate:
    """A bucket that fills with `per_second` up to `burst`."""

    __slots__ = ("_at", "_burst", "_left", "_per_second")

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst = self._left = burst
        self._at = asyncio.get_running_loop().time()

    def take(self) -> bool:
        now = asyncio.get_running_loop().time()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
