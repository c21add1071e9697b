"""
What a client may ask for: one function a command, the same for the WebSocket and the HTTP door.

A request with an id is done once: its outcome is remembered, and a repeated id gets it again. What
the memory lost with a restart, the log still knows of requests that caused an event.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from hashlib import blake2b
from typing import Any, Literal

import msgspec
from attrs import frozen

from aosui.errors import AosuiError, IdReused, RateLimited
from aosui.hub import Hub
from aosui.limits import Limits
from aosui.protocol import (
    QuestionAnswer,
    RunCancel,
    RunInput,
    RunRetry,
    RunStart,
    encode,
)
from aosui.runner import Recorder, Runner

__all__ = ["ACTIONS", "Action", "Commands", "Request"]

Action = Literal["view", "start", "cancel", "answer", "input", "open", "close"]
"""What a user may be allowed to do."""

ACTIONS: dict[type, Action] = {
    RunStart: "start",
    RunRetry: "start",
    RunCancel: "cancel",
    RunInput: "input",
    QuestionAnswer: "answer",
}
"""What a user has to be allowed to, by command."""

Request = RunStart | RunCancel | RunRetry | RunInput | QuestionAnswer


@frozen
class _Outcome:
    """What a command came to; the reply may go out once the event `seq` is in the log."""

    result: dict[str, Any]
    seq: int = 0


class _Record(msgspec.Struct):
    """What the log keeps of a request that caused an event; params and answers are not in it."""

    kind: str
    target: str
    result: dict[str, Any]


@frozen
class _Known:
    at: float
    content: bytes
    task: asyncio.Task[_Outcome]


class Commands:
    """The commands of one project."""

    __slots__ = ("_hub", "_known", "_limits", "_runner", "_running")

    def __init__(self, hub: Hub, runner: Runner, limits: Limits) -> None:
        self._hub = hub
        self._runner = runner
        self._limits = limits
        self._known: dict[str, _Known] = {}
        self._running: dict[asyncio.Task[_Outcome], None] = {}

    async def do(self, request: Request, user: str | None) -> dict[str, Any]:
        """
        Do what a request asks for and return its result, once its events are in the log.

        `id` may be empty over HTTP: then nothing is remembered. Raises every error of the
        command's, and `LogUnavailable` when the log takes longer than `commit_seconds`: what was
        asked for may still happen, and the same id sent again waits for it.
        """
        task = self._begin(request, user)
        outcome = await asyncio.shield(task)
        await self._hub.committed(outcome.seq, self._limits.commit_seconds)
        return outcome.result

    def _begin(self, request: Request, user: str | None) -> asyncio.Task[_Outcome]:
        if not request.id:
            return self._spawn(self._act(request, user, None))
        content = blake2b(encode(request)).digest()
        self._forget_old()
        known = self._known.get(request.id)
        if known is not None:
            if known.content != content:
                raise IdReused
            return known.task
        if len(self._known) >= self._limits.requests_kept:
            raise RateLimited("too many requests are remembered for this project")
        task = self._spawn(self._once(request, user))
        self._known[request.id] = _Known(time.monotonic(), content, task)
        task.add_done_callback(lambda done: self._done(request.id, done))
        return task

    def _spawn(self, work: Awaitable[_Outcome]) -> asyncio.Task[_Outcome]:
        task = asyncio.ensure_future(work)
        assert isinstance(task, asyncio.Task)
        self._running[task] = None
        task.add_done_callback(self._settled)
        return task

    def _settled(self, task: asyncio.Task[_Outcome]) -> None:
        self._running.pop(task, None)
        if not task.cancelled():
            task.exception()

    def _done(self, request_id: str, task: asyncio.Task[_Outcome]) -> None:
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or (isinstance(error, AosuiError) and error.retryable):
            self._known.pop(request_id, None)

    def _forget_old(self) -> None:
        horizon = time.monotonic() - self._limits.request_seconds
        while self._known:
            request_id = next(iter(self._known))
            if self._known[request_id].at > horizon:
                return
            del self._known[request_id]

    async def _once(self, request: Request, user: str | None) -> _Outcome:
        kind, target = _identity(request)
        # A cancel is for a bad log too, and does no harm twice.
        cancels = isinstance(request, RunCancel)
        stored = None if cancels else await self._hub.load_request(request.id)
        if stored is not None:
            record = msgspec.json.decode(stored, type=_Record)
            if (record.kind, record.target) != (kind, target):
                raise IdReused
            return _Outcome(record.result)

        def recorder(target: str, result: dict[str, Any]) -> tuple[str, bytes]:
            return request.id, encode(_Record(kind, target, result))

        return await self._act(request, user, recorder)

    async def _act(self, request: Request, user: str | None, recorder: Recorder | None) -> _Outcome:
        runner = self._runner
        record = recorder or _no_record
        match request:
            case RunStart(workflow=workflow, params=params):
                started = await runner.start(workflow, params, by=user, record=record)
                return _Outcome(started.result(), started.seq)
            case RunRetry(run_id=run_id, params=params):
                started = await runner.retry(run_id, params, by=user, record=record)
                return _Outcome(started.result(), started.seq)
            case RunCancel(run_id=run_id):
                state, seq = await runner.cancel(run_id, record=record)
                return _Outcome({"state": state}, seq)
            case RunInput(run_id=run_id, text=text):
                await runner.input(run_id, text)
                return _Outcome({})
            case QuestionAnswer(question_id=question_id, answers=answers):
                return _Outcome({}, runner.answer(question_id, answers, by=user, record=record))


def _no_record(_target: str, _result: dict[str, Any]) -> None:
    return None


def _identity(request: Request) -> tuple[str, str]:
    match request:
        case RunStart(workflow=target):
            return "run.start", target
        case RunRetry(run_id=target):
            return "run.retry", target
        case RunCancel(run_id=target):
            return "run.cancel", target
        case RunInput(run_id=target):
            return "run.input", target
        case QuestionAnswer(question_id=target):
            return "question.answer", target
