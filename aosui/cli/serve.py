"""The server as a process: started, found by others, stopped by a signal."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from getpass import getuser
from pathlib import Path

import click
from aiohttp import web
from attrs import frozen

from aosui._logging import logger
from aosui.app import create_app, get_registry
from aosui.cli.logs import AccessLog
from aosui.config import Config
from aosui.errors import AosuiError, LogUnavailable, NotFound
from aosui.log import EventLog, LogFileError, LogLocked
from aosui.log.sqlite import SqliteLog
from aosui.orphans import end_orphans
from aosui.plugins import load_plugins
from aosui.protocol import TOKEN
from aosui.state import RunningServer, StateDirectory, StateError
from aosui.values import Project

__all__ = [
    "Failure",
    "LogTaken",
    "ServeOptions",
    "check_token",
    "hosting",
    "is_loopback",
    "leave",
    "own_url",
    "serve",
]

ALLOWED = re.compile(r"(?:https?://)?(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?/?")
HEADER_SECONDS = 7.0
"""A connection without a whole request is closed after this long."""
SHUTDOWN_SECONDS = 2.0
"""What handlers have to end once the sockets were closed."""


class Failure(click.ClickException):
    """A command cannot do its work: the reason is in what it was given or in what it found."""

    exit_code = 2


class LogTaken(Failure):
    """Another server has the event log."""

    exit_code = 3


@frozen(kw_only=True)
class ServeOptions:
    """Everything that `aosui serve` was told, command line and config together."""

    directories: Sequence[Path]
    host: str
    port: int
    log: str | None
    token: str
    roots: Sequence[Path]
    allow_hosts: Sequence[str]
    prefix: str
    dormant_after: float | None
    config: Config
    state: StateDirectory

    def __attrs_post_init__(self) -> None:
        for name in self.allow_hosts:
            if not ALLOWED.fullmatch(name):
                raise Failure(
                    f"--allow-host {name}: say a host name or an origin, such as "
                    "ui.example.org or https://ui.example.org"
                )


def check_token(token: str, where: str) -> str:
    """Return the token; raises `Failure` when it is too weak."""
    if not TOKEN.fullmatch(token):
        raise Failure(f"{where} must be at least 16 characters of A-Z, a-z, 0-9, _ and -")
    return token


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches an address; a name is taken to be reachable."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


async def serve(options: ServeOptions) -> None:
    """
    Serve until a signal, then end the process; raises `Failure` when it cannot begin.

    It does not return: `asyncio.run` would wait for ever for an executor that swallows its
    cancellation.
    """
    stop = _stopped_by_signals()
    log = await _open_log(options)
    restored = False

    def remember(projects: Sequence[Project]) -> None:
        if not restored:
            return  # a death now must not shorten the list that is being opened
        try:
            options.state.save_projects(projects)
        except StateError as error:
            logger.error("the open projects are not remembered", reason=str(error))

    app = create_app(
        prefix=options.prefix,
        token=options.token,
        roots=options.roots,
        executors=lambda: load_plugins(options.config.executors),
        log=log,
        allowed_hosts=options.allow_hosts,
        dormant_after=options.dormant_after,
        limits=options.config.limits,
        on_change=remember,
    )
    registry = get_registry(app)

    async def restore() -> None:
        nonlocal restored
        for root, name in options.state.projects():
            try:
                await registry.open(root, name=name)
            except NotFound:
                logger.warning("a project is gone: it was not opened", root=str(root))
        for directory in options.directories:
            await registry.open(directory)
        restored = True
        remember(tuple(registry))

    async with hosting(app, options.host, options.port, before=restore) as port:
        orphans = asyncio.create_task(end_orphans())
        server = RunningServer(
            f"{own_url(options.host, port)}{options.prefix}/", options.token, os.getpid()
        )
        with options.state.announce(server):
            _say_where(options, server, port)
            await stop.wait()
        orphans.cancel()
    leave(0)


def leave(code: int) -> None:
    """End the process now, whatever still runs in it."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    logging.shutdown()
    os._exit(code)


def own_url(host: str, port: int) -> str:
    """Return the URL at which this machine reaches a server that listens on `host`."""
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host.strip("[]"), host.strip("[]"))
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


@asynccontextmanager
async def hosting(
    app: web.Application,
    host: str,
    port: int,
    *,
    before: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[int]:
    """
    Run an application on a port of this process; yields the port (0 picks a free one).

    `before` is awaited between the application's start and the first request. Raises `Failure`.
    """
    runner = web.AppRunner(
        app,
        access_log_class=AccessLog,
        access_log=logging.getLogger("aosui.access"),
        keepalive_timeout=HEADER_SECONDS,
        shutdown_timeout=SHUTDOWN_SECONDS,
    )
    try:
        try:
            await runner.setup()
            if before is not None:
                await before()
            await web.TCPSite(runner, host.strip("[]"), port).start()
        except AosuiError as error:
            raise Failure(error.message) from error
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise Failure(f"cannot listen on {host}:{port}: {reason}") from None
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _stopped_by_signals() -> asyncio.Event:
    stop = asyncio.Event()

    def handle(number: signal.Signals) -> None:
        if stop.is_set():
            leave(128 + number)
        click.echo("stopping; once more ends it at once", err=True)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, handle, number)
    return stop


async def _open_log(options: ServeOptions) -> EventLog | None:
    limits = options.config.limits
    if options.log == "memory":
        return None  # what an application has by default
    if options.log is None:
        options.state.make()
    kept = {} if limits.kept_bytes is None else {"kept_bytes": limits.kept_bytes}
    log = SqliteLog(
        options.state.log_path if options.log is None else options.log,
        **kept,
        kept_runs=limits.final_runs,
        request_seconds=limits.request_seconds,
        synchronous=options.config.server.synchronous,
    )
    try:
        await log.connect()
    except LogLocked as error:
        running = options.state.running()
        hint = f"; the server that runs is at {running.link}" if running else ""
        raise LogTaken(f"{error}{hint} (--log PATH keeps another log)") from None
    except (LogFileError, LogUnavailable) as error:
        raise Failure(f"{error} (--log PATH keeps the log elsewhere)") from None
    return log


def _say_where(options: ServeOptions, server: RunningServer, port: int) -> None:
    link = server.link
    if options.allow_hosts and not is_loopback(options.host):
        scheme, separator, name = options.allow_hosts[0].rstrip("/").rpartition("://")
        if not separator:
            scheme, name = "http", name if re.search(r":\d+$", name) else f"{name}:{port}"
        link = f"{scheme}://{name}{options.prefix}/#token={options.token}"
        click.echo(
            f"Everybody who reaches port {port} of this machine and has the token runs commands "
            f"here as {getuser()}, and over plain http everybody on the way can read the token: "
            "put TLS in front of it.",
            err=True,
        )
    click.echo(f"aosui is running at {link}")
    click.echo("Ctrl-C stops it.", err=True)
