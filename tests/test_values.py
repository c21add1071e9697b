"""The values that executors are given and give back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from aosui import REQUIRED, Option, Param, Project, Prompt, Run, Workflow


class TestParam:
    def test_is_a_required_string_when_nothing_else_is_said(self) -> None:
        param = Param("n")
        assert (param.type, param.required, param.secret) == ("string", True, False)
        assert repr(param.default) == "REQUIRED"
        assert param.default is REQUIRED

    @pytest.mark.parametrize(
        ("kind", "good", "bad"),
        [
            ("string", ["", "x", "a\nb"], [1, None, True, "a\0b", ["x"]]),
            ("text", ["x"], [1, "\0"]),
            ("integer", [0, -1, 2**53], [1.0, True, "1", None]),
            ("number", [0, 1.5], [True, "1", None]),
            ("boolean", [True, False], [0, 1, "true", None]),
        ],
    )
    def test_says_why_a_value_does_not_fit(
        self, kind: Any, good: list[Any], bad: list[Any]
    ) -> None:
        param = Param("n", type=kind)
        assert [param.problem(value) for value in good] == [None] * len(good)
        for value in bad:
            assert str(param.problem(value)).startswith("must")

    def test_choices_restrict(self) -> None:
        param = Param("n", choices=["a", "b"], default="a")
        assert param.choices == ("a", "b")
        assert param.problem("b") is None
        assert param.problem("c") == "must be one of a, b"

    @pytest.mark.parametrize(
        "fields",
        [
            {"type": "integer", "default": "1"},
            {"type": "integer", "choices": ["1"]},
            {"choices": ["a"], "default": "b"},
            {"default": 1},
            {"description": 1},
            {"secret": "yes"},
        ],
    )
    def test_default_and_choices_have_to_fit(self, fields: dict[str, Any]) -> None:
        with pytest.raises(TypeError):
            Param("n", **fields)

    def test_there_are_five_types(self) -> None:
        with pytest.raises(ValueError, match="type"):
            Param("n", type="list")  # type: ignore[arg-type]

    def test_a_default_of_none_fits_every_type(self) -> None:
        param = Param("n", type="integer", default=None)
        assert not param.required

    @pytest.mark.parametrize("name", ["", " ", " a", "a ", "a\n", "a\0b", "x" * 201])
    def test_a_name_is_printable(self, name: str) -> None:
        for make in (Param, Workflow, lambda name: Prompt(name, "?")):
            with pytest.raises(ValueError, match=r"name|id"):
                make(name)

    @pytest.mark.parametrize("name", ["a", "a b", "path/to:it", "日本", "x" * 200])
    def test_and_may_have_anything_else(self, name: str) -> None:
        assert Param(name).name == name
        assert Workflow(name).name == name


class TestWorkflow:
    def test_has_params_of_different_names(self) -> None:
        with pytest.raises(ValueError, match="two parameters"):
            Workflow("w", params=[Param("a"), Param("a")])
        assert Workflow("w", params=iter([Param("a")])).params == (Param("a"),)

    @pytest.mark.parametrize("timeout", [0, -1, float("nan")])
    def test_has_a_timeout_above_zero(self, timeout: float) -> None:
        with pytest.raises(ValueError, match="above 0"):
            Workflow("w", timeout=timeout)

    def test_has_params_that_are_params(self) -> None:
        with pytest.raises(TypeError):
            Workflow("w", params=["a"])  # type: ignore[list-item]


def test_a_plain_string_serves_as_an_option() -> None:
    prompt = Prompt("p", "?", options=["a", Option("b", "B")])
    assert prompt.options == (Option("a"), Option("b", "B"))


@pytest.mark.parametrize("options", [[1], [None], [["a"]]])
def test_nothing_else_does(options: list[Any]) -> None:
    with pytest.raises(TypeError):
        Prompt("p", "?", options=options)


@pytest.mark.parametrize(
    "value",
    [
        Project("a", "A", Path("/")),
        Param("a"),
        Workflow("a"),
        Run("a", "b", {}),
        Option("a"),
        Prompt("a", "b"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_are_frozen(value: Any) -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(value, attrs.fields(type(value))[0].name, "b")
