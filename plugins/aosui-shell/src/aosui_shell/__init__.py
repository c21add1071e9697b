"""A project's own tasks in aosui: its aosui.toml, Makefile targets and package.json scripts."""

from __future__ import annotations

from aosui_shell.executor import ShellExecutor

__all__ = ["ShellExecutor"]
