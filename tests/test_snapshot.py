"""The fold, against a model that keeps everything and forgets by the rules of the protocol."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aosui.log import StoredRun
from aosui.protocol import encode
from aosui.snapshot import Snapshot

TS = "2026-01-02T03:04:05.678Z"
RUNS = ["r1", "r2", "r3", "r4", "r5"]


def status(run_id: str, number: int, *, final: bool, filler: int = 0) -> StoredRun:
    return StoredRun(run_id, final, encode({"runId": run_id, "n": number, "x": "x" * filler}))


def output(run_id: str, text: str, seq: int = 0) -> bytes:
    """Encode an output as the hub does: type and run id first."""
    return encode({"type": "run.output", "runId": run_id, "seq": seq, "text": text})


def updated(run: StoredRun) -> bytes:
    return encode({"type": "run.updated", "run": json.loads(run.body)})


def read(snapshot: Snapshot) -> Any:
    return json.loads(snapshot.text(TS))


def make(*runs: StoredRun, **bounds: int) -> Snapshot:
    return Snapshot("p", "Site", "e" * 12, 0, runs, **bounds)


class Model:
    """The same, naively: a list of all that happened, read from the end."""

    def __init__(self, final_runs: int, tail_bytes: int) -> None:
        self.final_runs = final_runs
        self.tail_bytes = tail_bytes
        self.entries: list[bytes] = []
        self.active: list[StoredRun] = []
        self.final: list[StoredRun] = []
        self.outputs: dict[str, list[bytes]] = {}

    def update(self, run: StoredRun) -> None:
        lists = (self.active, self.final)
        same = self.final if run.final else self.active
        for runs in lists:
            for index, old in enumerate(runs):
                if old.run_id == run.run_id:
                    if runs is same:
                        runs[index] = run
                        return
                    del runs[index]
                    break
        same.append(run)
        if run.final:
            self.outputs.pop(run.run_id, None)
            del self.final[: -self.final_runs]
        else:
            self.outputs[run.run_id] = []

    def output(self, run_id: str, entry: bytes) -> None:
        if run_id in self.outputs:
            self.outputs[run_id].append(entry)

    def frame(self) -> Any:
        tails = {}
        for run in self.active:
            kept: list[bytes] = []
            for entry in reversed(self.outputs[run.run_id]):
                if kept and sum(map(len, kept)) + len(entry) > self.tail_bytes:
                    break
                kept.insert(0, entry)
            if kept:
                tails[run.run_id] = [json.loads(entry) for entry in kept]
        return {
            "type": "snapshot",
            "projectId": "p",
            "ts": TS,
            "epoch": "e" * 12,
            "seq": len(self.entries),
            "project": {"name": "Site"},
            "runs": [json.loads(run.body) for run in (*self.final, *self.active)],
            "outputTails": tails,
        }


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, str, int]]:
    """Draw what runs do: each starts once, speaks and changes while active, ends once."""
    ended: set[str] = set()
    started: set[str] = set()
    acts = []
    for _ in range(draw(st.integers(0, 40))):
        run_id = draw(st.sampled_from(RUNS))
        act = draw(st.sampled_from(["status", "output", "output", "end"]))
        if run_id in ended:
            act = "output"
        elif run_id not in started:
            act = "status"
            started.add(run_id)
        if act == "end":
            ended.add(run_id)
        acts.append((act, run_id, draw(st.integers(0, 60))))
    return acts


@given(histories(), st.integers(1, 3), st.integers(1, 200), st.integers(1, 5))
def test_folds_as_the_model_does(
    history: list[tuple[str, str, int]], final_runs: int, tail_bytes: int, batch: int
) -> None:
    snapshot = make(final_runs=final_runs, tail_bytes=tail_bytes)
    model = Model(final_runs, tail_bytes)
    for start in range(0, len(history), batch):
        entries: list[bytes] = []
        touched: dict[str, StoredRun] = {}
        acts = history[start : start + batch]
        if len({run_id for _, run_id, _ in acts}) < len(acts):
            # What a run says in one batch with its start or end may be in its tail or not.
            acts = [act for act in acts if act[1] == acts[0][1]][:1]
        for number, (act, run_id, size) in enumerate(acts):
            if act == "output":
                entries.append(output(run_id, "o" * size))
                model.output(run_id, entries[-1])
            else:
                run = status(run_id, number, final=act == "end")
                entries.append(updated(run))
                touched[run_id] = run
                if act == "end" or run_id not in {old.run_id for old in model.active}:
                    model.update(run)
                else:
                    at = [old.run_id for old in model.active].index(run_id)
                    model.active[at] = run
        model.entries += entries
        snapshot.fold(entries, touched.values())
    assert read(snapshot) == model.frame()


def test_starts_from_the_runs_of_the_log_in_their_order() -> None:
    final = [status(f"f{number}", number, final=True) for number in range(3)]
    active = [status(f"a{number}", number, final=False) for number in range(2)]
    frame = read(make(*final, *active))
    assert [run["runId"] for run in frame["runs"]] == ["f0", "f1", "f2", "a0", "a1"]


def test_keeps_the_last_twenty_final_runs() -> None:
    snapshot = make()
    for number in range(25):
        run = status(f"r{number}", number, final=True)
        snapshot.fold([updated(run)], [run])
    assert [run["n"] for run in read(snapshot)["runs"]] == list(range(5, 25))


def test_a_tail_has_whole_events_and_at_least_one() -> None:
    run = status("r", 0, final=False)
    snapshot = make(run, tail_bytes=200)
    snapshot.fold([output("r", "a" * 20, 1), output("r", "b" * 500, 2)], [])
    assert [event["seq"] for event in read(snapshot)["outputTails"]["r"]] == [2]
    snapshot.fold([output("r", "c", 3), output("r", "d", 4)], [])
    assert [event["seq"] for event in read(snapshot)["outputTails"]["r"]] == [3, 4]


def test_a_run_that_ended_has_no_tail() -> None:
    run = status("r", 0, final=False)
    snapshot = make(run)
    snapshot.fold([output("r", "a")], [])
    snapshot.fold([updated(run)], [status("r", 1, final=True)])
    assert read(snapshot)["outputTails"] == {}


class TestNearItsSize:
    def test_tails_are_left_out_first(self) -> None:
        active = status("a", 0, final=False, filler=500)
        final = status("f", 0, final=True, filler=500)
        snapshot = make(final, active, max_bytes=1500, tail_bytes=600)
        snapshot.fold([output("a", "o" * 500)], [])
        frame = read(snapshot)
        assert [run["runId"] for run in frame["runs"]] == ["f", "a"]
        assert frame["outputTails"] == {}

    def test_then_final_runs_the_oldest_first(self) -> None:
        active = status("a", 0, final=False, filler=500)
        final = [status(f"f{number}", 0, final=True, filler=500) for number in range(3)]
        frame = read(make(*final, active, max_bytes=1500))
        assert [run["runId"] for run in frame["runs"]] == ["f2", "a"]

    def test_active_runs_never(self) -> None:
        active = [status(f"a{number}", 0, final=False, filler=500) for number in range(4)]
        frame = read(make(status("f", 0, final=True), *active, max_bytes=1000))
        assert [run["runId"] for run in frame["runs"]] == ["a0", "a1", "a2", "a3"]

    def test_a_small_tail_stays_beside_one_that_does_not_fit(self) -> None:
        snapshot = make(
            status("a", 0, final=False), status("b", 0, final=False), max_bytes=600, tail_bytes=900
        )
        snapshot.fold([output("a", "o" * 800), output("b", "o")], [])
        assert list(read(snapshot)["outputTails"]) == ["b"]


def test_is_encoded_once_until_the_next_fold() -> None:
    snapshot = make()
    first = snapshot.text(TS)
    assert snapshot.text("later") is first
    snapshot.fold([output("r", "a")], [])
    assert read(snapshot)["seq"] == 1
