"""Whatever Claude says fits an event afterwards."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aosui_claude.fitting import fit, shorten
from hypothesis import given
from hypothesis import strategies as st

from aosui.protocol import MAX_DATA_BYTES, encode_data

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def deep(depth: int) -> Any:
    value: Any = "end"
    for _ in range(depth):
        value = [value]
    return value


@given(JSON)
def test_everything_can_be_encoded(value: Any) -> None:
    encode_data(fit(value), MAX_DATA_BYTES, what="it")


@given(JSON, st.integers(min_value=100, max_value=300))
def test_everything_fits_any_size(value: Any, size: int) -> None:
    assert len(encode_data(fit(value, size), None, what="it")) <= size


@pytest.mark.parametrize(
    "value",
    [
        "x" * 1_000_000,
        "\0" * 100_000,
        ["x" * 1_000] * 1_000,
        list(range(100_000)),
        {str(n): "x" * 100 for n in range(10_000)},
        {"k" * 100_000: "v" * 100_000},
        deep(5_000),
        [{"text": "🙂" * 20_000, "n": 2**80}] * 3,
        "\ud800" * 50_000,
    ],
)
def test_what_is_large_is_cut(value: Any) -> None:
    encoded = encode_data(fit(value), MAX_DATA_BYTES, what="it")
    assert len(encoded) > 10


def test_what_fits_is_left_alone() -> None:
    value = {"a": [1, 2.5, None, True, "text"], "b": {"c": "d" * 50_000}}
    assert fit(value) == value


def test_what_is_cut_says_so() -> None:
    cut = fit({"command": "rm " + "x" * 100_000, "list": list(range(50_000))})
    assert cut["command"].startswith("rm xxx")
    assert "more characters" in cut["command"]
    assert cut["list"][-1].endswith("more)")
    json.dumps(cut)


def test_shorten() -> None:
    assert shorten("short", 10) == "short"
    assert shorten("longer", 4) == "long… (2 more characters)"
