"""
The runner of a project: one supervised task a run, and exactly one final state for each.

The runner holds the state that commands are judged by, changed at once; the snapshot holds what
viewers were told.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from attrs import frozen

from aosui.errors import (
    AosuiError,
    InvalidParams,
    LimitExceeded,
    NotFound,
    OutsideRoot,
    ProjectClosed,
    QuestionClosed,
    QuestionNotFound,
    RunNotActive,
    RunNotFound,
    RunNotRetryable,
    ShuttingDown,
)
from aosui.events import MASK, RETRYABLE_STATES, RunState, RunStatus
from aosui.executors import Executors
from aosui.hub import Hub
from aosui.limits import Limits
from aosui.protocol import MAX_PARAMS_BYTES, encode, encode_data
from aosui.questions import ClosedQuestion
from aosui.supervision import SupervisedRun
from aosui.values import Param, Project, Run, Workflow

__all__ = ["Recorder", "Runner", "Started", "interrupt_stale"]

QUESTIONS_REMEMBERED = 1000

Recorder = Callable[[str, dict[str, Any]], tuple[str, bytes] | None]
"""Makes the record of the request that causes an event: `(target, result) -> (id, record)`."""


def no_record(_target: str, _result: dict[str, Any]) -> None:
    """Record nothing: no request with an id caused the event."""


@frozen
class Started:
    """A run that was started; `since` is the head before its first event, `seq` that event's."""

    run_id: str
    since: int
    epoch: str
    seq: int

    def result(self) -> dict[str, Any]:
        return {"runId": self.run_id, "since": self.since, "epoch": self.epoch}


def interrupt_stale(hub: Hub) -> int:
    """End the runs that a dead server left active; returns the seq of the last event."""
    for body in hub.active_bodies:
        SupervisedRun.interrupt(hub, msgspec.json.decode(body, type=RunStatus))
    return hub.next_seq - 1


class Runner:
    """Starts, cancels, retries and feeds the runs of one project."""

    __slots__ = (
        "_closed_questions",
        "_ended",
        "_executors",
        "_hub",
        "_limits",
        "_refusal",
        "_runs",
    )

    def __init__(self, hub: Hub, executors: Executors, limits: Limits) -> None:
        self._hub = hub
        self._executors = executors
        self._limits = limits
        self._runs: dict[str, SupervisedRun] = {}
        self._closed_questions: dict[str, ClosedQuestion] = {}
        self._ended: asyncio.Event | None = None
        self._refusal: type[AosuiError] | None = None

    @property
    def active(self) -> bool:
        """Whether the project has a run in an active state."""
        return bool(self._runs)

    def activity(self) -> dict[str, int]:
        """Count the active runs; queued and waiting ones are counted in `active` too."""
        states = [run.state for run in self._runs.values()]
        return {
            "active": len(states),
            "queued": states.count("queued"),
            "waiting": states.count("waiting"),
        }

    async def start(
        self,
        wire_name: str,
        params: Mapping[str, Any],
        *,
        by: str | None,
        record: Recorder = no_record,
    ) -> Started:
        """Start a run; raises `WorkflowNotFound`, `InvalidParams`, `LimitExceeded`."""
        return await self._start(wire_name, params, by=by, record=record, target=wire_name)

    async def retry(
        self,
        run_id: str,
        params: Mapping[str, Any] | None,
        *,
        by: str | None,
        record: Recorder = no_record,
    ) -> Started:
        """
        Run again what failed, was cancelled or interrupted, from its last checkpoint.

        `params` replace single ones; secrets have to be given again. Raises `RunNotFound`,
        `RunNotRetryable` and what `start` raises.
        """
        if run_id in self._runs:
            raise RunNotRetryable("the run has not ended yet")
        status = await self.status(run_id)
        if status.state not in RETRYABLE_STATES:
            raise RunNotRetryable
        params = params or {}
        secret = [name for name, value in status.params.items() if value == MASK]
        if missing := {name: "is a secret: give it again" for name in secret if name not in params}:
            raise InvalidParams(
                f"secrets are not kept after a run: {', '.join(missing)}",
                details={"params": missing},
            )
        checkpoint = await self._hub.latest_checkpoint(run_id)
        return await self._start(
            status.workflow,
            {**status.params, **params},
            by=by,
            record=record,
            target=run_id,
            retry_of=status,
            checkpoint=checkpoint,
        )

    async def status(self, run_id: str) -> RunStatus:
        """Return the latest status of a run; raises `RunNotFound`."""
        run = self._runs.get(run_id)
        if run is not None:
            return run.status
        stored = await self._hub.latest_run(run_id)
        if stored is None:
            raise RunNotFound
        return msgspec.json.decode(stored.body, type=RunStatus)

    async def cancel(self, run_id: str, *, record: Recorder = no_record) -> tuple[RunState, int]:
        """Ask a run to end; returns its state and the seq to wait for. Ended: that state."""
        run = self._runs.get(run_id)
        if run is None:
            return (await self.status(run_id)).state, 0
        run.cancel(record(run_id, {"state": "cancelling"}))
        return run.state, self._hub.next_seq - 1

    async def input(self, run_id: str, text: str) -> None:
        """Send text to a run; raises `RunNotFound`, `RunNotActive`, `LimitExceeded`."""
        run = self._runs.get(run_id)
        if run is None:
            await self.status(run_id)
            raise RunNotActive
        run.feed(text)

    def answer(
        self,
        question_id: str,
        answers: Mapping[str, str | list[str]],
        *,
        by: str | None,
        record: Recorder = no_record,
    ) -> int:
        """
        Answer an open question: the first answer wins; returns the seq to wait for.

        Raises `QuestionNotFound`, `QuestionClosed` with the outcome, `InvalidAnswer`.
        """
        closed = self._closed_questions.get(question_id)
        if closed is not None:
            raise QuestionClosed(details=closed.details())
        for run in self._runs.values():
            if question_id in run.questions:
                run.answer(question_id, answers, by, record(question_id, {}))
                return self._hub.next_seq - 1
        raise QuestionNotFound

    def cancel_all(self) -> None:
        """Ask every run to end."""
        for run in tuple(self._runs.values()):
            run.cancel(None)

    def close(self) -> None:
        """Start nothing any more: the project is closed."""
        self._refusal = ProjectClosed

    def interrupt_all(self) -> None:
        """Stop every run because the server stops; nothing can be started any more."""
        self._refusal = ShuttingDown
        for run in tuple(self._runs.values()):
            run.interrupt_now()

    def abandon_all(self) -> None:
        """Give every run its final state now, whether its executor has ended or not."""
        for run in tuple(self._runs.values()):
            run.abandon()

    async def ended(self) -> None:
        """Wait until no run is active."""
        while self._runs:
            if self._ended is None:
                self._ended = asyncio.Event()
            await self._ended.wait()

    async def _start(
        self,
        wire_name: str,
        params: Mapping[str, Any],
        *,
        by: str | None,
        record: Recorder,
        target: str,
        retry_of: RunStatus | None = None,
        checkpoint: bytes | None = None,
    ) -> Started:
        await asyncio.to_thread(_check_root, self._hub.project)
        executor_name, executor, workflow = await self._executors.workflow(
            self._hub.project, wire_name, self._limits.workflows_seconds
        )
        real = check_params(workflow, params)
        secret = {param.name for param in workflow.params if param.secret}
        shown = {
            name: MASK if name in secret and value is not None else value
            for name, value in real.items()
        }
        size = len(encode(real))
        if self._refusal is not None:
            raise self._refusal
        self._check_room(size)
        run_id = secrets.token_hex(10)
        run = Run(
            run_id,
            workflow.name,
            MappingProxyType(real),
            attempt=retry_of.attempt + 1 if retry_of is not None else 1,
            retry_of=retry_of.run_id if retry_of is not None else None,
            checkpoint=msgspec.json.decode(checkpoint) if checkpoint is not None else None,
        )
        since = self._hub.next_seq - 1
        started = Started(run_id, since, self._hub.epoch, since + 1)
        supervised = SupervisedRun(
            self._hub,
            executor,
            executor_name,
            workflow,
            run,
            shown,
            params_bytes=size,
            by=by,
            limits=self._limits,
            on_change=self._changed,
        )
        self._runs[run_id] = supervised
        if checkpoint is not None:
            self._hub.checkpoint(run_id, checkpoint)
        supervised.start(record(target, started.result()))
        self._admit()
        return started

    def _check_room(self, size: int) -> None:
        if len(self._runs) >= self._limits.active_runs:
            raise LimitExceeded(
                f"{self._limits.active_runs} runs are active: wait until some have ended",
                details={"limit": "active_runs"},
            )
        held = sum(run.params_bytes for run in self._runs.values())
        if held + size > self._limits.active_params_bytes:
            raise LimitExceeded(
                "the params of the active runs are too large together",
                details={"limit": "active_params_bytes"},
            )

    def _changed(self, run: SupervisedRun) -> None:
        if run.final:
            self._runs.pop(run.id, None)
            if not self._runs and self._ended is not None:
                self._ended.set()
                self._ended = None
        for question in run.take_closed_questions():
            self._closed_questions[question.question_id] = question
        while len(self._closed_questions) > QUESTIONS_REMEMBERED:
            del self._closed_questions[next(iter(self._closed_questions))]
        self._admit()

    def _admit(self) -> None:
        room = self._limits.runs - sum(run.busy for run in self._runs.values())
        for run in self._runs.values():
            if room <= 0:
                return
            if not run.admitted:
                run.admit()
                room -= 1


def _check_root(project: Project) -> None:
    """Refuse to run where the project's directory went away or became a link to elsewhere."""
    if not project.root.is_dir():
        raise NotFound("the project's directory is gone")
    if project.root.resolve() != project.root:
        raise OutsideRoot("the project's directory is a link to another one now")


def check_params(workflow: Workflow, given: Mapping[str, Any]) -> dict[str, Any]:
    """
    Check params against their `Param`s and fill in defaults.

    Raises `InvalidParams`; `details["params"]` says what is wrong, by name.
    """
    known: dict[str, Param] = {param.name: param for param in workflow.params}
    wrong = {name: "there is no such parameter" for name in given if name not in known}
    params: dict[str, Any] = {}
    for name, param in known.items():
        if name not in given or (given[name] is None and param.default is None):
            if param.required:
                wrong[name] = "is required"
            else:
                params[name] = param.default
        elif (problem := param.problem(given[name])) is not None:
            wrong[name] = problem
        else:
            params[name] = given[name]
    if wrong:
        words = "; ".join(f"{name[:64]!r} {problem}" for name, problem in list(wrong.items())[:8])
        raise InvalidParams(
            f"the parameters do not fit the workflow: {words}", details={"params": wrong}
        )
    size = len(encode_data(params, None, what="the parameters"))
    if size > MAX_PARAMS_BYTES:
        raise InvalidParams(
            f"the parameters are {size} bytes: at most {MAX_PARAMS_BYTES} are allowed"
        )
    return params
