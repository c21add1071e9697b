"""`ProjectSocket`: one project, over connections that come and go; `Follower` has the rules."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, Self

import aiohttp
import msgspec
from aiohttp import ClientSession, ClientWebSocketResponse, ClientWSTimeout, WSMsgType
from attrs import frozen

from aosui.client.api import Api
from aosui.client.fold import Frame
from aosui.client.follower import (
    Effect,
    Emit,
    Follower,
    OutcomeUnknown,
    Refused,
    Resync,
    Send,
    Settle,
    Synced,
    after_close,
    backoff,
    close_error,
)
from aosui.errors import AosuiError
from aosui.protocol import CLOSE_CODES, SUBPROTOCOL, CloseCode, encode

__all__ = ["ProjectSocket", "State", "Timing", "connect"]

State = Literal["connecting", "live", "reconnecting", "dormant", "closed"]
UNREAD_BYTES = 1024 * 1024
"""Past this many bytes of events that nobody has taken, nothing more is read."""
MAX_FRAME_BYTES = 64 * 1024 * 1024
CLOSE_SECONDS = 1.0
ABNORMAL = 1006

_decode = msgspec.json.Decoder().decode


@frozen
class Timing:
    """How long a client waits, in seconds; the protocol's own numbers (sections 4, 9 and 10)."""

    welcome: float = 5.0
    silence: float = 25.0
    pong: float = 10.0
    poll: float = 5.0
    settled: float = 5.0


class ProjectSocket:
    """
    One project, live: iterate over it for its events, each once and in order.

    Besides events (`type` as on the wire) an iteration shows what it could not: `gap`, when the
    events `fromSeq` to `toSeq` do not come, and `reset`, when this is another log and every seq
    and all output before it mean nothing. Both have a `reason` and the `snapshot` to go on from.
    The iteration ends when the socket is left; it raises the `AosuiError` with which the server
    closed it for good.

    Who takes no events is not sent more than about 1 MiB of them, and finds `gap` when too late.
    """

    def __init__(
        self,
        api: Api,
        project_id: str,
        *,
        since: int | None = None,
        epoch: str | None = None,
        on_state: Callable[[State], None] | None = None,
        timing: Timing = Timing(),
    ) -> None:
        self.api = api
        self.project_id = project_id
        self._timing = timing
        self._on_state = on_state
        self._client_id = str(uuid.uuid4())
        self._follower = Follower(project_id, since, epoch)
        self._state: State = "connecting"
        self._events: deque[tuple[Frame, int]] = deque()
        self._unread = 0
        self._replies: dict[str, asyncio.Future[Frame]] = {}
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._asked = asyncio.Event()
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._farewells: set[asyncio.Task[bool]] = set()
        self._ws: ClientWebSocketResponse | None = None
        self._heard = False
        self._synced_at: float | None = None
        self._refusal: AosuiError | None = None

    @property
    def state(self) -> State:
        """Where the connection is: only `live` shows the project as it is now."""
        return self._state

    @property
    def snapshot(self) -> Frame:
        """The project's state as last heard: `runs`, `project`, `epoch`, `seq`, `outputTails`."""
        if self._follower.snapshot is None:
            raise RuntimeError("enter it first: `async with connect(…) as socket`")
        return self._follower.snapshot

    async def start(
        self,
        workflow: str,
        params: Mapping[str, Any] | None = None,
        *,
        request_id: str | None = None,
    ) -> Frame:
        """
        Start a run of `<executor>:<name>`; returns `{runId, since, epoch}`.

        This and the other requests wait for their one reply, over any number of connections, and
        raise the server's error, or `OutcomeUnknown`. A request sent again with the `request_id`
        of one that failed with a retryable error never acts twice.
        """
        fields = {"workflow": workflow, "params": dict(params or {})}
        return await self._request("run.start", fields, request_id)

    async def cancel(self, run_id: str, *, request_id: str | None = None) -> Frame:
        """Ask a run to end; returns its `{state}`."""
        return await self._request("run.cancel", {"runId": run_id}, request_id)

    async def retry(
        self,
        run_id: str,
        params: Mapping[str, Any] | None = None,
        *,
        request_id: str | None = None,
    ) -> Frame:
        """Run again what failed, with secrets given anew; returns `{runId, since, epoch}`."""
        fields = {"runId": run_id} | ({} if params is None else {"params": dict(params)})
        return await self._request("run.retry", fields, request_id)

    async def input(self, run_id: str, text: str, *, request_id: str | None = None) -> Frame:
        """Send text to a run."""
        return await self._request("run.input", {"runId": run_id, "text": text}, request_id)

    async def answer(
        self,
        question_id: str,
        answers: Mapping[str, str | Sequence[str]],
        *,
        request_id: str | None = None,
    ) -> Frame:
        """Answer every prompt of a question, by prompt id."""
        fields = {"questionId": question_id, "answers": dict(answers)}
        return await self._request("question.answer", fields, request_id)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Frame:
        while not self._events:
            if self._task is None or self._task.done():
                self._raise_if_refused()
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        event, size = self._events.popleft()
        self._unread -= size
        self._room.set()
        return event

    async def __aenter__(self) -> Self:
        await self.api.__aenter__()
        self._task = asyncio.create_task(self._run(), name=f"aosui {self.project_id}")
        self._task.add_done_callback(self._ended)
        try:
            await self._ready.wait()
            self._raise_if_refused()
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._leave()

    async def _leave(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._farewells:
            await asyncio.wait(self._farewells, timeout=CLOSE_SECONDS)
        await self.api.__aexit__(None, None, None)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._move("closed")
        error = None if task.cancelled() else task.exception()
        for request_id, reply in self._replies.items():
            if not reply.done():
                reply.set_exception(error or OutcomeUnknown(details={"requestId": request_id}))
        self._ready.set()
        self._arrived.set()

    def _raise_if_refused(self) -> None:
        if self._task is not None and self._task.done() and not self._task.cancelled():
            error = self._task.exception()
            if error is not None:
                raise error

    def _move(self, state: State) -> None:
        if state != self._state:
            self._state = state
            if self._on_state is not None:
                self._on_state(state)

    async def _request(self, kind: str, fields: Mapping[str, Any], request_id: str | None) -> Frame:
        self._raise_if_refused()
        if self._task is None or self._task.done():
            raise RuntimeError("the socket was left")
        if request_id in self._replies:
            raise ValueError(f"request {request_id} is under way")
        request_id, effects = self._follower.request(
            kind, fields, time.monotonic(), request_id=request_id
        )
        reply: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._replies[request_id] = reply
        self._asked.set()
        self._room.set()
        try:
            for effect in effects:
                await self._do(effect, 0)
            return await reply
        finally:
            del self._replies[request_id]
            self._follower.forget(request_id)

    async def _run(self) -> None:
        failures = unheard = reachable = 0
        while True:
            code = await self._attempt()
            self._follower.lost()
            verdict = after_close(code)
            if verdict == "final":
                raise self._refusal or close_error(code)
            if verdict == "dormant":
                self._move("dormant")
                await self._sleep()
                failures = unheard = reachable = 0
                continue
            self._move("reconnecting")
            now = time.monotonic()
            for effect in self._follower.expire(now):
                await self._do(effect, 0)
            if self._synced_at is not None and now - self._synced_at >= self._timing.settled:
                failures = 0
            unheard = 0 if self._heard else unheard + 1
            if unheard >= 2:
                reachable = reachable + 1 if await self._reachable() else 0
                if reachable >= 2:
                    raise _blocked()
            await asyncio.sleep(backoff(failures, random.random()))
            failures += 1

    async def _attempt(self) -> int:
        """Connect once and stay; returns the close code."""
        self._heard, self._synced_at, self._refusal = False, None, None
        self._asked.clear()
        query = {
            "projectId": self.project_id,
            "clientId": self._client_id,
            **self._follower.query(),
        }
        deadline = asyncio.get_running_loop().time() + self._timing.welcome
        try:
            async with asyncio.timeout_at(deadline):
                ws = await self.api.session.ws_connect(
                    self.api.url.joinpath("ws").with_query(query),
                    protocols=[SUBPROTOCOL],
                    headers=self.api.headers(),
                    timeout=ClientWSTimeout(ws_close=CLOSE_SECONDS),
                    max_msg_size=MAX_FRAME_BYTES,
                )
        except (aiohttp.ClientError, OSError):
            return ABNORMAL
        self._ws = ws
        goodbye = CloseCode.OK
        try:
            code = await self._listen(ws, deadline)
            goodbye = CloseCode.CLIENT_RESYNC
            return code
        finally:
            self._ws = None
            # Nobody waits for the other side to agree: this connection may be dead.
            farewell = asyncio.create_task(ws.close(code=goodbye))
            self._farewells.add(farewell)
            farewell.add_done_callback(self._farewells.discard)

    async def _listen(self, ws: ClientWebSocketResponse, deadline: float) -> int:
        while True:
            while self._unread > UNREAD_BYTES and not self._follower.unanswered:
                self._room.clear()
                await self._room.wait()
            message = await self._receive(ws, deadline)
            if message is None:
                return ABNORMAL
            if message.type is WSMsgType.CLOSE:
                return int(message.data or 1005)
            if message.type is not WSMsgType.TEXT:
                return ABNORMAL
            self._heard = True
            text: str = message.data
            for effect in self._follower.receive(_decode(text), time.monotonic()):
                if await self._do(effect, len(text)):
                    return CloseCode.CLIENT_RESYNC

    async def _receive(
        self, ws: ClientWebSocketResponse, deadline: float
    ) -> aiohttp.WSMessage | None:
        """Wait for the next message; None when the connection is as good as dead."""
        try:
            if not self._heard:
                async with asyncio.timeout_at(deadline):
                    return await ws.receive()
            try:
                return await ws.receive(self._timing.silence)
            except TimeoutError:
                await self._write({"type": "ping", "projectId": self.project_id, "nonce": 1})
                return await ws.receive(self._timing.pong)
        except TimeoutError:
            return None

    async def _do(self, effect: Effect, size: int) -> bool:
        """Do what the rules say; True = leave this connection and resume."""
        match effect:
            case Emit(event):
                self._events.append((event, size))
                self._unread += size
                self._arrived.set()
            case Send(frame):
                await self._write(frame)
            case Settle(request_id, outcome):
                reply = self._replies.get(request_id)
                if reply is not None and not reply.done():
                    if isinstance(outcome, AosuiError):
                        reply.set_exception(outcome)
                    else:
                        reply.set_result(outcome)
            case Synced():
                self._synced_at = time.monotonic()
                self._ready.set()
                self._move("live")
            case Refused(error):
                self._refusal = error
            case Resync():
                return True
        return False

    async def _write(self, frame: Frame) -> None:
        # What cannot be sent now is in the outbox, and the reader sees the connection's end.
        if self._ws is not None:
            with suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(self._timing.pong):
                    await self._ws.send_str(encode(frame).decode())

    async def _sleep(self) -> None:
        """Wait, without a connection, until there is a reason for one."""
        etag = None
        while not self._follower.unanswered:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timing.poll):
                    await self._asked.wait()
                return
            try:
                projects, etag = await self.api.projects(etag)
            except AosuiError:
                return  # the handshake says what is wrong
            except (aiohttp.ClientError, OSError):
                continue
            if projects is not None and self._follower.wants(projects):
                return

    async def _reachable(self) -> bool:
        """Ask over HTTP why no connection comes about; raises what is final."""
        try:
            await self.api.call("GET", "projects", self.project_id)
        except AosuiError as error:
            if after_close(CLOSE_CODES.get(error.code, CloseCode.FORBIDDEN)) == "final":
                raise
            return False
        except (aiohttp.ClientError, OSError):
            if not self._ready.is_set():
                raise
            return False
        return True


def connect(
    url: str,
    project_id: str,
    *,
    token: str | None = None,
    since: int | None = None,
    epoch: str | None = None,
    session: ClientSession | None = None,
    on_state: Callable[[State], None] | None = None,
    timing: Timing = Timing(),
) -> ProjectSocket:
    """
    Connect to one project of the server at `url`: `async with connect(…) as socket`.

    `url` is what the server printed, its prefix included; a `#token=…` in it serves as `token`.
    With `since` and `epoch` (what starting a run over HTTP replied) it goes on from there, else
    from now. Entering waits until the state is there, and raises the server's `AosuiError`, or
    `aiohttp.ClientError` when nobody answers; from then on the socket comes back by itself.
    A `session` of your own brings its cookies and proxies. `on_state` hears of every new `state`.
    """
    api = Api(url, token=token, session=session)
    return ProjectSocket(
        api, project_id, since=since, epoch=epoch, on_state=on_state, timing=timing
    )


def _blocked() -> AosuiError:
    error = AosuiError("the server answers, but WebSockets do not reach it: a proxy in between?")
    error.code = "webSocketBlocked"
    return error
