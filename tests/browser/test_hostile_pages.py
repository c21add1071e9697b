"""Pages of others in the user's own browser, which sends our cookie along: refused, all of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from attrs import frozen
from playwright.async_api import Browser, async_playwright

from ..support import Gate, Scripted
from .conftest import ARGUMENTS, OpenWindow, find_chromium
from .desk import Desk, Window

REBOUND = "rebound.example"

ATTACK = """async ([url, projectId]) => {
    const tried = {};
    const start = JSON.stringify({ workflow: "test:hold", params: {} });
    const runs = `${url}api/projects/${projectId}/runs`;
    const get = async (path, options) => {
        try {
            const response = await fetch(path, { credentials: "include", ...options });
            return response.type === "opaque" ? "opaque" : response.status;
        } catch {
            return "refused";
        }
    };
    tried.socket = await new Promise((resolve) => {
        const socket = new WebSocket(`${url.replace("http", "ws")}ws?projectId=${projectId}`,
            ["aosui.v1"]);
        socket.onmessage = (event) => resolve(event.data);
        socket.onclose = (event) => resolve(event.code);
    });
    tried.read = await get(`${url}api/projects`);
    tried.health = await get(`${url}health`);
    tried.start = await get(runs, { method: "POST", body: start });
    tried.json = await get(runs, {
        method: "POST", body: start, headers: { "Content-Type": "application/json" },
    });
    tried.blind = await get(runs, { method: "POST", body: start, mode: "no-cors" });
    tried.remove = await get(`${url}api/projects/${projectId}`, { method: "DELETE" });
    tried.image = await new Promise((resolve) => {
        const image = new Image();
        image.onload = () => resolve("loaded");
        image.onerror = () => resolve("refused");
        image.src = `${url}icon.svg`;
    });
    tried.script = await new Promise((resolve) => {
        const script = document.createElement("script");
        script.onload = () => resolve("loaded");
        script.onerror = () => resolve("refused");
        script.src = `${url}page/early.js`;
        document.head.append(script);
    });
    return tried;
}"""

FORM = """([url, projectId]) => {
    const form = document.createElement("form");
    form.method = "post";
    form.enctype = "text/plain";
    form.action = `${url}api/projects/${projectId}/runs`;
    const field = document.createElement("input");
    field.name = '{"workflow": "test:hold", "params": {}, "x": "';
    field.value = '"}';
    form.append(field);
    document.body.append(form);
    form.submit();
}"""


@frozen
class Foreign:
    """Another application on this machine, at two ports; it notes the cookies that it gets."""

    urls: list[str]
    cookies: list[str]


@pytest.fixture
async def foreign() -> AsyncIterator[Foreign]:
    cookies: list[str] = []

    async def page(request: web.Request) -> web.Response:
        cookies.append(request.headers.get("Cookie", ""))
        return web.Response(text="<!doctype html><title>foreign</title>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app)
    await runner.setup()
    for _ in range(2):
        await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield Foreign([f"http://127.0.0.1:{port}/" for _, port in runner.addresses], cookies)
    await runner.cleanup()


@pytest.fixture
async def fooled_browser(desk: Desk) -> AsyncIterator[Browser]:
    """A browser whose name server says that a foreign name is this machine."""
    path = find_chromium()
    rules = f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=[*ARGUMENTS, rules])
        yield browser
        await browser.close()


async def test_a_page_on_another_port_gets_nothing_though_our_cookie_is_sent(
    desk: Desk, open_window: OpenWindow, scripted: Scripted, foreign: Foreign
) -> None:
    scripted.add("hold", Gate())
    await desk.start("site")
    window = await open_window()
    await window.sign_in()
    project_id = desk.id_of("site")
    assert await window.page.evaluate("async () => (await fetch('api/projects')).status") == 200

    page = await window.page.context.new_page()
    here, there = foreign.urls
    await page.goto(here)
    # A port is no part of a site: SameSite=Strict does not keep the cookie back.
    fetched = "url => fetch(url, { credentials: 'include', mode: 'no-cors' }).then(() => 1)"
    assert await page.evaluate(fetched, there) == 1
    assert f"aosui_{desk.port}=" in foreign.cookies[-1]
    tried = await page.evaluate(ATTACK, [desk.url, project_id])
    assert tried == {
        "socket": 1006,
        "read": "refused",
        "health": "refused",
        "start": "refused",
        "json": "refused",
        "blind": "refused",
        "remove": "refused",
        "image": "refused",
        "script": "refused",
    }
    async with page.expect_response(f"**/{project_id}/runs") as answered:
        await page.evaluate(FORM, [desk.url, project_id])
    answer = await answered.value
    assert (answer.status, (await answer.json())["error"]["code"]) == (403, "originNotAllowed")
    assert scripted.started == []
    assert desk.id_of("site") == project_id
    assert desk.registry.connection_count() == 0

    # The same from our own page: what was refused is no typing error.
    tried = await window.page.evaluate(ATTACK, [desk.url, project_id])
    assert '"type":"welcome"' in tried.pop("socket")
    assert tried == {
        "read": 200,
        "health": 200,
        "start": 415,
        "json": 202,
        "blind": 415,
        "remove": 409,
        "image": "loaded",
        "script": "loaded",
    }


async def test_a_page_of_a_rebound_name_gets_nothing(
    desk: Desk, fooled_browser: Browser, scripted: Scripted
) -> None:
    scripted.add("hold", Gate())
    await desk.start("site")
    project_id = desk.id_of("site")
    url = desk.url.replace("127.0.0.1", REBOUND)
    window = await Window.open(fooled_browser, desk)
    for path in ("", "icon.svg", "health", "api/projects", "no/such/path"):
        answer = await window.page.goto(f"{url}{path}")
        assert answer is not None
        assert (answer.status, (await answer.json())["error"]["code"]) == (403, "hostNotAllowed")
    tried = await window.page.evaluate(ATTACK, [url, project_id])
    assert tried == {
        "socket": 1006,
        "read": 403,
        "health": 403,
        "start": 403,
        "json": 403,
        "blind": 403,
        "remove": 403,
        "image": "refused",
        "script": "refused",
    }
    assert scripted.started == []
    assert desk.registry.connection_count() == 0
    await window.page.context.close()
