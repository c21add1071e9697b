"""The machine that is measured on: its cores, how busy it is, and the C programs built for it."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["CLIENT_CORE", "HERE", "SERVER_CORE", "build", "describe", "on_core"]

HERE = Path(__file__).parent
BUILD = HERE / ".build"
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE = CORES[0]
CLIENT_CORE = CORES[-1]


def on_core(core: int, *command: str | os.PathLike[str]) -> list[str]:
    """Make a command run on one core only, with all its threads."""
    return ["taskset", "--cpu-list", str(core), *(str(os.fspath(word)) for word in command)]


def build(name: str) -> Path:
    """Compile `native/<name>.c` unless that was done; returns the program."""
    source, program = HERE / "native" / f"{name}.c", BUILD / name
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        BUILD.mkdir(exist_ok=True)
        fresh = BUILD / f"{name}.{os.getpid()}"
        subprocess.run(["gcc", "-O2", "-Wall", "-o", fresh, source], check=True)
        fresh.replace(program)
    return program


def describe() -> dict[str, Any]:
    """Say what was measured on: figures without it mean little."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "processor": model,
        "cores": len(CORES),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": [round(load, 2) for load in os.getloadavg()],
    }
