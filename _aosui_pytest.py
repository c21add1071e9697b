"""
The pytest plugin of aosui: the fixture `aosui_channel`, there wherever aosui is installed.

It is no part of the package `aosui`, on purpose: pytest imports its plugins before coverage begins
to measure, and what is imported with the package would count as never run. So aosui is imported
when the fixture is used, and tests that do not use it do not pay for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from aosui.testing import RecordingChannel

__all__ = ["aosui_channel"]


@pytest.fixture
def aosui_channel(tmp_path: Path) -> RecordingChannel:
    """Give a `RecordingChannel` of an empty project; what is asked waits for its `answer()`."""
    from aosui.testing import RecordingChannel

    return RecordingChannel(root=tmp_path)
