"""
Fixtures of the tests of the page.

Playwright's objects belong to the event loop of a test, so each test has a browser of its own;
pytest-playwright's sync fixtures do not run under `asyncio_mode = auto`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aosui_shell import ShellExecutor
from playwright.async_api import Browser, async_playwright, expect

from ..support import Scripted
from .desk import SECONDS, Desk, Window

OpenWindow = Callable[..., Awaitable[Window]]

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Hidden windows are part of the tests; their timers are not to be slowed down.
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
]

expect.set_options(timeout=SECONDS * 1000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


def find_chromium() -> str:
    """Find Debian's chromium; without it the tests are skipped, but never in CI."""
    found = shutil.which("chromium")
    if found is not None:
        return found
    reason = "chromium is not installed: `apt-get install chromium`"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    path = find_chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
def scripted() -> Scripted:
    """The executor `test`, whose workflows a test adds."""
    return Scripted()


@pytest.fixture
async def desk(tmp_path: Path, scripted: Scripted) -> AsyncIterator[Desk]:
    """A server that a test starts, with the real shell executor and `scripted`."""
    desk = Desk(tmp_path, {"shell": ShellExecutor(), "test": scripted})
    yield desk
    await desk.stop()


@pytest.fixture
async def open_window(browser: Browser, desk: Desk) -> AsyncIterator[OpenWindow]:
    """Return a function that opens a window; its keywords are a browser context's."""
    windows: list[Window] = []

    async def open_one(**options: Any) -> Window:
        window = await Window.open(browser, desk, **options)
        windows.append(window)
        return window

    yield open_one
    for window in windows:
        await window.close()
