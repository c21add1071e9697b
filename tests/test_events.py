"""The wire classes: the words of the protocol, sections 3 and 6."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from aosui.events import (
    ACTIVE_STATES,
    FINAL_STATES,
    RETRYABLE_STATES,
    Event,
    OptionInfo,
    Progress,
    ProjectEvent,
    PromptInfo,
    Question,
    QuestionClosedEvent,
    RunEvent,
    RunOutput,
    RunState,
    RunStatus,
    RunUpdated,
)

STATUS = RunStatus(
    run_id="r1",
    workflow="test:say",
    executor="test",
    title="Say",
    params={},
    state="queued",
    attempt=1,
    retry_of=None,
    by="local",
    created_at="2026-01-02T03:04:05.678Z",
)


def wire(value: object) -> Any:
    return json.loads(msgspec.json.encode(value))


def test_a_run_has_every_field_of_the_protocol_always() -> None:
    identity = {"runId", "workflow", "executor", "title", "params", "attempt", "retryOf", "by"}
    times = {"createdAt", "startedAt", "endedAt"}
    course = {"state", "progress", "questions", "result", "error", "retryable", "firstSeq"}
    assert set(wire(STATUS)) == identity | times | course


def test_a_question_is_in_full() -> None:
    option = OptionInfo("y", "Yes")
    question = Question(
        "q1", "2026-01-02T03:04:05.678Z", (PromptInfo("p", "Sure?", "", (option,)),)
    )
    assert wire(question) == {
        "questionId": "q1",
        "askedAt": "2026-01-02T03:04:05.678Z",
        "prompts": [
            {
                "promptId": "p",
                "text": "Sure?",
                "header": "",
                "options": [{"value": "y", "label": "Yes", "description": ""}],
                "multiple": False,
                "allowOther": True,
            }
        ],
    }


def test_an_unknown_total_is_null() -> None:
    assert wire(Progress(3)) == {"current": 3, "total": None, "message": ""}


@pytest.mark.parametrize(
    ("event", "kind", "fields"),
    [
        (RunUpdated("p", 1, "t", STATUS), "run.updated", {"run"}),
        (RunOutput("r1", "p", 1, "t", "stdout", "x"), "run.output", {"runId", "stream", "text"}),
        (RunEvent("r1", "p", 1, "t", "test.x", None), "run.event", {"runId", "name", "data"}),
        (
            QuestionClosedEvent("r1", "p", 1, "t", "q1", "cancelled"),
            "question.closed",
            {"runId", "questionId", "outcome", "answers", "by"},
        ),
        (ProjectEvent("p", 1, "t", "x", None), "project.event", {"name", "data"}),
    ],
)
def test_an_event_has_the_fields_of_the_protocol(event: Event, kind: str, fields: set[str]) -> None:
    frame = wire(event)
    assert frame["type"] == kind
    assert set(frame) == {"type", "projectId", "seq", "ts"} | fields


def test_the_event_that_a_request_caused_carries_its_id() -> None:
    assert wire(RunUpdated("p", 1, "t", STATUS, "abc"))["requestId"] == "abc"
    assert (
        wire(QuestionClosedEvent("r", "p", 1, "t", "q", "answered", request_id="abc"))["requestId"]
        == "abc"
    )


def test_a_state_is_active_or_final() -> None:
    assert frozenset(RunState.__args__) == ACTIVE_STATES | FINAL_STATES  # type: ignore[attr-defined]
    assert not ACTIVE_STATES & FINAL_STATES
    assert {"succeeded"} == FINAL_STATES - RETRYABLE_STATES


@pytest.mark.parametrize("state", sorted(ACTIVE_STATES | FINAL_STATES))
def test_a_status_knows_whether_it_is_active(state: RunState) -> None:
    assert msgspec.structs.replace(STATUS, state=state).active == (state in ACTIVE_STATES)
