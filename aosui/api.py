"""The HTTP door: the same commands and the same errors, for idle projects, scripts and curl."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from aosui.clock import timestamp
from aosui.commands import ACTIONS, Action, Request
from aosui.errors import (
    AosuiError,
    BadRequest,
    MessageTooBig,
    NotFound,
    RunNotFound,
    ShuttingDown,
    Unauthorized,
    UnsupportedMediaType,
)
from aosui.executors import Plugin
from aosui.frames import error_info
from aosui.guard import Authorize, TokenAuth, authorized
from aosui.lag import LagMeter
from aosui.log import NotKept
from aosui.protocol import (
    MAX_EVENT_BYTES,
    PROJECT_ID,
    QuestionAnswer,
    RunCancel,
    RunInput,
    RunRetry,
    RunStart,
    convert,
    decode_object,
    encode,
)
from aosui.registry import OpenProject, ProjectRegistry, printable
from aosui.values import REQUIRED, Param, Workflow

__all__ = ["Api", "error_response", "json_response"]

COOKIE_SECONDS = 400 * 24 * 3600
PAGE_EVENTS = 500
PAGE_BYTES = 1024 * 1024
SCAN_BYTES = 4 * 1024 * 1024
SCAN_EVENTS = 20_000
PAGE_RUNS = 100

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _OpenBody(msgspec.Struct, forbid_unknown_fields=False):
    root: str
    name: str | None = None


class Api:
    """The routes below `{prefix}/api`, and `{prefix}/health`."""

    def __init__(self, registry: ProjectRegistry, authorize: Authorize, lag: LagMeter) -> None:
        self._registry = registry
        self._authorize = authorize
        self._lag = lag

    def routes(self) -> list[web.RouteDef]:
        """List the routes, relative to the prefix."""
        one = "/api/projects/{project_id}"
        run = one + "/runs/{run_id}"
        return [
            web.get("/health", self.health),
            web.post("/api/session", self.sign_in),
            web.get("/api/executors", self.executors),
            web.get("/api/projects", self.projects),
            web.post("/api/projects", self.open),
            web.get(one, self.project),
            web.delete(one, self.close),
            web.get(one + "/workflows", self.workflows),
            web.get(one + "/events", self.events),
            web.get(one + "/runs", self.runs),
            web.post(one + "/runs", self.start),
            web.get(run, self.run),
            web.post(run + "/cancel", self.cancel),
            web.post(run + "/retry", self.retry),
            web.post(run + "/input", self.input),
            web.post(one + "/questions/{question_id}/answer", self.answer),
        ]

    # -- the server

    async def health(self, request: web.Request) -> web.Response:
        if request.query.get("verbose") in (None, "", "0"):
            return json_response({"status": "ok"})
        await authorized(self._authorize, request, "view", None)
        return json_response({"status": "ok", "lag": self._lag.figures()})

    async def sign_in(self, request: web.Request) -> web.Response:
        """Exchange the token for the session cookie."""
        auth = self._authorize
        if not isinstance(auth, TokenAuth):
            raise NotFound("this server signs in elsewhere")
        if not auth.knows_bearer(request):
            raise Unauthorized
        response = web.Response(status=204)
        response.set_cookie(
            auth.cookie_name(request),
            auth.cookie_value,
            max_age=COOKIE_SECONDS,
            httponly=True,
            samesite="Strict",
            secure=request.secure,
            path=request.path.removesuffix("/api/session") or "/",
        )
        return response

    async def executors(self, request: web.Request) -> web.Response:
        await authorized(self._authorize, request, "view", None)
        plugins = self._registry.executors.plugins.values()
        return json_response({"executors": [_plugin(plugin) for plugin in plugins]})

    # -- projects

    async def projects(self, request: web.Request) -> web.Response:
        visible: list[OpenProject] = []
        for project in self._registry:
            try:
                await authorized(self._authorize, request, "view", project.id)
            except AosuiError as refusal:
                if refusal.status == 401:
                    raise
            else:
                if project.id in self._registry:
                    visible.append(self._registry.opened(project.id))
        if not len(self._registry):
            await self._require_sign_in(request)
        body = encode({"projects": [_listing(opened) for opened in visible]})
        etag = hashlib.blake2b(body, digest_size=12).hexdigest()
        headers = {"ETag": f'"{etag}"', "Cache-Control": "no-cache"}
        known = request.if_none_match
        if known is not None and any(tag.value in (etag, "*") for tag in known):
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, content_type="application/json", headers=headers)

    async def _require_sign_in(self, request: web.Request) -> None:
        try:
            await authorized(self._authorize, request, "view", None)
        except AosuiError as refusal:
            if refusal.status == 401:
                raise

    async def open(self, request: web.Request) -> web.Response:
        await authorized(self._authorize, request, "open", None)
        body = convert(await self._body(request), _OpenBody)
        project, new = await self._registry.open_below_roots(body.root, name=body.name)
        listing = _listing(self._registry.opened(project.id))
        return json_response(listing, status=201 if new else 200)

    async def project(self, request: web.Request) -> web.Response:
        opened = await self._opened(request, "view")
        return web.Response(
            body=opened.hub.snapshot.text(timestamp()), content_type="application/json"
        )

    async def close(self, request: web.Request) -> web.Response:
        opened = await self._opened(request, "close")
        await self._registry.close(
            opened.hub.project_id,
            cancel=_flag(request, "cancel"),
            forget=_flag(request, "forget"),
        )
        return web.Response(status=204)

    async def workflows(self, request: web.Request) -> web.Response:
        opened = await self._opened(request, "view")
        lists, errors = await self._registry.executors.workflows(
            opened.project, self._registry.limits.workflows_seconds
        )
        return json_response(
            {
                "workflows": [
                    _workflow(name, workflow)
                    for name, workflows in lists.items()
                    for workflow in workflows
                ],
                "errors": [
                    {
                        "executor": name,
                        "error": {
                            "code": "executorFailed",
                            "message": reason,
                            "retryable": True,
                            "details": None,
                        },
                    }
                    for name, reason in errors.items()
                ],
            }
        )

    # -- runs

    async def runs(self, request: web.Request) -> web.Response:
        opened = await self._opened(request, "view")
        limit = min(_whole(request, "limit", 50), PAGE_RUNS)
        before = request.query.get("before")
        if before is not None and await opened.hub.load_run(before) is None:
            raise RunNotFound
        stored = await opened.hub.load_runs(before, limit + 1)
        runs = [msgspec.Raw(run.body) for run in stored[:limit]]
        return json_response({"runs": runs, "more": len(stored) > limit})

    async def run(self, request: web.Request) -> web.Response:
        opened = await self._opened(request, "view")
        # As stored, not as the runner has it: what a client has seen must not be forgotten.
        stored = await opened.hub.load_run(request.match_info["run_id"])
        if stored is None:
            raise RunNotFound
        return json_response(msgspec.Raw(stored.body))

    async def start(self, request: web.Request) -> web.Response:
        return await self._command(request, RunStart, status=202)

    async def retry(self, request: web.Request) -> web.Response:
        return await self._command(request, RunRetry, status=202)

    async def cancel(self, request: web.Request) -> web.Response:
        return await self._command(request, RunCancel)

    async def input(self, request: web.Request) -> web.Response:
        return await self._command(request, RunInput)

    async def answer(self, request: web.Request) -> web.Response:
        return await self._command(request, QuestionAnswer)

    async def _command(
        self, request: web.Request, kind: type[Request], *, status: int = 200
    ) -> web.Response:
        opened = await self._project_of(request)
        user = await authorized(self._authorize, request, ACTIONS[kind], opened.hub.project_id)
        body = await self._body(request)
        path = {"project_id": "projectId", "run_id": "runId", "question_id": "questionId"}
        for name, field in path.items():
            if name in request.match_info:
                body[field] = request.match_info[name]
        named = body.get("id") is not None
        if not named:
            body["id"] = "unnamed"
        command = convert({**body, "type": kind.__struct_config__.tag}, kind)
        if self._registry.shutting_down:
            raise ShuttingDown
        if not named:
            command = msgspec.structs.replace(command, id="")
        return json_response(await opened.commands.do(command, user), status=status)

    # -- events

    async def events(self, request: web.Request) -> web.Response:
        opened = await self._opened(request, "view")
        hub = opened.hub
        limit = min(_whole(request, "limit", PAGE_EVENTS), PAGE_EVENTS)
        run_id = request.query.get("runId")
        if "after" in request.query and "before" in request.query:
            raise BadRequest("give after or before, not both")
        head, first = hub.seq, hub.first_seq
        try:
            if "before" in request.query:
                before = min(_whole(request, "before", 0), head + 1)
                page, following = await _read_back(opened, before, limit, run_id)
            else:
                after = max(_whole(request, "after", 0, least=0), first - 1)
                page, following = await _read_on(opened, after, limit, run_id)
        except NotKept as gone:
            page, following, first = [], None, gone.first_seq
        return json_response(
            {
                "events": [msgspec.Raw(entry) for entry in page],
                "next": following,
                "firstSeq": first,
                "seq": head,
                "epoch": hub.epoch,
            }
        )

    # -- shared

    async def _project_of(self, request: web.Request) -> OpenProject:
        project_id = request.match_info["project_id"]
        known = project_id if PROJECT_ID.fullmatch(project_id) else None
        if known is None or known not in self._registry:
            await self._require_sign_in(request)
        return self._registry.opened(project_id)

    async def _opened(self, request: web.Request, action: Action) -> OpenProject:
        opened = await self._project_of(request)
        await authorized(self._authorize, request, action, opened.hub.project_id)
        return opened

    async def _body(self, request: web.Request) -> dict[str, Any]:
        if request.content_type != "application/json":
            if not request.can_read_body:
                return {}
            raise UnsupportedMediaType
        most = self._registry.limits.frame_bytes
        if (request.content_length or 0) > most:
            raise MessageTooBig
        data = bytearray()
        async for chunk in request.content.iter_any():
            data += chunk
            if len(data) > most:
                raise MessageTooBig
        return decode_object(bytes(data) or b"{}")


async def _read_on(
    opened: OpenProject, after: int, limit: int, run_id: str | None
) -> tuple[list[bytes], int | None]:
    """Read forwards; the second value is the `after` of the next page, None at the head."""
    hub = opened.hub
    found: list[bytes] = []
    size = scanned = 0
    while after < hub.seq:
        count = limit - len(found) if run_id is None else SCAN_EVENTS
        entries = await hub.read(after, count, PAGE_BYTES)
        if not entries:
            break
        for entry in entries:
            if scanned + len(entry) > SCAN_BYTES:
                return found, after
            if _concerns(entry, run_id):
                if len(found) == limit or (found and size + len(entry) > PAGE_BYTES):
                    return found, after
                found.append(entry)
                size += len(entry)
            scanned += len(entry)
            after += 1
        if len(found) == limit or (run_id is None and size >= PAGE_BYTES):
            break
    return found, after if after < hub.seq else None


async def _read_back(
    opened: OpenProject, before: int, limit: int, run_id: str | None
) -> tuple[list[bytes], int | None]:
    """Read backwards; the second value is the `before` of the next page, None at the start."""
    hub = opened.hub
    found: list[bytes] = []
    size = scanned = 0
    while before > hub.first_seq:
        start = max(hub.first_seq - 1, before - 1 - SCAN_BYTES // MAX_EVENT_BYTES)
        entries: list[bytes] = []
        while start + len(entries) < before - 1:
            more = await hub.read(
                start + len(entries), before - 1 - start - len(entries), SCAN_BYTES
            )
            if not more:
                break
            entries += more
        for entry in reversed(entries):
            if scanned + len(entry) > SCAN_BYTES:
                return found[::-1], before
            if _concerns(entry, run_id):
                if len(found) == limit or (found and size + len(entry) > PAGE_BYTES):
                    return found[::-1], before
                found.append(entry)
                size += len(entry)
            scanned += len(entry)
            before -= 1
    return found[::-1], before if before > hub.first_seq else None


def _concerns(entry: bytes, run_id: str | None) -> bool:
    if run_id is None:
        return True
    if run_id.encode() not in entry:
        return False
    event = msgspec.json.decode(entry, type=_OfRun)
    return run_id in (event.run_id, event.run.run_id if event.run is not None else None)


class _RunRef(msgspec.Struct, rename="camel"):
    run_id: str


class _OfRun(msgspec.Struct, rename="camel"):
    run_id: str | None = None
    run: _RunRef | None = None


def json_response(value: object, *, status: int = 200) -> web.Response:
    """Answer with JSON."""
    return web.Response(body=encode(value), status=status, content_type="application/json")


def error_response(error: AosuiError) -> web.Response:
    """Answer with an error."""
    response = json_response({"error": error_info(error)}, status=error.status)
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if error.status == 426:
        response.headers["Upgrade"] = "websocket"
    return response


def _listing(opened: OpenProject) -> dict[str, Any]:
    project, hub = opened.project, opened.hub
    return {
        "projectId": project.id,
        "name": project.name,
        "root": printable(str(project.root)),
        "epoch": hub.epoch,
        "seq": None if opened.active else hub.seq,
        "activity": opened.activity(),
    }


def _workflow(executor: str, workflow: Workflow) -> dict[str, Any]:
    return {
        "workflow": f"{executor}:{workflow.name}",
        "executor": executor,
        "title": workflow.title or workflow.name,
        "description": workflow.description,
        "params": [_param(param) for param in workflow.params],
    }


def _param(param: Param) -> dict[str, Any]:
    return {
        "name": param.name,
        "type": param.type,
        "required": param.required,
        "default": None if param.default is REQUIRED else param.default,
        "choices": param.choices,
        "description": param.description,
        "secret": param.secret,
    }


def _plugin(plugin: Plugin) -> dict[str, Any]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "status": plugin.status,
        "reason": plugin.reason,
        "blocked": plugin.blocked,
    }


def _flag(request: web.Request, name: str) -> bool:
    return request.query.get(name, "").lower() in ("1", "true", "yes")


def _whole(request: web.Request, name: str, default: int, *, least: int = 1) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 16 or int(text) < least:
        raise BadRequest(f"{name} must be an integer of at least {least}")
    return int(text)
