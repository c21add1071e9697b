"""The tree of errors is the list of the protocol, section 8."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aosui import errors
from aosui.errors import AosuiError, ExecutorError, ExecutorFailure, TryAgainError

CODES = {
    400: "badJson badRequest unknownType invalidParams invalidAnswer unsupportedVersion",
    401: "unauthorized",
    403: "forbidden originNotAllowed hostNotAllowed outsideRoot wrongProject",
    404: "projectNotFound workflowNotFound runNotFound questionNotFound notFound",
    405: "methodNotAllowed",
    409: "projectBusy projectClosed runNotActive runNotRetryable questionClosed idReused",
    413: "messageTooBig",
    415: "unsupportedMediaType",
    426: "upgradeRequired",
    429: "rateLimited limitExceeded connectionLimit",
    500: "internal",
    503: "shuttingDown logUnavailable",
}
"""What a request may be refused with, by HTTP status."""

OF_RUNS = {"executorFailed", "notSerialisable"}
"""Codes of `Run.error` that have a class; the others are given by the supervision of runs."""


def tree(kind: type[AosuiError] = AosuiError) -> Iterator[type[AosuiError]]:
    """Yield the classes of `aosui.errors`; other modules have subclasses without a new code."""
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child)


def test_every_code_of_the_protocol_has_an_error_with_its_status_and_no_other_has() -> None:
    listed = {code: status for status, codes in CODES.items() for code in codes.split()}
    leaves = [kind for kind in tree() if len(list(tree(kind))) == 1]
    own = {kind.code: kind.status for kind in leaves if not issubclass(kind, ExecutorFailure)}
    assert own == listed


def test_errors_of_runs_have_the_codes_of_the_protocol() -> None:
    assert {kind.code for kind in tree(ExecutorFailure)} == OF_RUNS


def test_every_error_is_exported() -> None:
    assert {kind.__name__ for kind in tree()} == set(errors.__all__)


@pytest.mark.parametrize("kind", [kind for kind in tree() if kind is not ExecutorError])
def test_every_error_has_words_for_people(kind: type[AosuiError]) -> None:
    error = kind()
    assert error.message
    assert str(error) == error.message
    assert error.details is None
    assert kind("other words", details={"a": 1}).message == "other words"
    assert kind("other words", details={"a": 1}).details == {"a": 1}


def test_what_may_go_well_later_is_retryable_and_nothing_else_is() -> None:
    for kind in tree():
        assert kind.retryable == issubclass(kind, TryAgainError), kind


def test_the_tree_drawn_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__ is not None
    for kind in tree():
        assert kind.__name__ in errors.__doc__, kind


def test_an_executor_gives_its_error_a_code() -> None:
    error = ExecutorError("no luck", code="noLuck", retryable=True, details={"tries": 3})
    assert (error.code, error.retryable, error.details) == ("noLuck", True, {"tries": 3})
    assert (ExecutorError("no").code, ExecutorError("no").retryable) == ("executorFailed", False)
