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
import sys
from collections.abc import Sequence

from aosui.blocking import in_thread
from aosui.orphans import MARKER, end_marked, new_mark
from aosui.process import REAPER, SECRETS

__all__ = ["ProcessTree"]


class ProcessTree:
    """
    One process in a session of its own, with everything below it.

    It runs on the descriptors given, which are closed here once it has them, and without aosui's
    own secrets in its environment. `exited` is its exit status (negative: the signal), None when
    the reaper was killed; it raises OSError when the process could not be started. `gone` is done
    once nothing is left of the tree.
    """

    def __init__(self, argv: Sequence[str], *, stdin: int, stdout: int, stderr: int) -> None:
        self.exited: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._argv = list(argv)
        self._mark = ""
        self._control, self._reapers_control = socket.socketpair()
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
            except OSError as error:
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
        with self._reapers_control, contextlib.ExitStack() as ends:
            for descriptor in (stdin, stdout, stderr):
                ends.callback(os.close, descriptor)
            control = self._reapers_control.fileno()
            self._mark = new_mark()
            env = {name: value for name, value in os.environ.items() if name not in SECRETS}
            return subprocess.Popen(
                [sys.executable, "-I", "-S", REAPER, str(control), *self._argv],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env={**env, MARKER: self._mark},
                pass_fds=[control],
                start_new_session=True,
            )
