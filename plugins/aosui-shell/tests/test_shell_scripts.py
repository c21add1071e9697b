"""package.json as it is written, and as it should not be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aosui_shell.scripts import find_scripts


def test_lists_scripts(root: Path) -> None:
    scripts = {"build": "vite build", "test:unit": "vitest", "ä": "x"}
    (root / "package.json").write_bytes(
        b"\xef\xbb\xbf" + json.dumps({"name": "site", "scripts": scripts}).encode()
    )
    found = find_scripts(root)
    assert not found.problems
    assert {name: task.workflow.description for name, task in found.tasks.items()} == {
        "npm:build": "vite build",
        "npm:test:unit": "vitest",
        "npm:ä": "x",
    }
    assert found.tasks["npm:build"].argv == ("npm", "run", "build")


@pytest.mark.parametrize(
    ("lock", "manager"),
    [
        ("package-lock.json", "npm"),
        ("npm-shrinkwrap.json", "npm"),
        ("pnpm-lock.yaml", "pnpm"),
        ("yarn.lock", "yarn"),
        ("bun.lock", "bun"),
        ("bun.lockb", "bun"),
    ],
)
def test_the_lock_file_tells_the_package_manager(root: Path, lock: str, manager: str) -> None:
    (root / "package.json").write_text('{"scripts": {"build": "x"}}')
    (root / lock).touch()
    assert find_scripts(root).tasks["npm:build"].argv == (manager, "run", "build")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not JSON: Input data was truncated"),
        ("{", "truncated"),
        ("[]", "Expected `object`, got `array`"),
        ('{"scripts": []}', "Expected `object`, got `array`"),
        ('{"scripts": {"a": 1}}', "Expected `str`, got `int`"),
        ("[" * 100_000, ""),
        ('{"a": ' * 100_000, ""),
        ('{"scripts": {"-x": "rm"}}', "'-x' cannot be the name of a task"),
        ('{"scripts": {"a b": "rm"}}', "'a b' cannot be"),
        ('{"scripts": {"": "rm"}}', "'' cannot be"),
        ('{"scripts": {"\\u0000": "rm"}}', "cannot be"),
        ('{"scripts": {"a": "\\ud800"}}', ""),
    ],
)
def test_what_is_wrong_is_a_problem_with_file_and_reason(
    root: Path, text: str, reason: str
) -> None:
    (root / "package.json").write_text(text)
    found = find_scripts(root)
    assert not found.tasks
    (problem,) = found.problems
    assert problem.startswith("package.json: ")
    assert reason in problem


def test_bytes_that_are_no_text_are_a_problem(root: Path) -> None:
    (root / "package.json").write_bytes(b'{"scripts": {"\xff": "\xff"}}')
    assert find_scripts(root).problems


def test_no_file_no_scripts(root: Path) -> None:
    assert find_scripts(root).tasks == {}
    (root / "package.json").mkdir()
    assert find_scripts(root).problems == []
    (root / "package.json").rmdir()
    (root / "package.json").write_text('{"name": "no-scripts"}')
    assert find_scripts(root).tasks == {}


def test_megabytes(root: Path) -> None:
    (root / "package.json").write_text(
        json.dumps({"scripts": {f"s{n}": "x" * 1000 for n in range(3000)}})
    )
    found = find_scripts(root)
    assert len(found.tasks) == 500
    assert "more than 500" in found.problems[0]
