"""The state directory: private, whole after every death, and never a dead server in it."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aosui import Project
from aosui.state import RunningServer, StateDirectory, StateError


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "state" / "aosui")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def projects(*roots: str) -> list[Project]:
    return [Project(f"{name}-000000", name, Path(root)) for root in roots if (name := root[1:])]


def test_the_default_follows_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert StateDirectory.default().path == tmp_path / "aosui"


def test_a_token_is_made_once_and_is_for_its_owner_alone(state: StateDirectory) -> None:
    token = state.token()
    assert len(token) >= 32
    assert state.token() == token
    assert mode(state.path / "token") == 0o600
    assert mode(state.path) == 0o700
    assert [path.name for path in state.path.iterdir()] == ["token"]


def test_all_who_start_at_once_get_the_same_token(state: StateDirectory) -> None:
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(lambda _: state.token(), range(64)))) == 1


def test_a_token_that_is_none_is_not_used(state: StateDirectory) -> None:
    state.make()
    (state.path / "token").write_text("short")
    with pytest.raises(StateError, match="delete it"):
        state.token()


def test_projects_are_remembered(state: StateDirectory) -> None:
    assert state.projects() == []
    state.save_projects(projects("/a", "/b"))
    state.save_projects(projects("/b", "/c"))
    assert state.projects() == [(Path("/b"), "b"), (Path("/c"), "c")]
    assert [path.name for path in state.path.iterdir()] == ["projects.json"]


def test_damaged_projects_are_said_so(state: StateDirectory) -> None:
    state.make()
    (state.path / "projects.json").write_text('[{"root": 1')
    with pytest.raises(StateError, match="is damaged"):
        state.projects()


def test_a_server_is_found_while_it_lives(state: StateDirectory) -> None:
    assert state.running() is None
    server = RunningServer("http://127.0.0.1:1/", "t" * 16, os.getpid())
    with state.announce(server):
        assert state.running() == server
        assert server.link == "http://127.0.0.1:1/#token=tttttttttttttttt"
        assert mode(state.path / "servers" / f"{os.getpid()}.json") == 0o600
    assert state.running() is None
    assert [*(state.path / "servers").iterdir()] == []


def test_a_server_that_was_killed_is_not_found(state: StateDirectory) -> None:
    code = """
import sys
from pathlib import Path
from aosui.state import RunningServer, StateDirectory
with StateDirectory(Path(sys.argv[1])).announce(RunningServer("http://h/", "t" * 16, 4711)):
    print("here", flush=True)
    sys.stdin.read()
"""
    command = [sys.executable, "-c", code, str(state.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"here\n"
        found = state.running()
        assert found is not None
        assert found.pid == 4711
        child.kill()
        child.wait()
        assert state.running() is None
    assert [*(state.path / "servers").iterdir()] == []


def test_of_two_servers_the_younger_is_found(state: StateDirectory) -> None:
    older, younger = (RunningServer(f"http://h:{pid}/", "t" * 16, pid) for pid in (1, 2))
    with state.announce(older):
        os.utime(state.path / "servers" / "1.json", (1, 1))
        with state.announce(younger):
            assert state.running() == younger
        assert state.running() == older


@pytest.mark.parametrize("method", ["token", "make"])
def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path, method: str) -> None:
    (tmp_path / "file").write_text("")
    state = StateDirectory(tmp_path / "file" / "aosui")
    with pytest.raises(StateError, match="file/aosui cannot be made"):
        getattr(state, method)()
