"""
aosui inside an application that exists already: its own routes, middleware and users.

Run it with `python examples/embedded.py DIR` and open http://127.0.0.1:8080/aosui/.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from aiohttp import web
from aiohttp.typedefs import Handler

import aosui

USERS = {"let-ada-in-please": "ada", "let-bob-look-please": "bob"}


async def authorize(request: web.Request, action: str, project_id: str | None) -> str | None:
    """Let ada do everything and bob look; whoever is not signed in gets 401."""
    user = USERS.get(request.cookies.get("session", ""))
    if user is None:
        raise web.HTTPUnauthorized
    return user if user == "ada" or action == "view" else None


@web.middleware
async def timing(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Stand for the middlewares that an application has."""
    return await handler(request)


async def home(request: web.Request) -> web.Response:
    registry = aosui.get_registry(request)
    names = ", ".join(project.name for project in registry) or "none"
    return web.Response(text=f"projects: {names}; viewers: {registry.connection_count()}")


async def sign_in(request: web.Request) -> web.Response:
    response = web.HTTPSeeOther("/aosui/")
    response.set_cookie("session", request.query.get("key", ""), httponly=True, samesite="Lax")
    raise response


async def deployed(request: web.Request) -> web.Response:
    """Tell the viewers of every project, each over its own connections."""
    registry = aosui.get_registry(request)
    seqs = {p.name: await registry.send_to_project(p.id, "deployed", {}) for p in registry}
    return web.json_response(seqs)


def create_app(projects: Sequence[str]) -> web.Application:
    app = web.Application(middlewares=[timing])
    app.router.add_get("/", home)
    app.router.add_get("/sign-in", sign_in)
    app.router.add_post("/deployed", deployed)
    registry = aosui.setup(app, projects=projects, prefix="/aosui", authorize=authorize)
    assert app["ws_registry"] is registry
    return app


if __name__ == "__main__":
    web.run_app(create_app(sys.argv[1:] or ["."]), host="127.0.0.1", port=8080)
