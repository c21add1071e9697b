"""Conversations with a stand-in, through the real SDK."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from aosui_claude import ClaudeExecutor
from aosui_claude.conversation import Conversation
from conftest import Claude

from aosui import ExecutorError, Run
from aosui.testing import RecordingChannel, check_executor


def prompt(text: str, **more: Any) -> Run:
    return Run("run", "prompt", {"prompt": text}, **more)


async def until_asked(channel: RecordingChannel, times: int) -> None:
    await channel.until(lambda: len(channel.questions) == times and channel.open_questions)


def data(channel: RecordingChannel, name: str) -> list[Any]:
    return [event.data for event in channel.events if event.name == name]


async def test_text_is_streamed_and_comes_once(
    claude: Claude, aosui_channel: RecordingChannel
) -> None:
    result = await claude.executor().execute(prompt("hello"), aosui_channel)
    assert result == {
        "text": "Hello.",
        "sessionId": "session-1",
        "costUsd": 0.0123,
        "turns": 2,
        "durationMs": 1500,
    }
    assert [output.text for output in aosui_channel.outputs[:2]] == ["Hel", "lo."]
    assert aosui_channel.text == "Hello.\n(2 turns, 1.5 s, $0.0123)\n"
    session, message, cost = aosui_channel.events
    assert session.name == "session"
    assert session.data["version"] == "9.9.9"
    assert "cwd" not in session.data
    assert message == (
        "message",
        {"role": "assistant", "text": "Hello.", "model": "stand-in", "parentToolUseId": None},
    )
    assert cost.name == "cost"
    assert cost.data["usd"] == 0.0123
    assert cost.data["usage"] == {"output_tokens": 7}
    assert [checkpoint["sessionId"] for checkpoint in aosui_channel.checkpoints] == ["session-1"]


async def test_tools_are_shown_and_told(claude: Claude, aosui_channel: RecordingChannel) -> None:
    await claude.executor().execute(prompt("tools"), aosui_channel)
    names = [event.name for event in aosui_channel.events]
    assert names == [
        "session",
        "thinking",
        "message",
        "toolUse",
        "toolResult",
        "message",
        "message",
        "cost",
    ]
    (use,) = data(aosui_channel, "toolUse")
    assert (use["name"], use["input"]) == ("Bash", {"command": "npm test", "timeout": 5})
    (result,) = data(aosui_channel, "toolResult")
    assert (result["toolUseId"], result["isError"]) == ("use-0", False)
    assert result["content"][0]["text"].endswith("line 12")
    assert aosui_channel.text == (
        "I run the tests.\n● Bash: npm test\n"
        + "".join(f"  line {n}\n" for n in range(1, 9))
        + "  … (4 more lines)\nThey pass.\n(2 turns, 1.5 s, $0.0123)\n"
    )


async def test_a_command_is_called_with_its_arguments(
    claude: Claude, aosui_channel: RecordingChannel
) -> None:
    run = Run("run", "hello", {"arguments": "-- you & me"})
    await claude.executor().execute(run, aosui_channel)
    assert claude.prompts == ["/hello -- you & me"]
    arguments = claude.seen[0]["argv"]
    assert "--setting-sources=user,project,local" in arguments
    assert "--system-prompt" not in arguments


@pytest.mark.parametrize(
    ("answer", "behaviour", "updates"),
    [("allow", "allow", None), ("always", "allow", "acceptEdits")],
)
async def test_permission_is_asked_and_given(
    claude: Claude, tmp_path: Path, answer: str, behaviour: str, updates: str | None
) -> None:
    channel = RecordingChannel(root=tmp_path, answers={"permission": answer})
    result = await claude.executor().execute(prompt("permission"), channel)
    (asked,) = channel.questions
    (shown,) = asked.prompts
    assert shown.text.startswith("Claude wants to remove the build\n")
    assert "rm -rf build" in shown.text
    assert shown.header == "Permission: Bash"
    assert [option.value for option in shown.options] == ["allow", "always", "deny"]
    assert data(channel, "permission")[0]["input"] == {"command": "rm -rf build"}
    assert isinstance(result, dict)
    given = json.loads(result["text"])
    assert given["behavior"] == behaviour
    assert given["updatedInput"] == {"command": "rm -rf build"}
    assert given.get("updatedPermissions", [{}])[0].get("mode") == updates


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("deny", "The user refused this."),
        ("rather not", "The user refused this. They say: rather not"),
    ],
)
async def test_permission_is_asked_and_refused(
    claude: Claude, tmp_path: Path, answer: str, words: str
) -> None:
    channel = RecordingChannel(root=tmp_path, answers={"permission": answer})
    result = await claude.executor().execute(prompt("permission"), channel)
    assert isinstance(result, dict)
    assert json.loads(result["text"]) == {"behavior": "deny", "message": words}
    assert ("stderr", f"  {words}\n") in channel.outputs
    assert data(channel, "toolResult")[0]["isError"] is True


async def test_permissions_asked_at_once_are_questions_one_by_one(
    claude: Claude, aosui_channel: RecordingChannel
) -> None:
    running = asyncio.create_task(claude.executor().execute(prompt("several"), aosui_channel))
    for number, answer in enumerate(["allow", "deny", "allow"], start=1):
        await until_asked(aosui_channel, number)
        assert len(aosui_channel.open_questions) == 1
        aosui_channel.answer({"permission": answer})
    result = await running
    assert isinstance(result, dict)
    assert result["text"] == "allow deny allow"


async def test_questions_are_asked_with_all_their_prompts(claude: Claude, tmp_path: Path) -> None:
    answers = {"question-1": "Green", "question-2": ["S", "L"]}
    channel = RecordingChannel(root=tmp_path, answers=answers)
    result = await claude.executor().execute(prompt("question"), channel)
    (asked,) = channel.questions
    colour, sizes = asked.prompts
    assert (colour.text, colour.header, colour.multiple) == ("Which colour?", "Colour", False)
    assert [(option.value, option.description) for option in colour.options] == [
        ("Red", "like a rose"),
        ("Blue", ""),
    ]
    assert sizes.multiple
    assert isinstance(result, dict)
    given = json.loads(result["text"])
    assert given["behavior"] == "allow"
    assert len(given["updatedInput"]["questions"]) == 2
    assert given["updatedInput"]["answers"] == {"Which colour?": "Green", "Which sizes?": "S, L"}


@pytest.mark.parametrize(
    ("scenario", "words"),
    [("long_question", "too long to be asked"), ("malformed_question", "malformed: KeyError")],
)
async def test_questions_that_cannot_be_asked(
    claude: Claude, aosui_channel: RecordingChannel, scenario: str, words: str
) -> None:
    result = await claude.executor().execute(prompt(scenario), aosui_channel)
    assert isinstance(result, dict)
    given = json.loads(result["text"])
    assert given["behavior"] == "deny"
    assert words in given["message"]
    assert not aosui_channel.questions


async def cancel(executor: ClaudeExecutor, scenario: str, channel: RecordingChannel) -> float:
    """Cancel at the first word or question; return how many seconds the end took."""
    running = asyncio.create_task(executor.execute(prompt(scenario), channel))
    await channel.until(lambda: channel.outputs or channel.open_questions)
    begun = time.monotonic()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    channel.end()
    return time.monotonic() - begun


async def test_a_cancel_interrupts(claude: Claude, aosui_channel: RecordingChannel) -> None:
    seconds = await cancel(claude.executor(), "wait", aosui_channel)
    assert seconds < 2
    requests = [frame["request"]["subtype"] for frame in claude.seen if "request" in frame]
    assert requests == ["initialize", "interrupt"]
    # Its last words were waited for.
    assert data(aosui_channel, "cost")
    assert aosui_channel.checkpoints


async def test_a_cancel_closes_the_question(
    claude: Claude, aosui_channel: RecordingChannel
) -> None:
    running = asyncio.create_task(claude.executor().execute(prompt("permission"), aosui_channel))
    await aosui_channel.until(lambda: aosui_channel.open_questions)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not aosui_channel.open_questions


async def test_a_cancel_ends_what_does_not_listen(
    claude: Claude, aosui_channel: RecordingChannel
) -> None:
    seconds = await cancel(claude.executor(), "deaf", aosui_channel)
    assert seconds < 5
    assert claude.all_ended()
    assert not aosui_channel.late


async def test_what_claude_leaves_running_is_ended(
    claude: Claude, aosui_channel: RecordingChannel
) -> None:
    conversation = Conversation(aosui_channel, "leaves", cli_path=str(claude.path), linger=0.2)
    await conversation.hold()
    assert claude.all_ended()


@pytest.mark.parametrize(
    ("scenario", "code", "words"),
    [
        ("killed", "claudeEnded", "was killed by SIGKILL"),
        ("fails", "claudeEnded", "exited with 3: the credentials have expired"),
        ("malformed", "claudeMalformed", 'said what is no JSON: {"type": "assistant", "message"'),
        ("strange", "claudeMalformed", "said what is not understood: Missing required field"),
        ("error", "claudeFailed", "too many turns"),
        ("mute", "claudeEnded", "ended without a result"),
    ],
)
async def test_failures_are_told_in_words(
    claude: Claude, aosui_channel: RecordingChannel, scenario: str, code: str, words: str
) -> None:
    with pytest.raises(ExecutorError) as caught:
        await claude.executor().execute(prompt(scenario), aosui_channel)
    assert caught.value.code == code
    assert words in caught.value.message
    assert caught.value.retryable


async def test_stderr_is_shown(claude: Claude, aosui_channel: RecordingChannel) -> None:
    with pytest.raises(ExecutorError):
        await claude.executor().execute(prompt("fails"), aosui_channel)
    assert aosui_channel.outputs == [
        ("stderr", "starting\n"),
        ("stderr", "the credentials have expired\n"),
    ]


@pytest.mark.parametrize("mode", [None, 0o644])
async def test_there_is_no_claude(
    tmp_path: Path, aosui_channel: RecordingChannel, mode: int | None
) -> None:
    path = tmp_path / "secret-place" / "claude"
    if mode is not None:
        path.parent.mkdir()
        path.touch(mode)
    with pytest.raises(ExecutorError) as caught:
        await ClaudeExecutor(cli_path=str(path)).execute(prompt("hello"), aosui_channel)
    assert caught.value.code == "claudeNotFound"
    assert "secret-place" not in caught.value.message


async def test_large_and_strange_data_fits(claude: Claude, aosui_channel: RecordingChannel) -> None:
    result = await claude.executor().execute(prompt("huge"), aosui_channel)
    assert isinstance(result, dict)
    assert "more characters" in result["text"]
    assert data(aosui_channel, "message")[0]["text"] == "half an emoji: ?"
    long, many, deep = data(aosui_channel, "toolResult")
    assert long["content"].endswith("more characters)")
    assert many["content"][-1].endswith("more)")
    assert deep["isError"] is False


async def test_a_retry_goes_on_with_the_session(
    claude: Claude, tmp_path: Path, aosui_channel: RecordingChannel
) -> None:
    await cancel(claude.executor(), "wait", aosui_channel)
    checkpoint = aosui_channel.checkpoints[-1]
    retry = prompt("wait", attempt=2, retry_of="run", checkpoint=checkpoint)
    channel = RecordingChannel(root=tmp_path)
    result = await claude.executor().execute(retry, channel)
    assert isinstance(result, dict)
    assert result["text"] == "Going on with session-1."
    assert claude.resumed == [None, "session-1"]
    assert claude.prompts == [
        "wait",
        "You were stopped before you had finished. Go on from where you were.",
    ]
    assert data(channel, "session")[0]["resumed"] is True


async def test_a_retry_with_another_prompt_says_it(
    claude: Claude, tmp_path: Path, aosui_channel: RecordingChannel
) -> None:
    await cancel(claude.executor(), "wait", aosui_channel)
    retry = prompt("hello", attempt=2, retry_of="run", checkpoint=aosui_channel.checkpoints[-1])
    await claude.executor().execute(retry, RecordingChannel(root=tmp_path))
    assert claude.prompts == ["wait", "hello"]
    assert claude.resumed == [None, "session-1"]


async def test_work_in_the_background_is_waited_for(
    claude: Claude, aosui_channel: RecordingChannel
) -> None:
    result = await claude.executor().execute(prompt("more_work"), aosui_channel)
    assert isinstance(result, dict)
    assert result["text"] == "second"
    assert [event["subtype"] for event in data(aosui_channel, "system")] == [
        "task_started",
        "task_notification",
    ]


async def test_claude_sees_no_secret_of_aosui(
    claude: Claude, aosui_channel: RecordingChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AOSUI_TOKEN", "a-secret-of-the-server")
    await claude.executor().execute(prompt("hello"), aosui_channel)
    assert "a-secret-of-the-server" not in json.dumps(claude.seen)
    environment = claude.seen[0]["env"]
    assert environment["PWD"] == str(aosui_channel.project.root)
    assert environment["AOSUI_PROCESS"]


async def test_the_rules_are_kept(claude: Claude, tmp_path: Path) -> None:
    runs = [("prompt", {"prompt": text}) for text in ("hello", "tools", "permission", "wait")]
    await check_executor(
        claude.executor, tmp_path, runs=runs, answers={"permission": "allow"}, timeout=2
    )
