"""What viewers are told about what an executor raised."""

from __future__ import annotations

from typing import Any

import pytest

from aosui import ExecutorError, LimitExceeded, NotSerialisable
from aosui.errors import RunNotFound
from aosui.events import ErrorInfo
from aosui.failure import failure_info, fit_error, in_words
from aosui.protocol import encode


class Speechless(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("error", "info"),
    [
        (ValueError("x"), ErrorInfo("executorFailed", "ValueError: x")),
        (ValueError(), ErrorInfo("executorFailed", "ValueError")),
        (Speechless(), ErrorInfo("executorFailed", "Speechless")),
        (ExecutorError("x", code="mine", retryable=True), ErrorInfo("mine", "x", True)),
        (ExecutorError("x", details={"a": 1}), ErrorInfo("executorFailed", "x", False, {"a": 1})),
        (NotSerialisable("x"), ErrorInfo("notSerialisable", "x")),
        (LimitExceeded("x"), ErrorInfo("limitExceeded", "x", True)),
        (RunNotFound("x"), ErrorInfo("executorFailed", "x")),
    ],
)
def test_an_exception_is_told_by_its_kind(error: BaseException, info: ErrorInfo) -> None:
    assert failure_info(error) == info


def test_words_have_the_type_and_the_message() -> None:
    assert in_words(KeyError("x")) == "KeyError: 'x'"
    assert in_words(Speechless()) == "Speechless"


@pytest.mark.parametrize(
    "info",
    [
        ErrorInfo("c" * 10_000, "m" * 10_000, True, {"d": "d" * 10_000}),
        ErrorInfo("c", '\U0001f642\x00"' * 10_000),
        ErrorInfo("c", "m", False, {"d": object()}),
        ErrorInfo("\ud800", "\ud800", False, {"d": "\ud800"}),
    ],
)
def test_an_error_fits_4_kib_and_json(info: ErrorInfo) -> None:
    fitting = fit_error(info)
    assert len(encode(fitting)) <= 4096
    assert fitting.details is None
    assert fitting.retryable == info.retryable


def test_an_error_that_fits_stays_as_it_is() -> None:
    info = ErrorInfo("c", "m", True, {"d": [1, 2]})
    assert fit_error(info) == info


def test_parts_of_any_type_become_what_they_have_to_be() -> None:
    odd: Any = ErrorInfo(7, 8, "yes")  # type: ignore[arg-type]
    assert fit_error(odd) == ErrorInfo("7", "8", True)
