"""`aosui.toml` of a project."""

from __future__ import annotations

from pathlib import Path

import pytest
from aosui import REQUIRED, Param

from aosui_shell.configured import find_configured
from aosui_shell.tasks import Found


def found_in(root: Path, text: str) -> Found:
    (root / "aosui.toml").write_text(text)
    return find_configured(root)


def test_a_workflow_with_all_it_can_have(root: Path) -> None:
    found = found_in(
        root,
        """
        [workflows.test]
        run = "pytest -q"

        [workflows."deploy site"]
        run = "deploy"
        title = "Deploy"
        description = "To the world"
        timeout = 600
        [workflows."deploy site".params.target]
        choices = ["staging", "www"]
        [workflows."deploy site".params.times]
        type = "integer"
        default = 1
        description = "How often"
        secret = true
        """,
    )
    assert not found.problems
    test, deploy = (task.workflow for task in found.tasks.values())
    assert (test.name, test.title, test.description) == ("test", "", "pytest -q")
    assert found.tasks["test"].argv == ("sh", "-c", "--", "pytest -q")
    assert (deploy.name, deploy.title, deploy.description, deploy.timeout) == (
        "deploy site",
        "Deploy",
        "To the world",
        600,
    )
    assert list(deploy.params) == [
        Param("target", default=REQUIRED, choices=["staging", "www"]),
        Param("times", type="integer", default=1, description="How often", secret=True),
    ]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("run = 3", "workflows.bad.run: Expected `str`, got `int`"),
        ("title = 'x'", "workflows.bad: Object missing required field `run`"),
        ("run = ''", "workflows.bad.run: Expected `str` of length >= 1"),
        ("run = 'x'\nrnu = 'y'", "workflows.bad: Object contains unknown field `rnu`"),
        ("run = 'x'\ntimeout = 0", "workflows.bad.timeout: Expected `float` > 0.0"),
        ("run = 'x'\ntimeout = nan", "workflows.bad.timeout: Expected"),
        ("run = 'x'\ntimeout = 'soon'", "workflows.bad.timeout: Expected `float | null`"),
        ("run = 'x'\nparams.a-b = {}", "workflows.bad.params.a-b: a name is letters, digits"),
        ("run = 'x'\nparams.a.type = 'int'", "Invalid enum value 'int'"),
        ("run = 'x'\nparams.a.kind = 'int'", "unknown field `kind`"),
        ("run = 'x'\nparams.a.choices = 'xy'", "Expected `array`, got `str`"),
        (
            "run = 'x'\nparams.a = {type='integer', default='x'}",
            "workflows.bad.params.a: default of 'a': must be an integer",
        ),
    ],
)
def test_what_is_wrong_is_said_and_hides_no_other(root: Path, table: str, problem: str) -> None:
    found = found_in(root, f"[workflows.good]\nrun = 'x'\n[workflows.bad]\n{table}\n")
    assert list(found.tasks) == ["good"]
    (said,) = found.problems
    assert said.startswith("aosui.toml: ")
    assert problem in said


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[workflows.command]\nrun='x'", "aosui.toml: workflows.command: this name is taken"),
        ("[workflows.'make:test']\nrun='x'", "a name must not have a colon"),
        ("[workflows.' ']\nrun='x'", "the name is too long, or has characters"),
        (f"[workflows.{'x' * 500}]\nrun='x'", "the name is too long"),
        ("workflows = 3", "aosui.toml: workflows: must be a table"),
        ("[workflows]\nx = 3", "aosui.toml: workflows.x: Expected `object`, got `int`"),
        ("[executors.shell]\nallow_command = true", "aosui.toml: executors: a project has"),
        ("[server]\nhost = '0.0.0.0'", "aosui.toml: server: a project has"),
        ("[workflows.x\n", "aosui.toml: is not TOML: Expected ']' at the end of a table"),
        ("a = " + "[" * 50_000, "aosui.toml: is not TOML"),
    ],
)
def test_what_is_wrong_with_the_file(root: Path, text: str, problem: str) -> None:
    found = found_in(root, text)
    assert not found.tasks
    (said,) = found.problems
    assert problem in said


def test_what_is_no_utf8(root: Path) -> None:
    (root / "aosui.toml").write_bytes(b"[workflows.x]\nrun = '\xff'")
    assert "aosui.toml: is not TOML: 'utf-8' codec" in find_configured(root).problems[0]


def test_no_file_no_workflows(root: Path) -> None:
    assert find_configured(root) == Found()
    (root / "aosui.toml").mkdir()
    assert find_configured(root) == Found()
