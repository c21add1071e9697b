"""A server under load: a process of its own on a core of its own, seen from outside."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.machine import HERE, SERVER_CORE, on_core

__all__ = ["Server", "ServerFailed", "cpu_seconds"]

SECONDS = 60.0
"""What a server may take to say anything."""


class ServerFailed(Exception):
    """A server ended, or did not answer in time; the text has what it wrote to stderr."""


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, all its threads together (clock_getcpuclockid(3))."""
    return time.clock_gettime(~pid << 3 | 2)


class Server:
    """
    A server that prints `port N` and obeys lines from stdin.

    `port N PID` says that another process is the server: this one only speaks to it, and its CPU
    time is not counted.
    """

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        environment: Mapping[str, str] | None = None,
        core: int = SERVER_CORE,
    ) -> None:
        self._process = subprocess.Popen(
            on_core(core, *command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=HERE.parent,
            env={**os.environ, "PYTHONPATH": str(HERE.parent), **(environment or {})},
        )
        self._read = b""
        try:
            port, *other = self.line("port ").split()
            self.port = int(port)
            self.pid = int(other[0]) if other else self._process.pid
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise

    def tell(self, line: str) -> None:
        """Send the server a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def ask(self, line: str, answer: str = "done") -> str:
        """Send a line, and return what the answer has behind its first word."""
        self.tell(line)
        return self.line(answer)

    def line(self, start: str) -> str:
        """Wait for a line that begins so; returns the rest of it."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        until = time.monotonic() + SECONDS
        while True:
            while b"\n" in self._read:
                line, _, self._read = self._read.partition(b"\n")
                if line.decode().startswith(start):
                    return line.decode()[len(start) :].strip()
            ready, _, _ = select.select([descriptor], [], [], max(0, until - time.monotonic()))
            piece = os.read(descriptor, 65536) if ready else b""
            if not piece:
                raise ServerFailed(self._last_words())
            self._read += piece

    def cpu(self) -> float:
        """Return the CPU seconds that the server has used."""
        return cpu_seconds(self.pid)

    def memory(self) -> int:
        """Return the bytes of memory that are the server's in RAM."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise ServerFailed("the server is gone")

    def close(self) -> None:
        """End the server: it goes when stdin ends, or is killed."""
        try:
            self._process.communicate(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def _last_words(self) -> str:
        self._process.kill()
        _, errors = self._process.communicate()
        return errors.decode(errors="replace")[-2000:] or "said nothing"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
