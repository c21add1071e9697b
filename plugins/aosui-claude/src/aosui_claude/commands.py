"""What can be run in a project: its `.claude/commands/**/*.md`, and any prompt."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from aosui import Param, Run, Workflow

__all__ = ["PROMPT", "find_commands", "front_matter", "prompt_of"]

DIRECTORY: Final = Path(".claude", "commands")
MAX_COMMANDS: Final = 500
MAX_BYTES: Final = 64 * 1024
"""Of a command's file, for its front matter; Claude Code reads the whole file itself."""
MAX_WORDS: Final = 1000
"""Characters of a title or a description."""

PROMPT: Final = Workflow(
    "prompt",
    title="Prompt",
    description="Ask Claude Code anything, or tell it what to do",
    params=[Param("prompt", type="text", description="What Claude should do")],
)


def find_commands(root: Path) -> list[Workflow]:
    """
    List the commands of a project as workflows, by name.

    A file `frontend/component.md` is the command `/frontend:component`, as in Claude Code. The name
    `prompt` is taken by `PROMPT`, so that a file `prompt.md` becomes `/prompt`. A file that cannot
    be read is listed by its name alone.
    """
    directory = root / DIRECTORY
    found = (path for path in directory.rglob("*.md") if not path.is_dir())
    files = sorted(islice(found, MAX_COMMANDS))
    workflows = {}
    for file in files:
        command = ":".join(file.relative_to(directory).with_suffix("").parts)
        name = "/prompt" if command == PROMPT.name else command
        try:
            workflows[name] = _workflow(name, command, file)
        except ValueError:  # a name that no workflow can have
            continue
    return list(workflows.values())


def prompt_of(run: Run) -> str:
    """Make what Claude Code is told from a run: the prompt, or the command with its arguments."""
    if run.workflow == PROMPT.name:
        return str(run.params["prompt"])
    return f"/{run.workflow.removeprefix('/')} {run.params['arguments']}".rstrip()


def front_matter(text: str) -> dict[str, str]:
    """
    Read the words between the first two lines `---`: `key: value`, quoted, folded or literal.

    It is not all of YAML, on purpose: Claude Code takes `argument-hint: [file] [kind]` for text,
    which is no YAML at all.
    """
    lines = iter(text.splitlines())
    if next(lines, "").strip() != "---":
        return {}
    words: dict[str, str] = {}
    key = ""
    for line in lines:
        if line.strip() == "---":
            return {key: value.strip() for key, value in words.items()}
        if line[:1] in (" ", "\t", "-"):
            if key:
                words[key] += " " + line.strip()
            continue
        key, colon, value = line.partition(":")
        key, value = key.strip(), value.strip()
        if not colon or key.startswith("#"):
            key = ""
        elif value in ("|", ">", "|-", ">-", "|+", ">+"):
            words[key] = ""
        else:
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
            words[key] = value[1:-1] if quoted else value
    return {}


def _workflow(name: str, command: str, file: Path) -> Workflow:
    try:
        with file.open("rb") as opened:
            text = opened.read(MAX_BYTES).decode(errors="replace")
    except OSError:
        text = ""
    words = front_matter(text)
    return Workflow(
        name,
        title=words.get("name", f"/{command}")[:MAX_WORDS],
        description=(words.get("description") or next(_body(text), ""))[:MAX_WORDS],
        params=[
            Param(
                "arguments",
                default="",
                description=words.get("argument-hint", "")[:MAX_WORDS],
            )
        ],
    )


def _body(text: str) -> Iterator[str]:
    """Iterate over the lines with words that follow the front matter."""
    lines = text.splitlines()
    if lines and lines[0].strip() == "---" and front_matter(text):
        end = next(i for i, line in enumerate(lines[1:], 1) if line.strip() == "---")
        lines = lines[end + 1 :]
    yield from (line.strip().lstrip("# ") for line in lines if line.strip())
