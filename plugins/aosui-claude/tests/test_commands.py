"""A project's commands become workflows, as Claude Code itself lists them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from aosui_claude import ClaudeExecutor
from aosui_claude.commands import find_commands, front_matter, prompt_of

from aosui import Project, Run


def write(root: Path, name: str, text: str) -> Path:
    file = root / ".claude" / "commands" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


async def test_a_project_without_commands_has_the_prompt(tmp_path: Path) -> None:
    (workflow,) = await ClaudeExecutor().workflows(Project("p", "p", tmp_path))
    assert workflow.name == "prompt"
    assert [(param.name, param.type, param.required) for param in workflow.params] == [
        ("prompt", "text", True)
    ]


def test_name_description_and_hint_come_from_the_front_matter(tmp_path: Path) -> None:
    write(
        tmp_path,
        "frontend/component.md",
        "---\nname: Make a component\ndescription: 'From a sketch'\n"
        "argument-hint: [name] [kind]\n---\nDo $ARGUMENTS\n",
    )
    (workflow,) = find_commands(tmp_path)
    assert workflow.name == "frontend:component"
    assert workflow.title == "Make a component"
    assert workflow.description == "From a sketch"
    (param,) = workflow.params
    assert (param.name, param.default, param.description) == ("arguments", "", "[name] [kind]")


def test_without_front_matter_the_first_line_describes(tmp_path: Path) -> None:
    write(tmp_path, "review.md", "\n# Review the change\n\nLook at it.\n")
    write(tmp_path, "test.md", "---\nallowed-tools: Bash\n---\n\nRun the tests.\n")
    review, test = find_commands(tmp_path)
    assert (review.title, review.description) == ("/review", "Review the change")
    assert (test.title, test.description) == ("/test", "Run the tests.")


def test_strange_files_hide_nothing(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "")
    write(tmp_path, "bytes.md", "").write_bytes(b"---\ndescription: \xff\n---\n")
    write(tmp_path, "bad\nname.md", "x")
    write(tmp_path, "dir.md/inside.md", "x")
    write(tmp_path, "prompt.md", "The project's own")
    file = write(tmp_path, "secret.md", "x")
    file.unlink()
    file.symlink_to(tmp_path / "nowhere")
    write(tmp_path, "unclosed.md", "---\ndescription: never ends\n")
    names = [workflow.name for workflow in find_commands(tmp_path)]
    assert names == ["a", "bytes", "dir.md:inside", "/prompt", "secret", "unclosed"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_listed(tmp_path: Path) -> None:
    write(tmp_path, "closed.md", "x").chmod(0)
    assert [workflow.name for workflow in find_commands(tmp_path)] == ["closed"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", {}),
        ("no front matter", {}),
        ("---\na: 1\n---", {"a": "1"}),
        ("---\na: >\n  folded\n  text\nb: x\n---", {"a": "folded text", "b": "x"}),
        ('---\na: "quoted: yes"\n# a comment: no\n---', {"a": "quoted: yes"}),
        ("---\ntools:\n- one\n- two\n---", {"tools": "- one - two"}),
        ("---\nnot a pair\n  indented\nb: 2\n---", {"b": "2"}),
        ("---\na: never closed", {}),
    ],
)
def test_front_matter(text: str, words: dict[str, str]) -> None:
    assert front_matter(text) == words


@pytest.mark.parametrize(
    ("workflow", "params", "prompt"),
    [
        ("prompt", {"prompt": "do --this"}, "do --this"),
        ("review", {"arguments": ""}, "/review"),
        (
            "frontend:component",
            {"arguments": "Button primary"},
            "/frontend:component Button primary",
        ),
        ("/prompt", {"arguments": "x"}, "/prompt x"),
    ],
)
def test_what_claude_is_told(workflow: str, params: dict[str, str], prompt: str) -> None:
    assert prompt_of(Run("run", workflow, params)) == prompt


@pytest.mark.parametrize("options", [{"cli_path": 3}, {"cli": "claude"}])
def test_options_are_checked(options: dict[str, object]) -> None:
    with pytest.raises(TypeError):
        ClaudeExecutor(**options)  # type: ignore[arg-type]


def test_home_in_the_path() -> None:
    assert ClaudeExecutor(cli_path="~/bin/claude").cli_path == str(Path.home() / "bin/claude")
