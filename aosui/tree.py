"""
A process that lives as long as it is wanted, and everything that comes of it.

Between aosui and the process stands `aosui/reaper.py`: it adopts what the process leaves behind and
ends all of it when it is told to, when the process has ended, and when aosui dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess

from aosui.blocking import in_thread
from aosui.orphans import MARKER, end_marked, new_mark
from aosui.process import SECRETS, start_reaper

__all__ = ["ProcessTree"]


class ProcessTree:
    """
    One process in a session of its own, with everything below it.

    `stdin`, `stdout` and `stderr` are our ends of its pipes, and whoever made the tree closes
    them. aosui's own secrets are not in its environment. `exited` is its exit status (negative: the
    signal), None when the reaper was killed; it raises OSError or RuntimeError when the process
    could not be started. `gone` is done once nothing is left of the tree. Raises OSError.
    """

    def __init__(self, *argv: str) -> None:
        self.exited: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._argv = argv
        self._mark = ""
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            self._control, self._reapers_control = socket.socketpair()
            ours.enter_context(self._control)
            theirs.enter_context(self._reapers_control)
            stdin, self.stdin = os.pipe()
            ours.callback(os.close, self.stdin)
            theirs.callback(os.close, stdin)
            self.stdout, stdout = os.pipe()
            ours.callback(os.close, self.stdout)
            theirs.callback(os.close, stdout)
            self.stderr, stderr = os.pipe()
            ours.callback(os.close, self.stderr)
            theirs.callback(os.close, stderr)
            ours.pop_all()
            self._theirs = theirs.pop_all()
        self._control.setblocking(False)
        self.gone = asyncio.create_task(self._watch(stdin, stdout, stderr))

    def end(self) -> None:
        """End all of it: SIGTERM, after 2 s SIGKILL; one that has not started yet will, at once."""
        with contextlib.suppress(OSError):  # it has ended already
            self._control.shutdown(socket.SHUT_WR)

    async def _watch(self, stdin: int, stdout: int, stderr: int) -> None:
        loop = asyncio.get_running_loop()
        with self._control:
            try:
                reaper = await in_thread(
                    lambda: self._start(stdin, stdout, stderr), name=f"start {self._argv[0]}"
                )
            except (OSError, RuntimeError) as error:
                self.exited.set_exception(error)
                return
            said = b""
            while received := await loop.sock_recv(self._control, 64):
                said += received
                if said.endswith(b"\n"):
                    self._tell(said)
            await in_thread(reaper.wait, name=f"end {self._argv[0]}")
        if not self.exited.done():
            await end_marked(self._mark)
            self.exited.set_result(None)

    def _tell(self, said: bytes) -> None:
        match said.split():
            case [b"exit", status]:
                self.exited.set_result(int(status))
            case [b"errno", number]:
                self.exited.set_exception(OSError(int(number), os.strerror(int(number))))

    def _start(self, stdin: int, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
        with self._theirs:
            control = self._reapers_control.fileno()
            self._mark = new_mark()
            env = {name: value for name, value in os.environ.items() if name not in SECRETS}
            return start_reaper(
                self._argv,
                control,
                {**env, MARKER: self._mark},
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
            )
