"""Keyboard only, phone, dark, screen readers: nobody is left outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from aosui import ExecutorError, Param, ProjectChannel, Prompt, Run

from ..support import Gate, Scripted
from ..test_js_client import ROOT, need
from .conftest import OpenWindow
from .desk import Desk, Window

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
COLOURS = "".join(
    f"\x1b[{code}mcolour {code}\x1b[0m\n" for code in (*range(30, 38), *range(90, 98))
)
OWN = "".join(f"\x1b[38;5;{code}mcolour {code}\x1b[0m " for code in range(16, 256, 5)) + "\n"


async def violations(window: Window) -> list[str]:
    """What axe-core finds wrong, in words."""
    found: dict[str, Any] = await window.page.evaluate(
        "axe.run(document, {resultTypes: ['violations']})"
    )
    return [
        f"{each['id']}: {each['help']}: {[node['html'][:200] for node in each['nodes']]}"
        for each in found["violations"]
    ]


@pytest.fixture
def busy(scripted: Scripted) -> Gate:
    """Workflows of every kind; runs hold until the gate opens."""
    gate = Gate()

    async def build(run: Run, channel: ProjectChannel) -> object:
        await channel.output(COLOURS + OWN)
        await channel.event("note", {"text": "an event"})
        await channel.progress(1, 3, message="compiling")
        return await gate(run, channel)

    async def ask(run: Run, channel: ProjectChannel) -> object:
        return await channel.ask(
            Prompt("sure", "Sure?", options=["yes", "no"]), Prompt("why", "Why?", header="Reason")
        )

    async def fail(run: Run, channel: ProjectChannel) -> object:
        await channel.output("it will not go well\n", stream="stderr")
        raise ExecutorError("it did not go well", details={"exitCode": 1})

    scripted.add("compile", build)
    scripted.add("ask", ask)
    scripted.add(
        "fail",
        fail,
        params=[
            Param("why", default="", description="Some reason"),
            Param("often", type="integer", default=1),
            Param("really", type="boolean", default=False),
            Param("which", default="a", choices=["a", "b"]),
            Param("long", type="text", default=""),
        ],
    )
    return gate


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
async def test_axe_finds_nothing(
    desk: Desk, open_window: OpenWindow, busy: Gate, scheme: str, width: int
) -> None:
    need(AXE.exists(), "`npm install` has not brought axe-core")
    await desk.start("site", "api", "a-project-with-a-very-long-name-indeed")
    window = await open_window(
        color_scheme=scheme, viewport={"width": width, "height": 800}, reduced_motion="reduce"
    )
    await window.page.context.add_init_script(path=AXE)
    await window.sign_in()
    site = desk.id_of("site")
    start = desk.registry.start_run
    runs = {name: await start(site, f"test:{name}", {}) for name in ("compile", "ask", "fail")}
    places = {
        "overview": "#/",
        "project": f"#/p/{site}",
        "start": f"#/p/{site}/start",
        "form": f"#/p/{site}/start/test:fail",
        **{name: f"#/p/{site}/r/{run_id}" for name, run_id in runs.items()},
        "no such run": f"#/p/{site}/r/none",
    }
    ready = {
        "overview": ".card",
        "project": ".run-item",
        "start": ".workflow-link",
        "form": ".field",
        "compile": ".mark.event",
        "ask": "aosui-question",
        "fail": ".outcome.failed",
        "no such run": ".empty h2",
    }
    for name, place in places.items():
        await window.go(place)
        await window.page.locator(f"main > :not([hidden]) {ready[name]}").first.wait_for()
        assert await violations(window) == [], name
        wide = await window.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, name
    for key, title in {"o": "Open a project", "q": "Questions", "?": "Keys"}.items():
        await window.page.locator("main").focus()
        await window.page.keyboard.press(key)
        dialog = window.page.get_by_role("dialog", name=title)
        await dialog.wait_for()
        assert await violations(window) == [], title
        await dialog.get_by_role("button", name="Close", exact=True).click()
        await expect(dialog).to_have_count(0)
    busy.open()


async def test_keyboard_only(desk: Desk, open_window: OpenWindow, busy: Gate) -> None:
    await desk.start("site", "api")
    window = await open_window()
    await window.sign_in()
    press = window.page.keyboard.press

    # The first key press of a user who cannot see: past the bar.
    await press("Tab")
    await expect(window.page.locator(".skip")).to_be_focused()
    await press("Tab")
    await press("Tab")
    await expect(window.tab("site")).to_be_focused()
    await press("ArrowRight")
    await expect(window.tab("api")).to_be_focused()
    await expect(window.tab("api")).to_have_attribute("aria-selected", "true")
    await press("Home")
    await expect(window.tab("site")).to_have_attribute("aria-selected", "true")

    await press("s")
    await expect(window.panel.get_by_label("Find a workflow")).to_be_focused()
    await window.page.keyboard.type("compile")
    await press("Enter")
    await expect(window.panel.get_by_role("button", name="Start", exact=True)).to_be_focused()
    await press("Enter")
    await expect(window.state).to_have_text("running")
    await press("c")
    await expect(window.panel.get_by_role("button", name="Yes, cancel")).to_be_focused()
    await press("Escape")
    await expect(window.panel.get_by_role("button", name="Cancel", exact=True)).to_be_focused()
    await press("/")
    await expect(window.panel.get_by_label("Find in output")).to_be_focused()
    await window.page.keyboard.type("colour 95")
    await expect(window.panel.locator(".hits")).to_have_text("1 of 1")
    await press("Escape")
    await window.panel.locator(".screen").focus()

    await press("s")
    await window.page.keyboard.type("ask")
    await press("Enter")
    await expect(window.panel.locator(".start h2")).to_contain_text("ask")
    await expect(window.panel.get_by_role("button", name="Start", exact=True)).to_be_focused()
    await press("Enter")
    await expect(window.state).to_have_text("needs answer")
    await press("2")
    await expect(window.tab("api")).to_have_attribute("aria-selected", "true")
    await press("q")
    dialog = window.page.get_by_role("dialog")
    await expect(dialog.get_by_role("radio", name="yes")).to_be_focused()
    await press("ArrowDown")
    await expect(dialog.get_by_role("radio", name="no", exact=True)).to_be_checked()
    await dialog.get_by_label("Why?").press("x")
    await press("Control+Enter")
    await expect(dialog.locator("aosui-question")).to_contain_text("Answered: no")
    await press("Escape")
    await expect(dialog).to_have_count(0)

    await press("[")
    await expect(window.tab("site")).to_have_attribute("aria-selected", "true")
    await expect(window.state).to_have_text("done")
    await press("j")
    await expect(window.state).to_have_text("running")
    await press("?")
    await expect(dialog).to_contain_text("This help")
    await press("Escape")
    busy.open()
    await window.tab("site").focus()
    await press("Delete")
    await expect(window.page.get_by_role("tab")).to_have_count(1)
    await expect(window.tab("api")).to_be_focused()


async def test_single_keys_can_be_switched_off(desk: Desk, open_window: OpenWindow) -> None:
    await desk.start("site")
    window = await open_window()
    await window.sign_in()
    await window.page.keyboard.press("?")
    await window.page.get_by_label("Single keys do this").uncheck()
    await window.page.keyboard.press("Escape")
    await expect(window.page.get_by_role("dialog")).to_have_count(0)
    await window.page.keyboard.press("o")
    await window.page.keyboard.press("?")
    await expect(window.page.get_by_role("dialog", name="Keys")).to_be_visible()
    await expect(window.page.get_by_role("dialog")).to_have_count(1)


async def test_a_phone(desk: Desk, open_window: OpenWindow, busy: Gate) -> None:
    await desk.start("site", "api", "docs")
    window = await open_window(
        viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True
    )
    await window.sign_in()
    await window.tab("site").tap()
    await window.panel.locator(".workflow-link", has_text="compile").tap()
    await window.panel.get_by_role("button", name="Start", exact=True).tap()
    await expect(window.state).to_have_text("running")
    await expect(window.panel.locator(".screen")).to_be_in_viewport()
    await window.panel.get_by_role("link", name="Runs").tap()
    await expect(window.panel.locator(".run-item")).to_be_in_viewport()
    await expect(window.panel.locator(".screen")).to_be_hidden()
    await window.panel.locator(".run-item").tap()
    busy.open()
    await expect(window.state).to_have_text("done")
    # Whatever is touched is large enough for a finger.
    for control in await window.panel.locator("button:visible, a.button:visible").all():
        box = await control.bounding_box()
        assert box is not None
        assert box["height"] >= 24, await control.text_content()


async def test_the_theme_is_chosen_and_kept(desk: Desk, open_window: OpenWindow) -> None:
    await desk.start("site")
    window = await open_window(color_scheme="light")
    await window.sign_in()

    async def background() -> str:
        return str(await window.page.evaluate("getComputedStyle(document.body).backgroundColor"))

    light = await background()
    await window.page.get_by_role("button", name="Theme: system").click()
    await window.page.get_by_role("button", name="Theme: light").click()
    dark = await background()
    assert dark != light
    await window.page.reload()
    await window.tab("site").wait_for()
    assert await background() == dark
    await window.page.get_by_role("button", name="Theme: dark").click()
    assert await background() == light


def test_the_page_has_nothing_from_elsewhere() -> None:
    web = Path(ROOT / "aosui" / "web")
    for path in web.rglob("*"):
        if path.suffix in {".js", ".css", ".html"}:
            text = path.read_text(encoding="utf-8")
            assert "innerHTML" not in text, path
            assert "//cdn" not in text, path
            for line in text.splitlines():
                if path.suffix == ".html":
                    assert 'src="/' not in line, path
                    assert 'href="/' not in line, path
