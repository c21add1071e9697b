"""Every log against a model of its contract, in whatever order things happen."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from aosui.log import EventLog, LogConflict, NotKept, StoredRun
from aosui.log.memory import MemoryLog
from aosui.log.sqlite import SqliteLog

from .owner import Owner, entry

KEPT_BYTES = 6400
KEPT_RUNS = 25
PROJECTS = ("first", "second")

projects = st.sampled_from(PROJECTS)
sizes = st.lists(st.integers(20, 400), min_size=1, max_size=30)
run_ids = st.sampled_from([f"r{number}" for number in range(60)])


class Model:
    """What a project's log must hold."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        self.newest = 0
        self.runs: dict[str, StoredRun] = {}
        self.ended: list[str] = []
        self.checkpoints: dict[str, bytes] = {}
        self.requests: dict[str, bytes] = {}

    def put(self, run: StoredRun) -> None:
        self.runs[run.run_id] = run
        if run.final:
            self.ended.append(run.run_id)
        if len(self.ended) > KEPT_RUNS:
            oldest = self.ended.pop(0)
            del self.runs[oldest]
            self.checkpoints.pop(oldest, None)


class LogMachine(RuleBasedStateMachine):
    """Subclasses say which log."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.log = self.make()
        self.models = {name: Model() for name in PROJECTS}
        self.owners: dict[str, Owner] = {}
        self.epochs: dict[str, str] = {}
        self.old_epochs: set[str] = set()
        self.texts = 0

    def make(self) -> EventLog:
        raise NotImplementedError

    def restart(self) -> None:
        """Come back as after a clean stop."""
        self.loop.run(self.log.close())

    @initialize()
    def begin(self) -> None:
        for name in PROJECTS:
            self.open(name)

    @rule(name=projects)
    def open(self, name: str) -> None:
        owner = self.owners[name] = Owner(self.log, name)
        position = self.loop.run(owner.open())
        model = self.models[name]
        assert position.seq == len(model.entries)
        assert position.epoch == self.epochs.setdefault(name, position.epoch)
        assert position.epoch not in self.old_epochs
        recent = [model.runs[run_id] for run_id in model.ended[-20:]]
        active = [run for run in model.runs.values() if not run.final]
        assert [*position.runs] == recent + active

    @rule(
        name=projects,
        sizes=sizes,
        runs=st.lists(st.tuples(run_ids, st.booleans()), max_size=4, unique_by=lambda r: r[0]),
        checkpoint=st.booleans(),
        request=st.booleans(),
        cancel=st.booleans(),
    )
    def append(
        self,
        name: str,
        sizes: list[int],
        runs: list[tuple[str, bool]],
        checkpoint: bool,
        request: bool,
        cancel: bool,
    ) -> None:
        owner, model = self.owners[name], self.models[name]
        seq = len(model.entries)
        entries = [entry(seq + number, size) for number, size in enumerate(sizes, 1)]
        self.texts += 1
        states = [
            StoredRun(run_id, final, b'{"text":%d}' % self.texts)
            for run_id, final in runs
            if run_id not in model.ended
        ]
        checkpoints = {run.run_id: b"%d" % self.texts for run in states if checkpoint}
        requests = {f"q{self.texts}": b"%d" % self.texts} if request else {}
        batches = len(owner.batches)

        async def send() -> None:
            sending = owner.append(
                *entries, runs=states, checkpoints=checkpoints, requests=requests, after=seq
            )
            if cancel:
                task = asyncio.create_task(sending)
                await asyncio.sleep(0)
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
                await owner.append(*entries, after=seq)
            else:
                await sending

        self.loop.run(send())
        assert len(owner.batches) == batches + 1
        delivered, delivered_runs, first_seq = owner.batches[-1]
        assert ([*delivered], [*delivered_runs]) == (entries, states)
        model.entries += entries
        model.newest = len(entries)
        model.checkpoints |= checkpoints
        model.requests |= requests
        for state in states:
            model.put(state)
        kept = sum(map(len, model.entries[first_seq - 1 :]))
        assert kept <= KEPT_BYTES or seq + 1 == first_seq

    @rule(name=projects, data=st.data())
    def append_elsewhere(self, name: str, data: st.DataObject) -> None:
        model = self.models[name]
        seq = len(model.entries)
        after = data.draw(st.integers(0, seq + 3).filter(lambda after: after != seq))
        with pytest.raises(LogConflict) as raised:
            self.loop.run(
                self.owners[name].append(b"{}", runs=[StoredRun("r0", True, b"")], after=after)
            )
        assert (raised.value.position.seq, raised.value.position.epoch) == (seq, self.epochs[name])

    @rule(name=projects, data=st.data())
    @precondition(lambda self: any(model.entries for model in self.models.values()))
    def append_again(self, name: str, data: st.DataObject) -> None:
        model = self.models[name]
        if not model.newest:
            return
        count = data.draw(st.integers(1, model.newest))
        seq = len(model.entries)
        owner = self.owners[name]
        batches = len(owner.batches)
        self.loop.run(owner.append(*model.entries[-count:], after=seq - count))
        assert len(owner.batches) == batches

    @rule(name=projects, data=st.data(), limit=st.integers(1, 50), size=st.integers(1, 3000))
    def read(self, name: str, data: st.DataObject, limit: int, size: int) -> None:
        entries = self.models[name].entries
        after = data.draw(st.integers(0, len(entries) + 2))
        owner = self.owners[name]
        first_seq = self.loop.run(self.log.open(name, owner.deliver)).first_seq
        kept = sum(map(len, entries[first_seq - 1 :]))
        assert kept <= KEPT_BYTES or first_seq == len(entries) - self.models[name].newest + 1
        if after + 1 < first_seq:
            with pytest.raises(NotKept) as raised:
                self.loop.run(owner.read(after, limit, size))
            assert raised.value.first_seq == first_seq
            return
        found = self.loop.run(owner.read(after, limit, size))
        expected = entries[after : after + limit]
        while len(expected) > 1 and sum(map(len, expected)) > size:
            expected.pop()
        assert found == expected

    @rule(name=projects, limit=st.integers(1, 70), before=st.none() | run_ids)
    def runs(self, name: str, limit: int, before: str | None) -> None:
        newest_first = [*reversed(self.models[name].runs)]
        if before is not None:
            at = newest_first.index(before) + 1 if before in newest_first else len(newest_first)
            newest_first = newest_first[at:]
        assert self.loop.run(self.owners[name].run_ids(before, limit)) == newest_first[:limit]

    @rule(name=projects, run_id=run_ids)
    def look_up(self, name: str, run_id: str) -> None:
        model = self.models[name]
        assert self.loop.run(self.log.run(name, run_id)) == model.runs.get(run_id)
        assert self.loop.run(self.log.checkpoint(name, run_id)) == model.checkpoints.get(run_id)
        for request_id, record in model.requests.items():
            assert self.loop.run(self.log.request(name, request_id)) == record

    @rule(name=projects)
    def forget(self, name: str) -> None:
        self.loop.run(self.log.forget(name))
        self.models[name] = Model()
        self.old_epochs.add(self.epochs.pop(name))
        self.open(name)

    @rule()
    def stop_and_start(self) -> None:
        self.restart()
        for name in PROJECTS:
            self.open(name)

    @invariant()
    def delivered_is_stored(self) -> None:
        for name, owner in self.owners.items():
            if owner.delivered:
                assert self.models[name].entries[-len(owner.delivered) :] == owner.delivered

    def teardown(self) -> None:
        self.loop.run(self.log.close())
        self.loop.close()
        self.directory.cleanup()


class MemoryMachine(LogMachine):
    def make(self) -> EventLog:
        return MemoryLog(kept_bytes=KEPT_BYTES, kept_runs=KEPT_RUNS)


class SqliteMachine(LogMachine):
    def make(self) -> EventLog:
        path = Path(self.directory.name, "log.db")
        return SqliteLog(path, kept_bytes=KEPT_BYTES, kept_runs=KEPT_RUNS)

    def restart(self) -> None:
        super().restart()
        self.log = self.make()


@pytest.mark.parametrize(
    ("machine", "examples"), [(MemoryMachine, 100), (SqliteMachine, 30)], ids=["memory", "sqlite"]
)
def test_a_log_keeps_its_contract(machine: type[LogMachine], examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[*HealthCheck],
        ),
    )
