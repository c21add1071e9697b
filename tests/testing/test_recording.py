"""The recording channel says what viewers would see, and plays the user."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from aosui import ChannelClosed, LimitExceeded, NotSerialisable, Option, Prompt
from aosui.testing import RecordingChannel


async def test_everything_said_is_kept_in_order(aosui_channel: RecordingChannel) -> None:
    channel = aosui_channel
    await channel.output("one\n")
    await channel.output("two\n", stream="stderr")
    await channel.progress(1, 2, message="half")
    await channel.event("built", {"files": ("a", "b")})
    await channel.checkpoint({"at": 1})
    assert channel.outputs == [("stdout", "one\n"), ("stderr", "two\n")]
    assert channel.text == "one\ntwo\n"
    assert channel.progresses == [(1, 2, "half")]
    assert channel.events == [("built", {"files": ["a", "b"]})]
    assert channel.checkpoints == [{"at": 1}]


async def test_the_project_is_the_root(tmp_path: Path) -> None:
    channel = RecordingChannel(root=str(tmp_path), run_id="seven")
    assert channel.project.root == tmp_path
    assert channel.run_id == "seven"


async def test_scripted_answers(tmp_path: Path) -> None:
    channel = RecordingChannel(root=tmp_path, answers={"go": "yes", "which": ["a"]})
    answers = await channel.ask(
        Prompt("go", "Go on?", options=["yes", "no"], allow_other=False),
        Prompt("which", "Which?", options=[Option("a"), Option("b")], multiple=True),
    )
    assert answers == {"go": "yes", "which": ["a"]}
    (asked,) = channel.questions
    assert asked.ids == ("go", "which")
    assert asked.prompts[1].options[0].label == "a"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(["yes"], "must be text"), ("perhaps", "it takes yes, no")],
)
async def test_answers_that_the_server_would_refuse(
    tmp_path: Path, answer: str | list[str], reason: str
) -> None:
    channel = RecordingChannel(root=tmp_path, answers={"go": answer})
    with pytest.raises(ValueError, match=reason):
        await channel.ask(Prompt("go", "Go on?", options=["yes", "no"], allow_other=False))


async def test_a_question_without_a_scripted_answer_fails_the_test(tmp_path: Path) -> None:
    channel = RecordingChannel(root=tmp_path, answers={})
    with pytest.raises(AssertionError, match="asks 'go', and the test has no answer"):
        await channel.ask(Prompt("go", "Go on?"))


async def test_answering_by_hand(aosui_channel: RecordingChannel) -> None:
    asking = asyncio.create_task(aosui_channel.ask(Prompt("go", "Go on?")))
    await aosui_channel.until(lambda: aosui_channel.open_questions)
    assert [asked.ids for asked in aosui_channel.open_questions] == [("go",)]
    aosui_channel.answer({"go": "yes"})
    assert await asking == {"go": "yes"}
    assert aosui_channel.open_questions == []
    with pytest.raises(ValueError, match="no question is open"):
        aosui_channel.answer({"go": "yes"})


async def test_a_cancelled_question_is_closed(aosui_channel: RecordingChannel) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(aosui_channel.ask(Prompt("go", "Go on?")), 0.01)
    assert aosui_channel.open_questions == []
    assert len(aosui_channel.questions) == 1


async def test_questions_that_are_too_large(aosui_channel: RecordingChannel) -> None:
    with pytest.raises(LimitExceeded):
        await aosui_channel.ask(Prompt("go", "?" * 13_000))
    assert aosui_channel.questions == []


async def test_inputs_come_as_sent_and_end_with_the_run(aosui_channel: RecordingChannel) -> None:
    async def collect() -> list[str]:
        return [text async for text in aosui_channel.inputs()]

    aosui_channel.send_input("one")
    collecting = asyncio.create_task(collect())
    await asyncio.sleep(0)
    aosui_channel.send_input("two")
    await asyncio.sleep(0)
    aosui_channel.end()
    assert await asyncio.wait_for(collecting, 5) == ["one", "two"]


async def test_nothing_can_be_said_after_the_end(aosui_channel: RecordingChannel) -> None:
    aosui_channel.end()
    with pytest.raises(ChannelClosed):
        await aosui_channel.output("late")
    with pytest.raises(ChannelClosed):
        await aosui_channel.ask(Prompt("go", "Go on?"))
    assert aosui_channel.outputs == []


async def test_an_executor_waits_for_room(aosui_channel: RecordingChannel) -> None:
    aosui_channel.fill()
    writing = asyncio.create_task(aosui_channel.output("text"))
    await aosui_channel.until(lambda: aosui_channel.waiting)
    assert aosui_channel.waiting
    assert aosui_channel.outputs == []
    aosui_channel.drain()
    await asyncio.wait_for(writing, 5)
    assert aosui_channel.outputs == [("stdout", "text")]
    assert not aosui_channel.waiting


async def test_waiting_for_what_never_comes(aosui_channel: RecordingChannel) -> None:
    with pytest.raises(TimeoutError):
        await aosui_channel.until(lambda: aosui_channel.outputs, timeout=0.01)


@pytest.mark.parametrize("value", [object(), {1: object()}, "\ud800", b"\xff" * 70_000])
async def test_only_json_is_taken(aosui_channel: RecordingChannel, value: object) -> None:
    with pytest.raises(NotSerialisable):
        await aosui_channel.event("thing", value)
    assert aosui_channel.events == []


async def test_output_is_unicode(aosui_channel: RecordingChannel) -> None:
    with pytest.raises(NotSerialisable):
        await aosui_channel.output("\ud800")
