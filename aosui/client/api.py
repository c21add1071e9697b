"""`Api`: a server's plain HTTP calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import msgspec
from aiohttp import ClientSession, ClientTimeout
from yarl import URL

from aosui.client.fold import Frame
from aosui.client.follower import wire_error
from aosui.errors import AosuiError
from aosui.protocol import encode

__all__ = ["Api"]

CALL_SECONDS = 30.0

_decode = msgspec.json.Decoder().decode


class Api:
    """
    The HTTP side of a server: one call a route, the body's JSON back.

    `url` is the server's, its prefix included; a `#token=…` in it serves as `token`. Calls raise
    the `AosuiError` that the server names, or `aiohttp.ClientError` when it does not answer.
    """

    def __init__(
        self, url: str, *, token: str | None = None, session: ClientSession | None = None
    ) -> None:
        given = URL(url)
        if token is None and given.fragment.startswith("token="):
            token = given.fragment.removeprefix("token=")
        self.url = given.with_fragment(None).with_query(None)
        self.token = token
        self._session = session
        self._own_session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        if self._session is None:
            self._session = self._own_session = ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._own_session is not None:
            await self._own_session.close()
            self._session = self._own_session = None

    @property
    def link(self) -> str:
        """The URL that signs in whoever opens it."""
        return str(self.url) if self.token is None else f"{self.url}#token={self.token}"

    @property
    def session(self) -> ClientSession:
        if self._session is None:
            raise RuntimeError("enter it first: `async with Api(url) as api`")
        return self._session

    async def call(self, method: str, *parts: str, body: object = None) -> Any:
        """Call a route below `/api`: `call("POST", "projects", body={"root": "…"})`."""
        answer, _ = await self._send(method, parts, body, {})
        return answer

    async def projects(self, etag: str | None = None) -> tuple[list[Frame] | None, str | None]:
        """List the projects; None when nothing changed since `etag`. Returns the new ETag too."""
        headers = {} if etag is None else {"If-None-Match": etag}
        answer, tag = await self._send("GET", ("projects",), None, headers)
        return (None if answer is None else answer["projects"]), tag

    def headers(self) -> dict[str, str]:
        """Return what a request shows as credentials."""
        if self.token is None:
            return {"Origin": str(self.url.origin())}
        return {"Authorization": f"Bearer {self.token}"}

    async def _send(
        self, method: str, parts: tuple[str, ...], body: object, headers: Mapping[str, str]
    ) -> tuple[Any, str | None]:
        content = {} if body is None else {"Content-Type": "application/json"}
        async with self.session.request(
            method,
            self.url.joinpath("api", *parts),
            data=None if body is None else encode(body),
            headers={**self.headers(), **content, **headers},
            timeout=ClientTimeout(total=CALL_SECONDS),
            allow_redirects=False,
        ) as response:
            text = await response.read()
            answer = None
            if response.status not in (204, 304):
                answer = _answer(response.status, text)
            return answer, response.headers.get("ETag")


def _answer(status: int, text: bytes) -> Any:
    try:
        answer = _decode(text)
        error = wire_error(answer["error"]) if status >= 400 else None
    except (msgspec.DecodeError, UnicodeError, KeyError, TypeError):
        error = AosuiError(f"what answered is not aosui (HTTP status {status})")
        error.code, error.retryable = "badResponse", status >= 500
    if error is not None:
        raise error
    return answer
