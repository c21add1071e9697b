"""The load client: `native/client.c` as a process, on the other core."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from attrs import frozen

from benchmarks.machine import CLIENT_CORE, build, on_core

__all__ = ["Client", "Dialect", "Got", "NotDelivered"]


class NotDelivered(Exception):
    """A server did not deliver everything, in order, to everybody."""


@frozen
class Dialect:
    """How a server wants to be spoken to."""

    path: str = "/"
    subprotocol: str | None = None
    hello: Sequence[str] = ()
    ready: str | None = None
    """What a frame has in it once the viewer is sure to get what comes next."""
    many: bool = False
    """A frame may have more than one message."""

    def words(self) -> list[str]:
        words = ["--many"] if self.many else []
        for text in self.hello:
            words += ["--hello", text]
        if self.subprotocol is not None:
            words += ["--subprotocol", self.subprotocol]
        if self.ready is not None:
            words += ["--ready", self.ready]
        return words


@frozen
class Got:
    """What the connections of a client got: seconds, bytes and numbers of things."""

    ready: int
    messages: int
    complete: int
    broken: int
    closed: int
    frames: int
    bytes: int
    reads: int
    seconds: float
    cpu: float
    p50: float = 0.0
    p99: float = 0.0
    max: float = 0.0


class Client:
    """
    `connections` WebSocket connections to a server, each of which gets `expect` messages.

    `warm` messages before them are not counted. `paths` are more paths, taken in turn with the
    dialect's.
    """

    def __init__(
        self,
        port: int,
        dialect: Dialect,
        connections: int,
        *,
        warm: int = 0,
        expect: int = 0,
        together: int = 64,
        paths: Sequence[str] = (),
    ) -> None:
        self._connections = connections
        self._expect = expect
        self._process = subprocess.Popen(
            on_core(
                CLIENT_CORE,
                build("client"),
                str(port),
                dialect.path,
                str(connections),
                *dialect.words(),
                *("--warm", str(warm), "--expect", str(expect), "--together", str(together)),
                *(word for path in paths for word in ("--path", path)),
            ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def ready(self) -> float:
        """Wait until every connection is ready; returns the seconds that took."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode()
        if not line.startswith("ready "):
            raise NotDelivered(f"the client could not connect: {line.strip()}")
        return float(json.loads(line[6:])["seconds"])

    def warm(self) -> None:
        """Wait until every connection has its `warm` messages."""
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"warm\n":
            raise NotDelivered("not everybody got the first messages")

    def got(self) -> Got:
        """Wait for all messages; raises `NotDelivered` unless every connection got every one."""
        out, _ = self._process.communicate()
        if self._process.returncode:
            raise NotDelivered("the client failed")
        got = Got(**json.loads(out))
        wrong = got.broken or got.closed or got.ready != self._connections
        if wrong or (self._expect and got.complete != self._connections):
            raise NotDelivered(
                f"{got.complete} of {self._connections} got all {self._expect}: {got}"
            )
        return got

    def stop(self) -> Got:
        """Stop; returns what came until now."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"stop\n")
        self._process.stdin.flush()
        return self.got()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()
