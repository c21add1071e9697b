"""The values that executors are given and give back: plain, frozen, checked when they are made."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from attrs import field, frozen
from attrs.validators import deep_iterable, in_, instance_of, matches_re, max_len

__all__ = ["REQUIRED", "Option", "Param", "ParamType", "Project", "Prompt", "Run", "Workflow"]

ParamType = Literal["string", "text", "integer", "number", "boolean"]
NAME = re.compile(r"[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]{0,198}[^\s\x00-\x1f\x7f])?")


class _Required(enum.Enum):
    REQUIRED = "REQUIRED"

    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Final = _Required.REQUIRED
"""The default of a `Param` that has none."""


def _values(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(values)


@frozen
class Project:
    """A local directory that is open under an id: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`."""

    id: str
    name: str
    root: Path


@frozen
class Param:
    """
    One parameter of a workflow.

    `choices` restrict the values. A `secret` one is shown as "•••" to everybody but the executor,
    and is not kept after the run. Raises TypeError or ValueError when default or choices do not
    fit `type`.
    """

    name: str = field(validator=[instance_of(str), matches_re(NAME)])
    type: ParamType = field(
        default="string", validator=in_(("string", "text", "integer", "number", "boolean"))
    )
    default: Any = REQUIRED
    choices: Sequence[Any] = field(default=(), converter=_values)
    description: str = field(default="", validator=instance_of(str))
    secret: bool = field(default=False, validator=instance_of(bool))

    def __attrs_post_init__(self) -> None:
        for choice in self.choices:
            if (wrong := self._mistyped(choice)) is not None:
                raise TypeError(f"choices of {self.name!r}: {wrong}")
        if (
            self.default is not REQUIRED
            and self.default is not None
            and (wrong := self.problem(self.default)) is not None
        ):
            raise TypeError(f"default of {self.name!r}: {wrong}")

    @property
    def required(self) -> bool:
        return self.default is REQUIRED

    def problem(self, value: object) -> str | None:
        """Say in words why `value` does not fit, or None when it does."""
        wrong = self._mistyped(value)
        if wrong is None and self.choices and value not in self.choices:
            wrong = f"must be one of {', '.join(str(choice) for choice in self.choices)}"
        return wrong

    def _mistyped(self, value: object) -> str | None:
        match self.type:
            case "string" | "text" if isinstance(value, str):
                return "must not contain NUL" if "\0" in value else None
            case "integer" if isinstance(value, int) and not isinstance(value, bool):
                return None
            case "number" if isinstance(value, int | float) and not isinstance(value, bool):
                return None
            case "boolean" if isinstance(value, bool):
                return None
        article = "an" if self.type == "integer" else "a"
        noun = "string" if self.type == "text" else self.type
        return f"must be {article} {noun}"


def _params(params: Iterable[Param]) -> tuple[Param, ...]:
    return tuple(params)


@frozen
class Workflow:
    """
    Something that an executor can run in a project.

    `name` is unique in its executor; on the wire the workflow is `<executor>:<name>`. `timeout`
    is in seconds and does not count while the run waits for an answer.
    """

    name: str = field(validator=[instance_of(str), matches_re(NAME)])
    title: str = field(default="", validator=[instance_of(str), max_len(1000)])
    description: str = field(default="", validator=instance_of(str))
    params: Sequence[Param] = field(
        default=(), converter=_params, validator=deep_iterable(instance_of(Param))
    )
    timeout: float | None = None

    def __attrs_post_init__(self) -> None:
        names = [param.name for param in self.params]
        if len(set(names)) != len(names):
            raise ValueError(f"workflow {self.name!r} has two parameters of one name")
        if self.timeout is not None and not self.timeout > 0:
            raise ValueError(f"the timeout of workflow {self.name!r} must be above 0 seconds")


@frozen
class Run:
    """
    One run, as its executor sees it.

    `workflow` is the workflow's name without the executor's prefix; `params` has every parameter
    with its real value; `checkpoint` is what the run that this one retries stored last.
    """

    id: str
    workflow: str
    params: Mapping[str, Any]
    attempt: int = 1
    retry_of: str | None = None
    checkpoint: Any = None


@frozen
class Option:
    """One answer to choose; `label` defaults to `value`."""

    value: str = field(validator=instance_of(str))
    label: str = field(default="", validator=instance_of(str))
    description: str = field(default="", validator=instance_of(str))


def _options(options: Iterable[Option | str]) -> tuple[Option, ...]:
    return tuple(Option(option) if isinstance(option, str) else option for option in options)


@frozen
class Prompt:
    """
    One thing to ask; without options the answer is free text.

    A plain string serves as an option. With `multiple` the answer is a list; with `allow_other` it
    may be text that is no option.
    """

    id: str = field(validator=[instance_of(str), matches_re(NAME)])
    text: str = field(validator=instance_of(str))
    header: str = field(default="", validator=instance_of(str))
    options: Sequence[Option] = field(
        default=(), converter=_options, validator=deep_iterable(instance_of(Option))
    )
    multiple: bool = field(default=False, validator=instance_of(bool))
    allow_other: bool = field(default=True, validator=instance_of(bool))
