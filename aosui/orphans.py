"""
Find what a server that died left running, by a marker in the environment of its processes.

This is the second net. The first one is `aosui/reaper.py`: it ends a command when aosui dies, and
only what a killed reaper leaves is found here. It needs /proc, that is, Linux.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from aosui.blocking import in_thread

__all__ = ["MARKER", "end_marked", "end_orphans", "new_mark"]

MARKER: Final = "AOSUI_PROCESS"
"""
The environment variable that everything carries that `run_process` started: `<server>.<random>`.

`<server>` is pid namespace, pid and start time of the process that called it: no other process of
this machine has the same until it restarts, so that the marker alone tells whether its server is
dead. No file is kept for it.
"""
GRACE: Final = 3.0
LOOK_EVERY: Final = 0.05
PROC: Final = Path("/proc")


def new_mark() -> str:
    """Make the value of `MARKER` for the processes of one command of this process."""
    return f"{_namespace()}-{os.getpid()}-{_start_time(os.getpid())}.{secrets.token_hex(8)}"


async def end_orphans(grace: float = GRACE) -> int:
    """
    End what is left of commands whose aosui is dead; returns how many processes had to be killed.

    Reapers are at it already, and get `grace` seconds; what is there then is killed. Processes of
    living servers, of other users and in other pid namespaces are left alone. Call it when a server
    starts; nothing needs to wait for it.
    """
    deadline = time.monotonic() + grace
    while await in_thread(lambda: _find(_is_orphaned), name="orphans"):
        if time.monotonic() >= deadline:
            return await in_thread(lambda: _kill(_is_orphaned), name="orphans")
        await asyncio.sleep(LOOK_EVERY)
    return 0


async def end_marked(mark: str) -> int:
    """Kill everything that carries this mark; returns how many there were."""
    return await in_thread(lambda: _kill(mark.__eq__), name="orphans")


def _kill(condition: Callable[[str], bool]) -> int:
    killed: set[int] = set()
    deadline = time.monotonic() + 1
    while (found := _find(condition)) and time.monotonic() < deadline:
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        killed.update(found)
        time.sleep(0.01)
    return len(killed)


def _find(condition: Callable[[str], bool]) -> list[int]:
    """Look through all processes of this user for marks."""
    if not PROC.is_dir():
        return []
    prefix = f"{MARKER}=".encode()
    user = os.geteuid()
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if entry.stat().st_uid != user:
                continue
            for variable in (entry / "environ").read_bytes().split(b"\0"):
                if variable.startswith(prefix):
                    if condition(variable[len(prefix) :].decode(errors="replace")):
                        found.append(int(entry.name))
                    break
    return found


def _is_orphaned(mark: str) -> bool:
    server, _, _ = mark.partition(".")
    namespace, _, rest = server.partition("-")
    pid, _, start_time = rest.partition("-")
    if namespace != _namespace() or not pid.isdigit():
        return False
    return _start_time(int(pid)) != start_time


def _namespace() -> str:
    with contextlib.suppress(OSError):
        return str((PROC / "self/ns/pid").stat().st_ino)
    return "0"


def _start_time(pid: int) -> str:
    """Return when a process started, in ticks since the machine did; "" when it has ended."""
    try:
        stat = (PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return ""
    # pid (name, with anything in it) state ... start time is the 22nd field
    fields = stat.rpartition(b")")[2].split()
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode()
