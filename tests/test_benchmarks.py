"""The benchmarks work: cases go through the whole harness, small, and nothing is lost on it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from benchmarks.client import Client, Dialect, NotDelivered
from benchmarks.peers import REFERENCE
from benchmarks.svg import bars, lines
from benchmarks.tables import figure
from benchmarks.target import Bare, PeerUnderLoad, Product, Target, Work

ROOT = Path(__file__).parent.parent

needs_gcc = pytest.mark.skipif(
    shutil.which("gcc") is None or shutil.which("taskset") is None,
    reason="the load client is written in C, and pinned with taskset",
)


@needs_gcc
def test_a_case_runs_and_keeps_its_results() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "channel", "--quick", "--rounds", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "| SQLite log, flood |" in done.stdout
    path = ROOT / done.stderr.splitlines()[-1].removeprefix("kept in ")
    samples = json.loads(path.read_text())["cases"]["channel"]["samples"]
    path.unlink()
    assert all(sample > 0 for values in samples.values() for sample in values)


@needs_gcc
@pytest.mark.parametrize("mode", ["flood", "turn", "lone"])
def test_every_viewer_gets_every_event(mode: str) -> None:
    work = Work(mode, 3, 200 if mode != "lone" else 5, 5)
    with Product("memory") as product:
        measured = product.measure(work)
    assert measured.got.messages == work.viewers * work.count
    assert measured.per_delivery > 0
    assert (measured.got.p99 > 0) == (mode == "lone")


@needs_gcc
@pytest.mark.parametrize(
    "target",
    [
        partial(PeerUnderLoad, REFERENCE),
        partial(Bare, thread=False),
        partial(Bare, thread=True),
    ],
)
def test_the_references_speak_to_the_same_client(target: Callable[[], Target]) -> None:
    with target() as reference:
        assert reference.measure(Work("flood", 2, 100)).got.complete == 2
        assert reference.measure(Work("lone", 1, 3, 1)).got.p50 > 0


@needs_gcc
def test_what_is_missing_is_noticed() -> None:
    with PeerUnderLoad(REFERENCE) as reference:
        server = reference.server
        with Client(server.port, Dialect(), 1, expect=100) as client:
            client.ready()
            server.tell("flood 60 0")
            with pytest.raises(NotDelivered):
                client.stop()


def test_an_event_takes_as_many_instructions_beside_idle_projects() -> None:
    # In a process of its own: who measures coverage traces in this one.
    # Farther apart than any window of the hub: each event is a batch of its own.
    program = (
        "from benchmarks.instructions import instructions\n"
        "print(instructions(0, 40, 25), instructions(50, 40, 25))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    alone, beside = map(float, done.stdout.split())
    assert alone > 1000
    assert beside < alone * 1.05


def test_a_figure_is_the_median_with_its_range() -> None:
    assert figure([3.0, 1.0, 2.0]).text() == "2.00 (1.00–3.00)"
    assert figure([0.0123]).text(1000) == "12.3"


def test_pictures_have_what_they_show() -> None:
    picture = bars("Bars <1>", "µs", {"one": 0.1, "two": 10.0}, ["one"])
    assert "Bars &lt;1&gt;" in picture
    assert picture.index("one") < picture.index("two")
    picture = lines("Lines", "viewers", "µs", {"a": [(1, 100.0), (1000, 1.0)]})
    assert picture.count("<circle") == 3
