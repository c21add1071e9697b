"""The runner: starting, limits, retries, secrets, checkpoints, and many at once."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aosui import AosuiError, Param, Project, ProjectChannel, Prompt, Run, Workflow
from aosui.errors import (
    InvalidParams,
    LimitExceeded,
    LogUnavailable,
    NotFound,
    NotSerialisable,
    OutsideRoot,
    ProjectClosed,
    RunNotActive,
    RunNotFound,
    RunNotRetryable,
    ShuttingDown,
    WorkflowNotFound,
)
from aosui.events import FINAL_STATES, MASK
from aosui.executors import Executors
from aosui.hub import Hub
from aosui.limits import Limits
from aosui.runner import Runner, check_params, interrupt_stale

from .bench import bench
from .support import FaultyLog, Gate, Scripted, eventually

HUSH = "a-very-secret-word"


async def fail(run: Run, channel: ProjectChannel) -> object:
    raise ValueError("no luck")


async def nothing(run: Run, channel: ProjectChannel) -> object:
    return None


class TestStarting:
    async def test_waits_for_its_first_event_to_be_in_the_log(self) -> None:
        log = FaultyLog()
        async with bench(Scripted(work=nothing), log=log) as at:
            log.refusing = True
            run_id = await at.start("work")
            await asyncio.sleep(0.03)
            assert at.executor.started == []
            log.refusing = False
            assert (await at.ended(run_id)).state == "succeeded"

    async def test_says_where_to_connect_from(self) -> None:
        async with bench(Scripted(work=nothing)) as at:
            await at.run("work")
            head = at.hub.next_seq - 1
            started = await at.runner.start("test:work", {}, by=None)
            assert started.since == head
            status = await at.ended(started.run_id)
            assert status.first_seq == started.seq == head + 1
            assert started.result() == {
                "runId": started.run_id,
                "since": head,
                "epoch": at.hub.epoch,
            }

    @pytest.mark.parametrize("name", ["nope", "test:nope", "nope:work", "", ":", "test:", "test"])
    async def test_an_unknown_workflow(self, name: str) -> None:
        async with bench(Scripted(work=nothing)) as at:
            with pytest.raises(WorkflowNotFound):
                await at.runner.start(name, {}, by=None)
            assert not at.runner.active

    async def test_an_executor_that_cannot_list_its_workflows(self) -> None:
        class Broken(Scripted):
            async def workflows(self, project: Project) -> list[Workflow]:
                raise ValueError("the file is broken")

        async with bench(Broken()) as at:
            with pytest.raises(WorkflowNotFound, match="the file is broken"):
                await at.runner.start("test:work", {}, by=None)

    async def test_an_executor_that_lists_its_workflows_too_slowly(self) -> None:
        class Slow(Scripted):
            async def workflows(self, project: Project) -> list[Workflow]:
                return await asyncio.sleep(60, [])

        async with bench(Slow(), workflows_seconds=0.02) as at:
            with pytest.raises(WorkflowNotFound, match="within"):
                await at.runner.start("test:work", {}, by=None)

    async def test_a_root_that_went_away(self, tmp_path: Path) -> None:
        root = tmp_path / "site"
        async with bench(Scripted(work=nothing), root=root) as at:
            with pytest.raises(NotFound):
                await at.runner.start("test:work", {}, by=None)

    async def test_a_root_that_became_a_link(self, tmp_path: Path) -> None:
        root, other = tmp_path / "site", tmp_path / "other"
        other.mkdir()
        root.symlink_to(other)
        async with bench(Scripted(work=nothing), root=root) as at:
            with pytest.raises(OutsideRoot):
                await at.runner.start("test:work", {}, by=None)

    async def test_the_executor_gets_its_run(self) -> None:
        executor = Scripted()
        executor.add("work", nothing, params=[Param("n", type="integer", default=3)])
        async with bench(executor) as at:
            status = await at.run("work")
            [run] = executor.started
            assert (run.id, run.workflow, dict(run.params)) == (status.run_id, "work", {"n": 3})
            assert (run.attempt, run.retry_of, run.checkpoint) == (1, None, None)
            with pytest.raises(TypeError):
                run.params["n"] = 4  # type: ignore[index]

    async def test_a_run_in_words(self) -> None:
        executor = Scripted(work=nothing)
        async with bench(executor) as at:
            status = await at.run("work")
            assert (status.workflow, status.executor, status.title) == ("test:work", "test", "work")


class TestParams:
    WORKFLOW = Workflow(
        "w",
        params=[
            Param("s"),
            Param("n", type="integer", default=1),
            Param("x", type="number", default=0.5),
            Param("b", type="boolean", default=False),
            Param("c", default="a", choices=("a", "b")),
            Param("o", default=None),
        ],
    )

    def test_defaults_are_filled_in(self) -> None:
        assert check_params(self.WORKFLOW, {"s": "x"}) == {
            "s": "x",
            "n": 1,
            "x": 0.5,
            "b": False,
            "c": "a",
            "o": None,
        }

    @pytest.mark.parametrize(
        ("given", "wrong"),
        [
            ({}, {"s": "is required"}),
            ({"s": 1}, {"s": "must be a string"}),
            ({"s": "a\0b"}, {"s": "must not contain NUL"}),
            ({"s": None}, {"s": "must be a string"}),
            ({"s": "x", "n": "1"}, {"n": "must be an integer"}),
            ({"s": "x", "n": True}, {"n": "must be an integer"}),
            ({"s": "x", "n": 1.5}, {"n": "must be an integer"}),
            ({"s": "x", "x": "1"}, {"x": "must be a number"}),
            ({"s": "x", "b": 1}, {"b": "must be a boolean"}),
            ({"s": "x", "c": "z"}, {"c": "must be one of a, b"}),
            ({"s": "x", "y": 1, "z": 2}, {"y": "there is no such parameter", "z": "there is"}),
        ],
    )
    def test_what_does_not_fit_is_named(self, given: dict[str, Any], wrong: dict[str, str]) -> None:
        with pytest.raises(InvalidParams) as caught:
            check_params(self.WORKFLOW, given)
        assert caught.value.details is not None
        named = caught.value.details["params"]
        assert set(named) == set(wrong)
        assert all(named[name].startswith(reason) for name, reason in wrong.items())

    @pytest.mark.parametrize("value", [1, 1.5, -0.0])
    def test_a_number_may_be_whole(self, value: float) -> None:
        assert check_params(self.WORKFLOW, {"s": "x", "x": value})["x"] == value

    def test_none_stands_for_a_default_of_none(self) -> None:
        assert check_params(self.WORKFLOW, {"s": "x", "o": None})["o"] is None

    def test_at_most_16_kib(self) -> None:
        empty = len(msgspec.json.encode(check_params(self.WORKFLOW, {"s": ""})))
        check_params(self.WORKFLOW, {"s": "x" * (16 * 1024 - empty)})
        with pytest.raises(InvalidParams, match="at most 16384"):
            check_params(self.WORKFLOW, {"s": "x" * (16 * 1024 - empty + 1)})

    def test_many_wrong_ones_make_no_long_message(self) -> None:
        given = {f"{'x' * 1000}{number}": 1 for number in range(1000)}
        with pytest.raises(InvalidParams) as caught:
            check_params(self.WORKFLOW, given)
        assert len(caught.value.message) < 2000

    async def test_a_refused_run_leaves_no_trace(self) -> None:
        executor = Scripted()
        executor.add("work", nothing, params=[Param("s")])
        async with bench(executor) as at:
            with pytest.raises(InvalidParams):
                await at.start("work")
            assert not at.runner.active
            assert at.hub.next_seq == 1


class TestSecrets:
    def executor(self) -> Scripted:
        executor = Scripted()
        executor.add(
            "login",
            fail,
            params=[
                Param("user", default="ann"),
                Param("password", secret=True),
                Param("pin", secret=True, default="0000"),
                Param("otp", secret=True, default=None),
            ],
        )
        return executor

    async def test_are_shown_to_the_executor_only(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("DEBUG")
        executor = self.executor()
        async with bench(executor) as at:
            status = await at.run("login", password=HUSH)
            shown = {"user": "ann", "password": MASK, "pin": MASK, "otp": None}
            assert status.params == shown
            assert executor.started[0].params["password"] == HUSH
            everything = json.dumps(await at.events()) + at.hub.snapshot.text("t").decode()
            stored = await at.log.run("p", status.run_id)
            assert stored is not None
            assert HUSH not in everything + stored.body.decode() + caplog.text

    async def test_are_asked_for_again_at_a_retry(self) -> None:
        executor = self.executor()
        async with bench(executor) as at:
            status = await at.run("login", password=HUSH, user="bob")
            for params in (None, {}, {"user": "eve"}, {"password": "other"}):
                with pytest.raises(InvalidParams) as caught:
                    await at.runner.retry(status.run_id, params, by=None)
                assert caught.value.details is not None
                assert "pin" in caught.value.details["params"]
            again = await at.runner.retry(status.run_id, {"password": "other", "pin": "1"}, by=None)
            await at.ended(again.run_id)
            assert dict(executor.started[1].params) == {
                "user": "bob",
                "password": "other",
                "pin": "1",
                "otp": None,
            }

    async def test_a_wrong_one_is_not_repeated_in_the_error(self) -> None:
        executor = Scripted()
        executor.add("login", fail, params=[Param("password", secret=True, choices=("a", "b"))])
        async with bench(executor) as at:
            with pytest.raises(InvalidParams) as caught:
                await at.start("login", password=HUSH)
            assert HUSH not in caught.value.message + json.dumps(caught.value.details)


class TestLimits:
    async def test_eight_at_once_and_waiting_ones_are_not_counted(self) -> None:
        gate = Gate()

        async def ask(run: Run, channel: ProjectChannel) -> object:
            return await channel.ask(Prompt("p", "?"))

        async with bench(Scripted(hold=gate, ask=ask)) as at:
            asking = [await at.start("ask") for _ in range(8)]
            for run_id in asking:
                await at.state(run_id, "waiting")
            held = [await at.start("hold") for _ in range(10)]
            await eventually(lambda: gate.holding == 8)
            assert at.runner.activity() == {"active": 18, "queued": 2, "waiting": 8}
            await at.runner.cancel(held[0])
            await at.ended(held[0])
            await eventually(lambda: gate.holding == 8)
            assert at.runner.activity()["queued"] == 1
            gate.open()
            for run_id in held[1:]:
                assert (await at.ended(run_id)).state == "succeeded"

    async def test_start_in_the_order_in_which_they_were_asked_for(self) -> None:
        gate = Gate()
        async with bench(Scripted(hold=gate), runs=1) as at:
            ids = [await at.start("hold") for _ in range(5)]
            gate.open()
            for run_id in ids:
                await at.ended(run_id)
            assert [run.id for run in at.executor.started] == ids

    async def test_two_hundred_active(self) -> None:
        async with bench(Scripted(hold=Gate())) as at:
            for _ in range(200):
                await at.start("hold")
            with pytest.raises(LimitExceeded) as caught:
                await at.start("hold")
            assert caught.value.details == {"limit": "active_runs"}
            assert at.runner.activity()["active"] == 200

    async def test_a_mebibyte_of_params_together(self) -> None:
        executor = Scripted()
        executor.add("hold", Gate(), params=[Param("s")])
        async with bench(executor) as at:
            text = "x" * 16_000
            for _ in range(1024 * 1024 // (16_000 + len('{"s":""}'))):
                await at.start("hold", s=text)
            with pytest.raises(LimitExceeded) as caught:
                await at.start("hold", s=text)
            assert caught.value.details == {"limit": "active_params_bytes"}

    async def test_questions_remembered_are_bounded(self) -> None:
        async def ask(run: Run, channel: ProjectChannel) -> object:
            for _ in range(1010):
                with suppress(TimeoutError):
                    async with asyncio.timeout(0):
                        await channel.ask(Prompt("p", "?"))
            return None

        async with bench(Scripted(ask=ask)) as at:
            status = await at.run("ask")
            closed = [
                event["questionId"]
                for event in await at.events(status.run_id)
                if event["type"] == "question.closed"
            ]
            codes: Counter[str] = Counter()
            for question_id in closed:
                with pytest.raises(AosuiError) as caught:
                    at.runner.answer(question_id, {}, by=None)
                codes[caught.value.code] += 1
            assert codes == {"questionNotFound": 10, "questionClosed": 1000}


class TestRetrying:
    @pytest.mark.parametrize("name", ["fail", "cancelled"])
    async def test_makes_a_new_run_of_one_that_did_not_succeed(self, name: str) -> None:
        executor = Scripted()
        gate = Gate()
        params = [Param("n", type="integer", default=1), Param("m", type="integer", default=2)]
        executor.add("fail", fail, params=params)
        executor.add("cancelled", gate, params=params)
        async with bench(executor) as at:
            first = await at.start(name, n=7, m=8)
            if name == "cancelled":
                await at.runner.cancel(first)
            before = await at.ended(first)
            started = await at.runner.retry(first, {"m": 9}, by="bob")
            assert started.run_id != first
            if name == "cancelled":
                await at.state(started.run_id, "running")
                await at.runner.cancel(started.run_id)
            again = await at.ended(started.run_id)
            assert (again.attempt, again.retry_of, again.by) == (2, first, "bob")
            assert again.params == {"n": 7, "m": 9}
            assert await at.runner.status(first) == before

    async def test_one_that_succeeded_or_goes_on_cannot_be(self) -> None:
        async with bench(Scripted(ok=nothing, hold=Gate())) as at:
            done = (await at.run("ok")).run_id
            going = await at.start("hold")
            for run_id in (done, going):
                with pytest.raises(RunNotRetryable):
                    await at.runner.retry(run_id, None, by=None)

    async def test_unknown_runs(self) -> None:
        async with bench(Scripted()) as at:
            with pytest.raises(RunNotFound):
                await at.runner.retry("nope", None, by=None)
            with pytest.raises(RunNotFound):
                await at.runner.cancel("nope")
            with pytest.raises(RunNotFound):
                await at.runner.input("nope", "x")

    async def test_a_run_that_ended_takes_no_input(self) -> None:
        async with bench(Scripted(ok=nothing)) as at:
            status = await at.run("ok")
            with pytest.raises(RunNotActive):
                await at.runner.input(status.run_id, "x")

    async def test_a_checkpoint_goes_along_through_a_chain_of_retries(self) -> None:
        seen: list[object] = []

        async def work(run: Run, channel: ProjectChannel) -> object:
            seen.append(run.checkpoint)
            if run.attempt == 1:
                await channel.checkpoint({"at": 1})
                await channel.checkpoint({"at": 2})
            if run.attempt == 4:
                await channel.checkpoint({"at": 4})
            raise ValueError

        async with bench(Scripted(work=work)) as at:
            run_id = (await at.run("work")).run_id
            for _ in range(4):
                run_id = (await at.runner.retry(run_id, None, by=None)).run_id
                await at.ended(run_id)
            assert seen == [None, {"at": 2}, {"at": 2}, {"at": 2}, {"at": 4}]
            assert "at" not in json.dumps([event.get("run") for event in await at.events()]).split(
                '"'
            )

    async def test_at_once_after_the_end_finds_state_and_checkpoint(self) -> None:
        log = FaultyLog()

        async def work(run: Run, channel: ProjectChannel) -> object:
            if run.attempt > 1:
                return run.checkpoint
            await channel.checkpoint("half")
            log.refusing = True
            raise ValueError

        async with bench(Scripted(work=work), log=log) as at:
            run_id = await at.start("work")
            await at.runner.ended()
            assert (await at.runner.status(run_id)).state == "failed"
            again = await at.runner.retry(run_id, None, by=None)
            log.refusing = False
            assert (await at.ended(again.run_id)).result == "half"

    async def test_a_checkpoint_above_16_kib_is_refused(self) -> None:
        async def work(run: Run, channel: ProjectChannel) -> object:
            await channel.checkpoint("x" * (16 * 1024 - 2))
            with pytest.raises(NotSerialisable):
                await channel.checkpoint("x" * (16 * 1024 - 1))
            with pytest.raises(NotSerialisable):
                await channel.checkpoint(object())
            raise ValueError

        async with bench(Scripted(work=work)) as at:
            status = await at.run("work")
            assert status.error is not None
            assert status.error.message == "ValueError"


class TestStopping:
    async def test_interrupts_what_runs_and_starts_nothing(self) -> None:
        async with bench(Scripted(hold=Gate())) as at:
            run_ids = [await at.start("hold") for _ in range(10)]
            await at.state(run_ids[0], "running")
            at.runner.interrupt_all()
            with pytest.raises(ShuttingDown):
                await at.start("hold")
            for run_id in run_ids:
                status = await at.ended(run_id)
                assert (status.state, status.retryable) == ("interrupted", True)
                assert status.error is not None
                assert status.error.code == "interrupted"

    async def test_a_stubborn_one_is_interrupted_all_the_same(self) -> None:
        freed = asyncio.Event()

        async def stubborn(run: Run, channel: ProjectChannel) -> object:
            while not freed.is_set():
                try:
                    await freed.wait()
                except asyncio.CancelledError:
                    continue
            return None

        async with bench(Scripted(stubborn=stubborn), cancel_seconds=5) as at:
            run_id = await at.start("stubborn")
            await at.state(run_id, "running")
            at.runner.interrupt_all()
            at.runner.abandon_all()
            assert not at.runner.active
            assert (await at.ended(run_id)).state == "interrupted"
            freed.set()

    async def test_a_closed_project_starts_nothing(self) -> None:
        async with bench(Scripted(work=nothing)) as at:
            at.runner.close()
            with pytest.raises(ProjectClosed):
                await at.start("work")

    async def test_what_a_dead_server_left_active_is_interrupted_once(self) -> None:
        async def ask(run: Run, channel: ProjectChannel) -> object:
            return await channel.ask(Prompt("p", "?"))

        log = FaultyLog()
        async with bench(Scripted(ask=ask, hold=Gate()), log=log) as dead:
            run_ids = [await dead.start("ask"), await dead.start("hold")]
            await dead.state(run_ids[0], "waiting")
            await dead.state(run_ids[1], "running")
            log.refusing = True
            hub = Hub(dead.hub.project, log, Limits())
            await hub.open()
            runner = Runner(hub, Executors({}), Limits())
            log.refusing = False
            await hub.committed(interrupt_stale(hub))
            for run_id in run_ids:
                status = await runner.status(run_id)
                assert (status.state, status.questions) == ("interrupted", ())
                assert status.ended_at is not None
            assert interrupt_stale(hub) == hub.seq
            outcomes = [json.loads(entry).get("outcome") for entry in await hub.read(0, 100, 10**9)]
            assert outcomes.count("cancelled") == 1
        await hub.close()


async def test_fifty_started_cancelled_and_retried_at_once_have_one_final_state_each() -> None:
    chance = random.Random(7)

    async def work(run: Run, channel: ProjectChannel) -> object:
        for number in range(chance.randrange(4)):
            await channel.output(f"{number}\n")
            await asyncio.sleep(chance.choice([0, 0, 0.001]))
        if chance.random() < 0.3:
            raise ValueError
        return None

    async with bench(Scripted(work=work)) as at:
        ids: list[str] = []

        async def user() -> None:
            run_id = await at.start("work")
            ids.append(run_id)
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(chance.choice([0, 0.001, 0.003]))
                await at.runner.cancel(run_id)
            for _ in range(2):
                await asyncio.sleep(chance.choice([0, 0.002]))
                with suppress(RunNotRetryable):
                    ids.append((await at.runner.retry(run_id, None, by=None)).run_id)

        await asyncio.gather(*(user() for _ in range(50)))
        await at.runner.ended()
        await at.hub.committed(at.hub.next_seq - 1)
        for run_id in ids:
            told = await at.told(run_id)
            finals = [state for state in told if state in FINAL_STATES]
            assert len(finals) == 1, told
            assert told[-1] == finals[0]
            assert (await at.events(run_id))[-1]["type"] == "run.updated"
            assert told[0] == "queued"


async def test_a_log_that_is_down_keeps_no_run_from_being_cancelled() -> None:
    log = FaultyLog()
    async with bench(Scripted(hold=Gate()), log=log) as at:
        run_id = await at.start("hold")
        await at.state(run_id, "running")
        log.refusing = True
        await at.runner.cancel(run_id)
        await at.runner.ended()
        with pytest.raises(LogUnavailable):
            await at.hub.committed(at.hub.next_seq - 1, 0.02)
        log.refusing = False
        assert (await at.ended(run_id)).state == "cancelled"
