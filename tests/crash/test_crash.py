"""Nothing that anyone has seen is lost over kill -9, and the harness that says so can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from .harness import Harness


@pytest.mark.slow
async def test_ten_rounds_of_kill_9_lose_nothing_that_anyone_saw(tmp_path: Path) -> None:
    report = await Harness(tmp_path, seed=1).run(10)
    assert report.violations == []
    assert report.rounds == 10
    assert report.seen > 1000


@pytest.mark.slow
@pytest.mark.parametrize("broken", ["acknowledge-early", "drop"])
async def test_the_harness_catches_a_log_that_breaks_its_promise(
    tmp_path: Path, broken: str
) -> None:
    report = await Harness(tmp_path, seed=2, broken=broken).run(20)
    assert report.violations
