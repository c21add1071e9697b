"""The fold of clients, held to the vectors that the JavaScript client passes too."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from aosui.client.fold import Frame, fold

VECTORS = Path(__file__).parents[1] / "vectors" / "fold"


def vectors() -> list[Any]:
    return [
        pytest.param(json.loads(path.read_text()), id=path.stem)
        for path in sorted(VECTORS.glob("*.json"))
    ]


def test_there_are_vectors() -> None:
    assert vectors()


@pytest.mark.parametrize("vector", vectors())
def test_vector(vector: Frame) -> None:
    state: Frame | None = None
    for frame in vector["frames"]:
        before, kept = state, copy.deepcopy(state)
        state = fold(state, frame)
        assert before == kept, "the fold changed its input"
    assert state == vector["snapshot"]
