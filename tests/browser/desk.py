"""What the tests of the page share: a server that can go away, and a browser window on it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import unused_port
from playwright.async_api import Browser, ConsoleMessage, Locator, Page, WebSocket, expect

from aosui import Executor, ProjectRegistry, SqliteLog, create_app, get_registry

from ..support import TOKEN, eventually

__all__ = ["SECONDS", "Desk", "Window"]

SECONDS = 60.0
"""What a test waits for anything at most: the machine may be busy."""

MAKEFILE = """\
# Builds it
build:
\t@printf '\\033[32mcompiling\\033[0m %s\\n' one two three

# Waits until the test lets it go on
slow:
\t@echo begun
\t@while [ ! -e go-on ]; do sleep 0.05; done
\t@echo ended

broken:
\t@echo 'about to fail'; exit 3
"""


class Desk:
    """A server on a port of its own, with real directories as its projects."""

    def __init__(self, folder: Path, executors: Mapping[str, Executor], **options: Any) -> None:
        self.folder = folder
        self.port = unused_port()
        self.registry: ProjectRegistry
        self._executors = dict(executors)
        self._options = options
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self._options.get('prefix', '')}/"

    def add_executor(self, name: str, executor: Executor) -> None:
        """Add one, before the start."""
        self._executors[name] = executor

    def root(self, name: str) -> Path:
        """Make a directory with tasks in it."""
        root = self.folder / "work" / name
        root.mkdir(parents=True, exist_ok=True)
        (root / "Makefile").write_text(MAKEFILE, encoding="utf-8")
        return root

    async def start(self, *names: str, **options: Any) -> None:
        """Start the server with projects of these names."""
        self._options |= options
        app = create_app(
            **{
                "token": TOKEN,
                "projects": [self.root(name) for name in names],
                "roots": [self.folder],
                "executors": self._executors,
                "log": SqliteLog(self.folder / "log.sqlite"),
                **self._options,
            }
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.registry = get_registry(app)

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def cut(self) -> None:
        """Cut every line, without a close frame."""
        assert self._runner is not None
        assert self._runner.server is not None
        for handler in self._runner.server.connections:
            if handler.transport is not None:
                assert isinstance(handler.transport, asyncio.WriteTransport)
                handler.transport.abort()

    def id_of(self, name: str) -> str:
        return next(project.id for project in self.registry if project.name == name)

    async def connected(self, count: int) -> None:
        """Wait until the server holds so many sockets."""
        await eventually(lambda: self.registry.connection_count() == count)


class Window:
    """A window of the browser, as its user sees it."""

    def __init__(self, page: Page, desk: Desk) -> None:
        self.page = page
        self.desk = desk
        self.sockets: list[WebSocket] = []
        self.errors: list[str] = []
        page.set_default_timeout(SECONDS * 1000)
        page.on("websocket", lambda socket: self.sockets.append(socket))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._console)

    @classmethod
    async def open(cls, browser: Browser, desk: Desk, **options: Any) -> Window:
        """Open a window of its own, with nothing remembered."""
        context = await browser.new_context(**options)
        return cls(await context.new_page(), desk)

    def _console(self, message: ConsoleMessage) -> None:
        # What the browser says of answers like 401 or of a server that is away is no bug.
        if message.type == "error" and "Content Security Policy" in message.text:
            self.errors.append(message.text)

    async def sign_in(self, place: str = "") -> None:
        await self.page.goto(f"{self.desk.url}#token={TOKEN}")
        await self.page.locator("aosui-tabs [role=tab]").first.wait_for()
        if place:
            await self.go(place)

    async def go(self, place: str) -> None:
        await self.page.evaluate("place => { location.hash = place }", place)

    @property
    def open_sockets(self) -> list[WebSocket]:
        return [socket for socket in self.sockets if not socket.is_closed()]

    def tab(self, name: str) -> Locator:
        return self.page.get_by_role("tab").filter(
            has=self.page.locator(f".name:text-is('{name}')")
        )

    @property
    def panel(self) -> Locator:
        """The project that is looked at."""
        return self.page.locator("aosui-project:not([hidden])")

    @property
    def pill(self) -> Locator:
        return self.panel.locator(".pill [role=status]")

    @property
    def state(self) -> Locator:
        """The word for the state of the run that is looked at."""
        return self.panel.locator(".state-chip [role=status]")

    @property
    def lines(self) -> Locator:
        return self.panel.locator(".screen .line")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    async def start(self, project: str, workflow: str, **params: str) -> None:
        """Start a workflow through the form."""
        await self.tab(project).click()
        await self.panel.get_by_role("link", name="Start a workflow").click()
        await self.panel.locator(".workflow-link", has_text=re.compile(rf"\b{workflow}\b")).click()
        for name, value in params.items():
            await self.panel.get_by_label(name).fill(value)
        await self.panel.get_by_role("button", name="Start", exact=True).click()
        await expect(self.panel.locator(".run h2")).to_contain_text(workflow)

    async def output(self) -> str:
        return "\n".join(await self.lines.all_text_contents())

    async def close(self) -> None:
        """Close it; whatever went wrong in the page is an error."""
        with suppress(Exception):
            await self.page.context.close()
        assert self.errors == []
