"""The commands and their options; what they do is elsewhere."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import aiohttp
import click

from aosui.app import create_app
from aosui.cli import follow
from aosui.cli.logs import configure_logging
from aosui.cli.safe import plain
from aosui.cli.serve import (
    Failure,
    ServeOptions,
    check_token,
    hosting,
    is_loopback,
    leave,
    own_url,
)
from aosui.cli.serve import (
    serve as serve_until_stopped,
)
from aosui.client import Api
from aosui.config import ConfigError, load_config
from aosui.errors import AosuiError
from aosui.executors import Executors
from aosui.plugins import check_plugins, load_plugins
from aosui.scaffold import new_executor as write_package
from aosui.state import StateDirectory, StateError

__all__ = ["main"]

P = ParamSpec("P")
T = TypeVar("T")

DIRECTORY = click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path)
CONFIG = click.option(
    "--config", type=click.Path(path_type=Path), metavar="FILE", help="Instead of your aosui.toml."
)


class _ServeByDefault(click.Group):
    """A group in which `aosui DIR ...` is `aosui serve DIR ...`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ("--help", "--version")):
            args = ["serve", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ServeByDefault)
@click.version_option(package_name="aosui", message="%(package)s %(version)s")
def main() -> None:
    """
    Watch and steer the workflows of several local projects, live.

    `aosui DIR ...` is `aosui serve DIR ...`.
    """


def _words_for_errors(command: Callable[P, T]) -> Callable[P, T]:
    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except (ConfigError, StateError) as error:
            raise Failure(str(error)) from None
        except AosuiError as error:
            raise Failure(f"{error.message} ({error.code})") from None
        except aiohttp.ClientError as error:
            raise Failure(f"the server does not answer: {error}") from None
        except (KeyboardInterrupt, asyncio.CancelledError):
            sys.exit(130)

    return wrapped


def _seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | str | None:
    if value in (None, "never"):
        return value
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise click.BadParameter("say seconds above 0, or never")
    return seconds


@main.command()
@click.argument("directories", nargs=-1, type=DIRECTORY, metavar="[DIR]...")
@click.option("--host", metavar="ADDRESS", help="Where to listen.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="0 picks a free one.  [default: 8765]")
@click.option(
    "--log", metavar="PATH|memory", help="The event log.  [default: in the state directory]"
)
@click.option("--token", help="To sign in with.  [default: AOSUI_TOKEN, else one is kept]")
@click.option(
    "--root",
    "roots",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Below it, the page may open projects.  [default: your home directory]",
)
@click.option(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    metavar="NAME|ORIGIN",
    help="A further name of this server, or an origin whose pages may use it.",
)
@click.option("--prefix", metavar="PATH", help="The path below which everything is.")
@click.option(
    "--dormant-after",
    callback=_seconds,
    metavar="SECONDS",
    help="When an idle project's connections are closed; or never.  [default: 30]",
)
@CONFIG
@_words_for_errors
def serve(
    directories: tuple[Path, ...],
    host: str | None,
    port: int | None,
    log: str | None,
    token: str | None,
    roots: tuple[Path, ...],
    allow_hosts: tuple[str, ...],
    prefix: str | None,
    dormant_after: float | str | None,
    config: Path | None,
) -> None:
    """
    Serve projects and the page that shows them.

    The projects that were open at the last stop are opened again, and each DIR with them.
    """
    configured = load_config(config)
    server = configured.server
    state = StateDirectory.default()
    host = host or server.host or "127.0.0.1"
    allowed = allow_hosts or tuple(server.allow_host)
    given = token or os.environ.get("AOSUI_TOKEN")
    if not is_loopback(host):
        if not allowed:
            raise Failure(
                f"others reach {host}: say with --allow-host under which name, "
                "or leave out --host to be reached from this machine alone"
            )
        if not given:
            raise Failure(
                f"others reach {host}: choose the token yourself, with --token or AOSUI_TOKEN"
            )
    if given:
        check_token(given, "--token" if token else "AOSUI_TOKEN")
    pause = dormant_after or server.dormant_after or 30.0
    options = ServeOptions(
        directories=directories,
        host="127.0.0.1" if host == "localhost" else host,
        port=port if port is not None else server.port if server.port is not None else 8765,
        log=log or server.log,
        token=given or state.token(),
        roots=roots or [Path(root) for root in server.root] or [Path.home()],
        allow_hosts=allowed,
        prefix="/" + given_prefix
        if (given_prefix := (prefix or server.prefix or "").strip("/"))
        else "",
        dormant_after=None if isinstance(pause, str) else pause,
        config=configured,
        state=state,
    )
    configure_logging(options.token)
    asyncio.run(serve_until_stopped(options))


@main.command()
@click.argument("directory", type=DIRECTORY, metavar="DIR")
@click.argument("workflow")
@click.option("-p", "params", multiple=True, metavar="KEY=VALUE", help="A param of the workflow.")
@CONFIG
@_words_for_errors
def run(directory: Path, workflow: str, params: tuple[str, ...], config: Path | None) -> None:
    """
    Start a run, follow it, and exit as it ended.

    It runs in the server that is running, else in one that lasts as long as the run (and keeps
    no history). WORKFLOW is EXECUTOR:NAME, or the end of it where that is clear. Ctrl-C cancels
    the run. The exit code is 0 (succeeded), 1 (failed or interrupted) or 130 (cancelled).
    """
    configured = load_config(config)

    async def in_running(url: str, token: str) -> int:
        async with Api(url, token=token) as api:
            return await follow.run(api, directory, workflow, params, own=False)

    async def in_own() -> int:
        token = secrets.token_urlsafe(24)
        configure_logging(token, level=logging.WARNING)
        app = create_app(
            token=token,
            roots=[directory],
            executors=lambda: load_plugins(configured.executors),
            limits=configured.limits,
            page=False,
        )
        async with (
            hosting(app, "127.0.0.1", 0) as port,
            Api(own_url("127.0.0.1", port), token=token) as api,
        ):
            code = await follow.run(api, directory, workflow, params, own=True)
        leave(code)
        return code

    server = StateDirectory.default().running()
    sys.exit(asyncio.run(in_own() if server is None else in_running(server.url, server.token)))


@main.command()
@click.argument("directory", type=DIRECTORY, metavar="DIR")
@_words_for_errors
def watch(directory: Path) -> None:
    """Show everything that happens in a project, until Ctrl-C."""
    _with_server(lambda api: follow.watch(api, directory))


@main.command()
@_words_for_errors
def projects() -> None:
    """List the open projects of the running server."""

    async def show(api: Api) -> None:
        click.echo(f"aosui is running at {api.link}", err=True)
        listed, _ = await api.projects()
        rows = [("PROJECT", "NAME", "RUNS", "ROOT")]
        for project in listed or ():
            activity = project["activity"]
            said = ", ".join(f"{count} {word}" for word, count in activity.items() if count)
            rows.append((project["projectId"], project["name"], said or "idle", project["root"]))
        _show_columns(rows)

    _with_server(show)


@main.command()
@click.option("--check", is_flag=True, help="Exit with 1 if any executor is not ok.")
@CONFIG
@_words_for_errors
def executors(check: bool, config: Path | None) -> None:
    """List the installed executors, and what is wrong with those that are not ok."""
    configured = load_config(config)
    logging.getLogger("aosui").addHandler(logging.NullHandler())

    async def look() -> Executors:
        found = await load_plugins(configured.executors)
        await check_plugins(found)
        await found.close()
        return found

    found = asyncio.run(look())
    rows = [("EXECUTOR", "DISTRIBUTION", "VERSION", "STATUS", "REASON")]
    rows += [
        (plugin.name, plugin.distribution, plugin.version, plugin.status, plugin.reason)
        for plugin in found.plugins.values()
    ]
    _show_columns(rows)
    if check and any(plugin.status != "ok" for plugin in found.plugins.values()):
        leave(1)
    leave(0)


@main.command("new-executor")
@click.argument("name")
@_words_for_errors
def new_executor(name: str) -> None:
    """Write a complete, tested package of an executor into ./aosui-NAME."""
    try:
        path = write_package(name)
    except (ValueError, OSError) as error:
        raise Failure(str(error)) from None
    click.echo(f"{path} is there: its README says how to go on")


def _show_columns(rows: Sequence[Sequence[str]]) -> None:
    cells = [[plain(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def _with_server(use: Callable[[Api], Awaitable[None]]) -> None:
    server = StateDirectory.default().running()
    if server is None:
        raise Failure("no server is running: start one with `aosui serve DIR`")

    async def call() -> None:
        async with Api(server.url, token=server.token) as api:
            await use(api)

    asyncio.run(call())
