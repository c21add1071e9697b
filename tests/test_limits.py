"""The limits: the numbers of the protocol, and refusals in words."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest

from aosui.limits import Limits

MIB = 1024 * 1024


def test_defaults_are_those_of_the_protocol() -> None:
    limits = Limits()
    assert (limits.runs, limits.active_runs, limits.active_params_bytes) == (8, 200, MIB)
    assert (limits.connections_per_project, limits.connections) == (1024, 4096)
    assert (limits.requests_per_second, limits.request_burst) == (50, 100)
    assert (limits.replay_events, limits.replay_bytes) == (10_000, 4 * MIB)
    assert (limits.frame_bytes, limits.connection_bytes) == (256 * 1024, 2 * MIB)


@pytest.mark.parametrize("name", [field.name for field in attrs.fields(Limits)])
@pytest.mark.parametrize("value", [0, -1, "8", True, math.inf, math.nan])
def test_every_limit_is_a_number_above_zero(name: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{name} must be"):
        Limits(**{name: value})


def test_seconds_may_be_whole_and_counts_may_not_be_fractions() -> None:
    assert Limits(ping_seconds=1).ping_seconds == 1
    with pytest.raises(TypeError, match=r"^runs must be an integer$"):
        Limits(runs=1.5)  # type: ignore[arg-type]


def test_the_low_mark_is_not_above_the_high_one() -> None:
    with pytest.raises(ValueError, match="low_water_bytes"):
        Limits(low_water_bytes=2, high_water_bytes=1)
