"""The fan-out: flushes to many, in slices of time, to real sockets and to transports."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress

import pytest
from attrs import Factory, define

from aosui import Limits
from aosui.connection import SLICE_SECONDS, Connection, Laggards
from aosui.fanout import FanOut
from aosui.frames import control, join_frames
from aosui.protocol import CloseCode

from .support import eventually
from .test_connection import Line, Pipe, make_line
from .test_frames import parse


@define
class Slow(Pipe):
    """A transport of which each write takes a whole slice of time."""

    loop: asyncio.AbstractEventLoop = Factory(asyncio.get_running_loop)

    def write(self, data: bytes | memoryview, /) -> None:
        until = self.loop.time() + SLICE_SECONDS
        while self.loop.time() <= until:
            pass
        super().write(data)


class Watched:
    """What a fan-out writes: a log of which all is in the ring."""

    project_id = "p"

    def __init__(self) -> None:
        self.fan_out = FanOut(1 << 20)
        self.ring = self.fan_out.ring
        self.seq = 0
        self.closes: list[CloseCode] = []

    def watch(self, pipe: Pipe) -> Connection:
        connection = Connection(
            "c",
            self,
            pipe,
            Laggards(),
            Limits(),
            client_id=None,
            user=None,
            on_close=self.closes.append,
        )
        self.fan_out.connections[connection] = None
        return connection

    def say(self) -> None:
        self.seq += 1
        entry = json.dumps({"type": "project.event", "seq": self.seq}).encode()
        self.fan_out.write(self.seq - 1, self.seq, join_frames([entry]))

    async def read(self, after: int, limit: int, max_bytes: int) -> Sequence[bytes]:
        raise AssertionError("all of it is in the ring")

    def snapshot_frame(self) -> bytes:
        raise AssertionError("nobody falls behind")


def crowd() -> tuple[Watched, list[Connection], list[Slow]]:
    """Have thirty watch, each for a slice of time."""
    watched = Watched()
    pipes = [Slow() for _ in range(30)]
    return watched, [watched.watch(pipe) for pipe in pipes], pipes


class TestSlices:
    async def test_others_have_a_turn_before_all_are_written_to(self) -> None:
        watched, _, pipes = crowd()
        watched.say()
        reached: list[int] = []
        while len(set(map(len, map(Pipe.seqs, pipes)))) > 1:
            reached.append(sum(map(len, map(Pipe.seqs, pipes))))
            await asyncio.sleep(0)
        assert len(reached) >= 3
        assert [pipe.seqs() for pipe in pipes] == [[1]] * 30
        assert await watched.fan_out.written() >= 30 * SLICE_SECONDS

    async def test_who_waits_goes_on_when_the_last_one_has_it(self) -> None:
        watched, _, pipes = crowd()
        watched.say()
        assert not pipes[-1].seqs()
        await watched.fan_out.written()
        assert pipes[-1].seqs() == [1]
        await watched.fan_out.written()

    async def test_what_is_said_meanwhile_reaches_all_in_order(self) -> None:
        watched, _, pipes = crowd()
        for _ in range(3):
            watched.say()
        await watched.fan_out.written()
        assert [pipe.seqs() for pipe in pipes] == [[1, 2, 3]] * 30

    async def test_who_leaves_meanwhile_gets_no_more(self) -> None:
        watched, (*_, last), pipes = crowd()
        watched.say()
        last.release()
        await watched.fan_out.written()
        assert [len(pipe.seqs()) for pipe in pipes] == [1] * 29 + [0]

    async def test_who_pumps_meanwhile_gets_nothing_twice(self) -> None:
        watched, (*_, last), pipes = crowd()
        watched.say()
        last.send(control("reply", "p"))
        await watched.fan_out.written()
        assert [frame["type"] for frame in pipes[-1].frames()] == ["project.event", "reply"]


@define
class Ends:
    """The two ends of a socket, neither of which blocks."""

    ours: socket.socket
    theirs: socket.socket

    def received(self) -> bytes:
        """Return what is there."""
        got = bytearray()
        with suppress(BlockingIOError):
            while data := self.theirs.recv(1 << 20):
                got += data
        return bytes(got)


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        yield Ends(ours, theirs)


def seqs(data: bytes) -> list[int]:
    return [json.loads(payload)["seq"] for _, payload in parse(data)]


async def at_the_head(ends: Ends) -> tuple[Line, Connection, Pipe]:
    line = await make_line()
    connection, pipe = line.connect(descriptor=ends.ours.fileno())
    return line, connection, pipe


class TestTheSocketItself:
    async def test_takes_a_flush_past_the_transport(self, ends: Ends) -> None:
        line, connection, pipe = await at_the_head(ends)
        before = len(pipe.got)
        await line.settle(2)
        assert seqs(ends.received()) == [1, 2]
        assert connection.cursor == 2
        assert len(pipe.got) == before
        await line.hub.close()

    async def test_leaves_what_it_has_no_room_for_to_the_transport(self, ends: Ends) -> None:
        line, connection, pipe = await at_the_head(ends)
        pipe.fast = False
        before = len(pipe.got)
        while not pipe.buffer:
            await line.settle(1, 60_000)
        got = ends.received()
        assert got
        await line.settle(2, 60_000)
        assert not ends.received(), "nothing goes past what waits in the transport"
        pipe.read()
        await eventually(lambda: connection.cursor == line.hub.seq)
        pipe.read()
        assert seqs(got + pipe.got[before:]) == list(range(1, line.hub.seq + 1))
        await line.hub.close()

    async def test_is_used_again_once_the_transport_is_empty(self, ends: Ends) -> None:
        line, connection, pipe = await at_the_head(ends)
        connection.control(b"\x8a\x00")
        await line.settle(1)
        before = len(pipe.got)
        await line.settle(1)
        assert [len(pipe.got), seqs(ends.received())] == [before, [2]]
        await line.hub.close()

    async def test_gets_nothing_once_its_transport_closes(self, ends: Ends) -> None:
        """A descriptor that was closed may be another file's already."""
        line, _, pipe = await at_the_head(ends)
        pipe.aborted = True
        await line.settle(2)
        assert not ends.received()
        await line.hub.close()

    @pytest.mark.parametrize("end", ["close", "abort", "release"])
    async def test_gets_nothing_once_its_connection_has_ended(self, ends: Ends, end: str) -> None:
        line, connection, _ = await at_the_head(ends)
        if end == "close":
            connection.close(CloseCode.DORMANT)
        else:
            getattr(connection, end)()
        await line.settle(2)
        assert not ends.received()
        await line.hub.close()

    async def test_that_is_gone_is_found_by_the_transport(self, ends: Ends) -> None:
        line, _, pipe = await at_the_head(ends)
        ends.theirs.close()
        await line.settle(1)
        assert pipe.seqs() == [1]
        await line.hub.close()
