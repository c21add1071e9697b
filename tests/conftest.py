"""Fixtures of the tests of the server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from aosui import create_app, get_registry

from .support import BEARER, TOKEN, Scripted, Site

MakeSite = Callable[..., Awaitable[Site]]


@pytest.fixture
async def make_site(tmp_path: Path) -> AsyncIterator[MakeSite]:
    """
    Return a function that starts a server with the projects `names` (default: one).

    `executor` is the one named `test`; all other keywords are `create_app`'s. Called again, it
    starts another server, on the same directories.
    """
    sites: list[Site] = []

    async def make(
        executor: Scripted | None = None, *names: str, close: bool = True, **options: Any
    ) -> Site:
        roots = [tmp_path / name for name in names or ("site",)]
        for root in roots:
            root.mkdir(exist_ok=True)
        executor = executor or Scripted()
        if "authorize" not in options:
            options.setdefault("token", TOKEN)
        options.setdefault("executors", {"test": executor})
        options.setdefault("projects", roots)
        app = create_app(**options)
        server = TestServer(app)
        await server.start_server()
        site = Site(
            server,
            aiohttp.ClientSession(headers=BEARER, connector=aiohttp.TCPConnector(limit=0)),
            get_registry(app),
            executor,
            options.get("prefix", ""),
        )
        if close:
            sites.append(site)
        return site

    yield make
    for site in sites:
        await site.close()
