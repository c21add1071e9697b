"""The pages for executor authors say what is there, and all of it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

import aosui
import aosui.testing
from aosui.channel import ProjectChannel
from aosui.testing import RecordingChannel
from aosui.testing.conformance import check_executor

ROOT = Path(__file__).resolve().parent.parent
TUTORIAL = (ROOT / "docs" / "writing-executors.md").read_text()
REFERENCE = (ROOT / "docs" / "executor-reference.md").read_text()
INCLUDED = re.compile(r"<!-- (examples/\S+) -->\n```python\n(.*?)```", re.DOTALL)


def test_the_examples_are_in_the_tutorial_as_they_are() -> None:
    included = dict(INCLUDED.findall(TUTORIAL))
    executors = {
        f"examples/{path.name}"
        for path in (ROOT / "examples").glob("*.py")
        if "Executor" in path.read_text()
    }
    assert set(included) == executors
    for name, text in included.items():
        assert text == (ROOT / name).read_text(), f"{name} has changed: include it again"


def test_the_rules_of_the_kit_are_in_the_tutorial() -> None:
    docstring = inspect.getdoc(check_executor) or ""
    rules = re.search(r"The rules: (.*?)\.(?: |$)", docstring.replace("\n", " "))
    assert rules is not None
    names = re.sub(r"\([^)]*\)", "", rules[1]).split(",")
    listed = re.findall(r"^\| `(\w+)` \| ", TUTORIAL.partition("## Test it")[2], re.MULTILINE)
    assert [name.strip() for name in names] == listed


def shape(name: str, function: Callable[..., Any]) -> str:
    """Write a callable as the page does: names and defaults, without types."""
    signature = inspect.signature(function)
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
        if parameter.name != "self"
    ]
    text = str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))
    return name + text.replace("'", '"')


def is_heading(name: str) -> bool:
    return re.search(rf"^#+ `{re.escape(name)}[`(]", REFERENCE, re.MULTILINE) is not None


def expected() -> Iterator[str]:
    """Say of each name that authors use how its heading reads."""
    embedders = set(re.findall(r"`(\w+)`", REFERENCE.partition("## For those who run aosui")[2]))
    for module in (aosui, aosui.testing):
        for name in module.__all__:
            value = getattr(module, name)
            if name in embedders:
                continue
            if name in ("REQUIRED", "Executor", "ProjectChannel", "SyncChannel"):
                yield name
            else:
                yield shape(name, value)
    for owner in (ProjectChannel, aosui.Executor):
        yield from methods(owner)
    yield from (
        shape for shape in methods(RecordingChannel) if shape not in set(methods(ProjectChannel))
    )


def methods(owner: type) -> Iterator[str]:
    for name, value in inspect.getmembers(owner, inspect.isfunction):
        if not name.startswith("_"):
            yield shape(name, value)


def test_the_reference_has_every_name_with_its_signature() -> None:
    headings = re.findall(r"^###+ `(.+)`$", REFERENCE, re.MULTILINE)
    assert sorted(headings) == sorted(expected())


def test_the_names_for_embedders_exist() -> None:
    names = re.findall(r"`(\w+)`", REFERENCE.partition("## For those who run aosui")[2])
    assert set(names) <= set(aosui.__all__)
    assert not [name for name in names if is_heading(name)]


@pytest.mark.parametrize("owner", [ProjectChannel, aosui.SyncChannel, RecordingChannel])
def test_attributes_are_named(owner: type) -> None:
    names = [
        name
        for name, value in inspect.getmembers(owner)
        if not name.startswith("_") and not inspect.isfunction(value)
    ]
    assert names
    assert [name for name in names if f"`{name}`" not in REFERENCE] == []


def test_the_verbs_of_both_channels_are_the_same() -> None:
    verbs = set(methods(ProjectChannel))
    assert verbs == set(methods(aosui.SyncChannel))


def test_the_values_are_frozen() -> None:
    for value in (aosui.Option, aosui.Param, aosui.Project, aosui.Prompt, aosui.Run):
        assert attrs.has(value)
        assert value.__setattr__ is not object.__setattr__


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
