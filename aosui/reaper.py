"""
The small program between aosui and each process that an executor starts.

It starts the command in a session of its own and stays until nothing of it is left, so that the
promise of `run_process` does not depend on aosui being alive: what the command leaves behind (in
the background, in another session, without a parent) becomes a child of this program; and when
the other end of the control socket closes, because a run was cancelled or because aosui died,
the whole tree is ended: SIGTERM, 2 s, SIGKILL.

`aosui.process` runs it as a file: `python -I -S reaper.py CONTROL COMMAND [ARGUMENT ...]`. It
imports nothing of aosui, and little else, for it is started once a command. On the control socket
it says one line, `exit STATUS` (negative: a signal) or `errno NUMBER` when the command could not
be started. Finding what has left the command's process group needs Linux; elsewhere the group is
what is ended.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import sys
from collections.abc import Callable
from time import monotonic
from typing import NoReturn

__all__: list[str] = []

LINGER = 0.2
"""Seconds for what outlives the command to end by itself, as a `tee` behind it does."""
GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL."""
GIVE_UP = 1.0
"""Seconds of SIGKILL: what does not die of it is another user's, or stuck in the kernel."""

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
Prctl = Callable[[int, int], bool]


def main() -> None:
    control = int(sys.argv[1])
    os.set_inheritable(control, False)
    prctl = load_prctl()
    adopts = prctl(PR_SET_CHILD_SUBREAPER, 1)
    alarm = signals_as_bytes(signal.SIGCHLD, signal.SIGTERM)
    try:
        child = start(sys.argv[2:], prctl)
    except OSError as error:
        say(control, f"errno {error.errno or errno.EIO}")
        return
    # Whoever reads the command's output sees its end, not ours.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    Tree(child, control, alarm, adopts).watch()


def load_prctl() -> Prctl:
    """Find Linux's prctl; elsewhere what is asked of it fails."""
    if sys.platform == "linux":
        with contextlib.suppress(ImportError, OSError, AttributeError):
            import ctypes

            call = ctypes.CDLL(None).prctl
            return lambda option, value: call(option, value, 0, 0, 0) == 0
    return lambda option, value: False


def signals_as_bytes(*numbers: int) -> int:
    """Return a descriptor from which a byte, its number, can be read for each signal."""
    alarm, ring = os.pipe()
    os.set_blocking(alarm, False)
    os.set_blocking(ring, False)
    signal.set_wakeup_fd(ring, warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, lambda *_: None)
    return alarm


def start(command: list[str], prctl: Prctl) -> int:
    """Start the command as the leader of a session: returns its pid or raises what exec raised."""
    failure, report = os.pipe()
    pid = os.fork()
    if pid == 0:
        become(command, prctl, report)
    os.close(report)
    number = os.read(failure, 16)
    os.close(failure)
    if number:
        os.waitpid(pid, 0)
        raise OSError(int(number), os.strerror(int(number)))
    return pid


def become(command: list[str], prctl: Prctl, report: int) -> NoReturn:
    """Turn this forked process into the command."""
    try:
        os.setsid()
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # Python ignores these two; exec sets back what is caught, not what is ignored.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.execvp(command[0], command)
    except OSError as error:
        os.write(report, b"%d" % (error.errno or errno.EIO))
    finally:
        os._exit(127)


def say(control: int, line: str) -> None:
    with contextlib.suppress(OSError):  # aosui is gone: nobody wants to know
        os.write(control, line.encode() + b"\n")


class Tree:
    """The command and everything that came of it."""

    def __init__(self, child: int, control: int, alarm: int, adopts: bool) -> None:
        self.child = child
        self.control = control
        self.alarm = alarm
        self.adopts = adopts
        self.running = True
        self.told_to_end = False

    def watch(self) -> None:
        """Return when nothing is left of the tree."""
        while self.running and not self.told_to_end:
            self.nap(None)
        lingering = monotonic() + LINGER
        while not self.told_to_end and self.alive() and (left := lingering - monotonic()) > 0:
            self.nap(left)
        if self.alive():
            self.terminate()
        killing = monotonic() + GRACE
        while self.alive() and (left := killing - monotonic()) > 0:
            self.nap(left if self.adopts else min(left, 0.02))
        giving_up = monotonic() + GIVE_UP
        while self.alive() and monotonic() < giving_up:
            self.signal(signal.SIGKILL, self.members())
            self.nap(0.02)

    def nap(self, seconds: float | None) -> None:
        """Sleep until a child ends, the word to end comes, or so many seconds have passed."""
        watched = [self.alarm] if self.told_to_end else [self.alarm, self.control]
        ready, _, _ = select.select(watched, [], [], seconds)
        if self.control in ready:
            self.told_to_end = True
        if self.alarm in ready and signal.SIGTERM in os.read(self.alarm, 4096):
            self.told_to_end = True
        self.reap()

    def reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self.child:
                    self.running = False
                    say(self.control, f"exit {os.waitstatus_to_exitcode(status)}")

    def alive(self) -> bool:
        """Whether anything is left: every orphan below an adopting process is its child."""
        self.reap()
        try:
            if self.adopts:
                os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            else:
                os.killpg(self.child, 0)
        except (ChildProcessError, ProcessLookupError):
            return False
        except PermissionError:
            return True
        return True

    def terminate(self) -> None:
        """Send SIGTERM to all that is there now, and to nothing that it starts to clean up."""
        members: set[int] = set()
        # What is stopped forks no more: without it, a child born meanwhile would be missed.
        while new := self.members() - members:
            self.signal(signal.SIGSTOP, new)
            members |= new
        self.signal(signal.SIGTERM, members)
        self.signal(signal.SIGCONT, members)

    def signal(self, number: int, members: set[int]) -> None:
        for pid in members:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def members(self) -> set[int]:
        """What to signal: every process of the tree, or its group as a negative number."""
        return self.descendants() if self.adopts else {-self.child}

    def descendants(self) -> set[int]:
        """Find everything below this process, by /proc."""
        children: dict[int, list[int]] = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", "rb") as file:
                    # pid (name, with anything in it) state ppid ...
                    parent = file.read().rpartition(b")")[2].split()[1]
                    children.setdefault(int(parent), []).append(int(entry))
        found = children.get(os.getpid(), [])
        for pid in found:  # grows as it goes
            found += children.get(pid, [])
        return set(found)


if __name__ == "__main__":
    main()
