"""The command line: `aosui serve`, `run`, `watch`, `projects`, `executors`, `new-executor`."""

from __future__ import annotations

from aosui.cli.commands import main

__all__ = ["main"]
