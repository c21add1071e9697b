"""
Run a command for a run: its output goes to the channel, and nothing of it is left behind.

Between aosui and each command stands `aosui/reaper.py`, a small process that adopts whatever the
command leaves behind and ends all of it when its socket to us closes: a command ends with its run,
and with aosui, however aosui ends.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import errno
import inspect
import io
import os
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from aosui.blocking import in_thread
from aosui.channel import ProjectChannel
from aosui.errors import ExecutorError
from aosui.events import Stream
from aosui.orphans import MARKER, end_marked, new_mark

__all__ = ["SECRETS", "check_exit", "describe_exit", "run_process", "start_reaper"]

SECRETS: Final = ("AOSUI_TOKEN",)
"""What aosui may have in its environment and no command may see."""
REAPER: Final = str(Path(__file__).resolve().with_name("reaper.py"))
READ_BYTES: Final = 32 * 1024
MAX_LINE: Final = 64 * 1024
"""Characters; `on_line` gets a longer line in pieces."""
LAST_WORDS: Final = 0.5
"""Seconds for the last output of a cancelled command when the event log is behind."""
WINDOW: Final = (40, 120)
"""Rows and columns of the terminal of a command with `pty=True`."""


async def run_process(
    channel: ProjectChannel,
    *argv: str,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    pty: bool = False,
    on_line: Callable[[str], object] | None = None,
) -> int:
    """
    Run a command, show its output on the channel and return its exit status.

    `argv` is a list of arguments, never a shell string. `cwd` defaults to the project's root and
    `env` to aosui's environment; aosui's own secrets are taken out of it in any case. The command's
    input is empty. With `pty` it writes to a terminal, so that it shows colours, and stderr goes
    where stdout goes. `on_line` is called with each line, without its end (`\\n`, `\\r\\n` or
    `\\r`), after it was shown; what it returns is awaited where that is possible.

    The status is 0-255, or the negative number of the signal that ended the command; `check_exit`
    makes an error of it. What the command leaves running is ended with it. Cancelled, this ends
    the whole tree (SIGTERM, after 2 s SIGKILL) before CancelledError goes on. While the channel
    waits, so does the command, as soon as the pipe between them is full.

    Raises `ExecutorError` when the command cannot be started; what `on_line` raises ends it, too.
    """
    command = _Command(_checked(argv), cwd or channel.project.root, _environment(env, pty), pty)
    over = asyncio.create_task(command.watch())
    pumps = [
        asyncio.create_task(_pump(command, reader, stream, channel, on_line))
        for stream, reader in command.readers.items()
    ]
    try:
        await asyncio.wait([over, *pumps])
    except asyncio.CancelledError:
        command.end()
        await _outlast([over])
        await _outlast(pumps, LAST_WORDS)
        for pump in pumps:
            pump.cancel()
        await _outlast(pumps)
        raise
    finally:
        command.close()
    for pump in pumps:
        if (error := pump.result()) is not None:
            raise error
    return over.result()


def start_reaper(
    argv: Sequence[str],
    control: int,
    env: Mapping[str, str],
    *,
    stdin: int,
    stdout: int,
    stderr: int,
    cwd: str | os.PathLike[str] | None = None,
) -> subprocess.Popen[bytes]:
    """
    Start a reaper around a command, in a session of its own; blocks, so call it in a thread.

    `control` is the reaper's end of a socket pair: what it says comes there, and shutting our end
    down makes it end everything. Raises OSError.
    """
    return subprocess.Popen(
        [sys.executable, "-I", "-S", REAPER, str(control), *argv],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        cwd=cwd,
        env=env,
        pass_fds=[control],
        start_new_session=True,
    )


def check_exit(status: int, what: str = "the command") -> None:
    """Raise an `ExecutorError` for people when `run_process` returned anything but 0."""
    if status:
        details = {"signal": _signal_name(-status)} if status < 0 else {"exitCode": status}
        raise ExecutorError(f"{what} {describe_exit(status)}", details=details)


def describe_exit(status: int) -> str:
    """Say in words how a command ended: "exited with 2", "was killed by SIGKILL (Killed)"."""
    if status < 0:
        text = signal.strsignal(-status) if -status < signal.NSIG else None
        return f"was killed by {_signal_name(-status)}" + (f" ({text})" if text else "")
    words = f"exited with {status}"
    if 128 < status < 128 + signal.NSIG and (name := _signal_name(status - 128)).startswith("SIG"):
        words += f" (how shells say: killed by {name})"
    return words


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _checked(argv: Sequence[str]) -> list[str]:
    if not argv:
        raise ValueError("run_process needs a command")
    for position, argument in enumerate(argv):
        if not isinstance(argument, str):
            raise TypeError(f"argument {position} of the command must be a str: {argument!r}")
        if "\0" in argument:
            raise ExecutorError(f"argument {position} of the command has a NUL character in it")
        try:
            os.fsencode(argument)
        except UnicodeEncodeError:
            raise ExecutorError(
                f"argument {position} of the command is not valid Unicode"
            ) from None
    return list(argv)


def _environment(env: Mapping[str, str] | None, pty: bool) -> dict[str, str]:
    environment = dict(os.environ if env is None else env)
    for name in SECRETS:
        environment.pop(name, None)
    if pty and (env is None or "TERM" not in env):
        environment["TERM"] = "xterm-256color"
    return environment


class _Command:
    """One command, the reaper around it and our ends of its output."""

    def __init__(
        self, argv: list[str], cwd: str | os.PathLike[str], env: dict[str, str], pty: bool
    ) -> None:
        self.readers: dict[Stream, _Reader] = {}
        self._argv, self._cwd, self._env = argv, cwd, env
        self._mark = ""
        self._outputs: dict[Stream, int] = {}
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            try:
                self._control, self._reapers_control = socket.socketpair()
                ours.enter_context(self._control)
                theirs.enter_context(self._reapers_control)
                self._control.setblocking(False)
                streams: tuple[Stream, ...] = ("stdout",) if pty else ("stdout", "stderr")
                for stream in streams:
                    end, self._outputs[stream] = _open_terminal() if pty else os.pipe()
                    ours.callback(os.close, end)
                    theirs.callback(os.close, self._outputs[stream])
                    self.readers[stream] = _Reader(end)
            except OSError as error:
                raise self._not_started(error) from error
            self._ours, self._theirs = ours.pop_all(), theirs.pop_all()

    async def watch(self) -> int:
        """Start the command and wait until nothing is left of it: returns its exit status."""
        loop = asyncio.get_running_loop()
        try:
            try:
                reaper = await in_thread(self._start, name=f"start {self._argv[0]}")
            except OSError as error:
                raise self._not_started(error) from error
            said = b""
            while received := await loop.sock_recv(self._control, 64):
                said += received
            await in_thread(reaper.wait, name=f"end {self._argv[0]}")
        finally:
            for reader in self.readers.values():
                reader.finish()
        match said.split():
            case [b"exit", status]:
                return int(status)
            case [b"errno", number]:
                raise self._not_started(OSError(int(number), os.strerror(int(number))))
        await end_marked(self._mark)
        raise ExecutorError(
            f"the process that watched over {self._argv[0]!r} was killed; so was the command",
            retryable=True,
        )

    def end(self) -> None:
        """Let the reaper end it all; one that has not started yet will, at once."""
        with contextlib.suppress(OSError):  # it has ended already
            self._control.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._ours.close()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._theirs:
            control = self._reapers_control.fileno()
            self._mark = new_mark()
            return start_reaper(
                self._argv,
                control,
                {**self._env, MARKER: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=self._outputs["stdout"],
                stderr=self._outputs.get("stderr", self._outputs["stdout"]),
                cwd=self._cwd,
            )

    def _not_started(self, error: OSError) -> ExecutorError:
        reason = error.strerror or str(error)
        if error.filename is not None and os.fspath(error.filename) == os.fspath(self._cwd):
            reason = f"its working directory: {reason}"
        return ExecutorError(f"cannot start {self._argv[0]!r}: {reason}")


class _Reader:
    """Our end of a pipe or a terminal, read only as far as somebody takes it."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._finished = False
        self._waiter: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        """Wait for output; b"" at its end, or when nothing is left to read after `finish()`."""
        while True:
            try:
                return os.read(self._descriptor, READ_BYTES)
            except BlockingIOError:
                if self._finished:
                    return b""
            except OSError as error:
                if error.errno == errno.EIO:  # how a terminal says that nobody has it open
                    return b""
                raise
            await self._readable()

    def finish(self) -> None:
        """Wait for no more: whoever still has the other end open is not the command's."""
        self._finished = True
        self._wake()

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        loop.add_reader(self._descriptor, self._wake)
        try:
            await self._waiter
        finally:
            loop.remove_reader(self._descriptor)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class _Lines:
    """Text in pieces, as lines: `\\n`, `\\r\\n` and `\\r` end one."""

    def __init__(self) -> None:
        self._newlines = io.IncrementalNewlineDecoder(None, translate=True)
        self._rest = ""

    def feed(self, text: str, *, final: bool) -> Iterator[str]:
        *lines, self._rest = (self._rest + self._newlines.decode(text, final)).split("\n")
        yield from lines
        if len(self._rest) > MAX_LINE or (final and self._rest):
            rest, self._rest = self._rest, ""
            yield rest


async def _pump(
    command: _Command,
    reader: _Reader,
    stream: Stream,
    channel: ProjectChannel,
    on_line: Callable[[str], object] | None,
) -> BaseException | None:
    """Carry output to the channel; what goes wrong ends the command and is returned."""
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    lines = _Lines()
    try:
        final = False
        while not final:
            data = await reader.read()
            final = not data
            text = decode(data, final)
            if text:
                await channel.output(text, stream=stream)
            if on_line is not None:
                for line in lines.feed(text, final=final):
                    awaitable = on_line(line)
                    if inspect.isawaitable(awaitable):
                        await awaitable
    except BaseException as error:  # out of a task, SystemExit would stop the event loop
        command.end()
        return error
    return None


async def _outlast(tasks: Collection[asyncio.Task[Any]], seconds: float | None = None) -> None:
    """Wait for the tasks, at most so long, however often the caller is cancelled meanwhile."""
    loop = asyncio.get_running_loop()
    deadline = None if seconds is None else loop.time() + seconds
    while any(not task.done() for task in tasks):
        left = None if deadline is None else deadline - loop.time()
        if left is not None and left <= 0:
            return
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait(tasks, timeout=left)


def _open_terminal() -> tuple[int, int]:
    """Open a pseudo terminal: its master and its slave."""
    master, slave = os.openpty()
    try:
        termios.tcsetwinsize(slave, WINDOW)
        attributes = termios.tcgetattr(slave)
        attributes[1] &= ~termios.ONLCR  # "\n" stays "\n"
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
    except BaseException:
        os.close(master)
        os.close(slave)
        raise
    return master, slave
