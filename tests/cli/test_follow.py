"""`aosui run` and `aosui watch` as real processes, on pipes and on a terminal."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from collections.abc import Iterator

import pytest

from aosui.cli.follow import find_workflow, read_params
from aosui.cli.serve import Failure

from .conftest import Cli, Output, Server, Started


@pytest.fixture(params=["running", "own"])
def anywhere(request: pytest.FixtureRequest, cli: Cli) -> Cli:
    """A home in which a server runs, and one in which none does."""
    if request.param == "running":
        cli.serve()
    return cli


class Screen(Started):
    """A process on a terminal of its own."""

    terminal: int

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())


@pytest.fixture
def screens() -> Iterator[list[int]]:
    terminals: list[int] = []
    yield terminals
    for terminal in terminals:
        os.close(terminal)


def on_screen(cli: Cli, screens: list[int], *args: object) -> Screen:
    terminal, inner = pty.openpty()
    screens.append(terminal)
    process = subprocess.Popen(
        cli.command(*args),
        env=cli.env | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"},
        cwd=cli.home,
        stdin=inner,
        stdout=inner,
        stderr=inner,
        start_new_session=True,
    )
    os.close(inner)
    output = Output(open(terminal, "rb", buffering=0, closefd=False))  # noqa: SIM115
    screen = Screen(process, output, output)
    screen.terminal = terminal
    cli.started.append(screen)
    return screen


def test_a_run_that_succeeds_exits_with_0_and_writes_its_output_alone(anywhere: Cli) -> None:
    ended = anywhere.run("run", anywhere.project, "talk:say", "-p", "times=2")
    assert (ended.returncode, ended.stdout) == (0, "hello\nhello\n")
    assert "✓ say: succeeded" in ended.stderr
    assert '{"said": 2}' in ended.stderr


def test_a_run_that_fails_exits_with_1_and_says_why(anywhere: Cli) -> None:
    ended = anywhere.run("run", anywhere.project, "talk:fail")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "before\n" in ended.stderr
    assert "✗ fail: failed" in ended.stderr
    assert "no luck today (noLuck)" in ended.stderr


def test_ctrl_c_cancels_the_run_and_exits_with_130(anywhere: Cli) -> None:
    started = anywhere.start("run", anywhere.project, "wait")
    started.stdout.until("ready\n")
    started.send(signal.SIGINT)
    started.stderr.until("cancelling the run")
    assert started.wait() == 130
    assert "⊘ Wait for ever: cancelled" in started.stderr.rest()


def test_a_second_ctrl_c_leaves_at_once(anywhere: Cli) -> None:
    started = anywhere.start("run", anywhere.project, "stubborn")
    started.stdout.until("ready\n")
    started.send(signal.SIGINT)
    started.stderr.until("cancelling the run")
    started.send(signal.SIGINT)
    assert started.wait(3) == 130


def test_params_are_of_their_type(anywhere: Cli) -> None:
    ended = anywhere.run("run", anywhere.project, "say", "-p", "loud=yes", "-p", "text=a=b\n")
    assert (ended.returncode, ended.stdout) == (0, "A=B\n")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["say", "-p", "times"], "say KEY=VALUE"),
        (["say", "-p", "times=two"], "times=two: it must be a whole number"),
        (["say", "-p", "colour=red"], "no param colour; it has text, times, loud, pause"),
        (["sing"], "no workflow sing; there are:"),
    ],
)
def test_what_cannot_begin_exits_with_2(cli: Cli, args: list[str], said: str) -> None:
    ended = cli.run("run", cli.project, *args)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_directory_that_the_server_may_not_open_is_said_so(cli: Cli) -> None:
    cli.serve()
    ended = cli.run("run", "/", "talk:say")
    assert ended.returncode == 2
    assert "may not open /" in ended.stderr


def test_questions_are_asked_and_answered_by_what_is_typed(anywhere: Cli) -> None:
    ended = anywhere.run("run", anywhere.project, "ask", stdin="3\n2\nbecause\n")
    assert ended.returncode == 0
    assert "Which colour?\n  1) red\n  2) blue\nType a number:" in ended.stderr
    assert "Type a number from 1 to 2:" in ended.stderr
    assert '{"colour": "blue", "why": "because"}' in ended.stderr


def test_nobody_there_to_answer_waits_for_somebody_elsewhere(cli: Cli) -> None:
    started = cli.start("run", cli.project, "ask")
    assert started.process.stdin is not None
    started.process.stdin.close()
    started.stderr.until("nobody is here to answer")
    started.send(signal.SIGINT)
    assert started.wait() == 130


def test_an_answer_from_elsewhere_ends_the_asking(cli: Cli, screens: list[int]) -> None:
    cli.serve()
    here = on_screen(cli, screens, "run", cli.project, "ask")
    here.stdout.until("Type a number")
    watching = cli.start("watch", cli.project)
    watching.stdout.until(r"ask asks: Which colour\? / And why\?")
    answer_elsewhere(cli)
    assert here.wait() == 0
    assert '{"colour": "red"' in here.stdout.rest()


def answer_elsewhere(cli: Cli) -> None:
    code = """
import asyncio, os
from pathlib import Path
from aosui.client import Api, connect
from aosui.state import StateDirectory

async def main():
    server = StateDirectory.default().running()
    async with Api(server.link) as api:
        [project] = (await api.projects())[0]
    async with connect(server.link, project["projectId"]) as socket:
        [run] = socket.snapshot["runs"]
        [question] = run["questions"]
        await socket.answer(question["questionId"], {"colour": "red", "why": "so"})

asyncio.run(main())
"""
    command = [cli.command()[0], "-c", code]
    subprocess.run(command, env=cli.env, cwd=cli.home, check=True, timeout=20)


def test_on_a_terminal_a_bar_moves_below_the_output(cli: Cli, screens: list[int]) -> None:
    screen = on_screen(cli, screens, "run", cli.project, "say", "-p", "times=4", "-p", "pause=0.3")
    screen.stdout.until("hello")
    screen.stdout.until("━")
    screen.stdout.until("saying 3")
    assert screen.wait() == 0
    said = screen.stdout.rest()
    assert said.count("hello") == 4
    assert "✓ say: succeeded" in said
    assert said.rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in said, "the cursor must come back"


def test_on_a_terminal_questions_are_typed(cli: Cli, screens: list[int]) -> None:
    screen = on_screen(cli, screens, "run", cli.project, "ask")
    screen.stdout.until("Type a number")
    screen.type("1\n")
    screen.stdout.until("And why")
    screen.type("it is warm\n")
    assert screen.wait() == 0
    assert '"why": "it is warm"' in screen.stdout.rest()


def test_on_a_terminal_output_does_not_act(cli: Cli, screens: list[int]) -> None:
    hostile = "text=\x1b]52;c;b3duZWQ=\x07\x1b]0;owned\x07\x1b[2Jshown\x1b[31mred\n"
    screen = on_screen(cli, screens, "run", cli.project, "say", "-p", hostile)
    assert screen.wait() == 0
    said = screen.stdout.rest()
    assert "shown" in said
    for sequence in ("]52", "owned", "\x1b[2J"):
        assert sequence not in said


def test_ctrl_c_typed_on_a_terminal_cancels(cli: Cli, screens: list[int]) -> None:
    screen = on_screen(cli, screens, "run", cli.project, "wait")
    screen.stdout.until("ready")
    screen.send(signal.SIGINT)
    assert screen.wait() == 130


def test_watch_shows_what_happens_until_ctrl_c(cli: Cli) -> None:
    cli.serve(cli.project)
    watching = cli.start("watch", cli.project)
    watching.stdout.until("watching site")
    assert cli.run("run", cli.project, "say").returncode == 0
    watching.stdout.until("say │ hello\n")
    watching.stdout.until("✓ say: succeeded")
    watching.send(signal.SIGINT)
    assert watching.wait() == 130


def test_watch_shows_what_was_said_before_it_came(cli: Cli) -> None:
    cli.serve(cli.project)
    waiting = cli.start("run", cli.project, "wait")
    waiting.stdout.until("ready\n")
    watching = cli.start("watch", cli.project)
    watching.stdout.until("Wait for ever │ ready\n")


def test_watch_and_run_live_through_a_restart(cli: Cli) -> None:
    server = cli.serve(cli.project)
    running = cli.start("run", cli.project, "wait")
    running.stdout.until("ready\n")
    watching = cli.start("watch", cli.project)
    watching.stdout.until("watching site")
    server.send(signal.SIGKILL)
    server.wait()
    watching.stdout.until("the connection is lost")
    cli.serve(port=server.port)
    watching.stdout.until("connected again")
    watching.stdout.until("✗ Wait for ever: interrupted")
    assert running.wait() == 1


def test_without_a_server_watch_and_projects_say_so(cli: Cli) -> None:
    for ended in (cli.run("watch", cli.project), cli.run("projects")):
        assert ended.returncode == 2
        assert "no server is running: start one with `aosui serve DIR`" in ended.stderr


def test_projects_are_listed(cli: Cli) -> None:
    server: Server = cli.serve(cli.project)
    ended = cli.run("projects")
    assert ended.returncode == 0
    assert str(cli.project) in ended.stdout
    assert "idle" in ended.stdout
    waiting = cli.start("run", cli.project, "wait")
    waiting.stdout.until("ready\n")
    assert "1 active" in cli.run("projects").stdout
    assert server.token not in ended.stdout
    assert f"aosui is running at {server.link}" in ended.stderr


def test_executors_are_listed_and_checked(cli: Cli) -> None:
    ended = cli.run("executors")
    assert ended.returncode == 0
    assert "talk" in ended.stdout
    assert "1.2.3" in ended.stdout
    path = cli.home / "my.toml"
    path.write_text("[executors.talk]\nvolume = 11")
    ended = cli.run("executors", "--check", "--config", path)
    assert ended.returncode == 1
    assert "broken" in ended.stdout
    assert "TalkExecutor() takes no arguments" in ended.stdout
    assert cli.run("executors", "--config", path).returncode == 0


def test_an_isolated_executor_is_checked_and_used(cli: Cli) -> None:
    path = cli.home / "config" / "aosui" / "aosui.toml"
    path.parent.mkdir(parents=True)
    path.write_text('[executors.talk]\nisolation = "process"')
    assert "talk      talk" in cli.run("executors", "--check").stdout
    ended = cli.run("run", cli.project, "say")
    assert (ended.returncode, ended.stdout) == (0, "hello\n")
    path.write_text('[executors.talk]\nisolation = "process"\nvolume = 11')
    ended = cli.run("executors", "--check")
    assert (ended.returncode, "TalkExecutor() takes no arguments" in ended.stdout) == (1, True)


def test_new_executor_writes_a_package(cli: Cli) -> None:
    ended = cli.run("new-executor", "deploy")
    assert ended.returncode == 0
    assert (cli.home / "aosui-deploy" / "pyproject.toml").exists()
    ended = cli.run("new-executor", "deploy")
    assert ended.returncode == 2
    assert "nothing was written" in ended.stderr


LISTING = {
    "workflows": [
        {"workflow": "a:test", "params": []},
        {"workflow": "b:test", "params": []},
        {"workflow": "b:make:build", "params": []},
    ],
    "errors": [{"executor": "c", "error": {"message": "its Makefile is damaged"}}],
}


def test_a_workflow_is_found_by_its_name_where_that_is_clear() -> None:
    assert find_workflow(LISTING, "a:test")["workflow"] == "a:test"
    for name in ("build", "make:build", "b:make:build"):
        assert find_workflow(LISTING, name)["workflow"] == "b:make:build"
    with pytest.raises(Failure, match="no workflow uild"):
        find_workflow(LISTING, "uild")
    with pytest.raises(Failure, match="say a:test or b:test"):
        find_workflow(LISTING, "test")
    with pytest.raises(Failure, match=r"(?s)there are:\n  a:test.*c: its Makefile is damaged"):
        find_workflow(LISTING, "deploy")


def test_params_are_read_by_type() -> None:
    types = {"s": "string", "t": "text", "i": "integer", "n": "number", "b": "boolean"}
    params = [{"name": name, "type": kind} for name, kind in types.items()]
    given = ["s=1", "t=", "i=-2", "n=1e3", "b=off"]
    assert read_params({"workflow": "w", "params": params}, given) == {
        "s": "1",
        "t": "",
        "i": -2,
        "n": 1000.0,
        "b": False,
    }
