"""The hub: outbox, drain, commits and fan-out of one project, on a log that can fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import Factory, define

from aosui import Limits, MemoryLog, Project
from aosui.connection import Connection, Laggards
from aosui.errors import LogUnavailable, ProjectClosed
from aosui.events import ProjectEvent
from aosui.hub import Hub
from aosui.log import StoredRun
from aosui.protocol import CloseCode

from .support import SECONDS, FaultyLog, eventually

PROJECT = Project("p", "Site", Path("/"))


@define
class Pipe:
    """A transport that keeps what is written to it."""

    data: bytearray = Factory(bytearray)
    broken: bool = False
    aborted: bool = False

    def write(self, data: bytes | memoryview, /) -> None:
        if self.broken:
            raise RuntimeError("a bug in a transport")
        self.data += data

    def is_closing(self) -> bool:
        return self.aborted

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self.aborted = True


def say(hub: Hub, data: object = None) -> int:
    return hub.publish(lambda seq, ts: ProjectEvent(hub.project_id, seq, ts, "say", data))


def connect(hub: Hub, pipe: Pipe, closes: list[CloseCode] | None = None) -> Connection:
    connection = Connection(
        "c",
        hub,
        pipe,
        Laggards(),
        Limits(),
        client_id=None,
        user=None,
        on_close=(closes if closes is not None else []).append,
    )
    hub.connect(connection)
    connection.begin(b"", None)
    pipe.data.clear()
    return connection


async def stored(hub: Hub) -> list[dict[str, Any]]:
    return [json.loads(entry) for entry in await hub.read(0, 100_000, 10**9)]


async def make_hub(log: MemoryLog, **limits: Any) -> Hub:
    hub = Hub(PROJECT, log, Limits(**limits))
    await hub.open()
    return hub


@pytest.fixture
def log() -> FaultyLog:
    return FaultyLog()


@pytest.fixture
async def hub(log: FaultyLog) -> AsyncIterator[Hub]:
    hub = await make_hub(log)
    yield hub
    log.refusing = False
    await hub.close(SECONDS)


class TestPublishing:
    async def test_numbers_events_from_one_and_stores_them_in_order(self, hub: Hub) -> None:
        assert [say(hub, number) for number in range(5)] == [1, 2, 3, 4, 5]
        assert (hub.seq, hub.next_seq) == (0, 6)
        await hub.committed(5)
        assert [(event["seq"], event["data"]) for event in await stored(hub)] == [
            (number + 1, number) for number in range(5)
        ]
        assert hub.seq == 5

    async def test_what_is_published_in_one_turn_is_stored_in_one_batch(self) -> None:
        batches: list[int] = []

        class CountingLog(MemoryLog):
            async def append(
                self, project_id: str, after: int, entries: Sequence[bytes], *rest: Any
            ) -> int:
                batches.append(len(entries))
                return await super().append(project_id, after, entries, *rest)

        hub = await make_hub(CountingLog())
        for number in range(100):
            say(hub, number)
        await hub.committed(100)
        assert batches == [100]
        await hub.close()

    async def test_text_that_is_no_unicode_is_shown_with_question_marks(self, hub: Hub) -> None:
        hub.output("r", "stdout", "a\ud800b")
        await hub.committed(1)
        assert [event["text"] for event in await stored(hub)] == ["a?b"]

    async def test_an_event_that_cannot_be_written_takes_no_number(self, hub: Hub) -> None:
        with pytest.raises(TypeError):
            say(hub, object())
        assert say(hub, 1) == 1
        await hub.committed(1)

    async def test_a_run_and_a_request_go_with_their_event(self, hub: Hub, log: FaultyLog) -> None:
        run = StoredRun("r", False, b'{"runId":"r"}')
        hub.publish(
            lambda seq, ts: ProjectEvent("p", seq, ts, "x", None),
            run=run,
            request=("id", b"record"),
        )
        await hub.committed(1)
        assert await log.run("p", "r") == run
        assert await hub.load_request("id") == b"record"
        assert hub.snapshot.active_bodies() == (run.body,)

    async def test_a_checkpoint_is_stored_and_shown_to_nobody(self, hub: Hub) -> None:
        pipe = Pipe()
        connect(hub, pipe)
        hub.checkpoint("r", b"7")
        assert await hub.latest_checkpoint("r") == b"7"
        await eventually(lambda: hub.quiet)
        assert await hub.latest_checkpoint("r") == b"7"
        assert (hub.seq, bytes(pipe.data)) == (0, b"")

    async def test_the_latest_state_of_a_run_is_known_before_it_is_stored(
        self, hub: Hub, log: FaultyLog
    ) -> None:
        log.refusing = True
        states = [StoredRun("r", False, b"1"), StoredRun("r", True, b"2")]
        for state in states:
            hub.publish(lambda seq, ts: ProjectEvent("p", seq, ts, "x", None), run=state)
            assert await hub.latest_run("r") == state
            await asyncio.sleep(0)
        assert await hub.load_run("r") is None
        assert await hub.latest_run("other") is None

    async def test_an_idle_hub_has_no_task(self, hub: Hub) -> None:
        before = asyncio.all_tasks()
        say(hub)
        assert asyncio.all_tasks() > before
        await hub.committed(1)
        await eventually(lambda: hub.quiet)
        assert asyncio.all_tasks() == before


class TestRoom:
    async def test_who_can_wait_waits_while_the_outbox_is_full(self) -> None:
        log = FaultyLog()
        hub = await make_hub(log, outbox_events=3)
        log.refusing = True
        say(hub)
        await asyncio.sleep(0)
        for _ in range(3):
            assert not hub.full
            say(hub)
        assert hub.full
        waiting = [asyncio.create_task(hub.room()) for _ in range(3)]
        waiting[0].cancel()
        done, _ = await asyncio.wait(waiting, timeout=0.05)
        assert done == {waiting[0]}
        log.refusing = False
        await asyncio.gather(*waiting[1:])
        await hub.close()

    async def test_bytes_fill_it_too(self) -> None:
        hub = await make_hub(MemoryLog(), outbox_bytes=1000)
        say(hub, "x" * 1000)
        assert hub.full
        await hub.room()
        await hub.close()

    async def test_waits_only_as_long_as_asked(self) -> None:
        log = FaultyLog()
        hub = await make_hub(log, outbox_events=1)
        log.refusing = True
        say(hub)
        await asyncio.sleep(0)
        say(hub)
        with pytest.raises(LogUnavailable):
            await hub.room(0.02)
        log.refusing = False
        await hub.close()


class TestCommits:
    async def test_what_is_stored_already_is_not_waited_for(self, hub: Hub) -> None:
        await hub.committed(0)
        say(hub)
        await hub.committed(1)
        await hub.committed(1, 0)

    async def test_waits_only_as_long_as_asked_and_harms_nobody_else(
        self, hub: Hub, log: FaultyLog
    ) -> None:
        log.refusing = True
        say(hub)
        patient = asyncio.create_task(hub.committed(1))
        with pytest.raises(LogUnavailable):
            await hub.committed(1, 0.02)
        log.refusing = False
        await patient


class TestTrouble:
    async def test_nothing_is_lost_while_the_log_refuses(self, hub: Hub, log: FaultyLog) -> None:
        pipe = Pipe()
        connect(hub, pipe)
        log.refusing = True
        for number in range(10):
            say(hub, number)
            await asyncio.sleep(0.005)
        assert (hub.seq, bytes(pipe.data)) == (0, b"")
        log.refusing = False
        await hub.committed(10)
        assert [event["data"] for event in await stored(hub)] == list(range(10))

    async def test_a_bug_of_the_log_is_trouble_too(self, caplog: pytest.LogCaptureFixture) -> None:
        class BuggyLog(MemoryLog):
            bugs = 2

            async def append(self, *batch: Any) -> int:
                if self.bugs:
                    self.bugs -= 1
                    raise ZeroDivisionError
                return await super().append(*batch)

        hub = await make_hub(BuggyLog())
        assert say(hub, "first") == 1
        await asyncio.sleep(0)
        assert say(hub, "second") == 2
        await hub.committed(2)
        assert [event["data"] for event in await stored(hub)] == ["first", "second"]
        assert "ZeroDivisionError" in caplog.text
        await hub.close()

    async def test_the_log_says_once_that_it_refuses_and_once_that_it_is_back(
        self, hub: Hub, log: FaultyLog, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        log.refusing = True
        say(hub)
        with pytest.raises(LogUnavailable):
            await hub.committed(1, 0.1)
        log.refusing = False
        await hub.committed(1)
        await eventually(lambda: hub.quiet)
        assert caplog.text.count("logUnavailable") == 1
        assert caplog.text.count("the log is back") == 1


class TestTwoOwners:
    """Two hubs take up one project of one log: only one can be right at a time."""

    async def test_the_first_starts_over_from_the_log_and_loses_nothing(self) -> None:
        log = MemoryLog()
        first = await make_hub(log)
        say(first, "one")
        await first.committed(1)
        second = await make_hub(log)
        say(second, "two")
        await second.committed(2)
        closes: list[CloseCode] = []
        pipe = Pipe()
        connect(first, pipe, closes)
        say(first, "three")
        waiting = asyncio.create_task(first.committed(2))
        with pytest.raises(LogUnavailable):
            await waiting
        assert closes == [CloseCode.INTERNAL]
        assert b'"fatal":true' in pipe.data
        await eventually(lambda: first.quiet)
        events = await stored(first)
        assert [(event["seq"], event["data"]) for event in events] == [
            (1, "one"),
            (2, "two"),
            (3, "three"),
        ]
        assert first.seq == 3
        await first.close()
        await second.close()

    async def test_an_owner_that_was_overtaken_at_the_same_head_stores_every_event_once(
        self,
    ) -> None:
        log = MemoryLog()
        first, second = await make_hub(log), await make_hub(log)
        for number in range(20):
            say(first, f"first {number}")
            say(second, f"second {number}")
            await asyncio.sleep(0.002 * (number % 3))
        await eventually(lambda: first.quiet and second.quiet)
        position = await log.open("p", lambda *_: None)
        events = [json.loads(entry) for entry in await log.read("p", 0, 1000, 10**9)]
        assert [event["seq"] for event in events] == list(range(1, position.seq + 1))
        for name in ("first", "second"):
            said = [event["data"] for event in events if event["data"].startswith(name)]
            assert sorted(said) == sorted(f"{name} {number}" for number in range(20))
        await first.close()
        await second.close()


class TestClosing:
    async def test_stores_what_is_in_the_outbox_first(self) -> None:
        log = MemoryLog()
        hub = await make_hub(log)
        for number in range(3):
            say(hub, number)
        await hub.close()
        position = await log.open("p", lambda *_: None)
        assert position.seq == 3

    async def test_nothing_is_published_after_it(self) -> None:
        hub = await make_hub(MemoryLog())
        await hub.close()
        with pytest.raises(ProjectClosed):
            say(hub)
        with pytest.raises(ProjectClosed):
            hub.output("r", "stdout", "x")

    async def test_waits_only_as_long_as_asked_and_leaves_no_task(self) -> None:
        log = FaultyLog()
        hub = await make_hub(log)
        log.refusing = True
        before = asyncio.all_tasks()
        say(hub)
        with pytest.raises(LogUnavailable):
            await hub.close(0.02)
        assert asyncio.all_tasks() == before
        log.refusing = False
        again = await make_hub(log)
        assert say(again) == 1
        await again.committed(1)
        await again.close()


class TestFanOut:
    async def test_every_connection_gets_the_same_bytes(self, hub: Hub) -> None:
        pipes = [Pipe() for _ in range(200)]
        for pipe in pipes:
            connect(hub, pipe)
        for number in range(50):
            say(hub, number)
            if number % 7 == 0:
                await asyncio.sleep(0)
        await hub.committed(50)
        await eventually(lambda: hub.quiet)
        assert len({bytes(pipe.data) for pipe in pipes}) == 1
        assert pipes[0].data.count(b'"type":"project.event"') == 50

    async def test_one_that_breaks_harms_no_other(
        self, hub: Hub, caplog: pytest.LogCaptureFixture
    ) -> None:
        good, bad = Pipe(), Pipe()
        connect(hub, bad)
        connect(hub, good)
        bad.broken = True
        say(hub)
        await hub.committed(1)
        await eventually(lambda: b"project.event" in good.data)
        assert [bad.aborted, good.aborted] == [True, False]
        assert "a bug in a transport" in caplog.text

    async def test_the_snapshot_is_encoded_once_a_head(self, hub: Hub) -> None:
        first = hub.snapshot_frame()
        assert hub.snapshot_frame() is first
        say(hub)
        await hub.committed(1)
        assert hub.snapshot_frame() is not first

    async def test_flushes_are_kept_only_while_somebody_is_connected(self, hub: Hub) -> None:
        starts: list[int | None] = []
        say(hub)
        await hub.committed(1)
        starts.append(hub.ring.start)
        connection = connect(hub, Pipe())
        say(hub)
        await hub.committed(2)
        starts.append(hub.ring.start)
        hub.disconnect(connection)
        starts.append(hub.ring.start)
        assert starts == [None, 1, None]


async def test_what_a_log_delivers_for_another_owner_is_no_event_of_ours() -> None:
    """The log hands a batch to whoever opened last, also when another hub appended it."""
    log = MemoryLog()
    first, second = await make_hub(log), await make_hub(log)
    say(first, "of the first")
    await eventually(lambda: second.seq == 1)
    assert say(second, "of the second")
    await eventually(lambda: first.quiet and second.quiet)
    entries = [json.loads(entry) for entry in await log.read("p", 0, 10, 10**9)]
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    await first.close()
    await second.close()
