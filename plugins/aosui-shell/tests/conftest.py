from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from aosui import Project
from aosui.testing import RecordingChannel

Write = Callable[..., Path]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return Path(os.path.realpath(tmp_path))


@pytest.fixture
def project(root: Path) -> Project:
    return Project("site-abc123", "site", root)


@pytest.fixture
def channel(root: Path) -> RecordingChannel:
    return RecordingChannel(root=root)
