"""
The state directory: what `aosui serve` remembers, and how other commands find it running.

    token            the token to sign in with, mode 0600
    projects.json    the projects that are open
    servers/         one file a running server, locked while it lives
    aosui.db         the event log
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import platformdirs
from attrs import frozen

from aosui.protocol import TOKEN
from aosui.values import Project

__all__ = ["RunningServer", "StateDirectory", "StateError"]


class StateError(Exception):
    """The state directory cannot be used; the message says why and what helps."""


@frozen
class RunningServer:
    """A server that runs on this machine: its URL, prefix included, and how to sign in."""

    url: str
    token: str
    pid: int

    @property
    def link(self) -> str:
        """The URL that opens the page signed in: a fragment reaches no log."""
        return f"{self.url}#token={self.token}"


@frozen
class StateDirectory:
    """A directory of aosui's own, made when it is first written to."""

    path: Path

    @classmethod
    def default(cls) -> Self:
        """Return the user's: `$XDG_STATE_HOME/aosui`."""
        return cls(platformdirs.user_state_path("aosui"))

    @property
    def log_path(self) -> Path:
        """The default file of the event log."""
        return self.path / "aosui.db"

    def make(self) -> None:
        """Make the directory, for its owner alone; raises `StateError`."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StateError(f"{self.path} cannot be made: {error.strerror}") from None

    def token(self) -> str:
        """Return the token that is kept, or make one; raises `StateError`."""
        self.make()
        path = self.path / "token"
        with self._trouble(path):
            if not path.exists():
                fresh = self._write_new(path, secrets.token_urlsafe(24))
                # Of two that start at once, the first to link wins and both use its token.
                with contextlib.suppress(FileExistsError):
                    os.link(fresh, path)
                fresh.unlink()
            token = path.read_text(encoding="utf-8", errors="replace").strip()
        if not TOKEN.fullmatch(token):
            raise StateError(f"{path} does not hold a token: delete it, and a new one is made")
        return token

    def projects(self) -> list[tuple[Path, str]]:
        """Return root and name of the projects that were open last; raises `StateError`."""
        path = self.path / "projects.json"
        with self._trouble(path):
            if not path.exists():
                return []
            try:
                entries = json.loads(path.read_text(encoding="utf-8"))
                return [(Path(entry["root"]), str(entry["name"])) for entry in entries]
            except (ValueError, TypeError, KeyError):
                raise StateError(
                    f"{path} is damaged: delete it, and open the projects again"
                ) from None

    def save_projects(self, projects: Sequence[Project]) -> None:
        """Remember the open projects, in one step; raises `StateError`."""
        self.make()
        path = self.path / "projects.json"
        entries = [{"root": str(project.root), "name": project.name} for project in projects]
        with self._trouble(path):
            self._write_new(path, json.dumps(entries, indent=1)).replace(path)

    @contextlib.contextmanager
    def announce(self, server: RunningServer) -> Iterator[None]:
        """Let other commands find a server while this lasts; raises `StateError`."""
        self.make()
        directory = self.path / "servers"
        path = directory / f"{server.pid}.json"
        with self._trouble(path):
            directory.mkdir(mode=0o700, exist_ok=True)
            entry = {"url": server.url, "token": server.token, "pid": server.pid}
            fresh = self._write_new(path, json.dumps(entry))
            lock = os.open(fresh, os.O_RDONLY)
            # The lock goes with the process, however it ends: it tells who lives.
            fcntl.flock(lock, fcntl.LOCK_EX)
            fresh.replace(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            os.close(lock)

    def running(self) -> RunningServer | None:
        """Return the server that started last of those that live; what the dead left goes."""
        try:
            paths = [*(self.path / "servers").glob("*.json")]
        except OSError:
            return None
        found = [server for path in paths if (server := _look_up(path)) is not None]
        return max(found, key=lambda pair: pair[0])[1] if found else None

    def _write_new(self, path: Path, text: str) -> Path:
        """Write a new file beside `path`, for its owner alone; returns where."""
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        return fresh

    @contextlib.contextmanager
    def _trouble(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StateError(f"{path} cannot be used: {error.strerror}") from None


def _look_up(path: Path) -> tuple[float, RunningServer] | None:
    try:
        with open(path, encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                entry = json.load(file)
                server = RunningServer(entry["url"], entry["token"], entry["pid"])
                return os.fstat(file.fileno()).st_mtime, server
            path.unlink(missing_ok=True)
    except (OSError, ValueError, TypeError, KeyError):
        pass
    return None
