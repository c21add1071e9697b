"""Questions that runs ask: open ones, closed ones, and whether answers fit."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Literal

from attrs import frozen

from aosui.errors import InvalidAnswer
from aosui.events import Question
from aosui.protocol import MAX_ANSWERS_BYTES, encode_data

__all__ = ["AskedQuestion", "ClosedQuestion", "check_answers"]


@frozen
class ClosedQuestion:
    """How a question ended."""

    question_id: str
    run_id: str
    outcome: Literal["answered", "cancelled"]
    answers: Mapping[str, str | list[str]] | None
    by: str | None

    def details(self) -> dict[str, Any]:
        return {
            "questionId": self.question_id,
            "runId": self.run_id,
            "outcome": self.outcome,
            "answers": self.answers,
            "by": self.by,
        }


@frozen
class AskedQuestion:
    """An open question: `size` in bytes of JSON, `answers` is what its asker waits for."""

    question: Question
    size: int
    answers: asyncio.Future[Mapping[str, str | list[str]]]


def check_answers(question: Question, answers: Mapping[str, str | list[str]]) -> None:
    """Check answers against the prompts; raises `InvalidAnswer`, `details["answers"]` by prompt."""
    prompts = {prompt.prompt_id: prompt for prompt in question.prompts}
    wrong = {name: "there is no such prompt" for name in answers if name not in prompts}
    for prompt_id, prompt in prompts.items():
        answer = answers.get(prompt_id)
        values = answer if isinstance(answer, list) else [answer]
        known = {option.value for option in prompt.options}
        if answer is None:
            wrong[prompt_id] = "is not answered"
        elif isinstance(answer, list) != prompt.multiple:
            wrong[prompt_id] = "must be a list" if prompt.multiple else "must be one string"
        elif known and not prompt.allow_other and not known.issuperset(values):
            wrong[prompt_id] = "must be one of its options"
    if wrong:
        words = "; ".join(f"{name[:64]!r} {problem}" for name, problem in list(wrong.items())[:8])
        raise InvalidAnswer(
            f"the answers do not fit the question: {words}", details={"answers": wrong}
        )
    size = len(encode_data(answers, None, what="the answers"))
    if size > MAX_ANSWERS_BYTES:
        raise InvalidAnswer(
            f"the answers are {size} bytes: at most {MAX_ANSWERS_BYTES} are allowed"
        )
