"""`aosui.toml` of the user: what it may say, and refusals with file, key and reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from aosui.config import Config, ConfigError, ServerConfig, load_config
from aosui.limits import Limits


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "aosui.toml"


def test_everything_is_read(path: Path) -> None:
    path.write_text("""
        [server]
        host = "0.0.0.0"
        port = 80
        root = ["~/work"]
        allow_host = ["ui.example.org"]
        dormant_after = 5

        [limits]
        runs = 2
        connections_per_project = 3
        kept_bytes = 1000
        ping_seconds = 1

        [executors.shell]
        commands = true
        isolation = "process"
    """)
    assert load_config(path) == Config(
        ServerConfig(
            host="0.0.0.0",
            port=80,
            root=["~/work"],
            allow_host=["ui.example.org"],
            dormant_after=5,
        ),
        Limits(runs=2, connections_per_project=3, kept_bytes=1000, ping_seconds=1.0),
        {"shell": {"commands": True, "isolation": "process"}},
    )


def test_an_empty_file_is_the_defaults(path: Path) -> None:
    path.write_text("")
    assert load_config(path) == Config()


def test_never_is_a_time_to_fall_dormant(path: Path) -> None:
    path.write_text('[server]\ndormant_after = "never"')
    assert load_config(path).server.dormant_after == "never"


def test_the_users_own_file_need_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert load_config() == Config()
    (tmp_path / "aosui").mkdir()
    (tmp_path / "aosui" / "aosui.toml").write_text("[limits]\nruns = 3")
    assert load_config().limits.runs == 3


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ("[limits]\nrun = 3", "limits.run", "there is no such key; there are .*runs"),
        ("[limits]\nruns = 'x'", "limits.runs", "Expected `int`, got `str`"),
        ("[limits]\nruns = true", "limits.runs", "Expected `int`, got `bool`"),
        ("[limits]\nruns = 0", "limits.runs", "must be above 0"),
        ("[limits]\nping_seconds = nan", "limits.ping_seconds", "must be above 0"),
        ("[server]\nprot = 1", "server.prot", "there is no such key"),
        ("[server]\nport = '1'", "server.port", "Expected `int"),
        ("[server]\nroot = '/'", "server.root", "Expected `array`"),
        ("[server]\nroot = [1]", "server.root[0]", "Expected `str`"),
        ("[server]\ndormant_after = 'soon'", "server.dormant_after", "Invalid enum value"),
        ("[executors]\nshell = 1", "executors.shell", "must be a table"),
        ("limits = 1", "limits", "must be a table"),
        ("[server_]", "server_", "there is no such table$"),
        ("[workflows.test]\nrun = 'pytest'", "workflows", "belongs into .* a project"),
        ("[server]\nport = x\n", "", "is not TOML: .*line 2"),
    ],
)
def test_what_is_wrong_is_named(path: Path, text: str, key: str, reason: str) -> None:
    path.write_text(text)
    with pytest.raises(ConfigError, match=reason) as raised:
        load_config(path)
    assert (raised.value.path, raised.value.key) == (path, key)
    assert str(raised.value).startswith(f"{path}: {raised.value.key}")


def test_a_file_that_is_named_has_to_be_there(path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_config(path)
    path.mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(path)


def test_a_file_that_is_no_text_is_refused(path: Path) -> None:
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_config(path)
