"""The house keeps its order: layers, strictness, and nothing that reaches into another's rooms."""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "aosui"
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
NAMES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in MODULES
}

LAYERS = [
    {"__main__"},
    {"cli", "scaffold"},
    {"client", "app", "follower", "fold", "config", "state", "testing"},
    {"api", "websocket"},
    {"guard", "plugins", "watchdog", "lag"},
    {"registry"},
    {"commands"},
    {"runner"},
    {"supervision"},
    {"hub"},
    {"fanout"},
    {"isolation", "remote", "executor_process", "connection"},
    {"snapshot"},
    {"executors", "tree", "process", "blocking", "orphans", "frames"},
    {"pipe", "reaper", "channel", "questions", "failure", "captured"},
    {"log", "protocol", "limits", "values", "events", "clock", "_logging", "errors"},
]
"""From the top of the house to its ground: a module imports from its own layer or from below."""

KNOW_AIOHTTP = {"api", "websocket", "guard", "app", "client", "cli"}


def room(path: Path) -> str:
    """Return the room of a module: its first name below the package."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imports(path: Path) -> set[str]:
    """Return the names of the modules that a module imports when it is imported."""
    found: set[str] = set()
    tree = ast.parse(path.read_text())
    skipped = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found.update(names & NAMES.keys() or {node.module})
    return found


def layer(name: str) -> int:
    return next(index for index, names in enumerate(LAYERS) if name in names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_its_own_layer_or_below(path: Path) -> None:
    here = room(path)
    if here == "__init__":
        return
    for name in imports(path):
        head, _, rest = name.partition(".")
        if head != "aosui" or not rest:
            continue
        there = rest.partition(".")[0]
        if not any(there in names for names in LAYERS):
            continue
        assert layer(there) >= layer(here), f"{here} must not import {there}"


def test_no_imports_go_in_a_circle() -> None:
    graph = {
        name: {found for found in imports(path) if found in NAMES and found != name}
        for name, path in NAMES.items()
        if name != "aosui"
    }
    for found in graph.values():
        found.discard("aosui")
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_room_has_its_place_in_the_house(path: Path) -> None:
    assert room(path) == "__init__" or any(room(path) in names for names in LAYERS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_doors_know_aiohttp(path: Path) -> None:
    if room(path) not in KNOW_AIOHTTP:
        assert not {name for name in imports(path) if name.partition(".")[0] == "aiohttp"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_reaches_into_anothers_private_names(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.Attribute)
            and node.attr.startswith("_")
            and not node.attr.startswith("__")
            and ast.unparse(node.value) not in ("self", "cls", "os", "sys")
        ):
            pytest.fail(f"{path.name}:{node.lineno} reaches for {ast.unparse(node)}")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_public_names_are_listed_in_order(path: Path) -> None:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names = ast.literal_eval(node.value)
            assert len(set(names)) == len(names)


def test_mypy_is_strict_and_nothing_switches_that_off() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert config.getboolean("mypy", "strict")
    assert "error" in config["tool:pytest"]["filterwarnings"]
    for path in (ROOT / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")):
        tools = tomllib.loads(path.read_text()).get("tool", {})
        assert not {name for name in tools if name in ("mypy", "pytest")}, path
    for name in ("mypy.ini", ".mypy.ini", "pytest.ini", "tox.ini"):
        assert not (ROOT / name).exists()


def test_importing_aosui_imports_no_server() -> None:
    code = "import sys, aosui; print([name for name in sys.modules if name == 'aiohttp'])"
    shown = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "[]"


def test_importing_aosui_configures_no_logging() -> None:
    code = (
        "import logging, aosui, aosui.app;"
        "print(logging.getLogger().handlers, logging.getLogger('aosui').handlers)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[] []"
