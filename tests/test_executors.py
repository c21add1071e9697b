"""Executors: what listing shows of lists, of failures, and of both at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from aosui import IncompleteWorkflows, Project, ProjectChannel, Run, Workflow
from aosui.errors import ExecutorError, WorkflowNotFound
from aosui.executors import Executors

PROJECT = Project("site-abc123", "site", Path("/"))


class Lister:
    """Lists what it was given, or raises it."""

    api_version = 1

    def __init__(self, given: Sequence[Workflow] | Exception) -> None:
        self.given = given

    async def workflows(self, project: Project) -> Sequence[Workflow]:
        if isinstance(self.given, Exception):
            raise self.given
        return self.given

    async def execute(self, run: Run, channel: ProjectChannel) -> object:
        return None


async def test_an_executor_lists_some_and_says_what_is_wrong() -> None:
    build = Workflow("build")
    executors = Executors({"tasks": Lister(IncompleteWorkflows("package.json: is empty", [build]))})
    lists, errors = await executors.workflows(PROJECT, 5)
    assert lists == {"tasks": [build]}
    assert errors == {"tasks": "package.json: is empty"}
    assert (await executors.workflow(PROJECT, "tasks:build", 5))[2] == build
    with pytest.raises(WorkflowNotFound, match=r"package\.json: is empty"):
        await executors.workflow(PROJECT, "tasks:test", 5)


async def test_a_failing_executor_is_reported_beside_the_others_lists() -> None:
    build = Workflow("build")
    executors = Executors(
        {
            "good": Lister([build]),
            "refusing": Lister(ExecutorError("there is no network")),
            "buggy": Lister(KeyError("x")),
            "twice": Lister([build, build]),
        }
    )
    lists, errors = await executors.workflows(PROJECT, 5)
    assert {name: listed for name, listed in lists.items() if listed} == {"good": [build]}
    assert errors == {
        "refusing": "there is no network",
        "buggy": "KeyError: 'x'",
        "twice": "its workflows() gave two workflows of one name",
    }
