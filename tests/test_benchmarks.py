"""The benchmarks work: cases go through the whole harness, small, and nothing is lost on it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.client import Client, Dialect, NotDelivered
from benchmarks.peers import REFERENCE
from benchmarks.svg import bars, lines
from benchmarks.tables import figure
from benchmarks.target import PeerUnderLoad, Product, Work

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
def test_the_reference_speaks_to_the_same_client() -> None:
    with PeerUnderLoad(REFERENCE) as reference:
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


def test_a_figure_is_the_median_with_its_range() -> None:
    assert figure([3.0, 1.0, 2.0]).text() == "2.00 (1.00–3.00)"
    assert figure([0.0123]).text(1000) == "12.3"


def test_pictures_have_what_they_show() -> None:
    picture = bars("Bars <1>", "µs", {"one": 0.1, "two": 10.0}, ["one"])
    assert "Bars &lt;1&gt;" in picture
    assert picture.index("one") < picture.index("two")
    picture = lines("Lines", "viewers", "µs", {"a": [(1, 100.0), (1000, 1.0)]})
    assert picture.count("<circle") == 3
