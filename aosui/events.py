"""
What goes over the wire, as classes: the state of a run and the events of a project's log.

Field names here are snake_case; on the wire they are camelCase (`protocol.md`, sections 3 and 6).
An event is encoded once, when it is published, and is that text from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

__all__ = [
    "ACTIVE_STATES",
    "FINAL_STATES",
    "MASK",
    "RETRYABLE_STATES",
    "ErrorInfo",
    "Event",
    "OptionInfo",
    "Progress",
    "ProjectEvent",
    "PromptInfo",
    "Question",
    "QuestionClosedEvent",
    "RunEvent",
    "RunOutput",
    "RunState",
    "RunStatus",
    "RunUpdated",
    "Stream",
]

RunState = Literal[
    "queued",
    "running",
    "waiting",
    "cancelling",
    "succeeded",
    "failed",
    "cancelled",
    "interrupted",
]
Stream = Literal["stdout", "stderr", "log"]

ACTIVE_STATES: frozenset[RunState] = frozenset({"queued", "running", "waiting", "cancelling"})
FINAL_STATES: frozenset[RunState] = frozenset({"succeeded", "failed", "cancelled", "interrupted"})
RETRYABLE_STATES: frozenset[RunState] = frozenset({"failed", "cancelled", "interrupted"})

MASK = "•••"
"""What everybody but the executor sees of a secret parameter."""


class Wire(msgspec.Struct, rename="camel", frozen=True):
    """A value on the wire."""


class ErrorInfo(Wire, frozen=True):
    """Why a request was refused or a run failed; `code` is stable, `message` is for people."""

    code: str
    message: str
    retryable: bool = False
    details: Mapping[str, Any] | None = None


class Progress(Wire, frozen=True):
    """How far a run is; `total` is None while nobody knows."""

    current: float
    total: float | None = None
    message: str = ""


class OptionInfo(Wire, frozen=True):
    """One answer to choose."""

    value: str
    label: str
    description: str = ""


class PromptInfo(Wire, frozen=True):
    """One thing asked; without options it is free text."""

    prompt_id: str
    text: str
    header: str = ""
    options: tuple[OptionInfo, ...] = ()
    multiple: bool = False
    allow_other: bool = True


class Question(Wire, frozen=True):
    """What a run waits for, asked at once and answered at once."""

    question_id: str
    asked_at: str
    prompts: tuple[PromptInfo, ...]


class RunStatus(Wire, frozen=True):
    """
    The whole latest status of one run.

    Times are RFC 3339 UTC with milliseconds. `params` shows secrets as `MASK`. `first_seq` is the
    seq of the run's first event, None when that was of an earlier epoch.
    """

    run_id: str
    workflow: str
    executor: str
    title: str
    params: Mapping[str, Any]
    state: RunState
    attempt: int
    retry_of: str | None
    by: str | None
    created_at: str
    started_at: str | None = None
    ended_at: str | None = None
    progress: Progress | None = None
    questions: tuple[Question, ...] = ()
    result: Any = None
    error: ErrorInfo | None = None
    retryable: bool = False
    first_seq: int | None = None

    @property
    def active(self) -> bool:
        return self.state in ACTIVE_STATES


class RunUpdated(Wire, frozen=True, tag="run.updated"):
    """The latest status of a run."""

    project_id: str
    seq: int
    ts: str
    run: RunStatus
    request_id: str | msgspec.UnsetType = msgspec.UNSET


class RunOutput(Wire, frozen=True, tag="run.output"):
    """Text that a run wrote; no newline is added or taken."""

    run_id: str
    project_id: str
    seq: int
    ts: str
    stream: Stream
    text: str


class RunEvent(Wire, frozen=True, tag="run.event"):
    """An event of the executor's own; `name` is `<executor>.<name>`."""

    run_id: str
    project_id: str
    seq: int
    ts: str
    name: str
    data: Any


class QuestionClosedEvent(Wire, frozen=True, tag="question.closed"):
    """A question was answered, or its run stopped asking."""

    run_id: str
    project_id: str
    seq: int
    ts: str
    question_id: str
    outcome: Literal["answered", "cancelled"]
    answers: Mapping[str, str | list[str]] | None = None
    by: str | None = None
    request_id: str | msgspec.UnsetType = msgspec.UNSET


class ProjectEvent(Wire, frozen=True, tag="project.event"):
    """An event of the application's, not of a run."""

    project_id: str
    seq: int
    ts: str
    name: str
    data: Any


Event = RunUpdated | RunOutput | RunEvent | QuestionClosedEvent | ProjectEvent
