"""The command line as real processes, each test with a home of its own."""

from __future__ import annotations

import codecs
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from attrs import Factory, define

SECONDS = 20.0


class Output:
    """What a process writes, read as it comes: one that nobody reads would stop at a full pipe."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.text = ""
        self._stream = stream
        self._ended = False
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def until(self, pattern: str, seconds: float = SECONDS) -> re.Match[str]:
        """Wait until a pattern is found in everything so far."""
        deadline = time.monotonic() + seconds
        with self._more:
            while (found := re.search(pattern, self.text)) is None:
                if self._ended:
                    raise AssertionError(f"it ended before {pattern!r}, with {self.text!r}")
                if not self._more.wait(deadline - time.monotonic()):
                    raise AssertionError(f"{pattern!r} did not come, but {self.text!r}")
        return found

    def rest(self) -> str:
        """Wait for the end; returns everything."""
        self._reader.join()
        return self.text

    def _read(self) -> None:
        decode = codecs.getincrementaldecoder("utf-8")().decode
        while data := self._chunk():
            with self._more:
                self.text += decode(data)
                self._more.notify_all()
        with self._more:
            self._ended = True
            self._more.notify_all()

    def _chunk(self) -> bytes:
        try:
            return os.read(self._stream.fileno(), 65536)
        except (OSError, ValueError):  # the other end of a pty is closed, or this one
            return b""


@define
class Started:
    """A running `aosui`."""

    process: subprocess.Popen[bytes]
    stdout: Output
    stderr: Output

    def type(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = SECONDS) -> int:
        return self.process.wait(seconds)


@define
class Server(Started):
    """A running `aosui serve`; `link` is the URL that it printed."""

    link: str = ""

    @property
    def url(self) -> str:
        return self.link.partition("#")[0]

    @property
    def token(self) -> str:
        return self.link.partition("#token=")[2]

    @property
    def port(self) -> int:
        return int(self.url.split(":")[2].partition("/")[0])


@define
class Cli:
    """Runs `aosui` in a home of its own, with the executor `talk` installed."""

    home: Path
    env: dict[str, str]
    started: list[Started] = Factory(list)

    @property
    def project(self) -> Path:
        return self.home / "work" / "site"

    @property
    def state(self) -> Path:
        return self.home / "state" / "aosui"

    def command(self, *args: object) -> list[str]:
        return [sys.executable, "-W", "error", "-m", "aosui", *map(str, args)]

    def run(self, *args: object, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*args),
            env=self.env | env,
            cwd=self.home,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def start(self, *args: object, **env: str) -> Started:
        process = subprocess.Popen(
            self.command(*args),
            env=self.env | env,
            cwd=self.home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        self.started.append(Started(process, Output(process.stdout), Output(process.stderr)))
        return self.started[-1]

    def serve(self, *args: object, port: int = 0, **env: str) -> Server:
        started = self.start("serve", "--port", port, *args, **env)
        try:
            found = started.stdout.until(r"aosui is running at (\S+)\n")
        except AssertionError as error:
            started.process.kill()
            raise AssertionError(f"{error}; stderr: {started.stderr.rest()}") from None
        return Server(started.process, started.stdout, started.stderr, found[1])


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    plugin = tmp_path / "plugin"
    info = plugin / "talk-1.2.3.dist-info"
    info.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("talk.py"), plugin / "aosui_talk.py")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: talk\nVersion: 1.2.3\n")
    (info / "entry_points.txt").write_text("[aosui.executors]\ntalk = aosui_talk:TalkExecutor\n")
    home = tmp_path / "home"
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "PYTHONPATH": f"{plugin}:{Path(__file__).parents[2]}",
        "PYTHONUNBUFFERED": "1",
        "LANG": "C.UTF-8",
    }
    made = Cli(home, env)
    made.project.mkdir(parents=True)
    yield made
    for started in made.started:
        if started.process.poll() is None:
            started.process.kill()
        with started.process:
            pass
