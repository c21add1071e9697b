"""Several projects in one window: tabs, real workflows, and what a reload remembers."""

from __future__ import annotations

import re

from playwright.async_api import expect

from ..support import Scripted, eventually
from .conftest import OpenWindow
from .desk import Desk


async def test_a_real_workflow_in_each_of_two_projects(desk: Desk, open_window: OpenWindow) -> None:
    await desk.start("site", "api")
    window = await open_window()
    await window.sign_in()
    assert "token" not in window.page.url
    await expect(window.page.get_by_role("tab")).to_have_count(2)

    await window.start("site", "build")
    await expect(window.state).to_have_text("done")
    await expect(window.lines).to_have_text(["compiling one", "compiling two", "compiling three"])
    await expect(window.lines.first.locator(".fg-2")).to_have_text("compiling")

    await window.start("api", "broken")
    await expect(window.state).to_have_text("failed")
    await expect(window.panel.locator(".outcome.failed")).to_contain_text("exited with 2")
    await expect(window.lines.first).to_have_text("about to fail")

    await window.tab("site").click()
    await expect(window.lines).to_have_count(3)
    assert {re.search(r"projectId=([\w-]+)", socket.url).group(1) for socket in window.sockets} == {  # type: ignore[union-attr]
        desk.id_of("site"),
        desk.id_of("api"),
    }


async def test_a_run_goes_on_while_the_user_looks_elsewhere(
    desk: Desk, open_window: OpenWindow
) -> None:
    await desk.start("site", "api")
    window = await open_window()
    await window.sign_in()
    await window.start("site", "slow")
    await expect(window.lines).to_have_text(["begun"])
    await window.tab("api").click()
    await expect(window.tab("site").locator(".word")).to_have_text("running")
    await expect(window.page).to_have_title("▸ api · aosui")
    (desk.root("site") / "go-on").touch()
    await expect(window.tab("site").locator(".word")).to_have_text("done")
    await expect(window.tab("site").locator(".unread")).to_contain_text("1")
    await expect(window.page).to_have_title("(1) done · api · aosui")
    icon = await window.page.locator("link[rel=icon]").get_attribute("href")
    assert icon is not None
    assert icon.startswith("data:image/png")
    await window.tab("site").click()
    await expect(window.lines).to_have_text(["begun", "ended"])
    await expect(window.tab("site").locator(".word")).to_have_text("idle")


async def test_closing_a_tab_closes_its_socket_and_nothing_else(
    desk: Desk, open_window: OpenWindow
) -> None:
    await desk.start("site", "api")
    window = await open_window()
    await window.sign_in()
    await window.start("api", "slow")
    await window.start("site", "slow")
    await desk.connected(2)
    await window.panel.get_by_role("button", name="Close tab").click()
    await desk.connected(1)
    await expect(window.page.get_by_role("tab")).to_have_count(1)
    await expect(window.tab("api")).to_have_attribute("aria-selected", "true")

    await window.page.get_by_role("button", name="Open a project").click()
    await window.page.get_by_role("dialog").get_by_role("button", name="site").click()
    await expect(window.panel.locator("h1")).to_have_text("site")
    await expect(window.state).to_have_text("running")
    (desk.root("site") / "go-on").touch()
    await expect(window.lines).to_have_text(["begun", "ended"])


async def test_a_reload_brings_back_tabs_place_and_output(
    desk: Desk, open_window: OpenWindow
) -> None:
    await desk.start("site", "api", "docs")
    window = await open_window()
    await window.sign_in()
    await window.start("api", "build")
    await expect(window.state).to_have_text("done")
    place = window.page.url
    assert re.search(r"#/p/api-\w+/r/\w+$", place)
    await window.tab("docs").focus()
    await window.page.keyboard.press("Delete")
    await expect(window.page.get_by_role("tab")).to_have_count(2)
    await window.tab("api").click()
    sockets = len(window.sockets)
    await window.page.reload()
    await expect(window.tab("api")).to_have_attribute("aria-selected", "true")
    assert window.page.url == place
    await expect(window.lines).to_have_count(3)
    await expect(window.page.get_by_role("tab")).to_have_count(2)
    # Restoring a tab is not opening: nothing runs, so nothing connects.
    await expect(window.pill).to_have_text("idle")
    assert len(window.sockets) == sockets


async def test_ten_projects_of_which_three_run_hold_three_sockets(
    desk: Desk, open_window: OpenWindow
) -> None:
    names = [f"project-{number}" for number in range(10)]
    await desk.start(*names, dormant_after=0.5)
    window = await open_window()
    await window.sign_in()
    for name in names:
        await window.start(name, "slow" if name in names[:3] else "build")
    await expect(window.state).to_have_text("done")
    await desk.connected(3)
    await eventually(lambda: len(window.open_sockets) == 3)
    await expect(window.pill).to_have_text("idle")
    await window.tab(names[0]).click()
    await expect(window.pill).to_have_text("live")
    for name in names[:3]:
        (desk.root(name) / "go-on").touch()
    await desk.connected(0)
    await expect(window.lines).to_have_text(["begun", "ended"])
    await eventually(lambda: not window.open_sockets)


async def test_a_project_is_opened_by_its_path_or_said_why_not(
    desk: Desk, open_window: OpenWindow
) -> None:
    await desk.start("site")
    new = desk.root("new")
    window = await open_window()
    await window.sign_in()
    await window.page.keyboard.press("o")
    dialog = window.page.get_by_role("dialog")
    field = dialog.get_by_label("Directory on the server's machine")
    for root, words in {
        str(desk.folder / "nowhere"): "There is no directory",
        "/etc": "outside the directories",
        "nothing like it": "Type the whole path",
    }.items():
        await field.fill(root)
        await field.press("Enter")
        await expect(dialog.locator(".problem")).to_contain_text(words)
    await field.fill(f"{new}/")
    await field.press("Enter")
    await expect(window.panel.locator("h1")).to_have_text("new")
    await expect(window.page.get_by_role("tab")).to_have_count(2)
    # One that is open already is shown, not opened twice.
    await window.page.keyboard.press("o")
    await field.fill(str(desk.root("site")))
    await field.press("Enter")
    await expect(window.panel.locator("h1")).to_have_text("site")
    await expect(window.page.get_by_role("tab")).to_have_count(2)


async def test_a_project_that_has_gone_says_so_and_goes(
    desk: Desk, open_window: OpenWindow
) -> None:
    await desk.start("site", "api")
    window = await open_window()
    await window.sign_in()
    await window.start("api", "slow")
    await window.tab("site").click()
    await desk.registry.close(desk.id_of("api"), cancel=True)
    await expect(window.page.get_by_role("tab")).to_have_count(1)
    await expect(window.page.locator(".toast")).to_contain_text("api is no longer open")


async def test_an_old_permalink_finds_its_run(
    desk: Desk, open_window: OpenWindow, scripted: Scripted
) -> None:
    async def quick(run: object, channel: object) -> None:
        return None

    scripted.add("quick", quick)
    await desk.start("site")
    project_id = desk.id_of("site")
    runs = [await desk.registry.start_run(project_id, "test:quick", {}) for _ in range(30)]
    window = await open_window()
    await window.sign_in(f"#/p/{project_id}/r/{runs[0]}")
    await expect(window.state).to_have_text("done")
    await expect(window.panel.locator(".run-item[aria-current=page]")).to_be_visible()
    await window.panel.get_by_role("button", name="Older runs…").click()
    await expect(window.panel.locator(".run-item")).to_have_count(30)
    await window.go(f"#/p/{project_id}/r/never-was")
    await expect(window.panel).to_contain_text("not kept any more")


async def test_nothing_open_shows_the_command(desk: Desk, open_window: OpenWindow) -> None:
    await desk.start()
    window = await open_window()
    await window.page.goto(f"{desk.url}#token=a-token-for-tests-only")
    await expect(window.page.locator(".empty code").first).to_contain_text("aosui ~/work/site")


async def test_notifications_are_off_until_asked_for(desk: Desk, open_window: OpenWindow) -> None:
    await desk.start("site")
    window = await open_window(permissions=["notifications"])
    await window.sign_in()
    bell = window.page.get_by_role("button", name="Notifications")
    await expect(bell).to_have_attribute("aria-pressed", "false")
    await bell.click()
    await expect(bell).to_have_attribute("aria-pressed", "true")
    await expect(window.page.locator(".toast")).to_contain_text("You will be notified")
    await window.page.reload()
    await expect(bell).to_have_attribute("aria-pressed", "true")
    await bell.click()
    await expect(bell).to_have_attribute("aria-pressed", "false")


async def test_what_the_application_says_is_shown(desk: Desk, open_window: OpenWindow) -> None:
    await desk.start("site")
    window = await open_window()
    await window.sign_in()
    await window.start("site", "slow")
    await desk.registry.send_to_project(desk.id_of("site"), "app.deployed", {"version": "1.4"})
    notice = window.panel.locator(".notices li")
    await expect(notice).to_contain_text("app.deployed")
    await expect(notice).to_contain_text('"version": "1.4"')
    await notice.get_by_role("button", name="Dismiss").click()
    await expect(notice).to_have_count(0)
    (desk.root("site") / "go-on").touch()
