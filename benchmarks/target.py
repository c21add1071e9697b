"""What is measured: aosui and its peers behind one face."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from attrs import evolve, frozen

from benchmarks.client import Client, Dialect, Got
from benchmarks.peers import Peer
from benchmarks.server import Server

__all__ = ["Bare", "Measured", "PeerUnderLoad", "Product", "Target", "Work"]


@frozen
class Work:
    """
    `count` events to `viewers` viewers: `lone` each `gap` ms, one a `turn`, or a `flood`.

    `warm` events before them are not measured: the first write to a socket is dearer than others.
    """

    mode: str
    viewers: int
    count: int
    gap: int = 0
    warm: int = 0


@frozen
class Measured:
    """What some work cost: µs of CPU of the server, all threads, and what the viewers got."""

    per_delivery: float
    per_event: float
    events_per_second: float
    got: Got


class Target:
    """A server of its own for the time of a `with`."""

    def __init__(self, server: Server, dialect: Dialect) -> None:
        self.server = server
        self.dialect = dialect

    def prepare(self, work: Work) -> None:
        """Do what must not be measured."""

    def go(self, work: Work) -> None:
        """Begin."""
        self.server.tell(f"{work.mode} {work.count} {work.gap}")

    def measure(self, work: Work) -> Measured:
        """Deliver, and check that everything arrived; raises `NotDelivered`."""
        with Client(
            self.server.port, self.dialect, work.viewers, warm=work.warm, expect=work.count
        ) as client:
            client.ready()
            if work.warm:
                warm = evolve(work, count=work.warm)
                self.prepare(warm)
                self.go(warm)
                client.warm()
            self.prepare(work)
            before = self.server.cpu()
            self.go(work)
            got = client.got()
            cpu = self.server.cpu() - before
        return Measured(
            cpu / got.messages * 1e6,
            cpu / work.count * 1e6,
            work.count / max(got.seconds, 1e-6),
            got,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.server.close()


class PeerUnderLoad(Target):
    """A peer."""

    def __init__(self, peer: Peer) -> None:
        super().__init__(Server(peer.command()), peer.dialect)


class Bare(Target):
    """asyncio with nothing in it, a thread on the way of each event or not."""

    NAMES: Final = {False: "bare asyncio", True: "bare asyncio, a thread on the way"}

    def __init__(self, *, thread: bool) -> None:
        words = [sys.executable, "-m", "benchmarks.bare", *(["thread"] if thread else [])]
        super().__init__(Server(words), Dialect())


class Product(Target):
    """aosui, its log in memory or in a SQLite file; `projects` are the ids of the first ones."""

    def __init__(self, log: str) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="aosui-bench-")
        path = log if log == "memory" else str(Path(self._directory.name) / "log.db")
        server = Server([sys.executable, "-m", "benchmarks.product", path])
        self.projects = server.line("projects ").split()
        super().__init__(server, self.dialect_of(self.projects[0]))

    def dialect_of(self, project_id: str) -> Dialect:
        """Say how a viewer of a project speaks."""
        return Dialect(f"/ws?projectId={project_id}", "aosui.v1", ready='"type":"synced"')

    def prepare(self, work: Work, project: str = "") -> None:
        self.server.ask(f"arm {work.mode} {work.count} {work.gap} {project}")

    def go(self, work: Work) -> None:
        self.server.tell("go")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        self._directory.cleanup()
