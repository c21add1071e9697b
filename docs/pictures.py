"""
Draw the pictures of the README and the docs, from real runs on a copy of this project.

    .venv/bin/python docs/pictures.py [FOLDER]

Needs Debian's chromium, `git`, and what `make test` installs into `node_modules`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from aosui_shell import ShellExecutor
from playwright.async_api import Browser, Page, async_playwright, expect

import aosui

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "examples"))

from countdown import CountdownExecutor  # noqa: E402
from release import ReleaseExecutor  # noqa: E402

TOKEN = "a-token-for-pictures"
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--force-color-profile=srgb"]
WIDE = {"width": 1120, "height": 620}
PHONE = {"width": 390, "height": 780}


def copy_projects(folder: Path) -> list[Path]:
    """Copy this project and, under other names, its sample; nothing is drawn on the originals."""
    own = folder / "aosui"
    own.mkdir()
    archive = subprocess.run(
        ["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    subprocess.run(["tar", "-x"], cwd=own, input=archive, check=True)
    (own / "node_modules").symlink_to(ROOT / "node_modules")
    roots = [own]
    for name in ("site", "api", "billing", "search"):
        roots.append(folder / name)
        shutil.copytree(ROOT / "examples" / "sample", roots[-1])
    return roots


@asynccontextmanager
async def serve(roots: list[Path]) -> AsyncIterator[tuple[str, aosui.ProjectRegistry]]:
    os.environ["AOSUI_PYTHON"] = sys.executable
    app = aosui.create_app(
        token=TOKEN,
        projects=roots,
        executors={
            "shell": ShellExecutor(),
            "release": ReleaseExecutor(),
            "countdown": CountdownExecutor(),
        },
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    yield f"http://127.0.0.1:{port}/", aosui.get_registry(app)
    await runner.cleanup()


class Painter:
    """Opens windows on the server and takes their pictures."""

    def __init__(self, browser: Browser, url: str, folder: Path) -> None:
        self.browser = browser
        self.url = url
        self.folder = folder

    async def window(
        self, scheme: str = "light", size: dict[str, int] = WIDE, scale: float = 1.25
    ) -> Page:
        context = await self.browser.new_context(
            viewport={"width": size["width"], "height": size["height"]},
            color_scheme="dark" if scheme == "dark" else "light",
            device_scale_factor=scale,
            has_touch=size is PHONE,
            is_mobile=size is PHONE,
        )
        page = await context.new_page()
        page.set_default_timeout(120_000)
        await page.goto(f"{self.url}#token={TOKEN}")
        await page.get_by_role("tab").first.wait_for()
        return page

    async def go(self, page: Page, place: str, ready: str) -> None:
        await page.evaluate("place => { location.hash = place }", place)
        await page.locator(f"main > :not([hidden]) {ready}").first.wait_for()

    async def take(self, page: Page, name: str) -> None:
        # Two frames after what was waited for: a scroll bar or a colour may still settle.
        await page.evaluate(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        path = self.folder / f"{name}.png"
        await page.screenshot(path=path, scale="device")
        print(f"{path.name}: {path.stat().st_size // 1024} KiB")  # noqa: T201


async def paint(painter: Painter, registry: aosui.ProjectRegistry) -> None:
    ids = {project.name: project.id for project in registry}
    watching = await painter.window()
    passed = await registry.start_run(ids["aosui"], "shell:npm:test", {})
    await painter.go(watching, f"#/p/{ids['aosui']}/r/{passed}", ".state-chip.state-succeeded")
    failed = await registry.start_run(ids["api"], "shell:make:flaky", {})
    await painter.go(watching, f"#/p/{ids['api']}/r/{failed}", ".state-chip.state-failed")
    asked = await registry.start_run(ids["site"], "release:release", {"version": "1.4"})
    await registry.start_run(ids["billing"], "shell:make:watch", {})
    await registry.start_run(ids["aosui"], "countdown:countdown", {"start": 40})
    built = await registry.start_run(ids["aosui"], "shell:npm:test", {})

    light, dark = await painter.window(), await painter.window("dark")
    phone = await painter.window(size=PHONE, scale=1.5)
    for page in (light, dark, phone):
        await painter.go(page, f"#/p/{ids['aosui']}/r/{built}", ".line:nth-child(12)")
        await expect(page.get_by_role("tab").nth(1).locator(".word")).to_have_text("needs answer")
    await painter.take(light, "run-light")
    await painter.take(dark, "run-dark")
    await painter.take(phone, "phone-run")
    await painter.go(light, "#/", ".card.waiting .card-runs a")
    await painter.take(light, "overview")
    await painter.go(phone, "#/", ".card.waiting .card-runs a")
    await painter.take(phone, "phone-overview")
    await painter.go(light, f"#/p/{ids['site']}/r/{asked}", "aosui-question")
    await painter.take(light, "question")
    await painter.go(dark, f"#/p/{ids['api']}/r/{failed}", ".outcome.failed")
    await painter.take(dark, "failure-dark")
    await painter.go(light, f"#/p/{ids['api']}/r/{failed}", ".outcome.failed")
    await painter.take(light, "failure")
    await painter.go(light, f"#/p/{ids['aosui']}/start", ".workflow-link")
    await painter.take(light, "start")


async def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="work-") as work:
        roots = copy_projects(Path(work))
        async with serve(roots) as (url, registry), async_playwright() as playwright:
            path = shutil.which("chromium")
            if path is None:
                sys.exit("chromium is not installed: apt-get install chromium")
            browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
            await paint(Painter(browser, url, folder), registry)
            await browser.close()


if __name__ == "__main__":
    images = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images"
    images.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(images))
