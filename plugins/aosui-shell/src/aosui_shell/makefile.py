"""
The targets of a Makefile, read as text: make would run the file's `$(shell ...)` to list them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from aosui import Workflow
from attrs import define

from aosui_shell.tasks import Found, Task, read_file

__all__ = ["find_targets", "parse_targets"]

FILES: Final = ("GNUmakefile", "makefile", "Makefile")
"""As make looks for them: the first one counts."""
TARGET: Final = re.compile(r"\w[\w.+@/-]{0,149}")
WORD: Final = re.compile(r"\w[\w-]*")
DIRECTIVES: Final = frozenset(
    {"include", "-include", "sinclude", "load", "-load", "vpath"}
    | {"ifeq", "ifneq", "ifdef", "ifndef", "else", "endif"}
    | {"export", "unexport", "override", "private", "undefine"}
)


def find_targets(root: Path) -> Found:
    """Find `make:TARGET` for the targets of the directory's Makefile that people would call."""
    found = Found()
    for file in FILES:
        try:
            content = read_file(root / file)
        except OSError as error:
            found.problems.append(f"{file}: {error.strerror}")
            return found
        if content is None:
            continue
        for name, description in parse_targets(content.decode(errors="replace")).items():
            workflow = Workflow(f"make:{name}", description=description)
            found.add(Task(workflow, ("make", "--", name)), file)
        return found
    return found


def parse_targets(text: str) -> dict[str, str]:
    """
    Return targets and their descriptions, in the order of the file.

    A target is one that is phony, has a description (`target: ... ## description`) or is a plain
    word; not patterns, special targets, and files such as `build/app.o`. What another file
    includes or a variable names is not known.
    """
    rules: dict[str, _Rule] = {}
    phony: set[str] = set()
    for line in _rule_lines(text):
        code, _, comment = line.partition("#")
        colon, equals = code.find(":"), code.find("=")
        if colon < 0 or 0 <= equals <= colon + 1:
            continue
        names, prerequisites = code[:colon].removesuffix("&").split(), code[colon + 1 :]
        if prerequisites.lstrip(":").startswith("=") or _is_assignment(prerequisites):
            continue
        if ".PHONY" in names:
            phony.update(prerequisites.lstrip(":").split())
        description = comment.lstrip("#").strip() if comment.startswith("#") else ""
        for name in names:
            if TARGET.fullmatch(name):
                rule = rules.setdefault(name, _Rule())
                rule.description = rule.description or description[:1000]
    return {
        name: rule.description
        for name, rule in rules.items()
        if name in phony or rule.description or WORD.fullmatch(name)
    }


@define
class _Rule:
    description: str = ""


def _rule_lines(text: str) -> Iterator[str]:
    """Iterate over lines that may be rules: no recipes, directives or definitions."""
    defining = False
    for line in text.replace("\r\n", "\n").replace("\\\n", " ").split("\n"):
        words = line[:200].split(None, 2)
        if defining:
            defining = words[:1] != ["endef"]
        elif not words or line.startswith("\t"):
            continue
        elif words[0] == "define" or words[:2] in (["export", "define"], ["override", "define"]):
            defining = True
        elif words[0] not in DIRECTIVES:
            yield line


def _is_assignment(prerequisites: str) -> bool:
    """Whether it is `target: VARIABLE = value`, which makes no rule."""
    left, equals, _ = prerequisites.partition(";")[0].partition("=")
    words = left.rstrip("?+!: \t").split()
    while words and words[0] in ("export", "override", "private"):
        words.pop(0)
    return bool(equals) and len(words) == 1
