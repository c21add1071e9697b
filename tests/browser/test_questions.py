"""Questions: from the run, from the tab strip, from two windows; the first answer wins."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from playwright.async_api import expect

from aosui import Option, ProjectChannel, Prompt, Run

from ..support import Scripted
from .conftest import OpenWindow
from .desk import Desk

Answers = list[Mapping[str, str | list[str]]]


@pytest.fixture
def answers(scripted: Scripted) -> Answers:
    """What the questions of the workflows `sure` and `plan` were answered with."""
    given: Answers = []

    async def sure(run: Run, channel: ProjectChannel) -> object:
        given.append(
            await channel.ask(
                Prompt("sure", "Publish it?", options=["yes", "no"], allow_other=False)
            )
        )
        return None

    async def plan(run: Run, channel: ProjectChannel) -> object:
        options = [Option("pg", "PostgreSQL", "What production uses"), Option("lite", "SQLite")]
        given.append(
            await channel.ask(
                Prompt("base", "Which database?", header="Database", options=options),
                Prompt("steps", "Which steps?", options=["schema", "data"], multiple=True),
                Prompt("why", "Why?"),
            )
        )
        return None

    scripted.add("sure", sure)
    scripted.add("plan", plan)
    return given


async def test_a_question_is_answered_in_its_run(
    desk: Desk, open_window: OpenWindow, answers: Answers
) -> None:
    await desk.start("site")
    window = await open_window()
    await window.sign_in()
    await window.start("site", "plan")
    await expect(window.state).to_have_text("needs answer")
    await expect(window.page).to_have_title("(1) needs you · site · aosui")
    question = window.panel.locator("aosui-question")
    await question.get_by_role("button", name="Answer").click()
    await expect(question.locator(".problem")).to_have_text("Every question needs an answer.")
    await question.get_by_role("radio", name="PostgreSQL").check()
    await question.get_by_label("schema").check()
    await question.get_by_label("Another answer").nth(1).fill("indexes")
    await question.get_by_label("Why?").fill("because")
    await question.get_by_role("button", name="Answer").click()
    await expect(window.state).to_have_text("done")
    assert answers == [{"base": "pg", "steps": ["schema", "indexes"], "why": "because"}]
    await expect(window.lines.last).to_contain_text("Answered")


async def test_questions_survive_a_reload_and_are_answered_from_the_tab_strip(
    desk: Desk, open_window: OpenWindow, answers: Answers
) -> None:
    await desk.start("site", "api", "docs")
    window = await open_window()
    await window.sign_in()
    await window.start("site", "sure")
    await window.start("api", "sure")
    await window.tab("docs").click()
    await expect(window.tab("site").locator(".word")).to_have_text("needs answer")
    await window.page.reload()
    await expect(window.tab("api").locator(".word")).to_have_text("needs answer")
    await window.button("2 questions").click()
    dialog = window.page.get_by_role("dialog")
    await expect(dialog.locator("aosui-question")).to_have_count(2)
    first, second = dialog.locator("aosui-question").first, dialog.locator("aosui-question").last
    await expect(first.locator(".origin")).to_contain_text("site")
    await expect(second.locator(".origin")).to_contain_text("api")
    await second.get_by_role("button", name="no").click()
    await expect(second).to_contain_text("Answered: no")
    await first.get_by_role("button", name="yes").click()
    await expect(first).to_contain_text("Answered: yes")
    await window.page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(window.tab("site").locator(".word")).to_have_text("done")
    await expect(window.page.locator("aosui-tools .needs")).to_be_hidden()
    assert answers == [{"sure": "no"}, {"sure": "yes"}]


async def test_the_first_answer_wins_and_the_other_window_is_told(
    desk: Desk, open_window: OpenWindow, answers: Answers
) -> None:
    await desk.start("site")
    first = await open_window()
    await first.sign_in()
    await first.start("site", "sure")
    await expect(first.state).to_have_text("needs answer")
    second = await open_window()
    await second.sign_in(f"#{first.page.url.partition('#')[2]}")
    question = second.panel.locator("aosui-question")
    await expect(question).to_contain_text("Publish it?")
    await first.panel.get_by_role("button", name="no").click()
    await expect(first.state).to_have_text("done")
    await expect(question).to_contain_text("Somebody was faster.")
    await expect(question).to_contain_text("no")
    await expect(question.get_by_role("button", name="yes")).to_be_hidden()
    assert answers == [{"sure": "no"}]


async def test_a_question_that_is_taken_back_says_so(
    desk: Desk, open_window: OpenWindow, answers: Answers
) -> None:
    await desk.start("site")
    window = await open_window()
    await window.sign_in()
    await window.start("site", "sure")
    await expect(window.state).to_have_text("needs answer")
    await window.panel.get_by_role("button", name="Cancel").click()
    await window.panel.get_by_role("button", name="Yes, cancel").click()
    await expect(window.state).to_have_text("cancelled")
    await expect(window.panel.locator("aosui-question")).to_contain_text("No longer asked.")
    assert answers == []
