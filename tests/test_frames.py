"""Server frames: right by RFC 6455, as aiohttp's own reader sees it, and cut apart again."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aosui.errors import RunNotFound
from aosui.frames import (
    PING,
    control,
    error_info,
    frame_start,
    join_frames,
    pong_frame,
    skip_frames,
    text_frame,
)

SIZES = [0, 1, 125, 126, 127, 65535, 65536, 70000]


def parse(data: bytes) -> list[tuple[int, bytes]]:
    """Take unmasked frames apart, as the RFC has them: `(first byte, payload)`."""
    frames = []
    while data:
        first, size, start = data[0], data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4]), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10]), 10
        frames.append((first, data[start : start + size]))
        assert len(frames[-1][1]) == size
        data = data[start + size :]
    return frames


@pytest.mark.parametrize("size", SIZES)
def test_a_text_frame_of_any_size(size: int) -> None:
    assert parse(text_frame(b"x" * size)) == [(0x81, b"x" * size)]


@given(st.lists(st.sampled_from(SIZES) | st.integers(0, 300), max_size=6), st.data())
def test_joined_frames_come_apart_at_every_index(sizes: list[int], data: st.DataObject) -> None:
    payloads = [bytes((97 + index % 26,)) * size for index, size in enumerate(sizes)]
    joined = join_frames(payloads)
    assert [payload for _, payload in parse(joined)] == payloads
    skipped = data.draw(st.integers(0, len(sizes)))
    assert skip_frames(joined, skipped) == join_frames(payloads[skipped:])
    assert frame_start(joined, len(sizes)) == len(joined)


def test_a_pong_carries_the_payload_of_its_ping() -> None:
    assert parse(pong_frame(b"abc")) == [(0x8A, b"abc")]
    assert parse(pong_frame(b"x" * 125)) == [(0x8A, b"x" * 125)]
    assert parse(PING) == [(0x89, b"")]


def test_a_control_frame_has_type_project_and_time() -> None:
    [(_, payload)] = parse(control("pong", "p", nonce=7))
    frame = json.loads(payload)
    assert frame.pop("ts").endswith("Z")
    assert frame == {"type": "pong", "projectId": "p", "nonce": 7}


def test_an_error_on_the_wire() -> None:
    info = error_info(RunNotFound("gone", details={"runId": "r"}))
    [(_, payload)] = parse(control("error", "p", error=info, fatal=False))
    assert json.loads(payload)["error"] == {
        "code": "runNotFound",
        "message": "gone",
        "retryable": False,
        "details": {"runId": "r"},
    }
