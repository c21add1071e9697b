"""Moving into an application, and an application of aosui's own."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiohttp.typedefs import Handler
from yarl import URL

import aosui
from aosui import Limits, MemoryLog, Workflow, create_app, get_registry, setup
from aosui.executors import Executors

from .conftest import MakeSite
from .support import BEARER, TOKEN, Scripted, Site


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[Site]:
    server = TestServer(app)
    await server.start_server()
    site = Site(
        server, aiohttp.ClientSession(headers=BEARER), get_registry(app), Scripted(), "/aosui"
    )
    try:
        yield site
    finally:
        await site.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "site").mkdir()
    return tmp_path / "site"


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AOSUI_TOKEN", TOKEN)


class TestSetup:
    async def test_moves_in_below_its_prefix(self, root: Path) -> None:
        app = web.Application()
        registry = setup(app, projects=[root], executors={"test": Scripted()})
        async with served(app) as site:
            assert len(registry) == 1
            assert (await site.http("GET", "/health")).body == {"status": "ok"}
            assert (await site.http("GET", "/api/projects")).status == 200
            socket = await site.viewer()
            assert await registry.send_to_project(site.id, "tick", 1) == 1
            await socket.seq(1)
            for path in ("/health", "/", "/ws"):
                async with site.session.get(site.server.make_url(path)) as response:
                    assert response.status == 404
                    assert "application/json" not in response.headers["Content-Type"]

    def test_says_where_its_registry_is(self) -> None:
        app = web.Application()
        registry = setup(app, authorize=aosui.allow_anyone)
        assert app["ws_registry"] is registry
        assert app[aosui.WS_REGISTRY] is registry
        assert get_registry(app) is registry
        assert isinstance(registry, aosui.ProjectRegistry)

    def test_warns_of_nothing(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            setup(web.Application(), authorize=aosui.allow_anyone)

    async def test_twice_is_an_error(self) -> None:
        app = web.Application()
        setup(app, authorize=aosui.allow_anyone)
        with pytest.raises(RuntimeError, match="already"):
            setup(app, prefix="/other", authorize=aosui.allow_anyone)

    @pytest.mark.parametrize("prefix", ["", "/", "aosui", "//"])
    def test_needs_a_prefix(self, prefix: str) -> None:
        with pytest.raises(ValueError, match="prefix"):
            setup(web.Application(), prefix=prefix, authorize=aosui.allow_anyone)

    @pytest.mark.parametrize("prefix", ["/aosui", "/aosui/", "/tools/aosui"])
    async def test_leads_from_the_prefix_to_the_page(self, prefix: str) -> None:
        app = web.Application()
        setup(app, prefix=prefix, executors={}, authorize=aosui.allow_anyone)
        async with served(app) as site:
            site.prefix = ""
            reply = await site.http("GET", prefix.rstrip("/"))
            assert reply.status == 308
            url = site.server.make_url(prefix.rstrip("/")).join(URL(reply.headers["Location"]))
            assert url.path == prefix.rstrip("/") + "/"
            async with site.session.get(url) as response:
                assert (response.status, response.content_type) == (200, "text/html")

    async def test_guards_all_of_its_routes_and_none_of_the_others(self) -> None:
        async def hello(request: web.Request) -> web.Response:
            return web.Response(text="hello")

        app = web.Application()
        app.router.add_route("*", "/hello", hello)
        setup(app, executors={}, authorize=aosui.allow_anyone)
        async with served(app) as site:
            foreign = {"Origin": "http://evil.example"}
            for path in ("", "/", "/health", "/nope", "/api/nope", "/index.html"):
                reply = await site.http("GET", path, headers=foreign)
                assert (reply.status, reply.code) == (403, "originNotAllowed")
            url = site.server.make_url("/hello")
            async with site.session.post(url, headers=foreign) as response:
                assert (response.status, await response.text()) == (200, "hello")
                assert "Content-Security-Policy" not in response.headers

    async def test_lives_with_the_middlewares_of_its_host(self, root: Path) -> None:
        seen: list[str] = []

        @web.middleware
        async def log(request: web.Request, handler: Handler) -> web.StreamResponse:
            seen.append(request.path)
            response = await handler(request)
            if not response.prepared:
                response.headers["X-Host"] = "here"
            return response

        @web.middleware
        async def behind_a_proxy(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await handler(request.clone(scheme="https", host="ui.example.org"))

        app = web.Application(middlewares=[log, behind_a_proxy])
        setup(app, projects=[root], executors={}, authorize=aosui.allow_anyone)
        async with served(app) as site:
            ours = {"Origin": "https://ui.example.org"}
            reply = await site.http("GET", "/api/projects", headers=ours)
            assert (reply.status, reply.headers["X-Host"]) == (200, "here")
            reply = await site.http("GET", "/health", headers={"Origin": site.origin})
            assert reply.status == 403
            socket = await site.connect(headers=ours)
            await socket.handshake()
            assert seen == ["/aosui/api/projects", "/aosui/health", "/aosui/ws"]

    async def test_is_found_from_requests_and_sub_apps_of_its_host(self, root: Path) -> None:
        async def count(request: web.Request) -> web.Response:
            return web.json_response(len(get_registry(request)))

        app, part = web.Application(), web.Application()
        app.router.add_get("/count", count)
        part.router.add_get("/count", count)
        app.add_subapp("/part", part)
        setup(app, projects=[root], executors={}, authorize=aosui.allow_anyone)
        async with served(app) as site:
            for path in ("/count", "/part/count"):
                async with site.session.get(site.server.make_url(path)) as response:
                    assert await response.json() == 1

    async def test_asks_the_authorize_of_its_host(self, root: Path) -> None:
        asked: list[tuple[str, str | None]] = []

        async def authorize(
            request: web.Request, action: str, project_id: str | None
        ) -> str | None:
            asked.append((action, project_id))
            return request.headers.get("X-User")

        app = web.Application()
        registry = setup(app, projects=[root], executors={}, authorize=authorize)
        async with served(app) as site:
            assert (await site.http("GET", "/api/projects")).body == {"projects": []}
            ann = {"X-User": "ann"}
            listed = await site.http("GET", "/api/projects", headers=ann)
            assert len(listed.body["projects"]) == 1
            reply = await site.http("DELETE", f"/api/projects/{site.id}")
            assert (reply.status, reply.code) == (403, "forbidden")
            reply = await site.http("POST", "/api/projects", {"root": "/"}, headers=ann)
            assert reply.code == "outsideRoot"
            project_id = site.id
            assert (
                await site.http("DELETE", f"/api/projects/{project_id}", headers=ann)
            ).status == 204
            assert asked == [
                ("view", project_id),
                ("view", project_id),
                ("close", project_id),
                ("open", None),
                ("close", project_id),
            ]
            assert len(registry) == 0

    async def test_without_the_page(self) -> None:
        app = web.Application()
        setup(app, executors={}, page=False, authorize=aosui.allow_anyone)
        async with served(app) as site:
            assert (await site.http("GET", "/")).status == 404
            assert (await site.http("GET", "/health")).status == 200

    async def test_stops_with_its_host(self, root: Path) -> None:
        executor, log = Scripted(), MemoryLog()
        app = web.Application()
        setup(app, projects=[root], executors={"test": executor}, log=log)
        order: list[str] = []

        async def cleanup(app: web.Application) -> None:
            order.append(f"host after {executor.closed}")

        app.on_cleanup.append(cleanup)
        async with served(app):
            pass
        assert executor.closed == 1

    async def test_a_project_that_is_no_directory_stops_the_start(self, tmp_path: Path) -> None:
        app = web.Application()
        setup(app, projects=[tmp_path / "nope"], executors={})
        server = TestServer(app)
        with pytest.raises(aosui.AosuiError, match="nope"):
            await server.start_server()
        await server.close()

    async def test_executors_may_come_from_a_function(self, root: Path) -> None:
        class One(Scripted):
            async def workflows(self, project: aosui.Project) -> list[Workflow]:
                return [Workflow("w")]

        async def load() -> Executors:
            return Executors({"mine": One()})

        app = web.Application()
        setup(app, projects=[root], executors=load)
        async with served(app) as site:
            reply = await site.http("GET", f"/api/projects/{site.id}/workflows")
            assert [workflow["workflow"] for workflow in reply.body["workflows"]] == ["mine:w"]


class TestTheToken:
    async def test_comes_from_the_environment(self, capsys: pytest.CaptureFixture[str]) -> None:
        app = web.Application()
        setup(app, executors={})
        async with served(app) as site:
            assert (await site.http("GET", "/api/projects")).status == 200
        assert capsys.readouterr() == ("", "")

    def test_or_is_made_and_printed_once_and_not_logged(
        self,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.delenv("AOSUI_TOKEN")
        setup(web.Application(), executors={})
        out, err = capsys.readouterr()
        assert out == ""
        [line] = err.splitlines()
        assert "/aosui/#token=" in line
        assert len(line.partition("#token=")[2]) >= 16
        assert caplog.text == ""

    def test_is_not_asked_for_where_the_host_authorizes(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.delenv("AOSUI_TOKEN")
        setup(web.Application(), executors={}, authorize=aosui.allow_anyone)
        assert capsys.readouterr() == ("", "")


class TestCreateApp:
    @pytest.mark.parametrize("prefix", ["", "/", "/aosui", "tools/aosui/"])
    async def test_has_the_same_routes_below_any_prefix(
        self, make_site: MakeSite, prefix: str
    ) -> None:
        site = await make_site(prefix=prefix)
        site.prefix = "/" + prefix.strip("/") if prefix.strip("/") else ""
        assert (await site.http("GET", "/health")).status == 200
        assert (await site.http("GET", "/")).status == 200
        await site.viewer()
        cookie = (await site.http("POST", "/api/session")).headers["Set-Cookie"]
        assert f"Path={site.prefix or '/'}" in cookie
        if site.prefix:
            assert (await site.http("GET", "")).headers["Location"] == (
                site.prefix.rpartition("/")[2] + "/"
            )

    async def test_guards_every_route_also_outside_its_prefix(self, make_site: MakeSite) -> None:
        site = await make_site(prefix="/aosui")
        site.prefix = ""
        reply = await site.http("GET", "/nope", headers={"Host": "evil.example"})
        assert (reply.status, reply.code) == (403, "hostNotAllowed")

    async def test_tells_browsers_to_be_careful(self, make_site: MakeSite) -> None:
        site = await make_site()
        for path in ("/", "/health", "/nope", "/aosui-client.js"):
            headers = (await site.http("GET", path)).headers
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["Cross-Origin-Resource-Policy"] == "same-origin"

    async def test_serves_the_page_and_nothing_beside_it(self, make_site: MakeSite) -> None:
        site = await make_site()
        for path in ("/app.py", "/../app.py", "/%2e%2e/app.py", "/page/", "/aosui-client.d.ts"):
            assert (await site.http("GET", path)).status == 404
        page = await site.http("GET", "/index.html")
        assert page.headers["Cache-Control"] == "no-cache"

    async def test_asks_for_a_token(self, make_site: MakeSite) -> None:
        site = await make_site(token="another-token-for-tests")
        assert (await site.http("GET", "/api/projects")).status == 401

    async def test_keeps_as_much_as_its_limits_say(self, make_site: MakeSite) -> None:
        site = await make_site(limits=Limits(kept_bytes=3000))
        for number in range(100):
            await site.registry.send_to_project(site.id, "tick", "x" * 100 + str(number))
        assert 70 < site.opened.hub.first_seq < 100

    async def test_tells_of_open_projects(self, make_site: MakeSite) -> None:
        changes: list[list[str]] = []

        def note(projects: Any) -> None:
            changes.append([project.name for project in projects])

        await make_site(None, "a", "b", on_change=note)
        assert changes == [["a"], ["a", "b"]]


class TestGetRegistry:
    def test_says_what_to_call_where_there_is_none(self) -> None:
        with pytest.raises(RuntimeError, match=r"call aosui\.setup\(app\) first"):
            get_registry(web.Application())

    def test_finds_that_of_an_app_of_its_own(self) -> None:
        app = create_app(token=TOKEN)
        assert get_registry(app) is app[aosui.WS_REGISTRY]


def test_embedding_warns_of_nothing_in_a_python_that_is_strict(tmp_path: Path) -> None:
    program = f"""
import asyncio
import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
import aosui

async def main():
    app = web.Application()
    registry = aosui.setup(app, projects=[{str(tmp_path)!r}], executors={{}},
                           authorize=aosui.allow_anyone)
    assert app["ws_registry"] is registry
    server = TestServer(app)
    await server.start_server()
    async with aiohttp.ClientSession() as session:
        [project] = registry
        url = server.make_url("/aosui/ws").with_query(projectId=project.id)
        headers = {{"Origin": str(server.make_url("/")).rstrip("/")}}
        async with session.ws_connect(url, protocols=["aosui.v1"], headers=headers) as ws:
            assert (await ws.receive_json())["type"] == "welcome"
            await registry.send_to_project(project.id, "tick", 1)
    await server.close()

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
