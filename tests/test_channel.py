"""The channel: what an executor may say, checked before anything is said."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from attrs import Factory, define
from hypothesis import given
from hypothesis import strategies as st

from aosui import NotSerialisable, Option, Project, ProjectChannel, Prompt
from aosui.channel import split_text
from aosui.events import OptionInfo, Progress, PromptInfo, Stream
from aosui.protocol import encode

from .support import eventually

PROJECT = Project("p", "Site", Path("/"))


@define
class Port:
    """The other end of a channel, which keeps what it is told."""

    full: bool = False
    outputs: list[tuple[str, str]] = Factory(list)
    events: list[tuple[str, bytes]] = Factory(list)
    progresses: list[Progress] = Factory(list)
    checkpoints: list[bytes] = Factory(list)
    asked: list[Sequence[PromptInfo]] = Factory(list)
    inputs: list[str] = Factory(list)
    has_room: asyncio.Event = Factory(asyncio.Event)
    waiting: int = 0

    def output(self, stream: Stream, text: str) -> None:
        self.outputs.append((stream, text))

    def event(self, name: str, data: bytes) -> None:
        self.events.append((name, data))

    def progress(self, progress: Progress) -> None:
        self.progresses.append(progress)

    def checkpoint(self, value: bytes) -> None:
        self.checkpoints.append(value)

    async def ask(self, prompts: Sequence[PromptInfo]) -> Mapping[str, str | list[str]]:
        self.asked.append(prompts)
        return {prompt.prompt_id: "yes" for prompt in prompts}

    async def next_input(self) -> str | None:
        return self.inputs.pop(0) if self.inputs else None

    async def room(self) -> None:
        self.waiting += 1
        await self.has_room.wait()


@pytest.fixture
def port() -> Port:
    return Port()


@pytest.fixture
def channel(port: Port) -> ProjectChannel:
    return ProjectChannel(PROJECT, "r", port)


class TestOutput:
    async def test_is_said_as_it_is(self, channel: ProjectChannel, port: Port) -> None:
        await channel.output("a\r\n\x1b[1mb")
        await channel.output("", stream="stderr")
        await channel.output("x", stream="log")
        assert port.outputs == [("stdout", "a\r\n\x1b[1mb"), ("stderr", ""), ("log", "x")]

    async def test_has_one_of_three_streams(self, channel: ProjectChannel) -> None:
        with pytest.raises(ValueError, match="stdout, stderr, log"):
            await channel.output("x", stream="stdin")  # type: ignore[arg-type]

    async def test_waits_for_room_before_each_piece(
        self, channel: ProjectChannel, port: Port
    ) -> None:
        port.full = True
        saying = asyncio.create_task(channel.output("x" * 200_000))
        await eventually(lambda: port.waiting)
        assert port.outputs == []
        port.full = False
        port.has_room.set()
        await saying
        assert "".join(text for _, text in port.outputs) == "x" * 200_000

    async def test_a_flood_gives_others_their_turn(
        self, channel: ProjectChannel, port: Port
    ) -> None:
        turns: list[int] = []

        async def other() -> None:
            while True:
                turns.append(len(port.outputs))
                await asyncio.sleep(0)

        watching = asyncio.create_task(other())
        for _ in range(1000):
            await channel.output("x")
        watching.cancel()
        assert max(b - a for a, b in pairwise(turns)) <= 64

    async def test_a_lone_one_does_not_suspend(self, channel: ProjectChannel) -> None:
        with pytest.raises(StopIteration):
            channel.output("x").send(None)


@given(st.text(max_size=400), st.integers(12, 100))
def test_pieces_of_a_text_fit_and_are_all_of_it(text: str, size: int) -> None:
    pieces = list(split_text(text, size))
    assert "".join(pieces) == text
    assert all(piece and len(encode(piece)) <= size for piece in pieces)


class TestProgress:
    @pytest.mark.parametrize(
        ("numbers", "said"),
        [
            ((3,), Progress(3, None)),
            ((3, 10), Progress(3, 10)),
            ((0.5, 1), Progress(0.5, 1)),
            ((-1, 0), Progress(-1, 0)),
            ((2**60, 2**61), Progress(float(2**60), float(2**61))),
        ],
    )
    async def test_is_numbers(
        self, channel: ProjectChannel, port: Port, numbers: Any, said: Progress
    ) -> None:
        await channel.progress(*numbers)
        assert port.progresses == [said]
        assert encode(port.progresses[0])

    @pytest.mark.parametrize("numbers", [(math.nan,), (math.inf,), (1, math.nan), (1, -math.inf)])
    async def test_is_finite(self, channel: ProjectChannel, numbers: Any) -> None:
        with pytest.raises(ValueError, match="finite"):
            await channel.progress(*numbers)

    @pytest.mark.parametrize("numbers", [("1",), (None,), (1, "2")])
    async def test_is_nothing_else(self, channel: ProjectChannel, port: Port, numbers: Any) -> None:
        with pytest.raises(TypeError):
            await channel.progress(*numbers)
        assert port.progresses == []

    async def test_its_message_is_cut(self, channel: ProjectChannel, port: Port) -> None:
        await channel.progress(1, message="é\ud800" * 1000)
        assert len(encode(port.progresses[0].message)) <= 1024


class TestEvent:
    async def test_has_a_name_and_data(self, channel: ProjectChannel, port: Port) -> None:
        await channel.event("tool.used", {"a": (1,)})
        await channel.event("x")
        assert port.events == [("tool.used", b'{"a":[1]}'), ("x", b"null")]

    @pytest.mark.parametrize("name", ["", " ", "a b", ".a", "-a", "é", "a\n", "x" * 101])
    async def test_its_name_is_plain(self, channel: ProjectChannel, name: str) -> None:
        with pytest.raises(ValueError, match="an event's name"):
            await channel.event(name)

    async def test_data_that_is_none_is_not_said(self, channel: ProjectChannel, port: Port) -> None:
        for data in (object(), "x" * 61_440):
            with pytest.raises(NotSerialisable):
                await channel.event("x", data)
        assert port.events == []


class TestAsking:
    async def test_prompts_are_put_into_words(self, channel: ProjectChannel, port: Port) -> None:
        answers = await channel.ask(
            Prompt("a", "Which?", options=["x", Option("y", "The Y", "not X")], multiple=True),
            Prompt("b", "Free?", header="B", allow_other=False),
        )
        assert answers == {"a": "yes", "b": "yes"}
        assert port.asked == [
            [
                PromptInfo(
                    "a",
                    "Which?",
                    "",
                    (OptionInfo("x", "x"), OptionInfo("y", "The Y", "not X")),
                    True,
                    True,
                ),
                PromptInfo("b", "Free?", "B", (), False, False),
            ]
        ]

    async def test_at_least_one(self, channel: ProjectChannel) -> None:
        with pytest.raises(ValueError, match="at least one"):
            await channel.ask()

    async def test_no_two_of_one_id(self, channel: ProjectChannel) -> None:
        with pytest.raises(ValueError, match="same id"):
            await channel.ask(Prompt("a", "?"), Prompt("a", "!"))


async def test_inputs_end_when_there_are_no_more(channel: ProjectChannel, port: Port) -> None:
    port.inputs = ["a", "", "b"]
    assert [text async for text in channel.inputs()] == ["a", "", "b"]


async def test_a_checkpoint_is_json_of_16_kib(channel: ProjectChannel, port: Port) -> None:
    await channel.checkpoint({"at": 3})
    with pytest.raises(NotSerialisable):
        await channel.checkpoint("x" * 16_384)
    assert port.checkpoints == [b'{"at":3}']


async def test_knows_its_project_and_its_run_and_no_other(channel: ProjectChannel) -> None:
    assert (channel.project, channel.run_id) == (PROJECT, "r")
    public = {name for name in dir(channel) if not name.startswith("_")}
    assert public == {
        "ask",
        "checkpoint",
        "event",
        "inputs",
        "output",
        "progress",
        "project",
        "run_id",
    }
