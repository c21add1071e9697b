"""The tests of an executor: what it says, and that it keeps aosui's rules."""

from pathlib import Path

import pytest
from countdown import CountdownExecutor

from aosui import Run
from aosui.testing import RecordingChannel, check_executor


async def test_it_counts_down(aosui_channel: RecordingChannel) -> None:
    run = Run("run", "countdown", {"start": 2})
    result = await CountdownExecutor().execute(run, aosui_channel)
    assert result == {"liftOff": True}
    assert aosui_channel.progresses == [(0, 2, "2…"), (1, 2, "1…")]


@pytest.mark.parametrize("start", [0, 2])
async def test_it_keeps_the_rules(tmp_path: Path, start: int) -> None:
    await check_executor(CountdownExecutor, tmp_path, runs=[("countdown", {"start": start})])
