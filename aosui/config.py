"""
`aosui.toml` of the user: `[server]`, `[limits]` and one table `[executors.NAME]` an executor.

The `aosui.toml` of a project is not read here: its `[workflows.*]` belong to `aosui-shell`, and a
repository must not configure the server or executors.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import platformdirs
from attrs import Factory, fields, frozen

from aosui.limits import Limits

__all__ = ["Config", "ConfigError", "ServerConfig", "load_config"]

T = TypeVar("T", "ServerConfig", Limits)


class ConfigError(Exception):
    """A config file is wrong: `path`, `key` (dotted; "" = the whole file) and `reason`."""

    def __init__(self, path: Path, key: str, reason: str) -> None:
        super().__init__(": ".join(filter(None, (str(path), key, reason))))
        self.path = path
        self.key = key
        self.reason = reason


@frozen(kw_only=True)
class ServerConfig:
    """
    The table `[server]`: the options of `aosui serve` by the same names, lists where they repeat.

    None leaves the default to the command line. `dormant_after` is in seconds, or "never".
    `synchronous = "FULL"` lets the SQLite log survive a power loss too, at the price of a wait for
    the disk with each batch.
    """

    host: str | None = None
    port: int | None = None
    log: str | None = None
    root: list[str] = Factory(list)
    allow_host: list[str] = Factory(list)
    prefix: str | None = None
    dormant_after: float | Literal["never"] | None = None
    synchronous: Literal["NORMAL", "FULL"] = "NORMAL"


@frozen
class Config:
    """What a user has configured; `executors` are the keywords of each, as TOML gives them."""

    server: ServerConfig = Factory(ServerConfig)
    limits: Limits = Factory(Limits)
    executors: Mapping[str, Mapping[str, Any]] = Factory(dict)


def load_config(path: Path | None = None) -> Config:
    """
    Read a config file; None is the user's own, which need not exist.

    Raises `ConfigError`.
    """
    given = path is not None
    path = path or platformdirs.user_config_path("aosui") / "aosui.toml"
    tables: dict[str, Any]
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if given:
            raise ConfigError(path, "", "there is no such file") from None
        return Config()
    except OSError as error:
        raise ConfigError(path, "", f"cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(path, "", f"is not TOML: {error}") from None
    for name, table in tables.items():
        if name not in ("server", "limits", "executors"):
            hint = "; it belongs into the aosui.toml of a project" if name == "workflows" else ""
            raise ConfigError(path, name, f"there is no such table{hint}")
        if not isinstance(table, dict):
            raise ConfigError(path, name, "must be a table")
    executors = tables.get("executors", {})
    for name, table in executors.items():
        if not isinstance(table, dict):
            raise ConfigError(path, f"executors.{name}", "must be a table")
    return Config(
        _section(path, "server", tables, ServerConfig),
        _section(path, "limits", tables, Limits),
        executors,
    )


def _section(path: Path, name: str, tables: Mapping[str, Any], kind: type[T]) -> T:
    table = tables.get(name, {})
    known = [field.name for field in fields(kind)]
    for key in table:
        if key not in known:
            raise ConfigError(
                path, f"{name}.{key}", f"there is no such key; there are {', '.join(known)}"
            )
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        if error.__cause__ is not None:
            key, _, reason = str(error.__cause__).partition(" ")
        else:
            reason, _, key = str(error).partition(" - at `$.")
        raise ConfigError(path, f"{name}.{key.rstrip('`')}", reason) from None
