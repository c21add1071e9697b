"""
Into an application: `setup` moves aosui into one that exists, `create_app` makes one of its own.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from aosui._logging import logger
from aosui.api import Api, error_response
from aosui.errors import (
    AosuiError,
    BadRequest,
    InternalError,
    MessageTooBig,
    MethodNotAllowed,
    NotFound,
)
from aosui.executors import Executor, Executors
from aosui.guard import Authorize, Guard, TokenAuth, new_token
from aosui.lag import LagMeter
from aosui.limits import Limits
from aosui.log import EventLog
from aosui.log.memory import MemoryLog
from aosui.plugins import load_plugins
from aosui.registry import ProjectRegistry
from aosui.values import Project
from aosui.watchdog import Watchdog
from aosui.websocket import WebSocketDoor

__all__ = ["WS_REGISTRY", "create_app", "get_registry", "setup"]

WS_REGISTRY: Final = web.AppKey("aosui.registry", ProjectRegistry)
"""The typed key of the registry; the same as `app["ws_registry"]`."""

NAME: Final = "ws_registry"
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

ExecutorsArgument = Mapping[str, Executor] | Callable[[], Awaitable[Executors]] | None


def setup(
    app: web.Application,
    *,
    prefix: str = "/aosui",
    projects: Sequence[str | Path] = (),
    roots: Sequence[str | Path] = (),
    executors: ExecutorsArgument = None,
    log: EventLog | None = None,
    authorize: Authorize | None = None,
    allowed_hosts: Collection[str] | None = None,
    allowed_origins: Collection[str] = (),
    page: bool = True,
    dormant_after: float | None = 30.0,
    limits: Limits | None = None,
) -> ProjectRegistry:
    """
    Move aosui into an application, below `prefix`; returns its registry.

    `projects` are opened at startup; `roots` are the directories below which clients may open
    more. `executors` maps names to instances (None: every installed plugin). `authorize=None`
    asks for a token: `AOSUI_TOKEN`, else one is made and printed to stderr. `dormant_after` is in
    seconds. Raises RuntimeError when the application has a registry already, ValueError for a
    prefix that does not start with a slash or has nothing behind it.
    """
    if not prefix.startswith("/") or not prefix.strip("/"):
        raise ValueError(f"prefix must be a path like '/aosui', not {prefix!r}")
    prefix = "/" + prefix.strip("/")
    auth = authorize or TokenAuth(_token_of_environment(prefix))
    guard = Guard(
        standalone=False,
        page_path=prefix,
        allowed_hosts=allowed_hosts,
        allowed_origins=allowed_origins,
    )
    registry = _new_registry(app, log, limits, roots, dormant_after)
    door = _door(guard)

    async def redirect(request: web.Request) -> web.StreamResponse:
        return await door(request, _redirect_to_slash)

    part = web.Application(middlewares=[door])
    _add_routes(part, registry, auth, page=page, projects=projects, executors=executors, host=app)
    app.router.add_get(prefix, redirect)
    app.add_subapp(prefix, part)
    return registry


def create_app(
    *,
    prefix: str = "",
    token: str | None = None,
    projects: Sequence[str | Path] = (),
    roots: Sequence[str | Path] = (),
    executors: ExecutorsArgument = None,
    log: EventLog | None = None,
    authorize: Authorize | None = None,
    allowed_hosts: Collection[str] | None = None,
    allowed_origins: Collection[str] = (),
    page: bool = True,
    dormant_after: float | None = 30.0,
    limits: Limits | None = None,
    on_change: Callable[[Sequence[Project]], None] | None = None,
) -> web.Application:
    """
    Make an application of aosui's own, which allows no host but loopback and `allowed_hosts`.

    The same keywords as `setup`'s; `token` is the one to sign in with (None: `AOSUI_TOKEN`, else
    one is made and printed). `on_change` is called with the open projects after each open and
    close.
    """
    prefix = "/" + prefix.strip("/") if prefix.strip("/") else ""
    auth = authorize or TokenAuth(token or _token_of_environment(prefix))
    guard = Guard(
        standalone=True,
        page_path=prefix or "/",
        allowed_hosts=allowed_hosts,
        allowed_origins=allowed_origins,
    )
    app = web.Application(middlewares=[_door(guard)])
    registry = _new_registry(app, log, limits, roots, dormant_after, on_change)
    part = web.Application() if prefix else app
    _add_routes(part, registry, auth, page=page, projects=projects, executors=executors, host=app)
    if prefix:
        app.router.add_get(prefix, _redirect_to_slash)
        app.add_subapp(prefix, part)
    return app


def get_registry(app_or_request: web.Application | web.Request) -> ProjectRegistry:
    """
    Find the registry of an application, or of the one that a request belongs to.

    Raises RuntimeError when there is none.
    """
    if isinstance(app_or_request, web.Application):
        registry = app_or_request.get(WS_REGISTRY)
    else:
        registry = app_or_request.config_dict.get(WS_REGISTRY)
    if registry is None:
        raise RuntimeError("there is no project registry: call aosui.setup(app) first")
    return registry


def _new_registry(
    app: web.Application,
    log: EventLog | None,
    limits: Limits | None,
    roots: Sequence[str | Path],
    dormant_after: float | None,
    on_change: Callable[[Sequence[Project]], None] | None = None,
) -> ProjectRegistry:
    if WS_REGISTRY in app:
        raise RuntimeError("aosui.setup(app) was called on this application already")
    limits = limits or Limits()
    registry = ProjectRegistry(
        log if log is not None else _memory_log(limits),
        limits,
        roots=[Path(root) for root in roots],
        dormant_after=dormant_after,
        on_change=on_change,
    )
    app[WS_REGISTRY] = registry
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", web.NotAppKeyWarning)
        app[NAME] = registry
    return registry


def _memory_log(limits: Limits) -> MemoryLog:
    if limits.kept_bytes is None:
        return MemoryLog(kept_runs=limits.final_runs, request_seconds=limits.request_seconds)
    return MemoryLog(
        kept_bytes=limits.kept_bytes,
        kept_runs=limits.final_runs,
        request_seconds=limits.request_seconds,
    )


def _add_routes(
    part: web.Application,
    registry: ProjectRegistry,
    authorize: Authorize,
    *,
    page: bool,
    projects: Sequence[str | Path],
    executors: ExecutorsArgument,
    host: web.Application,
) -> None:
    lag = LagMeter()
    part.router.add_routes(Api(registry, authorize, lag).routes())
    part.router.add_get("/ws", WebSocketDoor(registry, authorize).handle, allow_head=False)
    if page:
        _add_page(part)

    async def life(_app: web.Application) -> AsyncIterator[None]:
        lag.start()
        watchdog = Watchdog(lag, registry.executors)
        watchdog.start()
        try:
            if isinstance(executors, Mapping):
                registry.executors.adopt(Executors(executors))
            else:
                registry.executors.adopt(await (executors or load_plugins)())
            for root in projects:
                await registry.open(root)
            yield
            await registry.finish()
        finally:
            watchdog.stop()
            lag.stop()

    async def shut_down(_app: web.Application) -> None:
        await registry.shut_down()

    host.cleanup_ctx.append(life)
    host.on_shutdown.append(shut_down)


def _add_page(part: web.Application) -> None:
    folder = Path(str(files("aosui") / "web"))
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.endswith((".d.ts", ".md")):
            part.router.add_get("/" + path.relative_to(folder).as_posix(), _static(path))
    if (folder / "index.html").exists():
        part.router.add_get("/", _static(folder / "index.html"))


def _static(path: Path) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def send(_request: web.Request) -> web.StreamResponse:
        return web.FileResponse(path, headers={"Cache-Control": "no-cache"})

    return send


async def _redirect_to_slash(request: web.Request) -> web.StreamResponse:
    name = request.path.rstrip("/").rpartition("/")[2]
    raise web.HTTPPermanentRedirect(f"{name}/")


def _door(guard: Guard) -> Middleware:
    @web.middleware
    async def door(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            guard.check(request)
            response = await handler(request)
        except AosuiError as error:
            response = error_response(error)
        except web.HTTPException as error:
            if error.status < 400:
                error.headers.update(SECURITY_HEADERS)
                raise
            response = error_response(_as_error(error))
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
        except Exception as error:
            logger.exception("a handler failed", code="internal", exc_info=error)
            response = error_response(InternalError())
        if not response.prepared:
            for name, value in SECURITY_HEADERS.items():
                response.headers.setdefault(name, value)
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    return door


def _as_error(error: web.HTTPException) -> AosuiError:
    match error.status:
        case 404:
            return NotFound()
        case 405:
            return MethodNotAllowed()
        case 413:
            return MessageTooBig()
    return BadRequest() if error.status < 500 else InternalError()


def _token_of_environment(prefix: str) -> str:
    token = os.environ.get("AOSUI_TOKEN")
    if token:
        return token
    token = new_token()
    print(f"aosui: sign in at {prefix}/#token={token}", file=sys.stderr, flush=True)  # noqa: T201
    return token
