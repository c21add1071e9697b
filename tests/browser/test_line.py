"""The line breaks, the server goes away, the session ends: the page says so and goes on."""

from __future__ import annotations

import asyncio

from playwright.async_api import expect

from aosui import ProjectChannel, Run

from ..support import TOKEN, Scripted
from .conftest import OpenWindow
from .desk import Desk


class Ticks:
    """A behaviour that writes numbered lines until a test ends it."""

    def __init__(self) -> None:
        self.written = 0
        self.ended = False

    async def __call__(self, run: Run, channel: ProjectChannel) -> object:
        while not self.ended:
            await channel.output(f"tick {self.written}\n")
            self.written += 1
            await asyncio.sleep(0.005)
        return {"written": self.written}


async def test_a_cut_line_loses_nothing(
    desk: Desk, open_window: OpenWindow, scripted: Scripted
) -> None:
    ticks = Ticks()
    scripted.add("ticks", ticks)
    await desk.start("site")
    window = await open_window()
    await window.sign_in()
    await window.start("site", "ticks")
    await expect(window.lines.first).to_have_text("tick 0")
    for _ in range(3):
        before = len(window.sockets)
        desk.cut()
        await expect(window.pill).to_have_text("reconnecting")
        await expect(window.pill).to_have_text("live")
        assert len(window.sockets) > before
    ticks.ended = True
    await expect(window.state).to_have_text("done")
    expected = [f"tick {number}" for number in range(ticks.written)]
    await expect(window.lines).to_have_count(len(expected))
    assert await window.lines.all_text_contents() == expected
    await expect(window.panel.locator(".mark.gap")).to_have_count(0)


async def test_the_server_restarts_under_a_run(desk: Desk, open_window: OpenWindow) -> None:
    await desk.start("site")
    window = await open_window()
    await window.sign_in()
    await window.start("site", "slow")
    await expect(window.lines).to_have_text(["begun"])
    await desk.stop()
    await expect(window.page.locator(".banner")).to_contain_text("does not answer")
    await expect(window.panel.locator(".pill .detail").last).to_contain_text("as of")
    await expect(window.panel.locator(".columns")).to_have_class("columns stale")
    await desk.start("site")
    await expect(window.state).to_have_text("interrupted")
    await expect(window.page.locator(".banner")).to_have_count(0)
    await expect(window.panel.locator(".columns")).to_have_class("columns")
    await expect(window.lines.first).to_have_text("begun")
    (desk.root("site") / "go-on").touch()
    await window.panel.get_by_role("button", name="Retry").click()
    await expect(window.state).to_have_text("done")
    await expect(window.lines).to_have_text(["begun", "ended"])
    await expect(window.panel.locator(".facts")).to_contain_text("attempt 2")


async def test_a_start_while_offline_happens_once_when_the_server_is_back(
    desk: Desk, open_window: OpenWindow, scripted: Scripted
) -> None:
    ticks = Ticks()
    ticks.ended = True
    scripted.add("ticks", ticks)
    await desk.start("site")
    window = await open_window()
    await window.sign_in()
    await window.tab("site").click()
    await window.panel.locator(".workflow-link", has_text="ticks").click()
    start = window.panel.get_by_role("button", name="Start", exact=True)
    await start.wait_for()
    await desk.stop()
    await expect(window.page.locator(".banner")).to_contain_text("does not answer")
    await start.click()
    await expect(window.panel.get_by_role("button", name="Starts when")).to_be_disabled()
    await desk.start("site")
    await expect(window.state).to_have_text("done")
    assert len(scripted.started) == 1


async def test_a_session_that_ended_says_how_to_get_back(
    desk: Desk, open_window: OpenWindow
) -> None:
    await desk.start("site")
    window = await open_window()
    await window.sign_in()
    await window.start("site", "slow")
    await expect(window.state).to_have_text("running")
    await window.page.context.clear_cookies()
    for connection in desk.registry.connections():
        await connection.close()
    await expect(window.pill).to_have_text("signed out")
    await window.panel.get_by_role("button", name="how to get back").click()
    dialog = window.page.get_by_role("dialog")
    await expect(dialog).to_contain_text("aosui serve")
    field = dialog.get_by_label("paste that address")
    await field.fill("not-the-token-of-this-server")
    await field.press("Enter")
    await expect(dialog.locator(".problem")).to_have_text("This is not the server's token.")
    await field.fill(f"{desk.url}#token={TOKEN}")
    await field.press("Enter")
    await expect(dialog).to_have_count(0)
    await expect(window.pill).to_have_text("live")

    # Or the printed address is opened in the very window.
    await window.page.context.clear_cookies()
    for connection in desk.registry.connections():
        await connection.close()
    await expect(window.pill).to_have_text("signed out")
    place = window.page.url
    await window.page.goto(f"{desk.url}#token={TOKEN}")
    await expect(window.pill).to_have_text("live")
    assert window.page.url == place
    (desk.root("site") / "go-on").touch()
    await expect(window.lines).to_have_text(["begun", "ended"])


async def test_a_stranger_is_asked_for_the_token(desk: Desk, open_window: OpenWindow) -> None:
    await desk.start("site")
    window = await open_window()
    await window.page.goto(f"{desk.url}#token=a-token-of-another-server")
    dialog = window.page.get_by_role("dialog")
    await expect(dialog).to_contain_text("not this server's")
    assert "token" not in window.page.url
    await dialog.get_by_label("paste that address").fill(TOKEN)
    await dialog.get_by_role("button", name="Sign in").click()
    await expect(window.tab("site")).to_be_visible()


async def test_under_a_prefix_everything_works(desk: Desk, open_window: OpenWindow) -> None:
    await desk.start("site", prefix="/tools/aosui")
    window = await open_window()
    await window.sign_in()
    await window.start("site", "build")
    await expect(window.lines).to_have_count(3)


async def test_a_second_window_has_a_connection_of_its_own(
    desk: Desk, open_window: OpenWindow
) -> None:
    await desk.start("site")
    first = await open_window()
    await first.sign_in()
    await first.start("site", "slow")
    second = await open_window()
    await second.sign_in(first.page.url.partition("/#")[2].join(["#", ""]))
    await expect(second.lines).to_have_text(["begun"])
    await desk.connected(2)
    (desk.root("site") / "go-on").touch()
    for window in (first, second):
        await expect(window.lines).to_have_text(["begun", "ended"])
        await expect(window.state).to_have_text("done")
