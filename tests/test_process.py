"""`run_process` with real processes, real signals and a recording at the channel's other end."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import blockbuster
import pytest

from aosui.errors import ChannelClosed, ExecutorError
from aosui.orphans import MARKER
from aosui.process import check_exit, describe_exit, run_process
from aosui.testing import RecordingChannel

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and prctl")


@pytest.fixture
def channel(tmp_path: Path) -> RecordingChannel:
    return RecordingChannel(root=os.path.realpath(tmp_path))


@pytest.fixture
def tag() -> Iterator[str]:
    """Give an argument that no other process has; whatever carries it is killed in the end."""
    tag = f"tag-{uuid.uuid4().hex}"
    yield tag
    for pid in tagged(tag):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(autouse=True)
async def nothing_leaks() -> object:
    """Check that a test ends with the descriptors, tasks, threads and children it began with."""

    def census() -> tuple[object, ...]:
        return (
            sorted(os.listdir("/proc/self/fd")) if sys.platform == "linux" else (),
            len(asyncio.all_tasks()),
            {thread.name for thread in threading.enumerate() if thread.name.startswith("aosui ")},
            children(),
        )

    gc.collect()  # what earlier tests left to it must not go meanwhile
    before = census()
    yield
    await eventually(lambda: census() == before)


def children() -> set[int]:
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,comm="], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    return {int(pid) for pid, parent, name in rows if int(parent) == os.getpid() and name != "ps"}


def tagged(tag: str) -> set[int]:
    """Find the processes with this argument, save the reaper, which has its command's."""
    listed = subprocess.run(
        ["ps", "-ww", "-A", "-o", "pid=,args="], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split(None, 1) for line in listed.splitlines()]
    return {int(pid) for pid, args in rows if tag in args and "reaper.py" not in args}


async def eventually(condition: Callable[[], object], seconds: float = 5) -> None:
    """Wait for what has no event: how other processes are."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    assert condition()


def python(source: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(source)]


def sleeper(tag: str) -> str:
    """Give the shell text of a process that is found by its tag and stays for long."""
    return f"{sys.executable} -c 'import time; time.sleep(1000)' {tag}"


async def cancelled(task: asyncio.Task[object]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class TestOutput:
    async def test_shows_each_stream_as_it_is(self, channel: RecordingChannel) -> None:
        status = await run_process(channel, "sh", "-c", "printf out; printf err >&2; exit 3")
        assert status == 3
        assert sorted(channel.outputs) == [("stderr", "err"), ("stdout", "out")]

    async def test_runs_in_the_projects_root_unless_told(
        self, channel: RecordingChannel, tmp_path: Path
    ) -> None:
        await run_process(channel, "pwd", "-P")
        (tmp_path / "sub").mkdir()
        await run_process(channel, "pwd", "-P", cwd=tmp_path / "sub")
        assert channel.text == f"{tmp_path}\n{tmp_path / 'sub'}\n"

    async def test_decodes_characters_cut_by_reads_and_replaces_what_is_none(
        self, channel: RecordingChannel
    ) -> None:
        await run_process(
            channel,
            *python(
                r"""
                import os, time
                for byte in "€😀".encode():
                    os.write(1, bytes([byte]))
                    time.sleep(0.01)
                os.write(1, b"\xff\xed\xa0\x80|\xe2\x82")
                """
            ),
        )
        assert (
            channel.text
            == "€😀" + "\N{REPLACEMENT CHARACTER}" * 4 + "|" + "\N{REPLACEMENT CHARACTER}"
        )

    async def test_shows_all_of_much_output_in_order(self, channel: RecordingChannel) -> None:
        for pty in (False, True):
            channel.outputs.clear()
            await run_process(channel, "seq", "1", "200000", pty=pty)
            assert channel.text == "".join(f"{n}\n" for n in range(1, 200_001))

    async def test_shows_the_first_words_while_the_command_runs(
        self, channel: RecordingChannel
    ) -> None:
        for pty in (False, True):
            channel.outputs.clear()
            task = asyncio.ensure_future(
                run_process(channel, "sh", "-c", "echo ready; sleep 1000", pty=pty)
            )
            await channel.until(lambda: channel.text == "ready\n")
            await cancelled(task)

    async def test_gives_an_empty_input(self, channel: RecordingChannel) -> None:
        assert await run_process(channel, "cat") == 0
        assert await run_process(channel, "cat", pty=True) == 0
        assert channel.text == ""

    async def test_a_channel_that_waits_lets_the_command_wait(
        self, channel: RecordingChannel, tmp_path: Path
    ) -> None:
        channel.fill()
        written = tmp_path / "written"
        task = asyncio.ensure_future(
            run_process(
                channel,
                *python(
                    """
                    import os, sys
                    for count in range(1, 101):
                        os.write(1, b"x" * 65536)
                        with open("written", "w") as file:
                            file.write(str(count))
                    """
                ),
            )
        )
        await channel.until(lambda: channel.waiting)
        await eventually(lambda: written.exists() and written.read_text() == "1")
        # The pipe takes 64 KiB, we have read 32 KiB: the third write cannot have returned.
        await asyncio.sleep(0.3)
        assert written.read_text() in ("1", "2")
        channel.drain()
        assert await task == 0
        assert len(channel.text) == 100 * 65536

    async def test_a_terminal_has_a_size_colours_and_plain_newlines(
        self, channel: RecordingChannel
    ) -> None:
        await run_process(
            channel,
            *python(
                """
                import os, sys
                print([os.isatty(fd) for fd in (0, 1, 2)], os.get_terminal_size(1))
                print(os.environ["TERM"], file=sys.stderr)
                """
            ),
            pty=True,
        )
        assert channel.text == (
            "[False, True, True] os.terminal_size(columns=120, lines=40)\nxterm-256color\n"
        )
        assert {output.stream for output in channel.outputs} == {"stdout"}


class TestLines:
    async def test_calls_with_each_line_of_both_streams(self, channel: RecordingChannel) -> None:
        lines: list[str] = []
        await run_process(
            channel, "printf", r"one\r\n\ntwo 10%%\rtwo 20%%\rlast", on_line=lines.append
        )
        assert lines == ["one", "", "two 10%", "two 20%", "last"]
        lines.clear()
        await run_process(channel, "sh", "-c", "echo wrong >&2", on_line=lines.append)
        assert lines == ["wrong"]

    async def test_awaits_a_coroutine(self, channel: RecordingChannel) -> None:
        async def on_line(line: str) -> None:
            await channel.progress(int(line), 3)

        await run_process(channel, "seq", "3", on_line=on_line)
        assert [progress.current for progress in channel.progresses] == [1, 2, 3]

    async def test_passes_an_endless_line_on_in_pieces(self, channel: RecordingChannel) -> None:
        pieces: list[str] = []
        await run_process(channel, *python("print('x' * 1_000_000, end='')"), on_line=pieces.append)
        assert "".join(pieces) == "x" * 1_000_000
        assert max(map(len, pieces)) < 128 * 1024

    @pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3)])
    async def test_what_it_raises_ends_the_command(
        self, channel: RecordingChannel, error: BaseException, tag: str
    ) -> None:
        def on_line(line: str) -> None:
            raise error

        with pytest.raises(type(error)):
            await run_process(
                channel, "sh", "-c", f"echo go; {sleeper(tag)}; true", on_line=on_line
            )
        assert not tagged(tag)


class TestEnvironment:
    async def test_passes_aosuis_without_its_secrets_and_marks_it(
        self, channel: RecordingChannel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AOSUI_TOKEN", "a-token-of-16-characters")
        monkeypatch.setenv("OF_THE_USER", "kept")
        await run_process(channel, "env")
        seen = dict(line.split("=", 1) for line in channel.text.splitlines() if "=" in line)
        assert "AOSUI_TOKEN" not in seen
        assert seen["OF_THE_USER"] == "kept"
        assert f"-{os.getpid()}-" in seen[MARKER]

    async def test_passes_the_authors_own_without_aosuis_secrets(
        self, channel: RecordingChannel
    ) -> None:
        await run_process(
            channel, "env", env={"AOSUI_TOKEN": "x", "MINE": "1", "TERM": "vt100"}, pty=True
        )
        names = {line.split("=")[0] for line in channel.text.splitlines()}
        assert {"MINE", "TERM", MARKER} <= names
        assert "AOSUI_TOKEN" not in names
        assert "HOME" not in names
        assert "TERM=vt100" in channel.text

    async def test_the_reaper_and_the_command_inherit_no_descriptor(
        self, channel: RecordingChannel
    ) -> None:
        await run_process(channel, "sh", "-c", "ls /proc/self/fd || ls /dev/fd")
        assert set(channel.text.split()) <= {"0", "1", "2", "3"}

    async def test_signals_are_as_usual(self, channel: RecordingChannel) -> None:
        await run_process(
            channel,
            *python(
                """
                import signal
                print(signal.pthread_sigmask(signal.SIG_BLOCK, []))
                """
            ),
        )
        assert channel.text == "set()\n"
        # `yes` ends by SIGPIPE, which Python itself ignores.
        assert await run_process(channel, "sh", "-c", "(yes; echo $? >&2) | head -n 1") == 0
        assert ("stderr", "141\n") in channel.outputs


class TestArguments:
    async def test_arguments_reach_the_command_as_they_are(self, channel: RecordingChannel) -> None:
        odd = ["-n", "--", "$HOME", "a b", "'", '"', "", "*", "\n", "ä😀"]
        await run_process(channel, *python("import sys; print(sys.argv[1:])"), *odd)
        assert channel.text == f"{odd}\n"

    async def test_a_nul_is_an_error(self, channel: RecordingChannel) -> None:
        with pytest.raises(ExecutorError, match="argument 1 of the command has a NUL"):
            await run_process(channel, "echo", "a\0b")

    async def test_a_lone_surrogate_is_an_error(self, channel: RecordingChannel) -> None:
        with pytest.raises(ExecutorError, match="argument 1 of the command is not valid Unicode"):
            await run_process(channel, "echo", "\ud800")

    async def test_what_is_no_list_of_str_is_a_type_error(self, channel: RecordingChannel) -> None:
        with pytest.raises(ValueError, match="needs a command"):
            await run_process(channel)
        with pytest.raises(TypeError, match="argument 1 of the command must be a str: 3"):
            await run_process(channel, "sleep", 3)  # type: ignore[arg-type]

    async def test_says_why_a_command_cannot_be_started(
        self, channel: RecordingChannel, tmp_path: Path
    ) -> None:
        with pytest.raises(ExecutorError, match="cannot start 'no-such-program': No such file"):
            await run_process(channel, "no-such-program")
        (tmp_path / "file").write_text("not executable")
        with pytest.raises(ExecutorError, match=r"cannot start '\./file': Permission denied"):
            await run_process(channel, "./file")
        with pytest.raises(ExecutorError, match="'true': its working directory: No such file"):
            await run_process(channel, "true", cwd=tmp_path / "gone")
        with pytest.raises(ExecutorError, match="cannot start 'echo': Argument list too long"):
            await run_process(channel, "echo", *["x" * 100_000] * 100)


class TestExit:
    async def test_returns_the_signal_that_ended_the_command(
        self, channel: RecordingChannel
    ) -> None:
        status = await run_process(channel, "sh", "-c", "kill -SEGV $$")
        assert status == -signal.SIGSEGV
        with pytest.raises(ExecutorError) as caught:
            check_exit(status, "the build")
        assert caught.value.message == "the build was killed by SIGSEGV (Segmentation fault)"
        assert caught.value.details == {"signal": "SIGSEGV"}

    def test_says_how_a_command_ended(self) -> None:
        check_exit(0)
        assert describe_exit(2) == "exited with 2"
        assert describe_exit(137) == "exited with 137 (how shells say: killed by SIGKILL)"
        assert describe_exit(255) == "exited with 255"
        assert describe_exit(-9) == "was killed by SIGKILL (Killed)"
        assert describe_exit(-200) == "was killed by signal 200"
        with pytest.raises(ExecutorError, match="exited with 2") as caught:
            check_exit(2)
        assert caught.value.details == {"exitCode": 2}


@pytest.mark.parametrize("pty", [False, True])
class TestNothingIsLeft:
    async def test_a_cancel_ends_the_whole_tree(
        self, channel: RecordingChannel, tag: str, pty: bool
    ) -> None:
        script = f"sh -c '{sleeper(tag).replace(chr(39), chr(34))} & echo go; wait'; true"
        task = asyncio.ensure_future(run_process(channel, "sh", "-c", script, pty=pty))
        await channel.until(lambda: "go" in channel.text)
        await eventually(lambda: tagged(tag))
        started = time.monotonic()
        await cancelled(task)
        assert time.monotonic() - started < 1.5, "SIGTERM is enough for it"
        assert not tagged(tag)

    async def test_what_ignores_sigterm_is_killed_after_two_seconds(
        self, channel: RecordingChannel, tag: str, pty: bool
    ) -> None:
        source = (
            "import signal, time\n"
            "signal.signal(signal.SIGTERM, lambda *_: print('no', flush=True))\n"
            "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
            "print('go', flush=True)\n"
            "while True: time.sleep(1)"
        )
        task = asyncio.ensure_future(
            run_process(channel, sys.executable, "-c", source, tag, pty=pty)
        )
        await channel.until(lambda: channel.text == "go\n")
        started = time.monotonic()
        await cancelled(task)
        assert 1.9 < time.monotonic() - started < 4
        assert channel.text == "go\nno\n", "the last words are shown"
        assert not tagged(tag)

    async def test_a_command_may_clean_up_when_it_is_cancelled(
        self, channel: RecordingChannel, tmp_path: Path, pty: bool
    ) -> None:
        script = "trap 'sleep 0.3; touch clean; echo bye; exit' TERM; sleep 1000 & echo go; wait"
        task = asyncio.ensure_future(run_process(channel, "sh", "-c", script, pty=pty))
        await channel.until(lambda: channel.text == "go\n")
        await cancelled(task)
        assert (tmp_path / "clean").exists()
        assert channel.text == "go\nbye\n"

    async def test_a_stopped_command_is_ended(
        self, channel: RecordingChannel, tag: str, pty: bool
    ) -> None:
        source = "import os, signal; print('go', flush=True); os.kill(os.getpid(), signal.SIGSTOP)"
        task = asyncio.ensure_future(
            run_process(channel, sys.executable, "-c", source, tag, pty=pty)
        )
        await channel.until(lambda: channel.text == "go\n")
        started = time.monotonic()
        await cancelled(task)
        assert time.monotonic() - started < 1.5
        assert not tagged(tag)

    async def test_a_background_process_with_the_output_open_ends_with_the_command(
        self, channel: RecordingChannel, tag: str, pty: bool
    ) -> None:
        started = time.monotonic()
        status = await run_process(
            channel, "sh", "-c", f"{sleeper(tag)} & echo done; exit 4", pty=pty
        )
        assert status == 4
        assert time.monotonic() - started < 2
        assert channel.text == "done\n"
        assert not tagged(tag)

    @linux
    @pytest.mark.parametrize("how", ["setsid", "env -i setsid", "setsid setsid -f", "nohup setsid"])
    async def test_a_process_in_a_session_of_its_own_ends_with_the_command(
        self, channel: RecordingChannel, tag: str, pty: bool, how: str
    ) -> None:
        # As a daemon does it: its parent has gone, its group and session are its own.
        script = f"({how} {sleeper(tag)} &); sleep 0.2; pgrep -f {tag[:-1]}[{tag[-1]}]"
        assert await run_process(channel, "sh", "-c", script, pty=pty) == 0, "it was there"
        assert not tagged(tag)

        task = asyncio.ensure_future(
            run_process(channel, "sh", "-c", f"({how} {sleeper(tag)} &); sleep 1000", pty=pty)
        )
        await eventually(lambda: tagged(tag))
        await cancelled(task)
        assert not tagged(tag)

    async def test_what_reads_the_commands_end_may_finish(
        self, channel: RecordingChannel, pty: bool
    ) -> None:
        await run_process(channel, "mkfifo", "fifo")
        script = "(cat; sleep 0.05; echo late) <fifo & echo text >fifo"
        assert await run_process(channel, "sh", "-c", script, pty=pty) == 0
        assert channel.text == "text\nlate\n"
        os.unlink(channel.project.root / "fifo")


class TestCancel:
    async def test_at_any_moment_of_the_start(self, channel: RecordingChannel, tag: str) -> None:
        others = children()
        for delay in (0, 0, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05):
            task = asyncio.ensure_future(
                run_process(channel, "sh", "-c", f"{sleeper(tag)}; true", pty=delay > 0.001)
            )
            await asyncio.sleep(delay)
            await cancelled(task)
            assert not tagged(tag)
            assert children() <= others

    async def test_twice_leaves_nothing_either(self, channel: RecordingChannel, tag: str) -> None:
        task = asyncio.ensure_future(
            run_process(
                channel, "sh", "-c", f"trap '' TERM; echo go; {sleeper(tag)}; {sleeper(tag)}"
            )
        )
        await channel.until(lambda: channel.text == "go\n")
        task.cancel()
        await asyncio.sleep(0.1)
        await cancelled(task)
        assert not tagged(tag)

    async def test_while_the_channel_waits(self, channel: RecordingChannel, tag: str) -> None:
        channel.fill()
        task = asyncio.ensure_future(
            run_process(channel, "sh", "-c", f"yes | cat; {sleeper(tag)}", tag)
        )
        await channel.until(lambda: channel.waiting)
        started = time.monotonic()
        await cancelled(task)
        assert time.monotonic() - started < 4
        assert not tagged(tag)

    async def test_the_end_of_the_channel_ends_the_command(
        self, channel: RecordingChannel, tag: str
    ) -> None:
        channel.end()
        with pytest.raises(ChannelClosed):
            await run_process(channel, "sh", "-c", f"echo go; {sleeper(tag)}; true")
        assert not tagged(tag)

    async def test_a_timeout_of_the_authors(self, channel: RecordingChannel, tag: str) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await run_process(channel, "sh", "-c", f"{sleeper(tag)}; true")
        assert not tagged(tag)


async def test_many_at_once(channel: RecordingChannel) -> None:
    statuses = await asyncio.gather(
        *(
            run_process(channel, "sh", "-c", f"echo {n}; exit {n}", pty=n % 2 == 0)
            for n in range(20)
        )
    )
    assert statuses == list(range(20))
    assert sorted(map(int, channel.text.split())) == list(range(20))


async def test_the_event_loop_is_never_blocked(channel: RecordingChannel, tag: str) -> None:
    with blockbuster.blockbuster_ctx("aosui"):
        await run_process(channel, "seq", "20000", pty=True)
        await run_process(channel, "seq", "20000", on_line=lambda line: None)
        task = asyncio.ensure_future(
            run_process(channel, "sh", "-c", f"echo go; {sleeper(tag)}; true")
        )
        await channel.until(lambda: channel.text.endswith("go\n"))
        await cancelled(task)
