"""
The registry: the projects that are open, and everything that belongs to one.

It is what the application keeps in `app["ws_registry"]`, and all that an embedder talks to.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import msgspec
from attrs import define, field, frozen

from aosui._logging import logger
from aosui.commands import Commands
from aosui.connection import Connection, Laggards
from aosui.errors import (
    AosuiError,
    ConnectionLimit,
    Forbidden,
    InternalError,
    LogUnavailable,
    NotFound,
    OutsideRoot,
    ProjectBusy,
    ProjectClosed,
    ProjectNotFound,
    RateLimited,
    ShuttingDown,
    Unauthorized,
)
from aosui.events import ProjectEvent
from aosui.executors import Executors
from aosui.hub import Hub
from aosui.limits import Limits
from aosui.log import EventLog
from aosui.protocol import MAX_DATA_BYTES, CloseCode, encode_data
from aosui.runner import Runner, interrupt_stale
from aosui.values import Project

__all__ = ["ConnectionView", "OpenProject", "ProjectRegistry", "printable", "project_id_of"]

GOODBYE_SECONDS = 0.3
"""What runs that end at once have before the sockets are closed at shutdown."""


FATAL: dict[int, type[AosuiError]] = {
    CloseCode.INTERNAL: InternalError,
    CloseCode.RATE_LIMITED: RateLimited,
    CloseCode.UNAUTHORIZED: Unauthorized,
    CloseCode.FORBIDDEN: Forbidden,
    CloseCode.PROJECT_CLOSED: ProjectClosed,
}
"""What a viewer is told before the socket is closed with one of these codes."""


@frozen
class ConnectionView:
    """A connection as an embedder sees it; `await close(code)` ends it (for a logout)."""

    id: str
    project_id: str
    client_id: str | None
    user: str | None
    _connection: Connection

    async def close(self, code: int = CloseCode.UNAUTHORIZED) -> None:
        """Close the socket with one of the protocol's close codes."""
        reason = FATAL.get(code)
        self._connection.close(CloseCode(code), reason() if reason is not None else None)
        await asyncio.sleep(0)


@define(eq=False)
class OpenProject:
    """A project's live parts; `runner` and `commands` are there once somebody needs them."""

    hub: Hub
    _executors: Executors
    _limits: Limits
    _runner: Runner | None = field(default=None, init=False)
    _commands: Commands | None = field(default=None, init=False)

    @property
    def project(self) -> Project:
        return self.hub.project

    @property
    def runner(self) -> Runner:
        """What starts and ends the project's runs."""
        if self._runner is None:
            self._runner = Runner(self.hub, self._executors, self._limits)
        return self._runner

    @property
    def commands(self) -> Commands:
        """What a client may ask for."""
        if self._commands is None:
            self._commands = Commands(self.hub, self.runner, self._limits)
        return self._commands

    @property
    def active(self) -> bool:
        """Whether the project has active runs."""
        return self._runner is not None and self._runner.active

    def activity(self) -> dict[str, int]:
        """Count the active runs; queued and waiting ones are counted in `active` too."""
        if self._runner is None:
            return {"active": 0, "queued": 0, "waiting": 0}
        return self._runner.activity()


class ProjectRegistry:
    """
    The open projects of one application, by id.

    `on_change` is called with all open projects after each open and close.
    """

    def __init__(
        self,
        log: EventLog,
        limits: Limits,
        *,
        roots: Sequence[Path] = (),
        dormant_after: float | None = 30.0,
        on_change: Callable[[Sequence[Project]], None] | None = None,
    ) -> None:
        self.executors = Executors()
        self.limits = limits
        self.dormant_after = dormant_after
        self.laggards = Laggards()
        self.shutting_down = False
        self._log = log
        self._roots = tuple(Path(root).expanduser().resolve() for root in roots)
        self._on_change = on_change
        self._projects: dict[str, OpenProject] = {}
        self._watched: dict[OpenProject, None] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._connection_count = 0
        self._sweeper: asyncio.TimerHandle | None = None

    # -- projects

    def __contains__(self, project_id: object) -> bool:
        return project_id in self._projects

    def __len__(self) -> int:
        return len(self._projects)

    def __iter__(self) -> Iterator[Project]:
        return iter([opened.project for opened in self._projects.values()])

    def get(self, project_id: str) -> Project:
        """Return an open project; raises `ProjectNotFound`."""
        return self.opened(project_id).project

    def opened(self, project_id: str) -> OpenProject:
        """Return an open project with its live parts; raises `ProjectNotFound`."""
        opened = self._projects.get(project_id)
        if opened is None:
            raise ProjectNotFound
        return opened

    def find(self, root: str | Path) -> Project | None:
        """Return the open project of a directory."""
        opened = self._projects.get(project_id_of(Path(root).expanduser().resolve()))
        return opened.project if opened is not None else None

    async def open(self, root: str | Path, *, name: str | None = None) -> Project:
        """
        Open a directory as a project, or return the project that it is open as.

        Raises `NotFound` when it is no directory, `LogUnavailable`, `ShuttingDown`.
        """
        return await self._open_real(await asyncio.to_thread(_real_directory, Path(root)), name)

    async def _open_real(self, real: Path, name: str | None) -> Project:
        project_id = project_id_of(real)
        async with self._lock(project_id):
            if project_id in self._projects:
                return self._projects[project_id].project
            if self.shutting_down:
                raise ShuttingDown
            project = Project(project_id, printable(name or real.name or str(real))[:200], real)
            hub = Hub(project, self._log, self.limits)
            await hub.open()
            try:
                await hub.committed(interrupt_stale(hub), self.limits.commit_seconds)
            except LogUnavailable:
                await hub.close(0)
                raise
            self._projects[project_id] = OpenProject(hub, self.executors, self.limits)
        logger.info("project opened", project=project_id, root=str(real))
        self._changed()
        return project

    async def open_below_roots(self, root: str, *, name: str | None = None) -> tuple[Project, bool]:
        """
        Open a directory that a client named; returns whether it was not open yet.

        Raises `OutsideRoot` unless its real path is below one of the roots, `NotFound`.
        """
        real = await asyncio.to_thread(self._allowed_directory, root)
        new = project_id_of(real) not in self._projects
        return await self._open_real(real, name), new

    def _allowed_directory(self, root: str) -> Path:
        whole = "there is no such directory: give its absolute path"
        try:
            path = Path(root).expanduser()
        except RuntimeError:
            raise NotFound(whole) from None
        if "\0" in root or not path.is_absolute():
            raise NotFound(whole)
        try:
            real = path.resolve()
        except (OSError, RuntimeError):
            raise OutsideRoot from None
        if not any(real.is_relative_to(allowed) for allowed in self._roots):
            raise OutsideRoot
        return _real_directory(real)

    async def close(self, project_id: str, *, cancel: bool = False, forget: bool = False) -> None:
        """
        Close a project: its sockets get 4504, its log stays unless `forget`.

        Raises `ProjectNotFound`, `LogUnavailable` while it has events that are not stored, and
        `ProjectBusy` while it has active runs, unless `cancel`.
        """
        async with self._lock(project_id):
            opened = self.opened(project_id)
            hub = opened.hub
            while opened.active or hub.seq < hub.next_seq - 1:
                if opened.active and not cancel:
                    raise ProjectBusy
                opened.runner.cancel_all()
                await opened.runner.ended()
                await hub.committed(hub.next_seq - 1, self.limits.commit_seconds)
            opened.runner.close()
            del self._projects[project_id]
            hub.close_connections(CloseCode.PROJECT_CLOSED, ProjectClosed())
            await hub.close(self.limits.commit_seconds)
            if forget:
                await self._log.forget(project_id)
        logger.info("project closed", project=project_id)
        self._changed()

    def _lock(self, project_id: str) -> asyncio.Lock:
        """Return what opens and closes a project one after the other."""
        return self._locks.setdefault(project_id, asyncio.Lock())

    # -- runs and events

    async def start_run(
        self, project_id: str, workflow: str, params: dict[str, Any], *, by: str | None = None
    ) -> str:
        """Start a run of `<executor>:<name>`; returns its id once it is in the log."""
        opened = self.opened(project_id)
        started = await opened.runner.start(workflow, params, by=by)
        await opened.hub.committed(started.seq, self.limits.commit_seconds)
        return started.run_id

    async def cancel_run(self, project_id: str, run_id: str) -> None:
        """Ask a run to end; raises `RunNotFound`."""
        opened = self.opened(project_id)
        _, seq = await opened.runner.cancel(run_id)
        await opened.hub.committed(seq, self.limits.commit_seconds)

    async def send_to_project(self, project_id: str, name: str, data: object) -> int:
        """
        Publish a `project.event` to the connections of one project and of no other.

        Returns its seq once it is in the log. Raises `ProjectNotFound`, `NotSerialisable`,
        `LogUnavailable`.
        """
        hub = self.opened(project_id).hub
        encoded = msgspec.Raw(encode_data(data, MAX_DATA_BYTES, what="the event's data"))
        await hub.room(self.limits.commit_seconds)
        seq = hub.publish(lambda seq, ts: ProjectEvent(project_id, seq, ts, name, encoded))
        await hub.committed(seq, self.limits.commit_seconds)
        return seq

    # -- connections

    def connection_count(self, project_id: str | None = None) -> int:
        """Count the connections of a project, or of all."""
        if project_id is None:
            return self._connection_count
        return len(self.opened(project_id).hub.connections)

    def connections(self, project_id: str | None = None) -> list[ConnectionView]:
        """List the connections of a project, or of all."""
        ids = list(self._projects) if project_id is None else [project_id]
        return [
            ConnectionView(connection.id, one, connection.client_id, connection.user, connection)
            for one in ids
            for connection in self.opened(one).hub.connections
        ]

    def room_for(self, project_id: str, client_id: str | None) -> OpenProject:
        """
        Return an open project that takes one more connection.

        A page that comes back takes its own place. Raises `ShuttingDown`, `ProjectNotFound`, and
        `ConnectionLimit` when the project or the server takes no more.
        """
        if self.shutting_down:
            raise ShuttingDown
        opened = self.opened(project_id)
        connections = opened.hub.connections
        if (
            len(connections) >= self.limits.connections_per_project
            or self._connection_count >= self.limits.connections
        ) and (client_id is None or client_id not in {other.client_id for other in connections}):
            raise ConnectionLimit
        return opened

    def connect(self, opened: OpenProject, connection: Connection) -> None:
        """Take in a connection; one of the same page that it replaces is closed."""
        if connection.client_id is not None:
            for other in tuple(opened.hub.connections):
                if other.client_id == connection.client_id:
                    other.close(CloseCode.REPLACED)
        opened.hub.connect(connection)
        self._watched[opened] = None
        self._connection_count += 1
        if self._sweeper is None:
            self._sweep()

    def disconnect(self, opened: OpenProject, connection: Connection) -> None:
        """Forget a connection; nothing of it is left."""
        if connection in opened.hub.connections:
            opened.hub.disconnect(connection)
            self._connection_count -= 1
        if not opened.hub.connections:
            self._watched.pop(opened, None)
        if not self._watched and self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for opened in tuple(self._watched):
            dormant_before = self._dormant_before(opened, now)
            for connection in tuple(opened.hub.connections):
                since = max(connection.last_request_at, connection.synced_at or now)
                if since <= dormant_before:
                    connection.close(CloseCode.DORMANT)
                connection.sweep(now)
        limits = self.limits
        pause = min(1.0, limits.ping_seconds / 8, limits.pong_seconds / 8)
        if self.dormant_after is not None:
            pause = min(pause, max(0.01, self.dormant_after / 8))
        self._sweeper = loop.call_later(pause, self._sweep)

    def _dormant_before(self, opened: OpenProject, now: float) -> float:
        """Return the time since which a connection must have been quiet to be closed now."""
        if self.dormant_after is None or opened.active or not opened.hub.quiet:
            return float("-inf")
        horizon = now - self.dormant_after
        return horizon if opened.hub.last_event_at <= horizon else float("-inf")

    # -- the end

    async def shut_down(self) -> None:
        """
        Stop: runs become `interrupted`, sockets are closed with 1001; `finish` does the rest.

        Takes at most `cancel_seconds` and a few seconds more, whatever executors and viewers do.
        """
        self.shutting_down = True
        projects = tuple(self._projects.values())
        for opened in projects:
            opened.runner.interrupt_all()
        ended = asyncio.gather(*(opened.runner.ended() for opened in projects))
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await asyncio.gather(
                    *(_told(opened) for opened in projects), return_exceptions=True
                )
        for opened in projects:
            opened.hub.close_connections(CloseCode.GOING_AWAY)
        await asyncio.wait([ended], timeout=self.limits.cancel_seconds)
        for opened in projects:
            opened.runner.abandon_all()
        await ended

    async def finish(self) -> None:
        """Store what is left, after `shut_down`: executors and the log are closed."""
        await self.executors.close()
        for opened in tuple(self._projects.values()):
            try:
                await opened.hub.close(self.limits.commit_seconds)
            except LogUnavailable:
                logger.error(
                    "stopped before the log took everything",
                    code=LogUnavailable.code,
                    project=opened.hub.project_id,
                )
        self._projects.clear()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        await self._log.close()

    def _changed(self) -> None:
        if self._on_change is not None and not self.shutting_down:
            self._on_change(tuple(self))


async def _told(opened: OpenProject) -> None:
    """Wait until a project's runs have ended and its viewers were told."""
    await opened.runner.ended()
    await opened.hub.committed(opened.hub.next_seq - 1)


def printable(text: str) -> str:
    """Return text that can be written as JSON, also of a path that is no UTF-8."""
    return text.encode("utf-8", "replace").decode()


def project_id_of(real: Path) -> str:
    """
    Return the id of a project by its real path, the same for ever.

    The slug of the directory's name and 6 characters hashed from the path.
    """
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", real.name).strip("-._")[:57] or "project"
    digest = hashlib.blake2b(str(real).encode("utf-8", "surrogateescape")).hexdigest()[:6]
    return f"{slug}-{digest}"


def _real_directory(root: Path) -> Path:
    try:
        real = root.expanduser().resolve()
        if real.is_dir():
            return real
    except (OSError, RuntimeError, ValueError):
        pass
    raise NotFound(f"there is no directory {root.name!r}")
