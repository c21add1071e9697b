"""The scripts of a `package.json`, run by the package manager that the lock file belongs to."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

import msgspec
from aosui import Workflow

from aosui_shell.tasks import Found, Task, read_file

__all__ = ["find_scripts"]

FILE: Final = "package.json"
LOCKS: Final = {
    "package-lock.json": "npm",
    "npm-shrinkwrap.json": "npm",
    "pnpm-lock.yaml": "pnpm",
    "yarn.lock": "yarn",
    "bun.lock": "bun",
    "bun.lockb": "bun",
}
SCRIPT: Final = re.compile(r"[^\s\x00-\x1f\x7f-][^\s\x00-\x1f\x7f]{0,149}")


class _Package(msgspec.Struct):
    scripts: dict[str, str] = {}


def find_scripts(root: Path) -> Found:
    """Find `npm:SCRIPT` for each script; the name is the same with every package manager."""
    found = Found()
    try:
        content = read_file(root / FILE)
        if content is None:
            return found
        package = msgspec.json.decode(content.removeprefix(b"\xef\xbb\xbf"), type=_Package)
    except OSError as error:
        found.problems.append(f"{FILE}: {error.strerror}")
        return found
    except msgspec.ValidationError as error:
        found.problems.append(f"{FILE}: {error}")
        return found
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        found.problems.append(f"{FILE}: is not JSON: {error}")
        return found
    manager = package_manager(root)
    for name, script in package.scripts.items():
        if SCRIPT.fullmatch(name):
            workflow = Workflow(f"npm:{name}", description=script[:1000])
            found.add(Task(workflow, (manager, "run", name)), FILE)
        else:
            found.problems.append(f"{FILE}: scripts: {name[:64]!r} cannot be the name of a task")
    return found


def package_manager(root: Path) -> str:
    """Tell by the lock file; without one it is npm."""
    return next((manager for lock, manager in LOCKS.items() if os.path.isfile(root / lock)), "npm")
