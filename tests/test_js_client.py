"""The tests that run in Node: the JavaScript client's rules, its types, and it against a server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
JS = ROOT / "tests" / "js"
RULES = sorted(path for path in JS.rglob("*.test.mjs") if path.name != "real.test.mjs")
SECONDS = 180


def need(there: bool, what: str) -> None:
    """Skip when something is missing; in CI nothing may be."""
    if there:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{what}, and this is CI")
    pytest.skip(what)


def run_node(*args: str | Path) -> None:
    """Run Node in the project's directory; its output is the reason of a failure."""
    need(shutil.which("node") is not None, "node is not installed")
    done = subprocess.run(
        ["node", *args],
        cwd=ROOT,
        env={**os.environ, "AOSUI_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(done.stdout + done.stderr, pytrace=False)


def run_tests(path: Path) -> None:
    run_node("--test", "--test-reporter=spec", path)


def need_package(name: str) -> None:
    need((ROOT / "node_modules" / name).is_dir(), f"`npm install` has not brought {name}")


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.relative_to(JS).as_posix())
def test_rules(path: Path) -> None:
    run_tests(path)


def test_there_are_tests() -> None:
    assert {"api", "fold", "socket", "sockets"} <= {path.name.split(".")[0] for path in RULES}


@pytest.mark.slow
def test_against_a_server() -> None:
    need_package("ws")
    run_tests(JS / "real.test.mjs")


@pytest.mark.slow
def test_types() -> None:
    need_package("typescript")
    run_node(JS / "types.mjs")


def test_no_dependencies() -> None:
    client = (ROOT / "aosui" / "web" / "aosui-client.js").read_text()
    assert not [line for line in client.splitlines() if line.startswith("import")]
    assert "import(" not in client
