"""The guard: who may talk to the server at all, on every route, by bare sockets."""

from __future__ import annotations

import re
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from aosui import create_app
from aosui.errors import Forbidden, HostNotAllowed, OriginNotAllowed, Unauthorized
from aosui.guard import (
    Guard,
    TokenAuth,
    allow_anyone,
    authorized,
    bearer_token,
    new_token,
    offered_protocols,
)

from .conftest import MakeSite
from .support import TOKEN, RawReply, Scripted, Site

ROUTES = [
    "/",
    "/index.html",
    "/health",
    "/nope",
    "/api/projects",
    "/api/nope",
    "/ws?projectId=x",
]
"""The page, a static file, a 404, the API and the WebSocket."""
BEARER = f"Authorization: Bearer {TOKEN}"
UPGRADE = """Connection: Upgrade
Upgrade: websocket
Sec-WebSocket-Version: 13
Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==
Sec-WebSocket-Protocol: aosui.v1"""


@pytest.fixture
async def site(make_site: MakeSite) -> Site:
    return await make_site(Scripted())


async def ask(site: Site, path: str, *headers: str, method: str = "GET") -> RawReply:
    lines = [header.format(port=site.port) for header in headers]
    return await site.raw("\n".join([f"{method} {path} HTTP/1.1", *lines]))


class TestHost:
    @pytest.mark.parametrize("path", ROUTES)
    @pytest.mark.parametrize(
        "hosts",
        [
            ["Host: evil.example"],
            ["Host: evil.example:{port}"],
            ["Host: 0.0.0.0:{port}"],
            ["Host: 127.0.0.1.:{port}"],
            ["Host: localhost.:{port}"],
            ["Host: 127.0.0.1:1"],
            ["Host: 127.0.0.1"],
            ["Host: 127.0.0.2:{port}"],
            ["Host: user@127.0.0.1:{port}"],
            ["Host: "],
            ["Host: 127.0.0.1:{port}", "Host: evil.example"],
            ["Host: 127.0.0.1:{port}", "Host: 127.0.0.1:{port}"],
        ],
    )
    async def test_that_is_not_ours_is_refused_everywhere(
        self, site: Site, path: str, hosts: list[str]
    ) -> None:
        reply = await ask(site, path, *hosts, BEARER)
        # A parser that refuses the head itself does no worse.
        assert (reply.status, reply.status == 400 or reply.code) in [
            (403, "hostNotAllowed"),
            (400, True),
        ]
        if len(hosts) == 1:
            assert reply.status == 403

    @pytest.mark.parametrize("path", ROUTES)
    async def test_missing_is_refused_everywhere(self, site: Site, path: str) -> None:
        assert (await ask(site, path, BEARER)).status in (400, 403)

    @pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
    async def test_of_loopback_at_our_port_is_ours(self, site: Site, name: str) -> None:
        assert (await ask(site, "/health", f"Host: {name}:{{port}}")).status == 200

    async def test_rebound_names_are_refused_though_origin_equals_host(self, site: Site) -> None:
        for path in ROUTES:
            reply = await ask(
                site, path, "Host: evil.example:{port}", "Origin: http://evil.example:{port}"
            )
            assert (reply.status, reply.code) == (403, "hostNotAllowed")

    @pytest.mark.parametrize(
        ("allowed", "host", "taken"),
        [
            ("ui.example.org", "ui.example.org", True),
            ("ui.example.org", "UI.example.org:8443", True),
            ("ui.example.org:8443", "ui.example.org:8443", True),
            ("ui.example.org:8443", "ui.example.org", False),
            ("https://ui.example.org", "ui.example.org", True),
            ("ui.example.org", "ui.example.org.", False),
            ("ui.example.org", "x.ui.example.org", False),
            ("ui.example.org", "ui.example.org.evil.example", False),
            ("[fe80::1]", "[fe80::1]:80", True),
        ],
    )
    def test_others_are_ours_when_they_are_allowed(
        self, allowed: str, host: str, taken: bool
    ) -> None:
        guard = Guard(standalone=True, page_path="/", allowed_hosts=[allowed])
        request = make_mocked_request("GET", "/", headers={"Host": host})
        if taken:
            guard.check(request)
        else:
            with pytest.raises(HostNotAllowed):
                guard.check(request)

    def test_is_the_business_of_the_application_that_aosui_is_part_of(self) -> None:
        guard = Guard(standalone=False, page_path="/aosui")
        guard.check(make_mocked_request("GET", "/", headers={"Host": "anything.example"}))
        named = Guard(standalone=False, page_path="/aosui", allowed_hosts=["a.example"])
        with pytest.raises(HostNotAllowed):
            named.check(make_mocked_request("GET", "/", headers={"Host": "b.example"}))


class TestOrigin:
    @pytest.mark.parametrize("path", ROUTES)
    @pytest.mark.parametrize(
        "origins",
        [
            ["null"],
            [""],
            ["http://evil.example"],
            ["http://127.0.0.1:1"],
            ["http://127.0.0.1"],
            ["https://127.0.0.1:{port}"],
            ["http://127.0.0.1:{port}.evil.example"],
            ["http://127.0.0.1:{port}@evil.example"],
            ["http://localhost:{port}"],
            ["http://127.0.0.1:{port}/"],
            ["http://127.0.0.1:{port}", "http://127.0.0.1:{port}"],
            ["http://127.0.0.1:{port}", "http://evil.example"],
            ["http://127.0.0.1:{port}, http://evil.example"],
        ],
    )
    async def test_of_another_page_is_refused_everywhere_even_with_the_token(
        self, site: Site, path: str, origins: list[str]
    ) -> None:
        headers = [f"Origin: {origin}" for origin in origins]
        reply = await ask(site, path, "Host: 127.0.0.1:{port}", BEARER, *headers)
        assert (reply.status, reply.code) == (403, "originNotAllowed")

    async def test_of_another_page_is_refused_before_the_handshake(self, site: Site) -> None:
        for origin in ("Origin: http://evil.example", "Origin: null"):
            reply = await ask(
                site,
                f"/ws?projectId={site.id}",
                "Host: 127.0.0.1:{port}",
                BEARER,
                origin,
                *UPGRADE.splitlines(),
            )
            assert (reply.status, reply.code) == (403, "originNotAllowed")

    @pytest.mark.parametrize("path", ["/api/projects", "/health", "/", "/nope"])
    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
    async def test_missing_is_refused_for_unsafe_methods_without_a_token(
        self, site: Site, path: str, method: str
    ) -> None:
        cookie = (await site.http("POST", "/api/session")).headers["Set-Cookie"].split(";")[0]
        reply = await ask(site, path, "Host: 127.0.0.1:{port}", f"Cookie: {cookie}", method=method)
        assert (reply.status, reply.code) == (403, "originNotAllowed")

    async def test_missing_is_refused_for_a_handshake_without_a_token(self, site: Site) -> None:
        cookie = (await site.http("POST", "/api/session")).headers["Set-Cookie"].split(";")[0]
        reply = await ask(
            site,
            f"/ws?projectId={site.id}",
            "Host: 127.0.0.1:{port}",
            f"Cookie: {cookie}",
            *UPGRADE.splitlines(),
        )
        assert (reply.status, reply.code) == (403, "originNotAllowed")

    async def test_missing_is_fine_with_a_token_or_for_reading(self, site: Site) -> None:
        host = "Host: 127.0.0.1:{port}"
        assert (await ask(site, "/health", host)).status == 200
        assert (await ask(site, "/api/projects", host, BEARER)).status == 200
        reply = await ask(site, f"/ws?projectId={site.id}", host, BEARER, *UPGRADE.splitlines())
        assert reply.status == 101

    async def test_our_own_is_fine(self, site: Site) -> None:
        for name in ("127.0.0.1", "localhost"):
            reply = await ask(
                site,
                "/api/projects",
                f"Host: {name}:{{port}}",
                f"Origin: http://{name}:{{port}}",
                BEARER,
            )
            assert reply.status == 200

    async def test_an_allowed_one_is_fine(self, make_site: MakeSite) -> None:
        site = await make_site(allowed_origins=["https://ui.example.org/"])
        host = "Host: 127.0.0.1:{port}"
        reply = await ask(site, "/health", host, "Origin: https://ui.example.org")
        assert reply.status == 200
        reply = await ask(site, "/health", host, "Origin: https://ui.example.org.evil.example")
        assert reply.status == 403

    def test_a_whole_origin_among_the_hosts_is_an_origin_too(self) -> None:
        guard = Guard(standalone=True, page_path="/", allowed_hosts=["https://ui.example.org"])
        headers = {"Host": "ui.example.org", "Origin": "https://ui.example.org"}
        guard.check(make_mocked_request("GET", "/", headers=headers))

    async def test_the_log_names_what_came_and_what_was_expected(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        await ask(site, "/health", "Host: 127.0.0.1:{port}", "Origin: http://evil.example")
        [line] = [r.getMessage() for r in caplog.records if r.name == "aosui"]
        assert "http://evil.example" in line
        assert f"http://127.0.0.1:{site.port}" in line
        assert "originNotAllowed" in line


class TestFetchSite:
    @pytest.mark.parametrize("path", [*ROUTES[1:], "/api/session"])
    @pytest.mark.parametrize("value", ["cross-site", "same-site", "Cross-Site"])
    async def test_of_another_site_is_refused_everywhere(
        self, site: Site, path: str, value: str
    ) -> None:
        for mode in ("navigate", "no-cors", "cors"):
            reply = await ask(
                site,
                path,
                "Host: 127.0.0.1:{port}",
                f"Sec-Fetch-Site: {value}",
                f"Sec-Fetch-Mode: {mode}",
                "Sec-Fetch-Dest: document",
            )
            assert (reply.status, reply.code) == (403, "originNotAllowed")

    @pytest.mark.parametrize("value", ["none", "same-origin"])
    async def test_of_our_own_is_fine(self, site: Site, value: str) -> None:
        reply = await ask(site, "/health", "Host: 127.0.0.1:{port}", f"Sec-Fetch-Site: {value}")
        assert reply.status == 200

    @pytest.mark.parametrize(
        ("prefix", "method", "path", "mode", "dest", "taken"),
        [
            ("/", "GET", "/", "navigate", "document", True),
            ("/aosui", "GET", "/aosui/", "navigate", "document", True),
            ("/aosui", "GET", "/aosui", "navigate", "document", True),
            ("/", "GET", "/", "navigate", "iframe", False),
            ("/", "GET", "/", "no-cors", "image", False),
            ("/", "POST", "/", "navigate", "document", False),
            ("/", "GET", "/api/projects", "navigate", "document", False),
            ("/aosui", "GET", "/", "navigate", "document", False),
        ],
    )
    def test_a_link_from_elsewhere_may_lead_to_the_page_only(
        self, prefix: str, method: str, path: str, mode: str, dest: str, taken: bool
    ) -> None:
        guard = Guard(standalone=False, page_path=prefix)
        headers = {
            "Host": "x",
            "Authorization": "Bearer x",
            "Sec-Fetch-Site": "cross-site",
            "Sec-Fetch-Mode": mode,
            "Sec-Fetch-Dest": dest,
        }
        request = make_mocked_request(method, path, headers=headers)
        if taken:
            guard.check(request)
        else:
            with pytest.raises(OriginNotAllowed):
                guard.check(request)

    async def test_a_page_of_an_allowed_origin_is_of_another_site_and_fine(
        self, make_site: MakeSite
    ) -> None:
        site = await make_site(allowed_origins=["https://ui.example.org"])
        reply = await ask(
            site,
            "/health",
            "Host: 127.0.0.1:{port}",
            "Origin: https://ui.example.org",
            "Sec-Fetch-Site: cross-site",
        )
        assert reply.status == 200


class TestCredentials:
    async def test_the_cookie_is_ours_by_port_and_derived_from_the_token(self, site: Site) -> None:
        cookie = (await site.http("POST", "/api/session")).headers["Set-Cookie"].split(";")[0]
        name, value = cookie.split("=")
        host, origin = "Host: 127.0.0.1:{port}", "Origin: http://127.0.0.1:{port}"
        for sent, status in [
            (cookie, 200),
            (f"other=1; {cookie}", 200),
            (f"{name}=x", 401),
            (f"{name}={TOKEN}", 401),
            (f"aosui_1={value}", 401),
            (f"{name}=", 401),
        ]:
            reply = await ask(site, "/api/projects", host, origin, f"Cookie: {sent}")
            assert reply.status == status

    async def test_bytes_that_are_no_text_are_no_credentials(self, site: Site) -> None:
        host = "Host: 127.0.0.1:{port}"
        name = f"aosui_{site.port}"
        for header in (f"Cookie: {name}=\u00e9\udcff", "Authorization: Bearer \u00e9\udcff"):
            head = "\r\n".join(
                ["GET /api/projects HTTP/1.1", host.format(port=site.port), header, "", ""]
            )
            reply = await site.raw_bytes(head.encode("utf-8", "surrogateescape"))
            assert reply.status == 401

    @pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
    def test_the_scheme_is_in_any_case(self, scheme: str) -> None:
        request = make_mocked_request("GET", "/", headers={"Authorization": f"{scheme} abc"})
        assert bearer_token(request) == "abc"

    @pytest.mark.parametrize("value", ["Bearer", "Bearer ", "Basic abc", "abc", ""])
    def test_anything_else_is_no_token(self, value: str) -> None:
        request = make_mocked_request("GET", "/", headers={"Authorization": value})
        assert bearer_token(request) is None

    def test_a_token_among_the_subprotocols(self) -> None:
        headers = {"Sec-WebSocket-Protocol": "aosui.v1 , aosui.bearer.abc,"}
        request = make_mocked_request("GET", "/", headers=headers)
        assert offered_protocols(request) == ["aosui.v1", "aosui.bearer.abc"]
        assert bearer_token(request) == "abc"

    @pytest.mark.parametrize(
        "token", ["", "short", "x" * 15, "x" * 15 + "!", "é" * 20, "x" * 16 + "\n"]
    )
    def test_a_weak_token_is_refused(self, token: str) -> None:
        with pytest.raises(ValueError, match="at least 16"):
            TokenAuth(token)

    def test_a_new_token_is_strong_and_new(self) -> None:
        assert re.fullmatch(r"[A-Za-z0-9_-]{32}", new_token())
        assert new_token() != new_token()
        TokenAuth(new_token())

    async def test_no_credentials_in_the_logs_of_the_server(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("DEBUG", logger="aosui")
        await site.viewer(protocols=["aosui.v1", f"aosui.bearer.{TOKEN}"])
        await site.http("POST", "/api/session")
        await ask(site, f"/health?token={TOKEN}", "Host: x", BEARER)
        await ask(site, "/health", "Host: 127.0.0.1:{port}", "Origin: http://x", BEARER)
        lines = [record.getMessage() for record in caplog.records if record.name == "aosui"]
        assert lines
        assert TOKEN not in "".join(lines)


class TestAuthorized:
    REQUEST: Any = None

    async def test_anyone(self) -> None:
        assert await authorized(allow_anyone, self.REQUEST, "close", "p") == "anyone"

    async def test_none_is_forbidden(self) -> None:
        async def none(request: web.Request, action: str, project_id: str | None) -> None:
            return None

        with pytest.raises(Forbidden):
            await authorized(none, self.REQUEST, "view", None)

    @pytest.mark.parametrize(
        ("refusal", "error"),
        [
            (web.HTTPUnauthorized, Unauthorized),
            (web.HTTPForbidden, Forbidden),
            (web.HTTPNotFound, Forbidden),
            (web.HTTPTooManyRequests, Forbidden),
        ],
    )
    async def test_an_http_exception_is_one_of_the_two(
        self, refusal: type[web.HTTPException], error: type[Exception]
    ) -> None:
        async def no(request: web.Request, action: str, project_id: str | None) -> str:
            raise refusal

        with pytest.raises(error):
            await authorized(no, self.REQUEST, "view", None)


async def test_the_open_door_lets_everybody_in(make_site: MakeSite) -> None:
    site = await make_site(authorize=allow_anyone)
    async with aiohttp.ClientSession() as stranger:
        async with stranger.get(site.server.make_url("/api/projects")) as response:
            assert response.status == 200
        socket = await site.connect(session=stranger, headers={"Origin": site.origin})
        await socket.handshake()


def test_an_app_of_its_own_takes_a_good_token_only() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        create_app(token="short")
