"""The page on the command line names everything that there is."""

from __future__ import annotations

from pathlib import Path

import attrs
import click
import pytest

from aosui.cli import main
from aosui.config import ServerConfig
from aosui.limits import Limits

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text()


@pytest.mark.parametrize("name", main.commands)
def test_every_command_and_option_is_on_the_page(name: str) -> None:
    assert f"aosui {name}" in PAGE
    for param in main.commands[name].params:
        if isinstance(param, click.Option):
            assert f"`{param.opts[0]}" in PAGE, param.opts[0]


@pytest.mark.parametrize("field", attrs.fields(Limits), ids=lambda field: field.name)
def test_every_limit_is_on_the_page_with_its_default(field: attrs.Attribute[object]) -> None:
    default = "the log's" if field.default is None else f"{field.default:g}"
    if isinstance(field.default, int):
        default = str(field.default)
    assert f"| `{field.name}` | {default} |" in PAGE


@pytest.mark.parametrize("field", attrs.fields(ServerConfig), ids=lambda field: field.name)
def test_every_key_of_the_server_is_on_the_page(field: attrs.Attribute[object]) -> None:
    assert f"\n{field.name} = " in PAGE
