"""`[workflows.NAME]` of a project's `aosui.toml`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from aosui import REQUIRED, Param, Workflow
from msgspec import Meta

from aosui_shell.tasks import COMMAND, Found, Task, read_file

__all__ = ["FILE", "find_configured"]

FILE: Final = "aosui.toml"
PARAM_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
Scalar = str | int | float | bool


class _ParamTable(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["string", "text", "integer", "number", "boolean"] = "string"
    default: Scalar | msgspec.UnsetType = msgspec.UNSET
    choices: list[Scalar] = []
    description: str = ""
    secret: bool = False


class _WorkflowTable(msgspec.Struct, forbid_unknown_fields=True):
    run: Annotated[str, Meta(min_length=1)]
    title: Annotated[str, Meta(max_length=1000)] = ""
    description: str = ""
    timeout: Annotated[float, Meta(gt=0, le=1e9)] | None = None
    params: dict[str, _ParamTable] = {}


def find_configured(root: Path) -> Found:
    """Find the workflows of `aosui.toml`; one that is wrong does not hide the others."""
    found = Found()
    try:
        content = read_file(root / FILE)
        tables = tomllib.loads(content.decode()) if content is not None else {}
    except OSError as error:
        found.problems.append(f"{FILE}: {error.strerror}")
        return found
    except (ValueError, RecursionError) as error:
        found.problems.append(f"{FILE}: is not TOML: {error}")
        return found
    for name in tables:
        if name != "workflows":
            found.problems.append(
                f"{FILE}: {name}: a project has [workflows.*] only; the rest is the user's to set"
            )
    workflows = tables.get("workflows", {})
    if not isinstance(workflows, dict):
        found.problems.append(f"{FILE}: workflows: must be a table")
        return found
    for name, table in workflows.items():
        try:
            found.add(_task(name, table), FILE)
        except _Wrong as wrong:
            found.problems.append(f"{FILE}: workflows.{name}{wrong}")
    return found


class _Wrong(Exception):
    """`.key: reason`, below the workflow's table."""


def _task(name: str, table: object) -> Task:
    if name == COMMAND:
        raise _Wrong(": this name is taken")
    if ":" in name:
        raise _Wrong(": a name must not have a colon")
    try:
        given = msgspec.convert(table, _WorkflowTable)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        raise _Wrong(f"{path.removesuffix('`')}: {reason}") from None
    params = [_param(key, value) for key, value in given.params.items()]
    try:
        workflow = Workflow(
            name,
            title=given.title,
            description=given.description or given.run,
            params=params,
            timeout=given.timeout,
        )
    except ValueError:
        raise _Wrong(": the name is too long, or has characters that are not for names") from None
    return Task(workflow, ("sh", "-c", "--", given.run))


def _param(name: str, table: _ParamTable) -> Param:
    if not PARAM_NAME.fullmatch(name):
        raise _Wrong(f".params.{name}: a name is letters, digits and _, for the environment")
    default: Any = REQUIRED if table.default is msgspec.UNSET else table.default
    try:
        return Param(
            name,
            type=table.type,
            default=default,
            choices=table.choices,
            description=table.description,
            secret=table.secret,
        )
    except (TypeError, ValueError) as error:
        raise _Wrong(f".params.{name}: {error}") from None
