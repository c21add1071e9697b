"""Fold and cursor, held to the vectors that the JavaScript client passes too."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from aosui.client.fold import Frame, fold
from aosui.client.follower import Emit, Follower, Resync

VECTORS = Path(__file__).parents[1] / "vectors" / "fold"


def vectors() -> list[Any]:
    paths = sorted(VECTORS.glob("*.json"))
    assert paths
    return [pytest.param(json.loads(path.read_text()), id=path.stem) for path in paths]


def has(value: Any, expected: Any) -> bool:
    """Say whether a value has all that is expected; objects may have more."""
    if isinstance(expected, dict):
        return isinstance(value, dict) and all(
            name in value and has(value[name], item) for name, item in expected.items()
        )
    if isinstance(expected, list):
        return (
            isinstance(value, list)
            and len(value) == len(expected)
            and all(map(has, value, expected))
        )
    return bool(value == expected)


@pytest.mark.parametrize("vector", vectors())
def test_a_client_follows_the_vector(vector: Frame) -> None:
    position = vector["position"] or {"epoch": None, "since": None}
    follower = Follower(vector["frames"][0]["projectId"], position["since"], position["epoch"])
    events: list[Frame] = []
    missing: list[Frame] = []
    resets, resync = 0, False
    for frame in vector["frames"]:
        state = follower.snapshot
        resync = False
        for effect in follower.receive(frame, 0.0):
            match effect:
                case Emit({"type": "gap"} as gap):
                    missing.append(gap)
                case Emit({"type": "reset"}):
                    resets += 1
                    missing = []
                case Emit(event):
                    history = state is not None and event["seq"] <= state["seq"]
                    events.append({"seq": event["seq"], "history": history})
                case Resync():
                    resync = True
    assert has(
        {
            "epoch": follower.epoch,
            "lastSeq": follower.last_seq,
            "snapshot": follower.snapshot,
            "events": events,
            "missing": missing,
            "resets": resets,
            "resync": resync,
        },
        vector["expect"],
    )


@pytest.mark.parametrize("vector", vectors())
def test_the_fold_changes_nothing_in_place(vector: Frame) -> None:
    state: Frame | None = None
    for frame in vector["frames"]:
        before = copy.deepcopy((state, frame))
        after = fold(state, frame)
        assert (state, frame) == before
        state = after


def test_more_than_was_expected_is_no_difference_and_less_is_one() -> None:
    assert has({"a": 1, "b": [{"c": 2, "d": 3}]}, {"b": [{"c": 2}]})
    assert not has({"b": [1, 2]}, {"b": [1]})
    assert not has({}, {"b": None})
