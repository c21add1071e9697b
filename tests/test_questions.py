"""Whether answers fit a question."""

from __future__ import annotations

import pytest

from aosui.errors import InvalidAnswer
from aosui.events import OptionInfo, PromptInfo, Question
from aosui.questions import ClosedQuestion, check_answers

PROMPTS = Question(
    "q",
    "",
    (
        PromptInfo("open", "?", options=(OptionInfo("a", "A"),)),
        PromptInfo("many", "?", options=(OptionInfo("a", "A"),), multiple=True, allow_other=False),
    ),
)


@pytest.mark.parametrize("many", [[], ["a"], ["a", "a"]])
def test_an_answer_may_be_none_of_the_options_where_others_are_allowed(many: list[str]) -> None:
    check_answers(PROMPTS, {"open": "something else", "many": many})


def test_every_one_of_several_answers_has_to_be_an_option() -> None:
    with pytest.raises(InvalidAnswer):
        check_answers(PROMPTS, {"open": "a", "many": ["a", "b"]})


def test_free_text_is_any_string() -> None:
    question = Question("q", "", (PromptInfo("p", "?", allow_other=False),))
    check_answers(question, {"p": ""})
    check_answers(question, {"p": "anything"})


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ({"open": "a"}, "is not answered"),
        ({"open": "a", "many": "a"}, "must be a list"),
        ({"open": ["a"], "many": []}, "must be one string"),
        ({"open": "a", "many": ["z"]}, "must be one of its options"),
        ({"open": "a", "many": [], "third": "x"}, "there is no such prompt"),
    ],
)
def test_what_does_not_fit_is_named(answers: dict[str, str | list[str]], problem: str) -> None:
    with pytest.raises(InvalidAnswer) as caught:
        check_answers(PROMPTS, answers)
    assert caught.value.details is not None
    assert list(caught.value.details["answers"].values()) == [problem]
    assert problem in caught.value.message


def test_who_comes_too_late_learns_how_it_ended() -> None:
    closed = ClosedQuestion("q", "r", "answered", {"p": "x"}, "ann")
    assert closed.details() == {
        "questionId": "q",
        "runId": "r",
        "outcome": "answered",
        "answers": {"p": "x"},
        "by": "ann",
    }
