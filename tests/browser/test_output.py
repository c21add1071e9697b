"""Output: as text and nothing else, with its colours, a lot of it, followed and searched."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect

from aosui import ProjectChannel, Run

from ..support import Gate, Scripted
from .conftest import OpenWindow
from .desk import Desk

HOSTILE = (
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">\n"
    "\x1b]0;owned\x07title\n"
    "\x1b]52;c;b3duZWQ=\x07clipboard\n"
    "\x1b]8;;javascript:document.title='owned'\x1b\\link\x1b]8;;\x1b\\\n"
    "javascript:alert(1) https://example.org/\n"
    "\x1b[2J\x1b[H\x1b[31mred\x1b[0m\x1b[999;999Hplaced\n"
    "\x1b[38;2;1;2;3;url(https://example.org/)mcss\x1b[0m\n"
)


def writes(*texts: str) -> object:
    async def write(run: Run, channel: ProjectChannel) -> object:
        for text in texts:
            await channel.output(text)
        return None

    return write


async def test_hostile_output_is_text(
    desk: Desk, open_window: OpenWindow, scripted: Scripted
) -> None:
    async def hostile(run: Run, channel: ProjectChannel) -> object:
        await channel.output(HOSTILE)
        await channel.event("markup", {"text": "<b onclick=alert(1)>bold</b>"})
        await channel.progress(1, 2, message="<i>progress</i>")
        return {"html": "<script>document.title='owned'</script>"}

    scripted.add("hostile", hostile)
    await desk.start("site")
    window = await open_window(permissions=["clipboard-read", "clipboard-write"])
    await window.sign_in()
    await window.page.evaluate("navigator.clipboard.writeText('untouched')")
    requests: list[str] = []
    window.page.on("request", lambda request: requests.append(request.url))
    await window.start("site", "hostile")
    await expect(window.state).to_have_text("done")
    texts = await window.lines.all_text_contents()
    assert texts[:7] == [
        "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">",
        "title",
        "clipboard",
        "link",
        "javascript:alert(1) https://example.org/",
        "redplaced",
        # A sequence that is none ends where it is broken off.
        "rl(https://example.org/)mcss",
    ]
    assert "<b onclick=alert(1)>bold</b>" in texts[7]
    assert await window.panel.locator(".screen :is(a, img, script, b)").count() == 0
    assert "owned" not in await window.page.title()
    assert await window.page.evaluate("navigator.clipboard.readText()") == "untouched"
    assert all(url.startswith((desk.url, "blob:", "data:")) for url in requests)


async def test_progress_bars_look_right(
    desk: Desk, open_window: OpenWindow, scripted: Scripted
) -> None:
    bar = [f"\r\x1b[K{done:3d}% {'#' * (done // 10)}" for done in range(0, 101, 10)]
    scripted.add("bar", writes("start\r\n", *bar, "\r\n", "end\r\n"))  # type: ignore[arg-type]
    await desk.start("site")
    window = await open_window()
    await window.sign_in()
    await window.start("site", "bar")
    await expect(window.lines).to_have_text(["start", "100% ##########", "end"])


@pytest.mark.slow
async def test_fifty_thousand_coloured_lines(
    desk: Desk, open_window: OpenWindow, scripted: Scripted
) -> None:
    count = 50_000

    async def flood(run: Run, channel: ProjectChannel) -> object:
        for start in range(0, count, 100):
            await channel.output(
                "".join(
                    f"\x1b[3{number % 8}m{number:06d}\x1b[0m \x1b[38;5;{number % 256}mlorem"
                    f"\x1b[0m ipsum \x1b[1mdolor\x1b[0m\n"
                    for number in range(start, start + 100)
                )
            )
        return None

    scripted.add("flood", flood)
    await desk.start("site")
    run_id = await desk.registry.start_run(desk.id_of("site"), "test:flood", {})
    window = await open_window()
    await window.sign_in()
    await window.tab("site").click()
    await expect(window.state).to_have_text("done")
    await window.page.reload()
    await window.tab("site").wait_for()
    # From the click to the last line on the screen, by the page's own clock.
    seconds = await window.page.evaluate(
        """place => new Promise(resolve => {
            const begun = performance.now();
            location.hash = place;
            const look = () => {
                const count = document.querySelector("aosui-output .count")?.textContent;
                if (count !== "50,000 lines") return requestAnimationFrame(look);
                requestAnimationFrame(() => resolve((performance.now() - begun) / 1000));
            };
            look();
        })""",
        f"#/p/{desk.id_of('site')}/r/{run_id}",
    )
    assert seconds < 5
    await expect(window.lines.last).to_be_in_viewport()
    assert (await window.lines.last.text_content() or "").startswith("049999")
    assert await window.lines.count() == count

    find = window.panel.get_by_role("searchbox", name="Find in output")
    await find.fill("012345")
    await expect(window.panel.locator(".hits")).to_have_text("1 of 1")
    await expect(window.panel.locator(".line.current")).to_be_in_viewport()
    await expect(window.panel.locator(".line.current")).to_contain_text("012345")


async def test_the_view_follows_unless_one_scrolled_up(
    desk: Desk, open_window: OpenWindow, scripted: Scripted
) -> None:
    gate, last = Gate(), Gate()

    async def lines(run: Run, channel: ProjectChannel) -> object:
        for number in range(300):
            await channel.output(f"line {number}\n")
        await gate(run, channel)
        for number in range(300, 310):
            await channel.output(f"line {number}\n")
        return await last(run, channel)

    scripted.add("lines", lines)
    await desk.start("site")
    window = await open_window()
    await window.sign_in()
    await window.start("site", "lines")
    await expect(window.lines.last).to_have_text("line 299")
    await expect(window.lines.last).to_be_in_viewport()
    await window.panel.locator(".screen").evaluate("screen => { screen.scrollTop = 0 }")
    jump = window.panel.locator(".jump")
    await expect(jump).to_have_text("To the end")
    gate.open()
    await expect(jump).to_have_text("10 new lines")
    await expect(window.lines.first).to_be_in_viewport()
    await jump.click()
    await expect(window.lines.last).to_be_in_viewport()
    await expect(jump).to_be_hidden()
    last.open()


async def test_copy_and_download_give_plain_text(
    desk: Desk, open_window: OpenWindow, scripted: Scripted, tmp_path: Path
) -> None:
    scripted.add("say", writes("\x1b[31mred\x1b[0m\n", "two\n"))  # type: ignore[arg-type]
    await desk.start("site")
    window = await open_window(permissions=["clipboard-read", "clipboard-write"])
    await window.sign_in()
    await window.start("site", "say")
    await expect(window.lines).to_have_count(2)
    await window.button("Copy").click()
    await expect(window.button("Copied")).to_be_visible()
    assert await window.page.evaluate("navigator.clipboard.readText()") == "red\ntwo\n"
    async with window.page.expect_download() as download:
        await window.button("Download").click()
    path = tmp_path / "download"
    await (await download.value).save_as(path)
    assert path.read_text() == "red\ntwo\n"


async def test_what_was_missed_is_shown_as_missing_and_loaded(
    desk: Desk, open_window: OpenWindow, scripted: Scripted
) -> None:
    gate, last = Gate(), Gate()

    async def much(run: Run, channel: ProjectChannel) -> object:
        await channel.output("before\n")
        await gate(run, channel)
        # More than a server replays: 10,000 events.
        for number in range(11_000):
            await channel.output(f"missed {number}\n")
        return await last(run, channel)

    scripted.add("much", much)
    await desk.start("site")
    window = await open_window()
    await window.sign_in()
    await window.start("site", "much")
    await expect(window.lines).to_have_text(["before"])
    await window.page.context.set_offline(True)
    desk.cut()
    await expect(window.panel.locator(".pill")).not_to_have_class("pill live")
    gate.open()
    opened = desk.registry.opened(desk.id_of("site"))
    while last.holding == 0 or not opened.hub.quiet:
        await expect(window.panel.locator(".pill")).not_to_have_class("pill live")
    await window.page.context.set_offline(False)
    await expect(window.pill).to_have_text("live")
    gap = window.panel.locator(".mark.gap")
    await expect(gap).to_contain_text("Output may be missing here")
    await expect(window.lines.last).to_have_text("missed 10999")
    assert await window.lines.count() < 11_000
    await gap.get_by_role("button", name="Load what is missing").click()
    await expect(gap).to_have_count(0)
    texts = await window.lines.all_text_contents()
    assert texts == ["before", *(f"missed {number}" for number in range(11_000))]
    last.open()
