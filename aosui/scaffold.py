"""`aosui new-executor`: a complete package of an executor, written from `aosui/templates`."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Final

__all__ = ["new_executor"]

NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
MAX_NAME: Final = 40
TAKEN: Final = ("claude", "shell")
"""The executors that come with aosui: of two with one name, neither would be used."""


def new_executor(name: str, directory: Path | str = ".") -> Path:
    """
    Write the package `aosui-NAME` below `directory` and return its path.

    `name` is the executor's: lower-case letters, digits and single hyphens, such as `deploy` or
    `my-build`. Raises ValueError for another name, and FileExistsError or NotADirectoryError when
    there is something already where the package would be.
    """
    _check(name)
    distribution = f"aosui-{name}"
    package = distribution.replace("-", "_")
    words = {
        "name": name,
        "distribution": distribution,
        "package": package,
        "class_name": "".join(word.capitalize() for word in name.split("-")) + "Executor",
    }
    contents = {
        target: Template(
            files("aosui").joinpath("templates", source).read_text(encoding="utf-8")
        ).substitute(words)
        for target, source in {
            ".gitignore": "gitignore.in",
            "README.md": "README.md.in",
            "pyproject.toml": "pyproject.toml.in",
            f"src/{package}/__init__.py": "src/__init__.py.in",
            "tests/test_executor.py": "tests/test_executor.py.in",
        }.items()
    }
    contents[f"src/{package}/py.typed"] = ""
    top = Path(directory) / distribution
    if top.exists() and not top.is_dir():
        raise NotADirectoryError(f"{top} exists and is no directory")
    if top.is_dir() and any(top.iterdir()):
        raise FileExistsError(f"{top} exists and is not empty: nothing was written")
    for target, text in contents.items():
        path = top / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return top


def _check(name: str) -> None:
    if name.startswith("aosui-"):
        raise ValueError(f"{name!r} is the package's name: say {name.removeprefix('aosui-')!r}")
    if name in TAKEN:
        raise ValueError(f"{name!r} is an executor of aosui's own: choose another name")
    if len(name) > MAX_NAME or not NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name for an executor: at most {MAX_NAME} lower-case letters, digits "
            "and single hyphens, a letter first, such as 'deploy' or 'my-build'"
        )
