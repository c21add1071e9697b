"""`ShellExecutor`, with real tasks of real tools."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from aosui import ExecutorError, IncompleteWorkflows, Project, Run
from aosui.testing import RecordingChannel, check_executor

from aosui_shell import ShellExecutor

MAKEFILE = """
.PHONY: all
all:
\t@printf '\\033[32mgreen\\033[0m\\n'; test -t 1 && echo a terminal
fail:
\t@exit 3
stays:
\t@echo started; sleep 1000
"""


async def names(executor: ShellExecutor, project: Project) -> list[str]:
    return [workflow.name for workflow in await executor.workflows(project)]


async def execute(
    channel: RecordingChannel, workflow: str, *, allow_command: bool = False, **params: object
) -> object:
    executor = ShellExecutor(allow_command=allow_command)
    return await executor.execute(Run("run", workflow, params), channel)


class TestWorkflows:
    async def test_of_all_sources(self, root: Path, project: Project) -> None:
        assert await names(ShellExecutor(), project) == []
        (root / "aosui.toml").write_text("[workflows.test]\nrun = 'pytest'")
        (root / "Makefile").write_text("test:\n")
        (root / "package.json").write_text('{"scripts": {"test": "vitest"}}')
        assert await names(ShellExecutor(), project) == ["test", "make:test", "npm:test"]

    async def test_a_broken_file_is_reported_and_hides_no_other(
        self, root: Path, project: Project
    ) -> None:
        (root / "aosui.toml").write_text("[workflows")
        (root / "package.json").write_text("{")
        (root / "Makefile").write_text("test:\n")
        with pytest.raises(IncompleteWorkflows) as caught:
            await ShellExecutor(allow_command=True).workflows(project)
        assert [workflow.name for workflow in caught.value.workflows] == ["make:test", "command"]
        assert "aosui.toml: is not TOML" in caught.value.message
        assert "; package.json: " in caught.value.message

    async def test_a_command_only_when_the_user_allows_it(
        self, root: Path, project: Project, channel: RecordingChannel
    ) -> None:
        assert await names(ShellExecutor(allow_command=True), project) == ["command"]
        (root / "aosui.toml").write_text(
            "[executors.shell]\nallow_command = true\n[workflows.command]\nrun = 'echo mine'"
        )
        with pytest.raises(IncompleteWorkflows) as caught:
            await ShellExecutor().workflows(project)
        assert not caught.value.workflows
        with pytest.raises(ExecutorError, match="the task 'command' is not there"):
            await execute(channel, "command", command="echo evil")
        assert channel.outputs == []

    def test_options_are_checked(self) -> None:
        with pytest.raises(TypeError, match="allow_command must be true or false, not 'yes'"):
            ShellExecutor(allow_command="yes")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="alow_command"):
            ShellExecutor(alow_command=True)  # type: ignore[call-arg]

    def test_it_is_installed_as_shell(self) -> None:
        (point,) = entry_points(group="aosui.executors", name="shell")
        assert point.load() is ShellExecutor


class TestExecute:
    async def test_a_make_target_in_a_terminal(self, root: Path, channel: RecordingChannel) -> None:
        (root / "Makefile").write_text(MAKEFILE)
        assert await execute(channel, "make:all") == {"exitCode": 0}
        assert channel.text == "\x1b[32mgreen\x1b[0m\na terminal\n"

    async def test_a_failure_says_the_status(self, root: Path, channel: RecordingChannel) -> None:
        (root / "Makefile").write_text(MAKEFILE)
        with pytest.raises(ExecutorError, match="make:fail exited with 2") as caught:
            await execute(channel, "make:fail")
        assert caught.value.details == {"exitCode": 2}

    async def test_a_killed_task_names_the_signal(
        self, root: Path, channel: RecordingChannel
    ) -> None:
        (root / "aosui.toml").write_text("[workflows.die]\nrun = 'kill -KILL $$'")
        with pytest.raises(ExecutorError, match=r"die was killed by SIGKILL \(Killed\)"):
            await execute(channel, "die")

    @pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm")
    async def test_an_npm_script(self, root: Path, channel: RecordingChannel) -> None:
        (root / "package.json").write_text('{"scripts": {"hello": "echo hello from npm"}}')
        assert await execute(channel, "npm:hello") == {"exitCode": 0}
        assert "\nhello from npm\n" in channel.text

    async def test_a_configured_line_is_for_a_shell(
        self, root: Path, channel: RecordingChannel
    ) -> None:
        (root / "one.txt").touch()
        (root / "two.txt").touch()
        (root / "aosui.toml").write_text("[workflows.list]\nrun = 'ls *.txt | wc -l && pwd -P'")
        await execute(channel, "list")
        assert channel.text.split() == ["2", str(root)]

    async def test_parameters_are_variables_and_never_code_or_options(
        self, root: Path, channel: RecordingChannel
    ) -> None:
        (root / "aosui.toml").write_text(
            "[workflows.show]\n"
            """run = 'printf "%s|" "$text" "$number" "${on:+on}" "${off:+off}" "${none-unset}"'\n"""
            "params = {text={}, number={type='number'}, on={type='boolean'}, "
            "off={type='boolean'}, none={default=''}}"
        )
        text = "-n $(touch evil) `touch evil` '; touch evil; \" \n é"
        await execute(channel, "show", text=text, number=1.5, on=True, off=False, none=None)
        assert channel.text == f"{text}|1.5|on||unset|"
        assert not (root / "evil").exists()

    async def test_a_command(self, channel: RecordingChannel) -> None:
        await execute(channel, "command", allow_command=True, command="echo one && echo two")
        assert channel.text == "one\ntwo\n"

    async def test_a_command_with_a_leading_dash_is_no_option(
        self, channel: RecordingChannel
    ) -> None:
        with pytest.raises(ExecutorError, match="command exited with 127"):
            await execute(channel, "command", allow_command=True, command="-x; exit 127")
        assert "-x" in channel.text
        assert "not found" in channel.text

    async def test_a_command_with_a_nul_is_an_error(self, channel: RecordingChannel) -> None:
        with pytest.raises(ExecutorError, match="NUL"):
            await execute(channel, "command", allow_command=True, command="echo a\0b")

    async def test_no_secret_no_pager_and_its_own_terminal(
        self, channel: RecordingChannel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AOSUI_TOKEN", "a-token-of-16-characters")
        monkeypatch.setenv("TERM", "dumb")
        await execute(channel, "command", allow_command=True, command="env")
        seen = dict(line.split("=", 1) for line in channel.text.splitlines() if "=" in line)
        assert "AOSUI_TOKEN" not in seen
        assert seen["TERM"] == "xterm-256color"
        assert seen["PAGER"] == seen["GIT_PAGER"] == "cat"
        assert seen["PATH"] == os.environ["PATH"]

    async def test_the_make_that_started_the_server_is_nothing_to_a_target(
        self, root: Path, channel: RecordingChannel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MAKELEVEL", "1")
        monkeypatch.setenv("MAKEFLAGS", "w -j2 --jobserver-auth=98,99")
        (root / "Makefile").write_text("level:\n\t@echo level $(MAKELEVEL)\n")
        await execute(channel, "make:level")
        assert channel.text == "level 0\n"

    async def test_a_task_that_went_away_says_so(
        self, root: Path, channel: RecordingChannel
    ) -> None:
        with pytest.raises(ExecutorError, match="'make:all' is not there any more: its file has"):
            await execute(channel, "make:all")
        (root / "package.json").write_text("{")
        with pytest.raises(ExecutorError, match=r"any more: package\.json: "):
            await execute(channel, "npm:build")

    async def test_a_cancel_ends_it(self, root: Path, channel: RecordingChannel) -> None:
        (root / "Makefile").write_text(MAKEFILE)
        task = asyncio.ensure_future(execute(channel, "make:stays"))
        await channel.until(lambda: "started\n" in channel.text)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_it_keeps_the_rules_of_executors(root: Path) -> None:
    (root / "Makefile").write_text(
        f"all:\n\t@seq 1 2000\nfail: all\n\t@exit 1\nleaves: all\n\t@setsid {sys.executable} -c"
        " 'import time; time.sleep(100)' & sleep 0.1\n"
    )
    await check_executor(ShellExecutor, root, timeout=20)
