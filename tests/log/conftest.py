"""Every implementation of `EventLog`, made anew and closed for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from aosui.log import EventLog
from aosui.log.memory import MemoryLog
from aosui.log.sqlite import SqliteLog

MakeLog = Callable[..., EventLog]


@pytest.fixture(params=["memory", "sqlite", "sqlite-full"])
async def make_log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MakeLog]:
    """Make a log with options that all implementations have."""
    async with AsyncExitStack() as closing:

        def make(**options: Any) -> EventLog:
            log: EventLog
            if request.param == "memory":
                log = MemoryLog(**options)
            elif request.param == "sqlite":
                log = SqliteLog(tmp_path / "log.db", **options)
            else:
                log = SqliteLog(tmp_path / "log.db", synchronous="FULL", **options)
            closing.push_async_callback(log.close)
            return log

        yield make


@pytest.fixture
def log(make_log: MakeLog) -> EventLog:
    return make_log()


@pytest.fixture
async def sqlite_log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    """A SQLite log at `tmp_path / "log.db"`."""
    log = SqliteLog(tmp_path / "log.db")
    yield log
    await log.close()
