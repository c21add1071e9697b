"""
One supervised run: a task around the executor, the port that its channel speaks through, and the
state machine in between.

    queued -> running <-> waiting -> cancelling -> succeeded | failed | cancelled | interrupted

The final state is taken in the task's done callback, from the task's own outcome: a task that is
cancelled in the tick it was started never enters its coroutine.
"""

from __future__ import annotations

import asyncio
import enum
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from attrs import frozen

from aosui._logging import logger
from aosui.channel import ProjectChannel
from aosui.clock import Countdown, timestamp
from aosui.errors import (
    AosuiError,
    ChannelClosed,
    LimitExceeded,
    LogUnavailable,
    NotSerialisable,
    RunNotActive,
)
from aosui.events import (
    RETRYABLE_STATES,
    ErrorInfo,
    Progress,
    PromptInfo,
    Question,
    QuestionClosedEvent,
    RunEvent,
    RunState,
    RunStatus,
    RunUpdated,
    Stream,
)
from aosui.executors import TASK_PREFIX, Executor
from aosui.failure import failure_info
from aosui.hub import Hub
from aosui.limits import Limits
from aosui.log import StoredRun
from aosui.protocol import (
    MAX_QUESTIONS_BYTES,
    MAX_RESULT_BYTES,
    encode,
    encode_data,
)
from aosui.questions import AskedQuestion, ClosedQuestion, check_answers
from aosui.values import Run, Workflow

__all__ = ["Cause", "Record", "SupervisedRun"]

Record = tuple[str, bytes] | None
"""The id and the record of the request that caused an event."""

INTERRUPTED = ErrorInfo("interrupted", "the server stopped while this ran", retryable=True)


class Cause(enum.Enum):
    """Why a run was asked to end."""

    CANCEL = "cancel"
    TIMEOUT = "timeout"
    SHUTDOWN = "shutdown"


class SupervisedRun:
    """One run, from `queued` to its final state; the `RunPort` of its channel."""

    def __init__(
        self,
        hub: Hub,
        executor: Executor,
        executor_name: str,
        workflow: Workflow,
        run: Run,
        shown: Mapping[str, Any],
        *,
        params_bytes: int,
        by: str | None,
        limits: Limits,
        on_change: Callable[[SupervisedRun], None],
    ) -> None:
        self.id = run.id
        self.final = False
        self.params_bytes = params_bytes
        self.questions: dict[str, AskedQuestion] = {}
        self.status = RunStatus(
            run_id=run.id,
            workflow=f"{executor_name}:{workflow.name}",
            executor=executor_name,
            title=workflow.title or workflow.name,
            params=shown,
            state="queued",
            attempt=run.attempt,
            retry_of=run.retry_of,
            by=by,
            created_at=timestamp(),
            first_seq=hub.next_seq,
        )
        self._hub = hub
        self._executor = executor
        self._timeout = workflow.timeout
        self._run: Run | None = run
        self._limits = limits
        self._on_change = on_change
        self._admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._inputs: asyncio.Queue[str | None] = asyncio.Queue()
        self._task: asyncio.Task[object] | None = None
        self._cause: Cause | None = None
        self._abandoning: asyncio.TimerHandle | None = None
        self._countdown = Countdown(workflow.timeout, self._time_is_up)
        self._progress_timer: asyncio.TimerHandle | None = None
        self._progress_at = 0.0
        self._closed_questions: list[ClosedQuestion] = []
        self._log = logger.bind(project=hub.project_id, run=run.id)

    # -- what the runner asks

    @property
    def state(self) -> RunState:
        return self.status.state

    @property
    def admitted(self) -> bool:
        """Whether the executor may start, or has."""
        return self._admitted.done()

    @property
    def busy(self) -> bool:
        """Whether the run counts among those at work at once."""
        return self.admitted and self.state in ("queued", "running", "cancelling")

    def start(self, record: Record) -> None:
        """Publish `queued` and begin; the executor starts once that is in the log."""
        seq = self._publish(record)
        self._task = asyncio.create_task(
            self._work(seq), name=f"{TASK_PREFIX}{self.status.executor}"
        )
        self._task.add_done_callback(self._ended)

    def admit(self) -> None:
        """Let the executor start."""
        if not self._admitted.done():
            self._admitted.set_result(None)

    def cancel(self, record: Record) -> None:
        """Ask the executor to end: once, however often this is called."""
        self._stop(Cause.CANCEL, record)

    def interrupt_now(self) -> None:
        """End because the server stops."""
        self._stop(Cause.SHUTDOWN, None)

    def abandon(self) -> None:
        """Give the run its final state though its executor has not ended."""
        if self.final:
            return
        self._log.warning("executor does not end: abandoned", code="executorAbandoned")
        self._finish_unreturned(abandoned=True)
        end_by_force = getattr(self._executor, "run_abandoned", None)
        if end_by_force is not None:
            end_by_force(self.id)

    def feed(self, text: str) -> None:
        """Take a text for `inputs()`; raises `RunNotActive`, `LimitExceeded`."""
        if self.final:
            raise RunNotActive
        if self._inputs.qsize() >= self._limits.inputs:
            raise LimitExceeded(
                f"{self._limits.inputs} texts are unread already", details={"limit": "inputs"}
            )
        self._inputs.put_nowait(text)

    def answer(
        self,
        question_id: str,
        answers: Mapping[str, str | list[str]],
        by: str | None,
        record: Record,
    ) -> None:
        """Close an open question with answers; raises `InvalidAnswer`."""
        asked = self.questions[question_id]
        check_answers(asked.question, answers)
        self._close_question(question_id, "answered", answers, by, record)
        if not asked.answers.done():
            asked.answers.set_result(answers)
        self._settle()

    def take_closed_questions(self) -> Sequence[ClosedQuestion]:
        """Hand over the questions that were closed since the last call."""
        closed, self._closed_questions = self._closed_questions, []
        return closed

    @classmethod
    def interrupt(cls, hub: Hub, status: RunStatus) -> None:
        """End a run that another server left active."""
        for question in status.questions:
            _publish_closed(
                hub,
                ClosedQuestion(question.question_id, status.run_id, "cancelled", None, None),
                None,
            )
        _publish_status(
            hub,
            msgspec.structs.replace(
                status,
                state="interrupted",
                ended_at=timestamp(),
                questions=(),
                error=INTERRUPTED,
                retryable=True,
            ),
            None,
        )

    # -- what the channel asks: RunPort

    @property
    def full(self) -> bool:
        return self._hub.full and not self.final

    async def room(self) -> None:
        await self._hub.room()

    def output(self, stream: Stream, text: str) -> None:
        if self.final:
            raise ChannelClosed
        self._hub.output(self.id, stream, text)

    def event(self, name: str, data: bytes) -> None:
        if self.final:
            raise ChannelClosed
        hub = self._hub
        full_name = f"{self.status.executor}.{name}"
        hub.publish(
            lambda seq, ts: RunEvent(self.id, hub.project_id, seq, ts, full_name, msgspec.Raw(data))
        )

    def checkpoint(self, value: bytes) -> None:
        if self.final:
            raise ChannelClosed
        self._hub.checkpoint(self.id, value)

    def progress(self, progress: Progress) -> None:
        if self.final:
            raise ChannelClosed
        self.status = msgspec.structs.replace(self.status, progress=progress)
        if self._progress_timer is not None:
            return
        loop = asyncio.get_running_loop()
        pause = 1 / self._limits.progress_per_second
        due = self._progress_at + pause
        if loop.time() >= due:
            self._progress_at = loop.time()
            self._publish()
        else:
            self._progress_timer = loop.call_at(due, self._progress_due)

    async def ask(self, prompts: Sequence[PromptInfo]) -> Mapping[str, str | list[str]]:
        if self.final:
            raise ChannelClosed
        question = Question(secrets.token_hex(8), timestamp(), tuple(prompts))
        size = len(encode_data(question, None, what="the question"))
        if size + sum(asked.size for asked in self.questions.values()) > MAX_QUESTIONS_BYTES:
            raise LimitExceeded(
                f"the open questions of a run are at most {MAX_QUESTIONS_BYTES} bytes together",
                details={"limit": "questions"},
            )
        asked = AskedQuestion(question, size, asyncio.get_running_loop().create_future())
        self.questions[question.question_id] = asked
        self._settle()
        try:
            return await asked.answers
        finally:
            if question.question_id in self.questions and not self.final:
                self._close_question(question.question_id, "cancelled", None, None, None)
                self._settle()

    async def next_input(self) -> str | None:
        if self.final:
            return None
        text = await self._inputs.get()
        if text is None:
            self._inputs.put_nowait(None)
        return text

    # -- the life of the run

    async def _work(self, seq: int) -> object:
        await self._stored(seq)
        await self._admitted
        run = self._run
        assert run is not None
        self.status = msgspec.structs.replace(self.status, state="running", started_at=timestamp())
        self._publish()
        self._countdown.resume()
        channel = ProjectChannel(self._hub.project, self.id, self)
        try:
            return await self._executor.execute(run, channel)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            return _Raised(error)

    async def _stored(self, seq: int) -> None:
        """Wait until the event `seq` is in the log, however long that takes."""
        while True:
            try:
                await self._hub.committed(seq)
            except LogUnavailable:
                # The log was somebody else's for a moment: all that waits is numbered anew.
                seq = self._hub.next_seq - 1
            else:
                return

    def _ended(self, task: asyncio.Task[object]) -> None:
        if self.final:
            if not task.cancelled() and task.exception() is None:
                self._log.info("an abandoned executor ended after all")
            return
        if task.cancelled():
            self._finish_unreturned(abandoned=False)
            return
        error = task.exception()
        outcome: object = _Raised(error) if error is not None else task.result()
        if isinstance(outcome, _Raised):
            if self._cause is Cause.TIMEOUT:
                self._finish_unreturned(abandoned=False)
            else:
                self._fail(outcome.error)
            return
        if self._cause is Cause.TIMEOUT:
            self._finish_unreturned(abandoned=False)
            return
        try:
            encoded = encode_data(outcome, MAX_RESULT_BYTES, what="the result")
        except NotSerialisable as refused:
            self._fail(refused)
        else:
            self._finish("succeeded", result=msgspec.json.decode(encoded))

    def _fail(self, error: BaseException) -> None:
        info = failure_info(error)
        if not isinstance(error, AosuiError):
            self._log.error("executor failed", code=info.code, exc_info=error)
        self._finish("failed", error=info)

    def _finish_unreturned(self, *, abandoned: bool) -> None:
        """Finish a run whose executor was cancelled, timed out, or does not end."""
        late = "; it did not end when cancelled" if abandoned else ""
        match self._cause:
            case Cause.CANCEL:
                error = None
                if abandoned:
                    seconds = self._limits.cancel_seconds
                    error = ErrorInfo(
                        "executorAbandoned",
                        f"cancelled, but its executor had not ended {seconds:g} s later",
                    )
                self._finish("cancelled", error=error)
            case Cause.TIMEOUT:
                words = f"not done within its {self._timeout:g} s{late}"
                self._finish("failed", error=ErrorInfo("executorTimeout", words, retryable=True))
            case Cause.SHUTDOWN:
                self._finish("interrupted", error=INTERRUPTED)
            case None:
                words = "CancelledError: the executor was cancelled from inside"
                self._finish("failed", error=ErrorInfo("executorFailed", words))

    def _finish(
        self, state: RunState, *, result: Any = None, error: ErrorInfo | None = None
    ) -> None:
        self._countdown.hold()
        for timer in (self._abandoning, self._progress_timer):
            if timer is not None:
                timer.cancel()
        for question_id in tuple(self.questions):
            asked = self.questions[question_id]
            self._close_question(question_id, "cancelled", None, None, None)
            asked.answers.cancel()
        self.final = True
        self.status = msgspec.structs.replace(
            self.status,
            state=state,
            ended_at=timestamp(),
            questions=(),
            result=result,
            error=error,
            retryable=state in RETRYABLE_STATES,
        )
        self._publish()
        self._run = None
        self._inputs.put_nowait(None)
        self._log.info("run ended", state=state, code=error.code if error else None)
        self._on_change(self)

    def _stop(self, cause: Cause, record: Record) -> None:
        if self.final or self._cause is not None:
            return
        self._cause = cause
        self._countdown.hold()
        self.status = msgspec.structs.replace(self.status, state="cancelling")
        self._publish(record)
        assert self._task is not None
        self._task.cancel()
        loop = asyncio.get_running_loop()
        self._abandoning = loop.call_later(self._limits.cancel_seconds, self.abandon)

    def _time_is_up(self) -> None:
        self._stop(Cause.TIMEOUT, None)
        self._on_change(self)

    # -- publishing

    def _settle(self) -> None:
        """Publish the state that the open questions make."""
        state: RunState = self.state
        if state in ("running", "waiting"):
            state = "waiting" if self.questions else "running"
            if state != self.state:
                (self._countdown.hold if state == "waiting" else self._countdown.resume)()
        self.status = msgspec.structs.replace(
            self.status,
            state=state,
            questions=tuple(asked.question for asked in self.questions.values()),
        )
        self._publish()
        self._on_change(self)

    def _close_question(
        self,
        question_id: str,
        outcome: Literal["answered", "cancelled"],
        answers: Mapping[str, str | list[str]] | None,
        by: str | None,
        record: Record,
    ) -> None:
        del self.questions[question_id]
        closed = ClosedQuestion(question_id, self.id, outcome, answers, by)
        self._closed_questions.append(closed)
        _publish_closed(self._hub, closed, record)

    def _progress_due(self) -> None:
        self._progress_timer = None
        self._progress_at = asyncio.get_running_loop().time()
        self._publish()

    def _publish(self, record: Record = None) -> int:
        return _publish_status(self._hub, self.status, record)


@frozen
class _Raised:
    error: BaseException


def _publish_status(hub: Hub, status: RunStatus, record: Record) -> int:
    request_id = record[0] if record is not None else msgspec.UNSET
    stored = StoredRun(status.run_id, not status.active, encode(status))
    return hub.publish(
        lambda seq, ts: RunUpdated(hub.project_id, seq, ts, status, request_id),
        run=stored,
        request=record,
    )


def _publish_closed(hub: Hub, closed: ClosedQuestion, record: Record) -> int:
    request_id = record[0] if record is not None else msgspec.UNSET
    return hub.publish(
        lambda seq, ts: QuestionClosedEvent(
            closed.run_id,
            hub.project_id,
            seq,
            ts,
            closed.question_id,
            closed.outcome,
            closed.answers,
            closed.by,
            request_id,
        ),
        request=record,
    )
