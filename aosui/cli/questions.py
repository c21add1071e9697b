"""Questions of a run, asked and answered in the terminal."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from typing import TextIO

from aosui.cli.safe import plain
from aosui.client.fold import Frame

__all__ = ["LineReader", "ask", "describe", "read_answer"]

Answer = str | list[str]


class LineReader:
    """
    Reads lines of a terminal or pipe without a thread, so that waiting can be cancelled.

    What cannot be watched (a file, /dev/null) is read at once: it never makes anybody wait.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._descriptor = (stream or sys.stdin).fileno()
        self._buffer = b""
        self._ended = False

    async def line(self) -> str | None:
        """Return the next line without its end; None when there will be no more."""
        while b"\n" not in self._buffer and not self._ended:
            data = await self._data()
            self._buffer += data
            self._ended = not data
        if not self._buffer:
            return None
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode(errors="replace").rstrip("\r")

    async def _data(self) -> bytes:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        try:
            loop.add_reader(self._descriptor, readable.set)
        except PermissionError:
            return os.read(self._descriptor, 65536)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(self._descriptor)
        try:
            return os.read(self._descriptor, 65536)
        except OSError:  # the terminal is gone
            return b""


async def ask(
    question: Frame, lines: LineReader, say: Callable[[str], None]
) -> Mapping[str, Answer] | None:
    """Ask every prompt of a question; None when nobody is there to answer."""
    answers: dict[str, Answer] = {}
    for prompt in question["prompts"]:
        say(describe(prompt))
        while prompt["promptId"] not in answers:
            line = await lines.line()
            if line is None:
                return None
            try:
                answers[prompt["promptId"]] = read_answer(prompt, line)
            except ValueError as error:
                say(str(error))
    return answers


def describe(prompt: Frame) -> str:
    """Return a prompt as text: the question, and what may be typed."""
    header = f"{plain(prompt['header'])}: " if prompt["header"] else ""
    said = [f"{header}{plain(prompt['text'])}"]
    for number, option in enumerate(prompt["options"], 1):
        description = f" - {plain(option['description'])}" if option["description"] else ""
        said.append(f"  {number}) {plain(option['label'])}{description}")
    if prompt["options"]:
        how = "numbers, separated by commas" if prompt["multiple"] else "a number"
        said.append(f"Type {how}{', or your own text' if prompt['allowOther'] else ''}:")
    return "\n".join(said)


def read_answer(prompt: Frame, line: str) -> Answer:
    """Make an answer of what was typed; raises ValueError with what would do."""
    line = line.strip()
    options = [option["value"] for option in prompt["options"]]
    if not options:
        if not line:
            raise ValueError("Type some text:")
        return [line] if prompt["multiple"] else line
    parts = [part.strip() for part in line.split(",")] if prompt["multiple"] else [line]
    chosen = [_choose(prompt, options, part) for part in parts if part]
    if None in chosen and prompt["allowOther"] and line:
        return [line] if prompt["multiple"] else line
    answer = [value for value in chosen if value is not None]
    if not answer or None in chosen:
        raise ValueError(
            f"Type {'numbers' if prompt['multiple'] else 'a number'} from 1 to {len(options)}:"
        )
    return list(dict.fromkeys(answer)) if prompt["multiple"] else answer[0]


def _choose(prompt: Frame, options: list[str], typed: str) -> str | None:
    if typed.isdecimal() and 1 <= int(typed) <= len(options):
        return options[int(typed) - 1]
    for option in prompt["options"]:
        if typed.lower() in (option["value"].lower(), option["label"].lower()):
            return str(option["value"])
    return None
