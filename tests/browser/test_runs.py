"""Starting, steering and ending runs."""

from __future__ import annotations

import time
from collections.abc import Sequence

from playwright.async_api import expect

from aosui import ExecutorError, Param, Project, ProjectChannel, Run, Workflow

from ..support import Gate, Scripted
from .conftest import OpenWindow
from .desk import Desk


async def test_the_form_fits_the_parameters_and_remembers_but_no_secret(
    desk: Desk, open_window: OpenWindow, scripted: Scripted
) -> None:
    async def deploy(run: Run, channel: ProjectChannel) -> object:
        return {name: value for name, value in run.params.items() if name != "token"}

    scripted.add(
        "deploy",
        deploy,
        params=[
            Param("target", default="staging", choices=["staging", "production"]),
            Param("count", type="integer"),
            Param("dry", type="boolean", default=True),
            Param("notes", type="text", default=""),
            Param("token", secret=True, description="Of the host"),
        ],
    )
    await desk.start("site")
    window = await open_window()
    await window.sign_in()
    await window.tab("site").click()
    await window.panel.get_by_label("Find a workflow").fill("depl")
    await expect(window.panel.locator(".workflow-link")).to_have_count(1)
    await window.page.keyboard.press("Enter")
    start = window.panel.get_by_role("button", name="Start", exact=True)
    await start.click()
    await expect(window.panel.locator(".field .problem").nth(1)).to_have_text("count is needed.")
    await expect(window.panel.get_by_label("count")).to_be_focused()
    await window.panel.get_by_label("count").fill("3")
    await window.panel.get_by_label("target").select_option("production")
    await window.panel.get_by_label("dry").uncheck()
    await window.panel.get_by_label("notes").fill("two\nlines")
    await window.panel.get_by_label("token").fill("s3cr3t")
    await start.click()
    await expect(window.state).to_have_text("done")
    assert dict(scripted.started[0].params) == {
        "target": "production",
        "count": 3,
        "dry": False,
        "notes": "two\nlines",
        "token": "s3cr3t",
    }
    await expect(window.panel.locator(".facts")).to_contain_text("•••")
    await expect(window.panel.locator(".outcome pre")).to_contain_text('"count": 3')
    await window.page.reload()
    await window.panel.get_by_role("link", name="Start again…").click()
    await expect(window.panel.get_by_label("count")).to_have_value("3")
    await expect(window.panel.get_by_label("target")).to_have_value("production")
    await expect(window.panel.get_by_label("dry")).not_to_be_checked()
    await expect(window.panel.get_by_label("token")).to_have_value("")
    stored = await window.page.evaluate("JSON.stringify(localStorage)")
    assert "s3cr3t" not in stored
    assert "a-token-for-tests-only" not in stored


async def test_a_retry_asks_for_the_secrets_again(
    desk: Desk, open_window: OpenWindow, scripted: Scripted
) -> None:
    async def login(run: Run, channel: ProjectChannel) -> object:
        if run.params["password"] != "right":
            raise ExecutorError("the password is wrong", code="wrongPassword", retryable=True)
        return None

    scripted.add("login", login, params=[Param("password", secret=True)])
    await desk.start("site")
    window = await open_window()
    await window.sign_in()
    await window.start("site", "login", password="wrong")
    await expect(window.state).to_have_text("failed")
    await expect(window.panel.locator(".outcome.failed")).to_contain_text("the password is wrong")
    failed = window.page.url
    await window.panel.get_by_role("button", name="Retry").click()
    dialog = window.page.get_by_role("dialog")
    await dialog.get_by_label("password").fill("right")
    await dialog.get_by_role("button", name="Retry").click()
    await expect(window.state).to_have_text("done")
    assert window.page.url != failed
    await window.panel.get_by_role("link", name="an earlier run").click()
    await expect(window.state).to_have_text("failed")


async def test_progress_and_elapsed_time(
    desk: Desk, open_window: OpenWindow, scripted: Scripted
) -> None:
    gate = Gate()

    async def count(run: Run, channel: ProjectChannel) -> object:
        await channel.progress(3, 10, message="packing")
        return await gate(run, channel)

    scripted.add("count", count)
    await desk.start("site")
    window = await open_window()
    await window.sign_in()
    await window.start("site", "count")
    bar = window.panel.get_by_role("progressbar", name="Progress")
    await expect(bar).to_have_attribute("max", "10")
    assert await bar.evaluate("bar => bar.value") == 3
    await expect(window.panel.locator(".progress-line output")).to_have_text("3 of 10 · packing")
    before = await window.panel.locator(".elapsed").text_content()
    await expect(window.panel.locator(".elapsed")).not_to_have_text(before or "")
    gate.open()
    await expect(window.state).to_have_text("done")
    await expect(bar).to_be_hidden()


async def test_cancel_takes_two_steps(
    desk: Desk, open_window: OpenWindow, scripted: Scripted
) -> None:
    gate = Gate()
    scripted.add("hold", gate)
    await desk.start("site")
    window = await open_window()
    await window.sign_in()
    await window.start("site", "hold")
    await expect(window.state).to_have_text("running")
    await window.panel.get_by_role("button", name="Cancel").click()
    await window.panel.get_by_role("button", name="Let it run").click()
    await expect(window.state).to_have_text("running")
    await window.panel.get_by_role("button", name="Cancel").click()
    await expect(window.panel.get_by_role("button", name="Yes, cancel")).to_be_focused()
    await window.page.keyboard.press("Enter")
    await expect(window.state).to_have_text("cancelled")


async def test_a_line_is_sent_to_the_run(
    desk: Desk, open_window: OpenWindow, scripted: Scripted
) -> None:
    async def echo(run: Run, channel: ProjectChannel) -> object:
        async for text in channel.inputs():
            await channel.output(f"you said {text}")
            return None
        return None

    scripted.add("echo", echo)
    await desk.start("site")
    window = await open_window()
    await window.sign_in()
    await window.start("site", "echo")
    field = window.panel.get_by_label("Input for the run")
    await field.fill("hello")
    await field.press("Enter")
    await expect(window.lines).to_have_text(["you said hello"])
    await expect(window.state).to_have_text("done")
    await expect(field).to_be_hidden()


async def test_workflows_that_cannot_be_listed_are_named_beside_the_others(
    desk: Desk, open_window: OpenWindow
) -> None:
    class Broken(Scripted):
        async def workflows(self, project: Project) -> Sequence[Workflow]:
            raise RuntimeError("no luck")

    desk.add_executor("broken", Broken())
    await desk.start("site")
    window = await open_window()
    await window.sign_in()
    await window.tab("site").click()
    await expect(window.panel.locator(".outcome.failed")).to_contain_text(
        "The workflows of broken could not be listed"
    )
    await expect(window.panel.locator(".workflow-link").first).to_be_visible()


async def test_an_executor_that_cannot_be_used_is_named_above_everything(
    desk: Desk, open_window: OpenWindow
) -> None:
    class Elder(Scripted):
        api_version = 99

    desk.add_executor("elder", Elder())
    await desk.start("site")
    window = await open_window()
    await window.sign_in()
    banner = window.page.locator(".banner")
    await expect(banner).to_contain_text("The executor elder")
    await expect(banner).to_contain_text("does not fit this version of aosui")
    await banner.get_by_text("Why").click()
    await expect(banner.locator("pre")).to_contain_text("api_version 99")
    await banner.get_by_role("button", name="Dismiss").click()
    await expect(banner).to_have_count(0)


async def test_an_executor_that_blocks_the_server_is_named_with_advice(
    desk: Desk, open_window: OpenWindow, scripted: Scripted
) -> None:
    async def block(run: Run, channel: ProjectChannel) -> object:
        time.sleep(1.5)  # noqa: ASYNC251  the bug that is to be seen
        return None

    scripted.add("block", block)
    await desk.start("site")
    window = await open_window()
    await window.sign_in()
    await window.start("site", "block")
    banner = window.page.locator(".banner")
    await expect(banner).to_contain_text("The executor test")
    await expect(banner).to_contain_text('isolation = "process"')
