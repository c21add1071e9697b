"""What may be typed for a prompt, and what becomes of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from aosui.cli.questions import LineReader, describe, read_answer


def prompt(**more: Any) -> dict[str, Any]:
    return {
        "promptId": "p",
        "text": "Which?",
        "header": "",
        "options": [
            {"value": "r", "label": "Red", "description": ""},
            {"value": "b", "label": "Blue", "description": "like the sky"},
        ],
        "multiple": False,
        "allowOther": True,
    } | more


@pytest.mark.parametrize(
    ("change", "typed", "answer"),
    [
        ({}, "1", "r"),
        ({}, " 2 ", "b"),
        ({}, "blue", "b"),
        ({}, "r", "r"),
        ({}, "green", "green"),
        ({"multiple": True}, "2,1", ["b", "r"]),
        ({"multiple": True}, "1, red, 1", ["r"]),
        ({"multiple": True}, "green, or grey", ["green, or grey"]),
        ({"options": []}, "free text", "free text"),
        ({"options": [], "multiple": True}, "free text", ["free text"]),
    ],
)
def test_what_is_typed_becomes_an_answer(
    change: dict[str, Any], typed: str, answer: str | list[str]
) -> None:
    assert read_answer(prompt(**change), typed) == answer


@pytest.mark.parametrize(
    ("change", "typed", "said"),
    [
        ({}, "", "a number from 1 to 2"),
        ({"allowOther": False}, "3", "a number from 1 to 2"),
        ({"allowOther": False}, "green", "a number from 1 to 2"),
        ({"allowOther": False, "multiple": True}, "1,green", "numbers from 1 to 2"),
        ({"multiple": True}, " , ", "numbers from 1 to 2"),
        ({"options": []}, " ", "some text"),
    ],
)
def test_what_is_no_answer_is_asked_again(change: dict[str, Any], typed: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_answer(prompt(**change), typed)


def test_a_prompt_says_what_may_be_typed() -> None:
    assert describe(prompt(header="Paint")).splitlines() == [
        "Paint: Which?",
        "  1) Red",
        "  2) Blue - like the sky",
        "Type a number, or your own text:",
    ]
    assert describe(prompt(options=[], text="\x1b[2JWhy?")) == "Why?"


async def test_lines_of_a_pipe_come_one_by_one() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as stream:
        lines = LineReader(stream)
        os.write(writing, "one\nzwö".encode())
        assert await lines.line() == "one"
        os.write(writing, b"lf\r\nrest")
        os.close(writing)
        assert [await lines.line() for _ in range(3)] == ["zwölf", "rest", None]


async def test_lines_of_a_file_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "answers"
    path.write_text("one\ntwo")
    with path.open() as stream:
        lines = LineReader(stream)
        assert [await lines.line() for _ in range(3)] == ["one", "two", None]
