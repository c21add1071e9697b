"""What every `EventLog` promises; each test runs against every implementation."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress

import pytest

from aosui.log import EventLog, LogConflict, NotKept, StoredRun

from .conftest import MakeLog
from .owner import Owner, entry, run


async def test_a_new_project_is_empty(log: EventLog) -> None:
    position = await Owner(log).open()
    assert re.fullmatch("[a-z0-9]{12}", position.epoch)
    assert (position.first_seq, position.seq, position.runs) == (1, 0, ())
    assert await Owner(log).read() == []


async def test_what_is_appended_is_read(log: EventLog) -> None:
    owner = Owner(log)
    await owner.open()
    assert await owner.append(entry(1), entry(2)) == 1
    assert await owner.append('{"text":"é \\n ✓"}'.encode()) == 1
    assert await owner.read() == [entry(1), entry(2), '{"text":"é \\n ✓"}'.encode()]


async def test_a_batch_is_delivered_once_before_its_append_returns(log: EventLog) -> None:
    owner = Owner(log)
    await owner.open()
    await owner.append(entry(1), entry(2), runs=[run("a")])
    assert owner.batches == [((entry(1), entry(2)), [run("a")], 1)]


async def test_appends_under_way_together_keep_their_order(log: EventLog) -> None:
    owner = Owner(log)
    await owner.open()
    await asyncio.gather(*(owner.append(entry(seq), after=seq - 1) for seq in range(1, 101)))
    assert owner.delivered == [entry(seq) for seq in range(1, 101)]
    assert await owner.read() == owner.delivered


async def test_a_batch_without_entries_is_not_delivered(log: EventLog) -> None:
    owner = Owner(log)
    await owner.open()
    await owner.append(entry(1), runs=[run("a")])
    assert await owner.append(checkpoints={"a": b"[1]"}) == 1
    assert len(owner.batches) == 1
    assert await log.checkpoint(owner.project_id, "a") == b"[1]"


async def test_a_conflict_says_where_the_log_stands_and_stores_nothing(log: EventLog) -> None:
    owner = Owner(log)
    epoch = (await owner.open()).epoch
    await owner.append(entry(1), entry(2), runs=[run("a")])
    for after in (0, 1, 3):
        with pytest.raises(LogConflict) as raised:
            await owner.append(
                b'{"other":1}',
                after=after,
                runs=[run("a", text="new"), run("b")],
                requests={"request": b"1"},
                checkpoints={"a": b"1"},
            )
        position = raised.value.position
        assert (position.epoch, position.first_seq, position.seq) == (epoch, 1, 2)
        assert [*position.runs] == [run("a")]
    assert await owner.read() == [entry(1), entry(2)]
    assert [*await log.runs(owner.project_id, None, 10)] == [run("a")]
    assert await log.request(owner.project_id, "request") is None
    assert await log.checkpoint(owner.project_id, "a") is None
    assert len(owner.batches) == 1


async def test_a_batch_sent_again_is_success_and_is_not_delivered_again(log: EventLog) -> None:
    owner = Owner(log)
    await owner.open()
    await owner.append(entry(1))
    await owner.append(entry(2), entry(3))
    assert await owner.append(entry(2), entry(3), after=1) == 1
    assert await owner.append(entry(3), after=2) == 1
    assert await owner.append(entry(1), entry(2), entry(3), after=0) == 1
    assert owner.delivered == await owner.read() == [entry(1), entry(2), entry(3)]


@pytest.mark.parametrize(
    ("after", "entries"),
    [
        (1, [entry(2), b'{"other":3}']),
        (1, [b'{"other":2}', entry(3)]),
        (0, [entry(1), entry(2)]),
        (1, [entry(2), entry(3), entry(4)]),
        (1, []),
    ],
)
async def test_what_only_resembles_the_last_batch_is_a_conflict(
    log: EventLog, after: int, entries: Sequence[bytes]
) -> None:
    owner = Owner(log)
    await owner.open()
    await owner.append(entry(1))
    await owner.append(entry(2), entry(3))
    with pytest.raises(LogConflict):
        await owner.append(*entries, after=after)


async def test_a_cancelled_append_is_delivered_once_and_can_be_sent_again(log: EventLog) -> None:
    owner = Owner(log)
    await owner.open()
    task = asyncio.create_task(owner.append(entry(1)))
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await owner.append(entry(1), after=0)
    await owner.append(entry(2), after=1)
    assert owner.batches == [((entry(1),), (), 1), ((entry(2),), (), 1)]


async def test_an_owner_that_fails_to_take_a_batch_is_told_and_the_log_goes_on(
    log: EventLog,
) -> None:
    def deliver(entries: Sequence[bytes], runs: Sequence[StoredRun], first_seq: int) -> None:
        if entries == [entry(1)]:
            raise ZeroDivisionError

    await log.open("p", deliver)
    with pytest.raises(ZeroDivisionError):
        await log.append("p", 0, [entry(1)], (), {}, {})
    assert await log.append("p", 1, [entry(2)], (), {}, {}) == 1
    assert [*await log.read("p", 0, 10, 1000)] == [entry(1), entry(2)]


# -- reading


async def test_reading_starts_anywhere_and_stops_at_its_bounds(log: EventLog) -> None:
    owner = Owner(log)
    await owner.open()
    await owner.append(*(entry(seq, 100) for seq in range(1, 2501)))
    await owner.append(*(entry(seq, 100) for seq in range(2501, 2511)))
    for after in (0, 1, 999, 1000, 1001, 2499, 2500, 2501, 2509):
        everything = [entry(seq, 100) for seq in range(after + 1, 2511)]
        assert await owner.read(after) == everything
        assert await owner.read(after, limit=3) == everything[:3]
        assert await owner.read(after, max_bytes=1000) == everything[:10]
        assert await owner.read(after, max_bytes=1099) == everything[:10]
        assert await owner.read(after, max_bytes=1) == everything[:1]
    assert await owner.read(2510) == await owner.read(9999) == []


async def test_the_oldest_go_when_the_kept_bytes_exceed_the_limit(make_log: MakeLog) -> None:
    owner = Owner(make_log(kept_bytes=64_000))
    await owner.open()
    drops = set()
    for seq in range(1, 1501):
        first_seq = await owner.append(entry(seq, 100))
        drops.add(first_seq)
        kept = seq - first_seq + 1
        assert kept * 100 <= 64_000
        assert first_seq == 1 or kept * 100 >= 62_000
        assert owner.batches[-1][2] == first_seq
    assert len(drops) < 1500 / 8, "a 64th goes at once, not a little with every append"
    assert await owner.read(first_seq - 1) == [entry(s, 100) for s in range(first_seq, 1501)]
    with pytest.raises(NotKept) as raised:
        await owner.read(first_seq - 2)
    assert raised.value.first_seq == first_seq
    position = await owner.open()
    assert (position.first_seq, position.seq) == (first_seq, 1500)


async def test_the_newest_batch_stays_however_large(make_log: MakeLog) -> None:
    owner = Owner(make_log(kept_bytes=1000))
    await owner.open()
    await owner.append(entry(1), entry(2))
    large = [entry(seq, 100) for seq in range(3, 2503)]
    assert await owner.append(*large) == 3
    assert await owner.read(2) == large
    assert await owner.append(*large, after=2) == 3
    assert await owner.append(entry(2503)) > 2000
    assert await owner.read(2502) == [entry(2503)]


# -- runs, requests, checkpoints


async def test_a_run_is_its_latest_state(log: EventLog) -> None:
    owner = Owner(log)
    await owner.open()
    await owner.append(entry(1), runs=[run("a", text="one"), run("b")])
    await owner.append(entry(2), runs=[run("a", text="two", final=True)])
    assert await log.run(owner.project_id, "a") == run("a", text="two", final=True)
    assert await log.run(owner.project_id, "b") == run("b")
    assert await log.run(owner.project_id, "c") is None


async def test_runs_come_newest_first_in_pages(log: EventLog) -> None:
    owner = Owner(log)
    await owner.open()
    for number in range(10):
        await owner.append(entry(number + 1), runs=[run(f"r{number}", final=number % 2 == 0)])
    await owner.append(entry(11), runs=[run("r1", final=True)])
    assert await owner.run_ids() == [f"r{number}" for number in reversed(range(10))]
    assert await owner.run_ids(limit=3) == ["r9", "r8", "r7"]
    assert await owner.run_ids(before="r7", limit=3) == ["r6", "r5", "r4"]
    assert await owner.run_ids(before="r0") == await owner.run_ids(before="unknown") == []


async def test_a_position_has_the_runs_that_ended_last_and_the_active_ones(log: EventLog) -> None:
    owner = Owner(log)
    await owner.open()
    await owner.append(entry(1), runs=[run(f"r{number}") for number in range(30)])
    for number in (3, *range(10, 28), 0, 5):
        await owner.append(entry(owner.seq + 1), runs=[run(f"r{number}", final=True)])
    runs = (await owner.open()).runs
    final = [run.run_id for run in runs if run.final]
    assert final == [f"r{number}" for number in (*range(10, 28), 0, 5)]
    assert [run.run_id for run in runs[20:]] == [
        f"r{number}" for number in (1, 2, 4, 6, 7, 8, 9, 28, 29)
    ]


async def test_final_runs_go_in_the_order_of_their_end_and_active_ones_never(
    make_log: MakeLog,
) -> None:
    log = make_log(kept_runs=3)
    owner = Owner(log)
    await owner.open()
    await owner.append(
        entry(1),
        runs=[run("long"), run("endless")],
        checkpoints={"long": b"1", "endless": b"2"},
    )
    for number in range(5):
        name = f"r{number}"
        await owner.append(entry(owner.seq + 1), runs=[run(name)], checkpoints={name: b"3"})
        await owner.append(entry(owner.seq + 1), runs=[run(name, final=True)])
    await owner.append(entry(owner.seq + 1), runs=[run("long", final=True)])
    assert await owner.run_ids() == ["r4", "r3", "endless", "long"]
    assert await log.run(owner.project_id, "r2") is None
    found = [await log.checkpoint(owner.project_id, name) for name in ("long", "endless", "r4")]
    assert found == [b"1", b"2", b"3"]
    assert await log.checkpoint(owner.project_id, "r2") is None


async def test_a_final_run_stored_again_keeps_its_place(make_log: MakeLog) -> None:
    owner = Owner(make_log(kept_runs=2))
    await owner.open()
    for name in "abb":
        await owner.append(entry(owner.seq + 1), runs=[run(name, final=True)])
    assert await owner.run_ids() == ["b", "a"]
    await owner.append(entry(owner.seq + 1), runs=[run("a", final=True, text="again")])
    await owner.append(entry(owner.seq + 1), runs=[run("c", final=True)])
    assert await owner.run_ids() == ["c", "b"]


async def test_the_last_checkpoint_counts(log: EventLog) -> None:
    owner = Owner(log)
    await owner.open()
    await owner.append(entry(1), runs=[run("a")], checkpoints={"a": b"1"})
    await owner.append(entry(2), checkpoints={"a": b"2"})
    assert await log.checkpoint(owner.project_id, "a") == b"2"
    assert await log.checkpoint(owner.project_id, "b") is None


async def test_requests_are_remembered(log: EventLog) -> None:
    owner = Owner(log)
    await owner.open()
    await owner.append(entry(1), requests={"one": b'{"a":1}', "two": b"2"})
    await owner.append(entry(2), requests={"three": b"3"})
    found = [await log.request(owner.project_id, name) for name in ("one", "two", "three", "four")]
    assert found == [b'{"a":1}', b"2", b"3", None]


async def test_requests_are_forgotten_after_their_time(make_log: MakeLog) -> None:
    log = make_log(request_seconds=0.0)
    owner = Owner(log)
    await owner.open()
    await owner.append(entry(1), requests={"one": b"1"})
    assert await log.request(owner.project_id, "one") == b"1"
    await asyncio.sleep(0.002)
    await owner.append(entry(2), requests={"two": b"2"})
    assert await log.request(owner.project_id, "one") is None
    assert await log.request(owner.project_id, "two") == b"2"


# -- projects


async def test_projects_know_nothing_of_each_other(log: EventLog) -> None:
    first, second = Owner(log, "first"), Owner(log, "second")
    epochs = {(await owner.open()).epoch for owner in (first, second)}
    assert len(epochs) == 2
    await asyncio.gather(
        first.append(entry(1), runs=[run("a")], requests={"r": b"1"}, checkpoints={"a": b"1"}),
        second.append(entry(1, 50), runs=[run("b")]),
    )
    await second.append(entry(2))
    assert await first.read() == first.delivered == [entry(1)]
    assert await second.read() == second.delivered == [entry(1, 50), entry(2)]
    assert await second.run_ids() == ["b"]
    assert await log.run("second", "a") is None
    assert await log.request("second", "r") is None
    assert await log.checkpoint("second", "a") is None


async def test_a_conflict_of_one_project_is_no_other_ones(log: EventLog) -> None:
    first, second, third = owners = [Owner(log, name) for name in ("first", "second", "third")]
    for owner in owners:
        await owner.open()
        await owner.append(entry(1))
    outcomes = await asyncio.gather(
        first.append(entry(2)),
        second.append(b'{"other":1}', after=0),
        third.append(entry(2)),
        return_exceptions=True,
    )
    assert [outcomes[0], outcomes[2]] == [1, 1]
    assert isinstance(outcomes[1], LogConflict)
    assert [len(await owner.read()) for owner in owners] == [2, 1, 2]


async def test_a_project_that_is_not_open_takes_no_batch(log: EventLog) -> None:
    owner = Owner(log)
    with pytest.raises(KeyError):
        await owner.append(entry(1))
    epoch = (await owner.open()).epoch
    await owner.append(entry(1))
    await log.release(owner.project_id)
    with pytest.raises(KeyError):
        await owner.append(entry(2))
    await log.release(owner.project_id)
    await log.release("unknown")
    position = await owner.open()
    assert (position.epoch, position.seq) == (epoch, 1)
    assert await owner.read() == [entry(1)]


async def test_opened_again_it_delivers_to_the_new_owner_alone(log: EventLog) -> None:
    first = Owner(log)
    await first.open()
    await first.append(entry(1))
    second = Owner(log)
    assert (await second.open()).seq == 1
    await second.append(entry(2))
    assert (first.delivered, second.delivered) == ([entry(1)], [entry(2)])


async def test_a_batch_under_way_while_it_is_opened_again_reaches_exactly_one_owner(
    log: EventLog,
) -> None:
    first, second = Owner(log), Owner(log)
    await first.open()
    _, position = await asyncio.gather(first.append(entry(1)), second.open())
    assert position.seq == 1
    assert (first.delivered, second.delivered) == ([entry(1)], [])


async def test_a_forgotten_project_begins_anew_and_no_other_does(log: EventLog) -> None:
    first, second = Owner(log, "first"), Owner(log, "second")
    first_epoch, second_epoch = [(await owner.open()).epoch for owner in (first, second)]
    for owner in (first, second):
        for seq in range(1, 41):
            await owner.append(
                entry(seq, 65_000),
                runs=[run("a", final=True)],
                requests={"r": b"1"},
                checkpoints={"a": b"1"},
            )
    await log.forget("first")
    await log.forget("unknown")
    with pytest.raises(KeyError):
        await first.append(entry(41))
    position = await first.open()
    assert position.epoch != first_epoch
    assert (position.first_seq, position.seq, position.runs) == (1, 0, ())
    assert await first.read() == []
    assert await first.run_ids() == []
    assert await log.request("first", "r") is None
    assert await log.checkpoint("first", "a") is None
    assert len(await second.read()) == 40
    assert (await second.open()).epoch == second_epoch


async def test_closed_cleanly_and_opened_again_nothing_is_lost(log: EventLog) -> None:
    owner = Owner(log)
    epoch = (await owner.open()).epoch
    await owner.append(entry(1), runs=[run("a")], requests={"r": b"1"}, checkpoints={"a": b"2"})
    await log.close()
    with pytest.raises(KeyError):
        await owner.append(entry(2))
    position = await owner.open()
    assert (position.epoch, position.first_seq, position.seq) == (epoch, 1, 1)
    assert [*position.runs] == [run("a")]
    assert await owner.read() == [entry(1)]
    assert await log.request(owner.project_id, "r") == b"1"
    assert await log.checkpoint(owner.project_id, "a") == b"2"
    await owner.append(entry(2))
    assert owner.delivered == await owner.read() == [entry(1), entry(2)]
    await log.close()
    await log.close()
