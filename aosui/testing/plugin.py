"""The pytest plugin: the fixture `aosui_channel`, there wherever aosui is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from aosui.testing.recording import RecordingChannel

__all__ = ["aosui_channel"]


@pytest.fixture
def aosui_channel(tmp_path: Path) -> RecordingChannel:
    """Give a `RecordingChannel` of an empty project; what is asked waits for its `answer()`."""
    return RecordingChannel(root=tmp_path)
