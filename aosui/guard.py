"""
The guard: who may talk to this server at all, and who they are.

A web page from elsewhere reaches nothing: `Host`, `Origin` and `Sec-Fetch-Site` are checked before
every route. Then `authorize` decides what a user may do.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Collection

from aiohttp import web

from aosui._logging import logger
from aosui.commands import Action
from aosui.errors import Forbidden, HostNotAllowed, OriginNotAllowed, Unauthorized
from aosui.protocol import BEARER_PREFIX, TOKEN

__all__ = ["Authorize", "Guard", "TokenAuth", "allow_anyone", "authorized", "new_token"]

Authorize = Callable[[web.Request, Action, str | None], Awaitable[str | None]]
"""
`async (request, action, project_id | None) -> user | None`: None is forbidden.

May raise `web.HTTPException`: 401 becomes `unauthorized`, others `forbidden`.
"""

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
FOREIGN_SITES = ("same-site", "cross-site")


class Guard:
    """
    Checks where a request comes from.

    `allowed_hosts` are further names, `name` (any port) or `name:port`, or whole origins, which
    are allowed as `Origin` too. With `standalone` the loopback names at the socket's own port are
    allowed and no other; without it `Host` is the host application's business unless
    `allowed_hosts` is given.
    """

    def __init__(
        self,
        *,
        standalone: bool,
        page_path: str,
        allowed_hosts: Collection[str] | None = None,
        allowed_origins: Collection[str] = (),
    ) -> None:
        self._standalone = standalone
        self._page_path = page_path
        self._checks_host = standalone or allowed_hosts is not None
        self._hosts: set[str] = set()
        self._origins = {origin.rstrip("/").lower() for origin in allowed_origins}
        for allowed in allowed_hosts or ():
            scheme, separator, host = allowed.rstrip("/").lower().rpartition("://")
            self._hosts.add(host)
            if separator:
                self._origins.add(f"{scheme}://{host}")

    def check(self, request: web.Request) -> None:
        """Raise `HostNotAllowed` or `OriginNotAllowed`, which are 403 on every route."""
        if self._checks_host:
            self._check_host(request)
        origin_allowed = self._check_origin(request)
        site = request.headers.get("Sec-Fetch-Site", "none").strip().lower()
        if site in FOREIGN_SITES and not origin_allowed and not self._is_navigation(request):
            logger.warning("refused a foreign page", code="originNotAllowed", site=site)
            raise OriginNotAllowed("requests from pages of other sites are not allowed here")

    def _check_host(self, request: web.Request) -> None:
        hosts = request.headers.getall("Host", [])
        if len(hosts) == 1 and self._knows_host(request, hosts[0].lower()):
            return
        logger.warning("refused a host", code="hostNotAllowed", got=hosts[:2])
        raise HostNotAllowed

    def _knows_host(self, request: web.Request, host: str) -> bool:
        name, _, port = host.rpartition(":")
        if not port.isdecimal():
            name, port = host, ""
        if host in self._hosts or name in self._hosts:
            return True
        if not self._standalone or name not in LOOPBACK:
            return False
        own = request.transport.get_extra_info("sockname") if request.transport else None
        return (
            own is not None and len(own) > 1 and port in (str(own[1]), "" if own[1] == 80 else "-")
        )

    def _check_origin(self, request: web.Request) -> bool:
        origins = request.headers.getall("Origin", [])
        if not origins:
            handshake = "upgrade" in request.headers.get("Connection", "").lower()
            if bearer_token(request) is None and (
                handshake or request.method not in ("GET", "HEAD")
            ):
                self._refuse_origin("none", request)
            return False
        own = f"{request.scheme}://{request.host}".lower()
        origin = origins[0].lower()
        if len(origins) > 1 or (origin != own and origin not in self._origins):
            self._refuse_origin(", ".join(origins[:2]), request)
        return True

    def _refuse_origin(self, got: str, request: web.Request) -> None:
        expected = [f"{request.scheme}://{request.host}", *sorted(self._origins)]
        logger.warning("refused an origin", code="originNotAllowed", got=got, expected=expected)
        raise OriginNotAllowed

    def _is_navigation(self, request: web.Request) -> bool:
        headers = request.headers
        return (
            request.method == "GET"
            and request.path.rstrip("/") == self._page_path.rstrip("/")
            and headers.get("Sec-Fetch-Mode") == "navigate"
            and headers.get("Sec-Fetch-Dest") == "document"
        )


class TokenAuth:
    """
    The default `authorize`: whoever has the token is the one user, `local`.

    The token comes as a Bearer credential, in the WebSocket subprotocol `aosui.bearer.TOKEN`, or
    as a cookie that is derived from it. Raises ValueError for a token that is too weak.
    """

    USER = "local"

    def __init__(self, token: str) -> None:
        if not TOKEN.fullmatch(token):
            raise ValueError("a token is at least 16 characters of A-Z, a-z, 0-9, _ and -")
        self._token = token
        self.cookie_value = hmac.new(token.encode(), b"aosui session", hashlib.sha256).hexdigest()

    async def __call__(
        self, request: web.Request, action: Action, project_id: str | None
    ) -> str | None:
        if self.knows_bearer(request):
            return self.USER
        cookie = request.cookies.get(self.cookie_name(request), "")
        if _same(cookie, self.cookie_value):
            return self.USER
        raise web.HTTPUnauthorized

    def knows_bearer(self, request: web.Request) -> bool:
        """Say whether the request carries the token itself."""
        token = bearer_token(request)
        return token is not None and _same(token, self._token)

    @staticmethod
    def cookie_name(request: web.Request) -> str:
        """Name the cookie by port: cookies of one host's ports share a jar."""
        return f"aosui_{request.url.port}"


async def allow_anyone(request: web.Request, action: Action, project_id: str | None) -> str | None:
    """Let everybody who reaches the server do everything: the open door, to be asked for."""
    return "anyone"


async def authorized(
    authorize: Authorize, request: web.Request, action: Action, project_id: str | None
) -> str:
    """Ask `authorize`; returns the user or raises `Unauthorized` or `Forbidden`."""
    try:
        user = await authorize(request, action, project_id)
    except web.HTTPException as refusal:
        if refusal.status == 401:
            raise Unauthorized from None
        raise Forbidden from None
    if user is None:
        raise Forbidden
    return user


def bearer_token(request: web.Request) -> str | None:
    """Return the Bearer token of a request, from the header or the WebSocket subprotocols."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    for offered in offered_protocols(request):
        if offered.startswith(BEARER_PREFIX):
            return offered.removeprefix(BEARER_PREFIX)
    return None


def offered_protocols(request: web.Request) -> list[str]:
    """List the WebSocket subprotocols that a client offers."""
    offered = ",".join(request.headers.getall("Sec-WebSocket-Protocol", []))
    return [name.strip() for name in offered.split(",") if name.strip()]


def _same(given: str, secret: str) -> bool:
    """Compare in constant time; what is given may be any bytes of a header."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), secret.encode())


def new_token() -> str:
    """Make a token."""
    return secrets.token_urlsafe(24)
