"""A connection's pump, on a transport that the test drains byte by byte."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import Factory, define
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aosui import Limits, MemoryLog, Project
from aosui.connection import Connection, Laggards, Ring
from aosui.errors import InternalError
from aosui.events import ProjectEvent
from aosui.frames import control, join_frames
from aosui.hub import Hub
from aosui.protocol import CloseCode

from .support import FaultyLog, Frame, eventually
from .test_frames import parse

PROJECT = Project("p", "Site", Path("/"))


@define
class Pipe:
    """A transport whose other end reads as much as the test says."""

    buffer: bytearray = Factory(bytearray)
    got: bytearray = Factory(bytearray)
    fast: bool = True
    aborted: bool = False
    most: int = 0

    def write(self, data: bytes | memoryview, /) -> None:
        assert self.alive()
        self.buffer += data
        self.most = max(self.most, len(self.buffer))
        if self.fast:
            self.read()

    def read(self, size: int | None = None) -> None:
        size = len(self.buffer) if size is None else size
        self.got += self.buffer[:size]
        del self.buffer[:size]

    def is_closing(self) -> bool:
        return self.aborted

    def get_write_buffer_size(self) -> int:
        return len(self.buffer)

    def abort(self) -> None:
        self.aborted = True

    def alive(self) -> bool:
        return not self.aborted

    def frames(self) -> list[Frame]:
        """Return the JSON frames that came whole."""
        data = bytes(self.got)
        whole = []
        while len(data) >= 2:
            size, start = data[1], 2
            if size == 126:
                size, start = int.from_bytes(data[2:4]), 4
            elif size == 127:
                size, start = int.from_bytes(data[2:10]), 10
            if len(data) < start + size:
                break
            if data[0] == 0x81:
                whole.append(json.loads(data[start : start + size]))
            data = data[start + size :]
        return whole

    def seqs(self) -> list[int]:
        return [frame["seq"] for frame in self.frames() if frame["type"] == "project.event"]


class Line:
    """A hub, and viewers of it that come and go."""

    def __init__(self, hub: Hub, limits: Limits) -> None:
        self.hub = hub
        self.limits = limits
        self.laggards = Laggards()
        self.closes: list[CloseCode] = []

    def connect(
        self, since: int | None = None, *, fast: bool = True, descriptor: int | None = None
    ) -> tuple[Connection, Pipe]:
        pipe = Pipe(fast=fast)
        connection = Connection(
            "c",
            self.hub,
            pipe,
            self.laggards,
            self.limits,
            client_id=None,
            user=None,
            on_close=self.closes.append,
            descriptor=descriptor,
        )
        self.hub.connect(connection)
        connection.begin(control("welcome", "p"), since)
        return connection, pipe

    def say(self, size: int = 10) -> int:
        data = "x" * size
        return self.hub.publish(lambda seq, ts: ProjectEvent("p", seq, ts, "say", data))

    async def settle(self, count: int, size: int = 10) -> None:
        """Publish events one batch each."""
        for _ in range(count):
            await self.hub.committed(self.say(size))


async def make_line(log: MemoryLog | None = None, **limits: Any) -> Line:
    bounds = Limits(**limits)
    hub = Hub(PROJECT, log or MemoryLog(), bounds)
    await hub.open()
    return Line(hub, bounds)


def types(pipe: Pipe) -> list[str]:
    return [frame["type"] for frame in pipe.frames()]


class TestRing:
    def ring(self, flushes: Sequence[tuple[int, int]], max_bytes: int = 10_000) -> Ring:
        ring = Ring(max_bytes)
        for start, end in flushes:
            ring.add(start, end, join_frames([b"%d" % seq for seq in range(start + 1, end + 1)]))
        return ring

    def test_an_empty_one_has_nothing(self) -> None:
        ring = Ring(10)
        assert (ring.start, ring.after(0)) == (None, None)

    @pytest.mark.parametrize("seq", range(5, 12))
    def test_gives_what_comes_after_a_seq_to_the_end_of_its_flush(self, seq: int) -> None:
        ring = self.ring([(5, 6), (6, 9), (9, 12)])
        end = min(end for end in (6, 9, 12) if end > seq)
        found = ring.after(seq)
        assert found is not None
        assert found[0] == end
        assert [int(text) for _, text in parse(found[1])] == list(range(seq + 1, end + 1))

    @pytest.mark.parametrize("seq", [0, 4, 12, 13])
    def test_has_nothing_before_its_start_and_after_its_end(self, seq: int) -> None:
        assert self.ring([(5, 6), (6, 9), (9, 12)]).after(seq) is None

    def test_drops_the_oldest_flushes_and_keeps_the_newest(self) -> None:
        ring = self.ring([(0, 1), (1, 2), (2, 3)], max_bytes=6)
        assert ring.start == 1
        ring.add(3, 4, b"x" * 100)
        assert (ring.start, ring.after(3)) == (3, (4, b"x" * 100))


class TestBeginning:
    async def test_welcome_snapshot_synced_then_live(self) -> None:
        line = await make_line()
        await line.settle(2)
        _, pipe = line.connect()
        assert types(pipe) == ["welcome", "snapshot", "synced"]
        assert pipe.frames()[-1]["seq"] == 2
        await line.settle(1)
        assert pipe.seqs() == [3]
        await line.hub.close()

    async def test_what_came_meanwhile_goes_before_synced(self) -> None:
        line = await make_line()
        await line.settle(3)
        _, pipe = line.connect(since=1)
        await line.settle(1)
        await eventually(lambda: pipe.seqs() == [2, 3, 4])
        assert types(pipe) == [
            "welcome",
            "snapshot",
            "project.event",
            "project.event",
            "synced",
            "project.event",
        ]
        assert pipe.frames()[4]["seq"] == 3
        await line.hub.close()


class TestReplies:
    async def test_go_behind_the_events_before_them_and_before_those_after(self) -> None:
        line = await make_line(ring_bytes=1)
        connection, pipe = line.connect()
        pipe.fast = False
        pipe.buffer += b"\x89\x00" * 300_000
        for number in range(5):
            await line.settle(2)
            connection.send(control("reply", "p", id=number))
        assert len(line.laggards) == 1
        pipe.read()
        pipe.got.clear()
        pipe.fast = True
        await eventually(lambda: pipe.seqs() == list(range(1, 11)))
        assert types(pipe) == ["project.event", "project.event", "reply"] * 5
        await line.hub.close()

    async def test_too_many_that_wait_drop_the_connection(self) -> None:
        line = await make_line(pending_replies=3)
        connection, pipe = line.connect()
        pipe.fast = False
        pipe.buffer += b"\x89\x00" * 300_000
        await line.settle(1)
        for _ in range(3):
            connection.send(control("reply", "p"))
        assert pipe.alive()
        connection.send(control("reply", "p"))
        assert not pipe.alive()
        await line.hub.close()


class TestSlow:
    async def test_gets_nothing_more_above_the_high_mark_and_all_of_it_when_it_drains(
        self,
    ) -> None:
        line = await make_line(high_water_bytes=1000, low_water_bytes=500, ring_bytes=2000)
        _, pipe = line.connect(fast=False)
        await line.settle(100, 100)
        assert pipe.most < 2000
        while len(pipe.seqs()) < 100:
            pipe.read(300)
            await asyncio.sleep(0.001)
        assert pipe.seqs() == list(range(1, 101))
        assert pipe.most < 300_000
        await line.hub.close()

    async def test_holds_at_most_its_limit_in_a_flood(self) -> None:
        line = await make_line()
        _, pipe = line.connect(fast=False)
        for _ in range(60):
            for _ in range(20):
                line.say(60_000)
            await line.hub.room()
        await line.hub.committed(line.hub.next_seq - 1)
        assert pipe.most < line.limits.connection_bytes
        await line.hub.close()

    async def test_overtaken_by_retention_it_gets_a_gap_and_a_snapshot(self) -> None:
        line = await make_line(
            MemoryLog(kept_bytes=3000), high_water_bytes=1000, low_water_bytes=500, ring_bytes=1000
        )
        _, pipe = line.connect(fast=False)
        await line.settle(100, 100)
        pipe.fast = True
        pipe.read()
        await eventually(lambda: types(pipe)[-1] == "snapshot")
        frames = pipe.frames()
        gap, snapshot = frames[-2:]
        last = pipe.seqs()[-1]
        assert gap["type"] == "gap"
        assert (gap["fromSeq"], gap["toSeq"], gap["reason"]) == (last + 1, 100, "tooOld")
        assert snapshot["seq"] == 100
        await line.settle(1)
        assert pipe.seqs()[-1] == 101
        await line.hub.close()

    async def test_a_gap_may_come_before_synced(self) -> None:
        line = await make_line(
            MemoryLog(kept_bytes=3000), high_water_bytes=100, low_water_bytes=50, ring_bytes=1000
        )
        await line.settle(10, 100)
        _, pipe = line.connect(since=9, fast=False)
        await line.settle(100, 100)
        pipe.fast = True
        pipe.read()
        await eventually(lambda: "synced" in types(pipe))
        assert [kind for kind in types(pipe) if kind != "project.event"] == [
            "welcome",
            "snapshot",
            "gap",
            "snapshot",
            "synced",
        ]
        assert pipe.frames()[-1]["seq"] == 110
        await line.hub.close()

    async def test_no_progress_for_long_drops_it(self) -> None:
        line = await make_line(high_water_bytes=1000, low_water_bytes=500, stall_seconds=0.05)
        _, pipe = line.connect(fast=False)
        await line.settle(30, 100)
        await eventually(lambda: not pipe.alive())
        assert len(line.laggards) == 0
        await line.hub.close()

    async def test_progress_keeps_it(self) -> None:
        line = await make_line(high_water_bytes=1000, low_water_bytes=500, stall_seconds=10)
        connection, pipe = line.connect(fast=False)
        await line.settle(30, 100)
        now = asyncio.get_running_loop().time()
        for seconds in (9, 18, 27):
            pipe.read(1)
            assert not connection.drained(now + seconds)
        assert pipe.alive()
        assert connection.drained(now + 38)
        assert not pipe.alive()
        await line.hub.close()

    async def test_a_log_that_gives_nothing_for_a_while_is_asked_again(self) -> None:
        log = FaultyLog()
        line = await make_line(log)
        await line.settle(5)
        log.mute = True
        _, pipe = line.connect(since=0)
        await asyncio.sleep(0)
        assert pipe.seqs() == []
        log.mute = False
        await eventually(lambda: pipe.seqs() == [1, 2, 3, 4, 5])
        await line.hub.close()

    async def test_a_bug_in_a_read_drops_the_connection(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        class BuggyLog(MemoryLog):
            async def read(self, *position: Any) -> Any:
                raise ZeroDivisionError

        line = await make_line(BuggyLog())
        await line.settle(1)
        _, pipe = line.connect(since=0)
        await eventually(lambda: line.closes)
        assert line.closes == [CloseCode.INTERNAL]
        assert pipe.frames()[-1]["error"]["code"] == "internal"
        assert "ZeroDivisionError" in caplog.text
        await line.hub.close()


class TestLiveness:
    async def test_a_silent_viewer_is_pinged_and_dropped(self) -> None:
        line = await make_line(ping_seconds=10, pong_seconds=5)
        connection, pipe = line.connect()
        now = asyncio.get_running_loop().time()
        pipe.got.clear()
        connection.sweep(now + 10.1)
        assert bytes(pipe.got) == b"\x89\x00"
        connection.sweep(now + 15)
        assert pipe.alive()
        connection.sweep(now + 15.2)
        assert not pipe.alive()
        await line.hub.close()

    async def test_whatever_comes_in_shows_that_it_lives(self) -> None:
        line = await make_line(ping_seconds=10, pong_seconds=5)
        connection, pipe = line.connect()
        now = asyncio.get_running_loop().time()
        connection.sweep(now + 10.1)
        connection.heard()
        connection.sweep(now + 16)
        assert pipe.alive()
        await line.hub.close()

    async def test_a_byte_that_drains_shows_that_it_lives(self) -> None:
        line = await make_line(ping_seconds=10, pong_seconds=5)
        connection, pipe = line.connect(fast=False)
        now = asyncio.get_running_loop().time()
        connection.sweep(now + 10.1)
        pipe.read(1)
        connection.sweep(now + 15.2)
        assert pipe.alive()
        connection.sweep(now + 25.3)
        connection.sweep(now + 30.4)
        assert not pipe.alive()
        await line.hub.close()

    async def test_the_first_ping_is_jittered(self) -> None:
        line = await make_line(ping_seconds=10)
        now = asyncio.get_running_loop().time()
        pinged = 0
        for _ in range(50):
            connection, pipe = line.connect()
            pipe.got.clear()
            connection.sweep(now + 5)
            pinged += bytes(pipe.got) == b"\x89\x00"
        assert 0 < pinged < 50
        await line.hub.close()


class TestClosing:
    async def test_says_why_and_then_nothing_more(self) -> None:
        line = await make_line()
        connection, pipe = line.connect()
        connection.close(CloseCode.INTERNAL, InternalError())
        connection.close(CloseCode.DORMANT)
        connection.send(control("pong", "p"))
        connection.control(b"\x89\x00")
        connection.sweep(10**9)
        await line.settle(3)
        assert line.closes == [CloseCode.INTERNAL]
        last = pipe.frames()[-1]
        assert (last["type"], last["fatal"], last["error"]["code"]) == ("error", True, "internal")
        await line.hub.close()

    async def test_a_released_one_leaves_nothing_behind(self) -> None:
        line = await make_line(high_water_bytes=1000, low_water_bytes=500)
        connection, _ = line.connect(fast=False)
        await line.settle(30, 100)
        assert len(line.laggards) == 1
        line.hub.disconnect(connection)
        assert len(line.laggards) == 0
        assert not line.hub.connections
        await line.hub.close()


ACTS = st.lists(
    st.tuples(st.sampled_from(["say", "say", "read", "turn", "reply", "cut"]), st.integers(0, 400)),
    max_size=60,
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(ACTS, st.sampled_from([1, 500, 100_000]), st.sampled_from([1000, 100_000]))
def test_cut_at_any_byte_a_viewer_misses_nothing(
    acts: list[tuple[str, int]], ring_bytes: int, high_water: int
) -> None:
    """No gap, no duplicate, no reorder, whatever is cut and however slowly it is read."""
    asyncio.run(watch(acts, ring_bytes, high_water))


async def watch(acts: list[tuple[str, int]], ring_bytes: int, high_water: int) -> None:
    line = await make_line(
        ring_bytes=ring_bytes, high_water_bytes=high_water, low_water_bytes=high_water // 2
    )
    connection, pipe = line.connect(since=0, fast=False)
    got: list[int] = []
    replies = 0

    def resume() -> tuple[Connection, Pipe]:
        line.hub.disconnect(connection)
        check(pipe)
        got.extend(pipe.seqs())
        return line.connect(since=got[-1] if got else 0, fast=False)

    for act, number in acts:
        match act:
            case "say":
                for _ in range(1 + number % 5):
                    line.say(number)
            case "read":
                pipe.read(number * 7)
            case "turn":
                await asyncio.sleep(0.012 if number % 4 == 0 else 0)
            case "reply" if replies < 50:
                replies += 1
                connection.send(control("reply", "p", at=line.hub.seq))
            case "cut":
                pipe.read(number)
                connection, pipe = resume()
    connection, pipe = resume()
    pipe.fast = True
    pipe.read()
    head = line.hub.next_seq - 1
    await eventually(lambda: (got + pipe.seqs())[-1:] == [head] or head == 0)
    assert got + pipe.seqs() == list(range(1, head + 1))
    await line.hub.close()


def check(pipe: Pipe) -> None:
    """A reply comes behind the events that were there before it."""
    seq = None
    for frame in pipe.frames():
        if frame["type"] == "project.event":
            seq = frame["seq"]
        elif frame["type"] == "reply" and seq is not None:
            assert seq >= frame["at"]
