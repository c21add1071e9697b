"""Every promise to executors, kept in the server's process and in one of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from aosui import EventLog, Limits, MemoryLog
from aosui.errors import LimitExceeded, WorkflowNotFound
from aosui.log import StoredRun

from . import both_ways
from .floor import Floor, eventually, laid, point

WAYS = ("in the server", "isolated")
BEHAVIOURS = point("b", "tests.both_ways:Behaviours")


class GatedLog(MemoryLog):
    """A log that takes nothing while it is shut."""

    def __init__(self) -> None:
        super().__init__(kept_bytes=1 << 26)
        self.open_gate = asyncio.Event()
        self.open_gate.set()

    async def append(
        self,
        project_id: str,
        after: int,
        entries: Sequence[bytes],
        runs: Sequence[StoredRun] = (),
        requests: Mapping[str, bytes] = {},
        checkpoints: Mapping[str, bytes] = {},
    ) -> int:
        await self.open_gate.wait()
        return await super().append(project_id, after, entries, runs, requests, checkpoints)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def lay(
    root: Path,
    way: str,
    options: Mapping[str, Any] | None = None,
    *,
    log: EventLog | None = None,
    limits: Limits | None = None,
) -> AbstractAsyncContextManager[Floor]:
    table = {**(options or {}), **({"isolation": "process"} if way == "isolated" else {})}
    return laid(root, [BEHAVIOURS], {"b": table}, log=log, limits=limits)


@pytest.fixture
async def floor(tmp_path: Path, way: str) -> AsyncIterator[Floor]:
    async with lay(tmp_path, way) as floor:
        yield floor


async def test_workflows_are_listed_whole(floor: Floor) -> None:
    lists, errors = await floor.executors.workflows(floor.opened.project, 10.0)
    assert errors == {}
    assert lists["b"][0] == both_ways.EVERYTHING


async def test_a_run_gets_its_params_and_its_project(floor: Floor, tmp_path: Path) -> None:
    run = await floor.run("b:everything", {"s": "b", "secret": "hush", "n": 2})
    assert run["result"] == {
        "params": {"s": "b", "t": "long\ntext", "i": 3, "n": 2, "b": None, "secret": "hush"},
        "id": True,
        "root": str(tmp_path.resolve()),
        "project": tmp_path.name,
    }
    assert run["params"]["secret"] == "•••"


async def test_what_a_run_says_arrives_in_order(floor: Floor) -> None:
    run = await floor.run("b:say")
    assert run["state"] == "succeeded"
    assert run["result"] == [1, 2.5, None, {"at": "2020-01-02"}]
    assert repr(run["progress"]) == repr({"current": 2.5, "total": None, "message": ""})
    said = [
        (event["type"], event.get("stream"), event.get("text"), event.get("name"))
        for event in floor.of(run["runId"])
    ]
    assert said == [
        ("run.output", "stdout", "one\n", None),
        ("run.output", "stderr", "two é?\n", None),
        ("run.event", None, None, "b.made"),
        ("run.output", "log", "three", None),
    ]
    (made,) = (event for event in floor.of(run["runId"]) if event["type"] == "run.event")
    assert made["data"] == {"set": [1], "at": "2020-01-02", "nan": 0.0}
    shown = [e["run"]["progress"] for e in floor.events if e["type"] == "run.updated"]
    assert repr({"current": 1, "total": 3, "message": "first"}) in map(repr, shown)


async def test_long_output_is_split_and_whole(floor: Floor) -> None:
    run = await floor.run("b:split")
    assert run["state"] == "succeeded"
    assert floor.text(run["runId"]) == "0123456789" * 1_000_000
    assert len(floor.of(run["runId"])) > 100


async def test_a_question_is_asked_and_answered(floor: Floor) -> None:
    run_id = await floor.start("b:ask")
    run = await floor.asked(run_id)
    assert run["state"] == "waiting"
    (question,) = run["questions"]
    assert [prompt["promptId"] for prompt in question["prompts"]] == ["name", "many", "one"]
    assert question["prompts"][0]["header"] == "header"
    assert question["prompts"][1]["options"] == [
        {"value": "a", "label": "A", "description": "first"},
        {"value": "b", "label": "b", "description": ""},
    ]
    assert question["prompts"][1]["multiple"]
    assert not question["prompts"][2]["allowOther"]
    answers: dict[str, str | list[str]] = {"name": "é\n", "many": ["a", "else"], "one": "x"}
    floor.opened.runner.answer(question["questionId"], answers, by="me")
    assert (await floor.ended(run_id))["result"] == answers


async def test_an_author_may_stop_asking(floor: Floor) -> None:
    run_id = await floor.start("b:stop_asking")
    await floor.asked(run_id)
    await floor.opened.runner.input(run_id, "stop")
    assert (await floor.ended(run_id))["result"] is True
    closed = [event for event in floor.events if event["type"] == "question.closed"]
    assert [event["outcome"] for event in closed] == ["cancelled"]


async def test_questions_that_are_too_large_are_refused(floor: Floor) -> None:
    run_id = await floor.start("b:ask_too_much")
    (question,) = (await floor.asked(run_id))["questions"]
    await floor.said(run_id, "refused")
    floor.opened.runner.answer(question["questionId"], {"a": "yes"}, by=None)
    assert (await floor.ended(run_id))["result"] == [3, {"a": "yes"}]


async def test_a_refusal_that_nobody_catches_fails_the_run(floor: Floor) -> None:
    run = await floor.run("b:let_limit_pass")
    assert run["state"] == "failed"
    assert run["error"]["code"] == LimitExceeded.code
    assert run["error"]["details"] == {"limit": "questions"}


async def test_inputs_arrive_as_sent_and_unread_ones_are_bounded(floor: Floor) -> None:
    run_id = await floor.start("b:echo")
    for text in ("one", "two\n", ""):
        await floor.opened.runner.input(run_id, text)
        await floor.said(run_id, f"heard {text}\n")
    await floor.opened.runner.input(run_id, "stop")
    assert (await floor.ended(run_id))["result"] == ["one", "two\n", "", "stop"]


async def test_unread_inputs_are_bounded(floor: Floor) -> None:
    run_id = await floor.start("b:wait")
    await floor.said(run_id, "waiting")
    for number in range(64):
        await floor.opened.runner.input(run_id, str(number))
    with pytest.raises(LimitExceeded):
        await floor.opened.runner.input(run_id, "one more")


async def test_a_given_up_wait_for_input_loses_none(floor: Floor) -> None:
    run_id = await floor.start("b:listen_in_turns")
    await floor.said(run_id, "listening")
    for text in ("one", "two"):
        await floor.opened.runner.input(run_id, text)
    assert (await floor.ended(run_id))["result"] == ["one", "two"]


async def test_a_retry_finds_the_checkpoint(floor: Floor) -> None:
    run = await floor.run("b:checkpoint")
    assert run["state"] == "failed"
    assert run["error"] == {
        "code": "halfway",
        "message": "try again",
        "retryable": True,
        "details": {"n": 1},
    }
    started = await floor.opened.runner.retry(run["runId"], None, by=None)
    assert (await floor.ended(started.run_id))["result"] == {
        "found": {"step": [2, {"deep": True}]},
        "attempt": 2,
        "of": run["runId"],
    }


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("raise", "ValueError: no such thing"),
        ("exit", "SystemExit: enough"),
        ("interrupt", "KeyboardInterrupt"),
        ("raise_base", "BaseException: base"),
        ("cancel_itself", "CancelledError: the executor was cancelled from inside"),
    ],
)
async def test_what_is_raised_fails_the_run(floor: Floor, behaviour: str, message: str) -> None:
    run = await floor.run(f"b:{behaviour}")
    assert run["state"] == "failed"
    assert run["error"]["code"] == "executorFailed"
    assert run["error"]["message"] == message
    assert (await floor.run("b:say"))["state"] == "succeeded"


@pytest.mark.parametrize("behaviour", ["return_an_object", "return_too_much"])
async def test_a_result_that_is_no_json_fails_the_run(floor: Floor, behaviour: str) -> None:
    run = await floor.run(f"b:{behaviour}")
    assert (run["state"], run["error"]["code"]) == ("failed", "notSerialisable")
    assert "result" in run["error"]["message"]


async def test_data_that_is_no_json_is_refused_there_and_then(floor: Floor) -> None:
    run = await floor.run("b:say_no_json")
    assert run["result"] == ["notSerialisable"] * 5
    assert floor.of(run["runId"]) == []


async def test_a_cancelled_run_is_cancelled(floor: Floor) -> None:
    run_id = await floor.start("b:wait")
    await floor.said(run_id, "waiting")
    await floor.opened.runner.cancel(run_id)
    run = await floor.ended(run_id)
    assert (run["state"], run["error"]) == ("cancelled", None)


async def test_a_run_cancelled_as_it_starts_is_cancelled(floor: Floor) -> None:
    run_id = await floor.start("b:wait")
    await floor.opened.runner.cancel(run_id)
    assert (await floor.ended(run_id))["state"] == "cancelled"


async def test_a_cancel_is_one_cancelled_error_and_tidying_up_is_heard(floor: Floor) -> None:
    run_id = await floor.start("b:tidy_up")
    await floor.said(run_id, "waiting")
    await floor.opened.runner.cancel(run_id)
    await floor.opened.runner.cancel(run_id)
    run = await floor.ended(run_id)
    assert (run["state"], run["result"]) == ("succeeded", 1)
    assert floor.text(run_id) == "waiting\ntidied up\n"


async def test_an_error_after_a_cancel_fails_the_run(floor: Floor) -> None:
    run_id = await floor.start("b:fail_when_cancelled")
    await floor.said(run_id, "waiting")
    await floor.opened.runner.cancel(run_id)
    run = await floor.ended(run_id)
    assert (run["state"], run["error"]["code"]) == ("failed", "untidy")


async def test_a_cancelled_question_is_closed(floor: Floor) -> None:
    run_id = await floor.start("b:ask")
    await floor.asked(run_id)
    await floor.opened.runner.cancel(run_id)
    run = await floor.ended(run_id)
    assert (run["state"], run["questions"]) == ("cancelled", [])
    closed = [event for event in floor.events if event["type"] == "question.closed"]
    assert [event["outcome"] for event in closed] == ["cancelled"]


async def test_a_run_that_ignores_its_cancel_is_abandoned(tmp_path: Path, way: str) -> None:
    async with lay(tmp_path, way, limits=Limits(cancel_seconds=0.3)) as floor:
        run_id = await floor.start("b:ignore_cancel")
        await floor.said(run_id, "waiting")
        await floor.opened.runner.cancel(run_id)
        run = await floor.ended(run_id)
        assert (run["state"], run["error"]["code"]) == ("cancelled", "executorAbandoned")
        assert (await floor.run("b:say"))["state"] == "succeeded"


async def test_a_timeout_fails_the_run(floor: Floor) -> None:
    run = await floor.run("b:exceed_timeout")
    assert (run["state"], run["error"]["code"]) == ("failed", "executorTimeout")


async def test_speaking_after_the_end_raises(floor: Floor, tmp_path: Path) -> None:
    path = tmp_path / "late"
    assert (await floor.run("b:speak_late", {"path": str(path)}))["state"] == "succeeded"
    await eventually(lambda: path.exists() and path.read_text() == "ChannelClosed")


async def test_an_executor_waits_for_the_log(tmp_path: Path, way: str) -> None:
    log, path = GatedLog(), tmp_path / "said"
    async with lay(tmp_path, way, log=log) as floor:
        run_id = await floor.start("b:flood", {"path": str(path)})
        await floor.said(run_id, "0 ")
        log.open_gate.clear()
        await eventually(lambda: floor.opened.hub.full)
        with pytest.raises(TimeoutError):
            await eventually(path.exists, seconds=1.0)
        log.open_gate.set()
        run = await floor.ended(run_id)
        assert (run["state"], run["result"]) == ("succeeded", "flooded")
        lines = floor.text(run_id).splitlines()
        assert [int(line.split()[0]) for line in lines] == list(range(20_000))


async def test_a_run_that_waits_for_the_log_can_be_cancelled(tmp_path: Path, way: str) -> None:
    log = GatedLog()
    async with lay(tmp_path, way, log=log) as floor:
        run_id = await floor.start("b:flood", {"path": str(tmp_path / "said")})
        await floor.said(run_id, "0 ")
        log.open_gate.clear()
        await eventually(lambda: floor.opened.hub.full)
        await floor.opened.runner.cancel(run_id)
        async with asyncio.timeout(3):
            await floor.opened.runner.ended()
        log.open_gate.set()
        run = await floor.ended(run_id)
        assert (run["state"], run["error"]) == ("cancelled", None)


async def test_many_runs_at_once(floor: Floor, tmp_path: Path) -> None:
    waiting = [await floor.start("b:wait") for _ in range(4)]
    flooding = [await floor.start("b:flood", {"path": str(tmp_path / str(n))}) for n in range(2)]
    for run_id in flooding:
        assert (await floor.ended(run_id))["result"] == "flooded"
        assert len(floor.of(run_id)) == 20_000
    for run_id in waiting:
        await floor.opened.runner.cancel(run_id)
    assert {(await floor.ended(run_id))["state"] for run_id in waiting} == {"cancelled"}


async def test_an_executor_is_closed_with_the_server(tmp_path: Path, way: str) -> None:
    path = tmp_path / "closed"
    async with lay(tmp_path, way, {"closed": str(path)}) as floor:
        assert (await floor.run("b:say"))["state"] == "succeeded"
    assert path.read_text() == "closed"


async def test_runs_are_interrupted_when_the_server_stops(tmp_path: Path, way: str) -> None:
    async with lay(tmp_path, way) as floor:
        run_id = await floor.start("b:wait")
        await floor.said(run_id, "waiting")
        ending = asyncio.create_task(floor.ended(run_id))
        await floor.registry.shut_down()
        run = await ending
    assert (run["state"], run["error"]["code"]) == ("interrupted", "interrupted")


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("raises", "ValueError: cannot look"),
        ("says why", "there is no Makefile"),
        ("is incomplete", "one is wrong"),
        ("lists strings", "its workflows() gave something that is no Workflow"),
        ("lists twice", "its workflows() gave two workflows of one name"),
        ("exits", "SystemExit: 1"),
        ("hangs", "its workflows() did not answer within 3 s"),
    ],
)
async def test_what_is_wrong_with_a_listing_is_said(
    tmp_path: Path, way: str, kind: str, problem: str
) -> None:
    table = {"kind": kind, **({"isolation": "process"} if way == "isolated" else {})}
    async with laid(tmp_path, [point("l", "tests.both_ways:Lister")], {"l": table}) as floor:
        lists, errors = await floor.executors.workflows(floor.opened.project, 3.0)
        assert errors == {"l": problem}
        assert [workflow.name for workflow in lists["l"]] == (
            ["good"] if kind == "is incomplete" else []
        )
        if kind == "is incomplete":
            assert (await floor.run("l:good"))["result"] == "good"
        elif kind != "hangs":
            with pytest.raises(WorkflowNotFound) as refused:
                await floor.start("l:good")
            assert problem in refused.value.message
