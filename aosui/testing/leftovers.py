"""What somebody left behind: tasks of this loop, threads of this process, processes below it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path

from attrs import field, frozen

__all__ = ["Census", "Leftovers", "Marked", "ask_ps", "descendants"]

MARKER = "CHECK_EXECUTOR"
PROC = Path("/proc")
PYTHONS_OWN = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
"""Helpers that Python keeps until it exits, whoever started them."""
SETTLE_SECONDS = 2.0
LOOK_EVERY_SECONDS = 0.02


@frozen
class Census:
    """Who is there at one moment."""

    tasks: frozenset[asyncio.Task[object]]
    threads: frozenset[threading.Thread]
    processes: frozenset[int]


@frozen
class Leftovers:
    """Who is there and was not before."""

    tasks: tuple[asyncio.Task[object], ...] = ()
    threads: tuple[threading.Thread, ...] = ()
    processes: tuple[int, ...] = ()
    words: str = field(default="", eq=False)

    def __bool__(self) -> bool:
        return bool(self.tasks or self.threads or self.processes)

    def end(self) -> None:
        """Cancel the tasks and kill the processes, so that they spoil no later test."""
        for task in self.tasks:
            task.cancel()
        for pid in self.processes:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


class Marked:
    """Mark, while it is open, every process that is started, so that orphans are found too."""

    def __init__(self) -> None:
        self.mark = uuid.uuid4().hex

    def __enter__(self) -> Marked:
        self._before = os.environ.get(MARKER)
        os.environ[MARKER] = self.mark
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._before is None:
            os.environ.pop(MARKER, None)
        else:
            os.environ[MARKER] = self._before

    def census(self) -> Census:
        """Count everybody now."""
        return Census(
            frozenset(asyncio.all_tasks()),
            frozenset(thread for thread in threading.enumerate() if not _spare(thread)),
            frozenset(_processes(self.mark)),
        )

    async def since(self, before: Census) -> Leftovers:
        """Give everybody two seconds to leave, and tell who is still there."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLE_SECONDS
        # Threads and processes of others tell nobody when they end.
        while (left := self._left(before)) and loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY_SECONDS)
        return left

    def _left(self, before: Census) -> Leftovers:
        now = self.census()
        tasks = tuple(now.tasks - before.tasks - {asyncio.current_task()})
        threads = tuple(now.threads - before.threads)
        processes = {pid: _command(pid) for pid in sorted(now.processes - before.processes)}
        processes = {
            pid: command
            for pid, command in processes.items()
            if command is not None and not any(own in command for own in PYTHONS_OWN)
        }
        words = [
            *(f"the task {task.get_name()} ({_coroutine(task)})" for task in tasks),
            *(f"the thread {thread.name}" for thread in threads),
            *(f"the process {pid} ({command})" for pid, command in processes.items()),
        ]
        return Leftovers(tasks, threads, tuple(processes), ", ".join(words))


def _coroutine(task: asyncio.Task[object]) -> str:
    return getattr(task.get_coro(), "__qualname__", "?")


def _spare(thread: threading.Thread) -> bool:
    """Tell an idle worker of the loop's own pool, which stays for the next to use."""
    if not thread.name.startswith("asyncio_"):
        return False
    frame = sys._current_frames().get(thread.ident or 0)
    return frame is None or frame.f_code.co_name == "_worker"


def _processes(mark: str) -> set[int]:
    """Find the processes below this one, and those that carry `mark` wherever they are."""
    marked: set[int] = set()
    parents: dict[int, int] = {}
    if PROC.is_dir():
        needle = f"{MARKER}={mark}".encode()
        for entry in PROC.iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                stat = (entry / "stat").read_text(errors="replace")
                parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
                if needle in (entry / "environ").read_bytes().split(b"\0"):
                    marked.add(int(entry.name))
    else:
        parents = ask_ps()
    return marked | descendants(os.getpid(), parents)


def ask_ps() -> dict[int, int]:
    """Find the parent of every process where there is no /proc."""
    ps = subprocess.Popen(["ps", "-A", "-o", "pid=,ppid="], stdout=subprocess.PIPE, text=True)
    listing, _ = ps.communicate()
    pairs = [[int(number) for number in line.split()] for line in listing.splitlines()]
    return {pid: parent for pid, parent in pairs if pid != ps.pid}


def descendants(root: int, parents: dict[int, int]) -> set[int]:
    """Find the processes below `root`, by the parent of each."""
    below: set[int] = set()
    generation = {root}
    while generation:
        generation = {pid for pid, parent in parents.items() if parent in generation} - below
        below |= generation
    return below


def _command(pid: int) -> str | None:
    """Tell what a process runs; None when it is gone."""
    if not PROC.is_dir():
        return "?"
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").strip()
        return words.decode(errors="replace") or "ended, but nobody waited for it"
    except OSError:
        return None
