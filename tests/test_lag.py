"""How late the event loop is."""

from __future__ import annotations

import time

from aosui.lag import LagMeter

from .support import eventually


def test_says_zero_before_it_measured_anything() -> None:
    assert LagMeter().figures() == {"p50": 0.0, "p99": 0.0, "max": 0.0}


async def test_sees_a_loop_that_was_blocked() -> None:
    meter = LagMeter(0.01)
    meter.start()
    time.sleep(0.05)  # noqa: ASYNC251 - blocking is what is measured
    await eventually(lambda: meter.figures()["max"] >= 30)
    meter.stop()
    figures = meter.figures()
    assert figures["p50"] <= figures["p99"] <= figures["max"]


async def test_keeps_the_newest_samples_only() -> None:
    meter = LagMeter(0.001, samples=3)
    meter.start()
    time.sleep(0.05)  # noqa: ASYNC251 - blocking is what is measured
    await eventually(lambda: meter.figures()["max"] >= 30)
    await eventually(lambda: meter.figures()["max"] < 30)
    meter.stop()


async def test_leaves_no_timer_behind() -> None:
    meter = LagMeter(0.001)
    meter.start()
    await eventually(lambda: meter.figures()["max"] > 0)
    meter.stop()
    meter.stop()
    before = meter.figures()
    time.sleep(0.02)  # noqa: ASYNC251 - a timer left behind would be late now
    await eventually(lambda: True)
    assert meter.figures() == before
