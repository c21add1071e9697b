"""The pipe: frames however they are cut, and messages as `docs/pipe.md` shows them."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aosui.pipe import messages
from aosui.pipe.messages import FROM_EXECUTOR, FROM_SERVER, Output, Succeeded
from aosui.pipe.stream import MAX_FRAME_BYTES, Frames, PipeError, open_pipe

from . import both_ways

DOCS = Path(__file__).parent.parent / "docs" / "pipe.md"


def frame(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + payload


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.data())
def test_frames_are_found_however_they_are_cut(payloads: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(frame(payload) for payload in payloads)
    frames, found = Frames(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += [bytes(payload) for payload in frames.feed(stream[:size])]
        stream = stream[size:]
    assert found == payloads


@pytest.mark.parametrize("size", [0, MAX_FRAME_BYTES + 1, 2**32 - 1])
def test_a_length_that_no_frame_has_is_refused_at_once(size: int) -> None:
    with pytest.raises(PipeError, match=str(size)):
        list(Frames().feed(size.to_bytes(4, "big")))


def test_what_came_before_nonsense_is_given() -> None:
    frames = Frames().feed(frame(b"{}") + b"\xff\xff\xff\xff")
    assert bytes(next(frames)) == b"{}"
    with pytest.raises(PipeError):
        next(frames)


async def test_a_pipe_carries_messages_to_the_end() -> None:
    here, there = os.pipe()
    unused, back = os.pipe()
    near, far = await open_pipe(here, back), await open_pipe(unused, there)
    said: list[Output | Succeeded]
    said = [Output("run", "stdout", "é" * 30_000), Succeeded("run", {"a": [1, None]})]
    sizes = [far.send(message) for message in said]
    finishing = asyncio.create_task(far.finish())
    received = [pair async for pair in near.receive(FROM_EXECUTOR)]
    await finishing
    near.close()
    assert received == list(zip(said, sizes, strict=True))


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff",
        b"[]",
        b"{}",
        b'{"type":"no such"}',
        b'{"type":"output","id":"r","stream":"stdout"}',
        b'{"type":"output","id":"r","stream":"nowhere","text":""}',
        b'{"type":"output","id":"r","stream":"stdout","text":"\\ud800"}',
        b'{"type":"checkpoint","id":"r","value":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    ],
)
async def test_what_is_no_message_is_refused(payload: bytes) -> None:
    here, there = os.pipe()
    unused, back = os.pipe()
    near = await open_pipe(here, back)
    os.write(there, frame(payload))
    with pytest.raises(PipeError, match="not a message"):
        async for _ in near.receive(FROM_EXECUTOR):
            pass
    near.close()
    os.close(there)
    os.close(unused)


async def test_a_message_that_is_too_large_is_not_sent() -> None:
    here, there = os.pipe()
    unused, back = os.pipe()
    near, far = await open_pipe(here, back), await open_pipe(unused, there)
    with pytest.raises(PipeError, match="at most"):
        far.send(Output("run", "stdout", "x" * MAX_FRAME_BYTES))
    await far.finish()
    assert [pair async for pair in near.receive(FROM_EXECUTOR)] == []
    near.close()


def test_workflows_come_out_as_they_went_in() -> None:
    info = messages.WorkflowInfo.of(both_ways.EVERYTHING)
    text = msgspec.json.encode(info)
    again = msgspec.json.decode(text, type=messages.WorkflowInfo).workflow()
    assert again == both_ways.EVERYTHING


def test_every_example_of_the_docs_is_a_message_and_every_message_has_one() -> None:
    shown: set[str] = set()
    for line in re.findall(r"^\{.*\}$", DOCS.read_text(), re.MULTILINE):
        value = json.loads(line)
        shown.add(value["type"])
        decoders = (FROM_SERVER, FROM_EXECUTOR)
        taken = []
        for decoder in decoders:
            try:
                message = decoder.decode(line)
            except msgspec.ValidationError:
                continue
            fields = {field.encode_name for field in msgspec.structs.fields(message)}
            assert value.keys() - {"type"} <= fields, line
            taken.append(message)
        assert len(taken) == 1, line
    kinds = [*messages.FromServer.__args__, *messages.FromExecutor.__args__]
    assert shown == {kind.__struct_config__.tag for kind in kinds}
