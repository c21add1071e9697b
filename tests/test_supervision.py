"""One supervised run: every way to end, what it may say, ask and wait for."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from aosui import (
    ChannelClosed,
    ExecutorError,
    LimitExceeded,
    NotSerialisable,
    ProjectChannel,
    Prompt,
    Run,
)
from aosui.errors import InvalidAnswer, QuestionClosed, QuestionNotFound
from aosui.events import OptionInfo

from .bench import Bench, bench
from .support import Gate, Scripted, eventually

Behaviour = Callable[[Run, ProjectChannel], Awaitable[object]]


def raising(error: BaseException) -> Behaviour:
    async def behaviour(run: Run, channel: ProjectChannel) -> object:
        raise error

    return behaviour


def returning(value: object) -> Behaviour:
    async def behaviour(run: Run, channel: ProjectChannel) -> object:
        return value

    return behaviour


async def stubborn(run: Run, channel: ProjectChannel) -> object:
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await channel.output("no\n")


class Quarrelsome(Exception):
    """An exception whose words cannot be had."""

    def __str__(self) -> str:
        raise ZeroDivisionError


class TestEnding:
    async def test_a_return_is_succeeded_and_its_value_the_result(self) -> None:
        async with bench(Scripted(ok=returning({"a": (1, 2)}))) as at:
            status = await at.run("ok")
            assert (status.state, status.result, status.error) == ("succeeded", {"a": [1, 2]}, None)
            assert status.retryable is False
            assert await at.told(status.run_id) == ["queued", "running", "succeeded"]
            assert status.created_at <= (status.started_at or "") <= (status.ended_at or "")
            assert (status.attempt, status.retry_of, status.by) == (1, None, "ann")
            assert status.first_seq == 1

    @pytest.mark.parametrize(
        ("error", "code", "message"),
        [
            (ValueError("no luck"), "executorFailed", "ValueError: no luck"),
            (ValueError(), "executorFailed", "ValueError"),
            (Quarrelsome(), "executorFailed", "Quarrelsome"),
            (SystemExit(3), "executorFailed", "SystemExit: 3"),
            (KeyboardInterrupt(), "executorFailed", "KeyboardInterrupt"),
            (GeneratorExit(), "executorFailed", "GeneratorExit"),
            (BaseException("base"), "executorFailed", "BaseException: base"),
            (StopAsyncIteration(), "executorFailed", "StopAsyncIteration"),
            (RecursionError("deep"), "executorFailed", "RecursionError: deep"),
            (ExecutorError("for people"), "executorFailed", "for people"),
            (ExecutorError("mine", code="noLuck"), "noLuck", "mine"),
            (NotSerialisable("no JSON"), "notSerialisable", "no JSON"),
            (LimitExceeded("too much"), "limitExceeded", "too much"),
            (ValueError("\ud800"), "executorFailed", "ValueError: ?"),
        ],
    )
    async def test_a_raise_is_failed_and_the_server_lives(
        self, error: BaseException, code: str, message: str
    ) -> None:
        async with bench(Scripted(bad=raising(error), ok=returning(None))) as at:
            status = await at.run("bad")
            assert status.state == "failed"
            assert status.error is not None
            assert (status.error.code, status.error.message) == (code, message)
            assert status.retryable
            assert (await at.run("ok")).state == "succeeded"

    async def test_sys_exit_ends_the_run_only(self) -> None:
        async def leave(run: Run, channel: ProjectChannel) -> object:
            sys.exit("bye")

        async with bench(Scripted(leave=leave)) as at:
            status = await at.run("leave")
            assert status.error is not None
            assert status.error.message == "SystemExit: bye"

    async def test_an_error_of_the_executor_says_whether_a_retry_may_help(self) -> None:
        error = ExecutorError("later", retryable=True, details={"after": 3})
        async with bench(Scripted(bad=raising(error))) as at:
            status = await at.run("bad")
            assert status.error is not None
            assert (status.error.retryable, status.error.details) == (True, {"after": 3})

    @pytest.mark.parametrize(
        "error",
        [
            ExecutorError(12),  # type: ignore[arg-type]
            ExecutorError("x", code=12),  # type: ignore[arg-type]
            ExecutorError("x", code="\ud800"),
            ExecutorError("x", retryable="yes"),  # type: ignore[arg-type]
            ExecutorError("x", details={"a": object()}),
            ExecutorError("x", details={1: 2**70, "b": "\ud800"}),  # type: ignore[dict-item]
        ],
    )
    async def test_an_error_made_badly_ends_the_run_all_the_same(
        self, error: ExecutorError
    ) -> None:
        async with bench(Scripted(bad=raising(error))) as at:
            status = await at.run("bad")
            assert status.state == "failed"
            assert status.error is not None
            assert status.error.message in ("x", "12")
            assert await at.runner.status(status.run_id) == status

    async def test_a_traceback_is_for_the_log_of_the_server_only(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with bench(Scripted(bad=raising(ValueError("no luck")))) as at:
            status = await at.run("bad")
            assert "Traceback" in caplog.text
            assert "executorFailed" in caplog.text
            assert "Traceback" not in json.dumps(await at.events(status.run_id))

    async def test_a_cancelled_error_that_nobody_asked_for_is_failed(self) -> None:
        async with bench(Scripted(bad=raising(asyncio.CancelledError()))) as at:
            status = await at.run("bad")
            assert status.state == "failed"
            assert status.error is not None
            assert status.error.code == "executorFailed"
            assert "CancelledError" in status.error.message

    @pytest.mark.parametrize(
        "value", [object(), {(1, 2): 3}, "x" * 24 * 1024, msgspec.Raw(b"{no json"), "\ud800"]
    )
    async def test_a_result_that_is_no_json_or_too_large_is_failed(self, value: object) -> None:
        async with bench(Scripted(bad=returning(value))) as at:
            status = await at.run("bad")
            assert (status.state, status.result) == ("failed", None)
            assert status.error is not None
            assert status.error.code == "notSerialisable"

    async def test_a_result_of_24_kib_fits(self) -> None:
        async with bench(Scripted(ok=returning("x" * (24 * 1024 - 2)))) as at:
            assert (await at.run("ok")).state == "succeeded"

    async def test_an_error_is_cut_to_4_kib(self) -> None:
        error = ExecutorError("ä" * 50_000, code="c" * 5000, details={"a": "x" * 50_000})
        async with bench(Scripted(bad=raising(error))) as at:
            status = await at.run("bad")
            assert status.error is not None
            assert len(msgspec.json.encode(status.error)) <= 4096
            assert status.error.message.startswith("ää")


class TestCancelling:
    async def test_is_one_cancelled_error_however_often_it_is_asked_for(self) -> None:
        seen: list[str] = []
        going = asyncio.Event()

        async def work(run: Run, channel: ProjectChannel) -> object:
            try:
                going.set()
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                seen.append("cancelled")
                for _ in range(3):
                    await asyncio.sleep(0.005)
                seen.append("tidied up")
                raise
            return None

        async with bench(Scripted(work=work), cancel_seconds=5) as at:
            run_id = await at.start("work")
            await going.wait()
            for _ in range(3):
                state, _ = await at.runner.cancel(run_id)
                assert state == "cancelling"
                await asyncio.sleep(0)
            status = await at.ended(run_id)
            assert (status.state, status.error) == ("cancelled", None)
            assert seen == ["cancelled", "tidied up"]
            assert await at.told(run_id) == ["queued", "running", "cancelling", "cancelled"]
            assert await at.runner.cancel(run_id) == ("cancelled", 0)

    async def test_before_the_start_never_starts_the_executor(self) -> None:
        async with bench(Scripted(work=returning(None))) as at:
            run_id = await at.start("work")
            await at.runner.cancel(run_id)
            assert (await at.ended(run_id)).state == "cancelled"
            assert at.executor.started == []
            assert (await at.ended(run_id)).started_at is None

    async def test_while_it_waits_its_turn(self) -> None:
        gate = Gate()
        async with bench(Scripted(hold=gate), runs=1) as at:
            await at.start("hold")
            second = await at.start("hold")
            await eventually(lambda: gate.holding)
            await at.runner.cancel(second)
            assert (await at.ended(second)).state == "cancelled"
            assert len(at.executor.started) == 1

    async def test_a_return_after_it_is_succeeded(self) -> None:
        async def work(run: Run, channel: ProjectChannel) -> object:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await channel.output("saved\n")
            return "saved"

        async with bench(Scripted(work=work)) as at:
            run_id = await at.start("work")
            await at.state(run_id, "running")
            await at.runner.cancel(run_id)
            status = await at.ended(run_id)
            assert (status.state, status.result) == ("succeeded", "saved")

    async def test_a_raise_after_it_is_failed(self) -> None:
        async def work(run: Run, channel: ProjectChannel) -> object:
            try:
                await asyncio.sleep(60)
            finally:
                raise ExecutorError("could not tidy up")

        async with bench(Scripted(work=work)) as at:
            run_id = await at.start("work")
            await at.state(run_id, "running")
            await at.runner.cancel(run_id)
            assert (await at.ended(run_id)).state == "failed"

    async def test_a_stubborn_executor_is_abandoned_and_its_channel_closed(self) -> None:
        refused: list[BaseException] = []

        async def work(run: Run, channel: ProjectChannel) -> object:
            try:
                return await stubborn(run, channel)
            except ChannelClosed as error:
                refused.append(error)
                raise

        async with bench(Scripted(work=work), cancel_seconds=0.05) as at:
            run_id = await at.start("work")
            await at.state(run_id, "running")
            await at.runner.cancel(run_id)
            status = await at.ended(run_id)
            assert status.state == "cancelled"
            assert status.error is not None
            assert status.error.code == "executorAbandoned"
            assert not at.runner.active
            for task in asyncio.all_tasks():
                if "test" in task.get_name() and task is not asyncio.current_task():
                    task.cancel()
            await eventually(lambda: refused)
            assert (await at.ended(run_id)) == status


class TestAfterItsEnd:
    async def test_every_verb_raises_channel_closed(self) -> None:
        channels: list[ProjectChannel] = []

        async def work(run: Run, channel: ProjectChannel) -> object:
            channels.append(channel)
            return None

        async with bench(Scripted(work=work)) as at:
            status = await at.run("work")
            [channel] = channels
            before = len(await at.events())
            for call in (
                lambda: channel.output("x"),
                lambda: channel.progress(1),
                lambda: channel.event("x", 1),
                lambda: channel.ask(Prompt("p", "?")),
                lambda: channel.checkpoint(1),
            ):
                with pytest.raises(ChannelClosed):
                    await call()
            assert [text async for text in channel.inputs()] == []
            assert len(await at.events()) == before
            assert (await at.runner.status(status.run_id)).state == "succeeded"


class TestTimeout:
    async def test_fails_the_run(self) -> None:
        executor = Scripted()
        executor.add("slow", Gate(), timeout=0.03)
        async with bench(executor) as at:
            status = await at.run("slow")
            assert status.state == "failed"
            assert status.error is not None
            assert (status.error.code, status.error.retryable) == ("executorTimeout", True)
            assert await at.told(status.run_id) == ["queued", "running", "cancelling", "failed"]

    async def test_also_when_it_does_not_end(self) -> None:
        executor = Scripted()
        executor.add("slow", stubborn, timeout=0.03)
        async with bench(executor, cancel_seconds=0.03) as at:
            status = await at.run("slow")
            assert status.state == "failed"
            assert status.error is not None
            assert status.error.code == "executorTimeout"
            for task in asyncio.all_tasks():
                if task.get_name().endswith("test"):
                    task.cancel()

    async def test_also_when_it_returns_or_raises_then(self) -> None:
        async def returns(run: Run, channel: ProjectChannel) -> object:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
            return "late"

        async def raises(run: Run, channel: ProjectChannel) -> object:
            try:
                await asyncio.sleep(60)
            finally:
                raise ValueError

        executor = Scripted()
        executor.add("returns", returns, timeout=0.03)
        executor.add("raises", raises, timeout=0.03)
        async with bench(executor) as at:
            for name in ("returns", "raises"):
                status = await at.run(name)
                assert status.error is not None
                assert status.error.code == "executorTimeout"

    async def test_a_cancel_afterwards_changes_nothing(self) -> None:
        async def tidy(run: Run, channel: ProjectChannel) -> object:
            try:
                return await asyncio.sleep(60, None)
            finally:
                await asyncio.sleep(0.05)

        executor = Scripted()
        executor.add("slow", tidy, timeout=0.03)
        async with bench(executor, cancel_seconds=5) as at:
            run_id = await at.start("slow")
            await at.state(run_id, "cancelling")
            assert (await at.runner.cancel(run_id))[0] == "cancelling"
            status = await at.ended(run_id)
            assert status.error is not None
            assert status.error.code == "executorTimeout"

    async def test_does_not_count_while_the_run_waits_for_an_answer(self) -> None:
        async def ask(run: Run, channel: ProjectChannel) -> object:
            await channel.ask(Prompt("p", "?"))
            await asyncio.sleep(0.05)
            await channel.ask(Prompt("p", "?"))
            return "done"

        executor = Scripted()
        executor.add("ask", ask, timeout=0.2)
        async with bench(executor) as at:
            run_id = await at.start("ask")
            answered: set[str] = set()
            for _ in range(2):
                await eventually(lambda: set(open_questions(at, run_id)) - answered)
                await asyncio.sleep(0.25)
                [question_id] = set(open_questions(at, run_id)) - answered
                answered.add(question_id)
                at.runner.answer(question_id, {"p": "x"}, by=None)
            assert (await at.ended(run_id)).state == "succeeded"

    async def test_counts_again_after_the_answer(self) -> None:
        async def ask(run: Run, channel: ProjectChannel) -> object:
            await channel.ask(Prompt("p", "?"))
            return await asyncio.sleep(60, None)

        executor = Scripted()
        executor.add("ask", ask, timeout=0.1)
        async with bench(executor) as at:
            run_id = await at.start("ask")
            at.runner.answer(await at.question(run_id), {"p": "x"}, by=None)
            status = await at.ended(run_id)
            assert status.error is not None
            assert status.error.code == "executorTimeout"


def open_questions(at: Bench, run_id: str) -> list[str]:
    for body in at.hub.snapshot.active_bodies():
        status = json.loads(body)
        if status["runId"] == run_id:
            return [question["questionId"] for question in status["questions"]]
    return []


class TestProgress:
    async def test_is_sent_at_most_ten_times_a_second_and_the_last_one_always(self) -> None:
        async def work(run: Run, channel: ProjectChannel) -> object:
            for number in range(1000):
                await channel.progress(number, 1000, message=f"at {number}")
                if number % 100 == 0:
                    await asyncio.sleep(0.025)
            return None

        async with bench(Scripted(work=work)) as at:
            status = await at.run("work")
            updates = [event["run"] for event in await at.events(status.run_id) if "run" in event]
            running = [run for run in updates if run["state"] == "running" and run["progress"]]
            assert 2 <= len(running) <= 5
            assert status.progress is not None
            assert (status.progress.current, status.progress.message) == (999, "at 999")

    async def test_the_last_one_is_sent_while_the_run_goes_on(self) -> None:
        gate = Gate()

        async def work(run: Run, channel: ProjectChannel) -> object:
            for number in range(3):
                await channel.progress(number)
            return await gate(run, channel)

        async with bench(Scripted(work=work)) as at:
            run_id = await at.start("work")
            await eventually(
                lambda: any(b'"current":2' in body for body in at.hub.snapshot.active_bodies())
            )
            assert (await at.runner.status(run_id)).state == "running"

    async def test_its_message_is_cut_to_1_kib(self) -> None:
        async def work(run: Run, channel: ProjectChannel) -> object:
            await channel.progress(1, message="é" * 2000)
            return None

        async with bench(Scripted(work=work)) as at:
            progress = (await at.run("work")).progress
            assert progress is not None
            assert 900 < len(msgspec.json.encode(progress.message)) <= 1024

    @pytest.mark.parametrize(
        "numbers", [(2**70, None), (1, 2**70), (10**400, None), ("1", None), (None, None)]
    )
    async def test_numbers_that_are_none_end_no_run_in_limbo(self, numbers: Any) -> None:
        async def work(run: Run, channel: ProjectChannel) -> object:
            await channel.progress(*numbers)
            return None

        async with bench(Scripted(work=work)) as at:
            status = await at.run("work")
            assert status.state in ("failed", "succeeded")
            assert await at.runner.status(status.run_id) == status


class TestAsking:
    async def ask(self, run: Run, channel: ProjectChannel) -> object:
        return await channel.ask(
            Prompt("colour", "Which?", options=["red", "blue"], allow_other=False),
            Prompt("words", "Words?", multiple=True),
        )

    async def test_the_run_waits_and_the_question_is_in_its_status_until_answered(self) -> None:
        async with bench(Scripted(ask=self.ask)) as at:
            run_id = await at.start("ask")
            status = await at.state(run_id, "waiting")
            [question] = status.questions
            assert [prompt.prompt_id for prompt in question.prompts] == ["colour", "words"]
            assert question.prompts[0].options == (
                OptionInfo("red", "red"),
                OptionInfo("blue", "blue"),
            )
            answers: dict[str, str | list[str]] = {"colour": "red", "words": ["a", "b"]}
            at.runner.answer(question.question_id, answers, by="bob")
            done = await at.ended(run_id)
            assert done.result == answers
            assert done.questions == ()
            assert await at.told(run_id) == ["queued", "running", "waiting", "running", "succeeded"]
            [closed] = [e for e in await at.events(run_id) if e["type"] == "question.closed"]
            assert closed["outcome"] == "answered"
            assert (closed["answers"], closed["by"]) == (answers, "bob")
            assert closed["questionId"] == question.question_id

    @pytest.mark.parametrize(
        ("answers", "wrong"),
        [
            ({}, {"colour", "words"}),
            ({"colour": "red"}, {"words"}),
            ({"colour": "green", "words": []}, {"colour"}),
            ({"colour": ["red"], "words": []}, {"colour"}),
            ({"colour": "red", "words": "a"}, {"words"}),
            ({"colour": "red", "words": [], "more": "x"}, {"more"}),
        ],
    )
    async def test_answers_that_do_not_fit_are_refused_and_the_question_stays(
        self, answers: dict[str, str | list[str]], wrong: set[str]
    ) -> None:
        async with bench(Scripted(ask=self.ask)) as at:
            run_id = await at.start("ask")
            question_id = await at.question(run_id)
            with pytest.raises(InvalidAnswer) as caught:
                at.runner.answer(question_id, answers, by=None)
            assert caught.value.details is not None
            assert set(caught.value.details["answers"]) == wrong
            at.runner.answer(question_id, {"colour": "red", "words": []}, by=None)
            assert (await at.ended(run_id)).state == "succeeded"

    async def test_answers_above_16_kib_are_refused(self) -> None:
        async with bench(Scripted(ask=self.ask)) as at:
            run_id = await at.start("ask")
            question_id = await at.question(run_id)
            with pytest.raises(InvalidAnswer, match="at most 16384"):
                at.runner.answer(question_id, {"colour": "red", "words": ["x" * 16384]}, by=None)

    async def test_the_first_answer_wins_and_later_ones_learn_the_outcome(self) -> None:
        async with bench(Scripted(ask=self.ask)) as at:
            run_id = await at.start("ask")
            question_id = await at.question(run_id)
            answers: dict[str, str | list[str]] = {"colour": "red", "words": []}
            at.runner.answer(question_id, answers, by="ann")
            for _ in range(2):
                with pytest.raises(QuestionClosed) as caught:
                    at.runner.answer(question_id, {"colour": "blue", "words": []}, by="bob")
                assert caught.value.details == {
                    "questionId": question_id,
                    "runId": run_id,
                    "outcome": "answered",
                    "answers": answers,
                    "by": "ann",
                }
                await at.ended(run_id)

    async def test_a_question_of_a_run_that_ended_is_closed(self) -> None:
        async with bench(Scripted(ask=self.ask)) as at:
            run_id = await at.start("ask")
            question_id = await at.question(run_id)
            await at.runner.cancel(run_id)
            assert (await at.ended(run_id)).questions == ()
            with pytest.raises(QuestionClosed) as caught:
                at.runner.answer(question_id, {}, by=None)
            assert caught.value.details is not None
            assert caught.value.details["outcome"] == "cancelled"

    async def test_an_unknown_question(self) -> None:
        async with bench(Scripted()) as at:
            with pytest.raises(QuestionNotFound):
                at.runner.answer("nope", {}, by=None)

    async def test_a_timeout_of_the_author_closes_the_question(self) -> None:
        async def ask(run: Run, channel: ProjectChannel) -> object:
            try:
                async with asyncio.timeout(0.03):
                    await channel.ask(Prompt("p", "?"))
            except TimeoutError:
                return "nobody answered"
            return None

        async with bench(Scripted(ask=ask)) as at:
            status = await at.run("ask")
            assert status.result == "nobody answered"
            assert await at.told(status.run_id) == [
                "queued",
                "running",
                "waiting",
                "running",
                "succeeded",
            ]
            closed = [e for e in await at.events() if e["type"] == "question.closed"]
            assert [event["outcome"] for event in closed] == ["cancelled"]

    async def test_several_questions_at_once(self) -> None:
        async def ask(run: Run, channel: ProjectChannel) -> object:
            asks = (channel.ask(Prompt("p", f"{number}?")) for number in range(3))
            return [answers["p"] for answers in await asyncio.gather(*asks)]

        async with bench(Scripted(ask=ask)) as at:
            run_id = await at.start("ask")
            await eventually(lambda: len(open_questions(at, run_id)) == 3)
            for number, question_id in enumerate(open_questions(at, run_id)):
                at.runner.answer(question_id, {"p": str(number)}, by=None)
                assert (await at.runner.status(run_id)).state == (
                    "running" if number == 2 else "waiting"
                )
            assert (await at.ended(run_id)).result == ["0", "1", "2"]

    async def test_questions_above_12_kib_together_are_refused(self) -> None:
        async def ask(run: Run, channel: ProjectChannel) -> object:
            first = asyncio.ensure_future(channel.ask(Prompt("p", "x" * 7000)))
            await asyncio.sleep(0)
            with pytest.raises(LimitExceeded):
                await channel.ask(Prompt("p", "y" * 7000))
            first.cancel()
            await asyncio.wait([first])
            return await channel.ask(Prompt("p", "z" * 7000))

        async with bench(Scripted(ask=ask)) as at:
            run_id = await at.start("ask")
            await eventually(
                lambda: any(b"zzz" in body for body in at.hub.snapshot.active_bodies())
            )
            [question_id] = open_questions(at, run_id)
            at.runner.answer(question_id, {"p": ""}, by=None)
            assert (await at.ended(run_id)).state == "succeeded"


class TestInputs:
    async def test_come_in_order_and_end_with_the_run(self) -> None:
        got: list[str] = []
        over = asyncio.Event()

        async def work(run: Run, channel: ProjectChannel) -> object:
            async def listen() -> None:
                async for text in channel.inputs():
                    got.append(text)  # noqa: PERF401 - each as it comes
                over.set()

            listening = asyncio.create_task(listen())
            while len(got) < 5:
                await asyncio.sleep(0.001)
            got.append(str(listening.done()))
            return None

        async with bench(Scripted(work=work)) as at:
            run_id = await at.start("work")
            for number in range(5):
                await at.runner.input(run_id, f"{number}\n")
            assert (await at.ended(run_id)).state == "succeeded"
            await over.wait()
            assert got == [*(f"{number}\n" for number in range(5)), "False"]

    async def test_more_than_64_unread_are_refused(self) -> None:
        async with bench(Scripted(hold=Gate())) as at:
            run_id = await at.start("hold")
            for _ in range(64):
                await at.runner.input(run_id, "x")
            with pytest.raises(LimitExceeded):
                await at.runner.input(run_id, "x")


class TestSaying:
    async def test_events_carry_the_name_of_their_executor(self) -> None:
        async def work(run: Run, channel: ProjectChannel) -> object:
            await channel.event("went", {"far": True})
            await channel.event("nothing")
            return None

        async with bench(Scripted(work=work)) as at:
            status = await at.run("work")
            said = [e for e in await at.events(status.run_id) if e["type"] == "run.event"]
            assert [(event["name"], event["data"]) for event in said] == [
                ("test.went", {"far": True}),
                ("test.nothing", None),
            ]

    @pytest.mark.parametrize("data", [object(), "x" * 60 * 1024, 10_000_000 * "x"])
    async def test_data_that_is_no_json_or_above_60_kib_is_refused_there_and_then(
        self, data: object
    ) -> None:
        async def work(run: Run, channel: ProjectChannel) -> object:
            with pytest.raises(NotSerialisable):
                await channel.event("x", data)
            return "went on"

        async with bench(Scripted(work=work)) as at:
            status = await at.run("work")
            assert status.result == "went on"
            assert not [e for e in await at.events() if e["type"] == "run.event"]

    async def test_data_of_60_kib_fits_an_event_of_64(self) -> None:
        async def work(run: Run, channel: ProjectChannel) -> object:
            await channel.event("x" * 100, "x" * (60 * 1024 - 2))
            return None

        async with bench(Scripted(work=work)) as at:
            assert (await at.run("work")).state == "succeeded"
            assert max(map(len, await at.hub.read(0, 100, 10**9))) <= 64 * 1024

    async def test_long_output_is_split_and_nothing_of_it_lost(self) -> None:
        text = "".join(chr(33 + number % 90) for number in range(200_000)) + "🙂é\x1b\0" * 30_000

        async def work(run: Run, channel: ProjectChannel) -> object:
            await channel.output(text, stream="stderr")
            return None

        async with bench(Scripted(work=work)) as at:
            await at.run("work")
            entries = await at.hub.read(0, 1000, 10**9)
            assert max(map(len, entries)) <= 64 * 1024
            said = [e for e in await at.events() if e["type"] == "run.output"]
            assert "".join(event["text"] for event in said) == text
            assert {event["stream"] for event in said} == {"stderr"}

    async def test_text_that_is_no_unicode_is_shown_with_question_marks_long_or_short(
        self,
    ) -> None:
        async def work(run: Run, channel: ProjectChannel) -> object:
            await channel.output("a\udcff")
            await channel.output("b" * 70_000 + "\udcff")
            return None

        async with bench(Scripted(work=work)) as at:
            assert (await at.run("work")).state == "succeeded"
            said = "".join(e["text"] for e in await at.events() if e["type"] == "run.output")
            assert said == "a?" + "b" * 70_000 + "?"

    async def test_a_flood_waits_for_the_log_and_starves_nobody(self) -> None:
        turns = 0

        async def flood(run: Run, channel: ProjectChannel) -> object:
            for number in range(20_000):
                await channel.output(f"{number}\n")
            return None

        async with bench(Scripted(flood=flood), outbox_events=500) as at:
            run_id = await at.start("flood")
            while not (await at.runner.status(run_id)).ended_at:
                turns += 1
                assert at.hub.next_seq - at.hub.seq < 1200
                await asyncio.sleep(0)
            await at.ended(run_id)
            assert turns > 50
            said = [e["text"] for e in await at.events() if e["type"] == "run.output"]
            assert said == [f"{number}\n" for number in range(20_000)]
