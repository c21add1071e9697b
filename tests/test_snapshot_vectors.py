"""The server's fold passes the vectors of the clients' (`tests/vectors/fold/README.md`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aosui.events import FINAL_STATES
from aosui.log import StoredRun
from aosui.protocol import encode
from aosui.snapshot import Snapshot

VECTORS = sorted((Path(__file__).parent / "vectors" / "fold").glob("*.json"))
CONTROL = {"welcome", "snapshot", "synced", "gap", "reply", "error", "pong"}


def stored(run: dict[str, Any]) -> StoredRun:
    return StoredRun(run["runId"], run["state"] in FINAL_STATES, encode(run))


def within(expected: object, value: object) -> object:
    """Return what of `value` the expectation speaks of: objects may have more fields."""
    if isinstance(expected, dict) and isinstance(value, dict):
        return {key: within(expected[key], value[key]) for key in expected}
    if isinstance(expected, list) and isinstance(value, list) and len(expected) == len(value):
        return [within(*pair) for pair in zip(expected, value, strict=True)]
    return value


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_vector(path: Path) -> None:
    vector = json.loads(path.read_text())
    folded: Snapshot | None = None
    for frame in vector["frames"]:
        if frame["type"] == "snapshot":
            runs = [stored(run) for run in frame["runs"]]
            folded = Snapshot(
                frame["projectId"], frame["project"]["name"], frame["epoch"], frame["seq"], runs
            )
        elif folded and frame["type"] not in CONTROL and frame["seq"] == folded.seq + 1:
            touched = [stored(frame["run"])] if frame["type"] == "run.updated" else []
            folded.fold([encode(frame)], touched)
    assert folded is not None
    expected = vector["expect"]["snapshot"]
    assert within(expected, json.loads(folded.text("2026-01-02T03:04:05.678Z"))) == expected


def test_there_are_vectors() -> None:
    assert len(VECTORS) >= 25
