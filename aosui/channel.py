"""
`ProjectChannel`: an executor's only way to speak, bound to one run of one project.

A channel builds what is said and hands it to a `RunPort`: the supervised run in this process, a
pipe to it from another process, or a recording in tests.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Protocol

from aosui.events import OptionInfo, Progress, PromptInfo, Stream
from aosui.protocol import (
    MAX_CHECKPOINT_BYTES,
    MAX_DATA_BYTES,
    MAX_PROGRESS_MESSAGE_BYTES,
    MAX_SAFE_INTEGER,
    MAX_TEXT_BYTES,
    cut,
    encode_data,
)
from aosui.values import Project, Prompt

__all__ = ["ProjectChannel", "RunPort"]

STREAMS = ("stdout", "stderr", "log")
EVENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
YIELD_EVERY = 64
"""Publishing goes this many times without giving the loop a turn: about 0.2 ms."""


class RunPort(Protocol):
    """
    One run's end of the walk of an event: what a channel needs of whoever supervises the run.

    Every method raises `ChannelClosed` once the run has ended. Only `room`, `ask` and `next_input`
    wait.
    """

    @property
    def full(self) -> bool:
        """Whether there is no room for more: wait for `room()` before the next event."""

    def output(self, stream: Stream, text: str) -> None:
        """Take text that fits one event."""

    def event(self, name: str, data: bytes) -> None:
        """Take an event of the executor's own; `data` is JSON text."""

    def progress(self, progress: Progress) -> None:
        """Take the newest progress."""

    def checkpoint(self, value: bytes) -> None:
        """Take what a retry starts from; `value` is JSON text."""

    async def ask(self, prompts: Sequence[PromptInfo]) -> Mapping[str, str | list[str]]:
        """Open a question and wait for its answers; cancelled, it closes the question."""

    async def next_input(self) -> str | None:
        """Wait for the next text that a user sends; None when the run has ended."""

    async def room(self) -> None:
        """Wait until there is room."""


class ProjectChannel:
    """
    The verbs of one run.

    An `await` here suspends only when it has to: when the event log is behind, and often enough
    that an executor which floods starves nobody. Calls after the run's end raise `ChannelClosed`;
    data that is not JSON, or too large, raises `NotSerialisable`, and nothing of it is stored.
    """

    __slots__ = ("_port", "_said", "project", "run_id")

    def __init__(self, project: Project, run_id: str, port: RunPort) -> None:
        self.project = project
        self.run_id = run_id
        self._port = port
        self._said = 0

    async def output(self, text: str, *, stream: Stream = "stdout") -> None:
        """Show text as it is, without a newline of ours; `stream` is stdout, stderr or log."""
        if stream not in STREAMS:
            raise ValueError(f"stream must be one of {', '.join(STREAMS)}, not {stream!r}")
        if len(text) * 6 <= MAX_TEXT_BYTES:
            self._said += 1
            if self._said >= YIELD_EVERY or self._port.full:
                await self._turn()
            self._port.output(stream, text)
            return
        for piece in split_text(text.encode("utf-8", "replace").decode(), MAX_TEXT_BYTES):
            await self._turn()
            self._port.output(stream, piece)

    async def progress(
        self, current: float, total: float | None = None, *, message: str = ""
    ) -> None:
        """Say how far the run is, in units of your own; a total of None is unknown."""
        current, total = _finite(current), None if total is None else _finite(total)
        await self._turn()
        self._port.progress(Progress(current, total, cut(message, MAX_PROGRESS_MESSAGE_BYTES)))

    async def event(self, name: str, data: object = None) -> None:
        """
        Publish an event of the executor's own; viewers see it as `<executor>.<name>`.

        `data` is at most 60 KiB of JSON (raises `NotSerialisable`).
        """
        if not EVENT_NAME.fullmatch(name):
            raise ValueError(f"an event's name is letters, digits and _.-, not {name!r}")
        encoded = encode_data(data, MAX_DATA_BYTES, what="the event's data")
        await self._turn()
        self._port.event(name, encoded)

    async def ask(self, *prompts: Prompt) -> Mapping[str, str | list[str]]:
        """
        Ask the user and wait: the run is `waiting` meanwhile.

        Returns the answers by prompt id: a string, or a list where the prompt is `multiple`.
        Cancelling this call (a timeout of yours) closes the question. Raises `LimitExceeded` when
        the open questions of the run are larger than 12 KiB together.
        """
        if not prompts:
            raise ValueError("ask at least one prompt")
        if len({prompt.id for prompt in prompts}) != len(prompts):
            raise ValueError("two prompts of one question have the same id")
        return await self._port.ask([_prompt_info(prompt) for prompt in prompts])

    async def inputs(self) -> AsyncIterator[str]:
        """Iterate over the texts that users send to the run, as sent; ends with the run."""
        while (text := await self._port.next_input()) is not None:
            yield text

    async def checkpoint(self, value: object) -> None:
        """
        Store what a retry starts from, as `run.checkpoint`; shown to nobody.

        `value` is at most 16 KiB of JSON (raises `NotSerialisable`).
        """
        encoded = encode_data(value, MAX_CHECKPOINT_BYTES, what="the checkpoint")
        await self._turn()
        self._port.checkpoint(encoded)

    async def _turn(self) -> None:
        self._said += 1
        if self._said >= YIELD_EVERY:
            self._said = 0
            await asyncio.sleep(0)
        while self._port.full:
            await self._port.room()


def split_text(text: str, max_bytes: int) -> Iterator[str]:
    """Split text into pieces whose JSON text is at most `max_bytes`, at character boundaries."""
    start = 0
    while start < len(text):
        size = max_bytes
        while True:
            piece = text[start : start + size]
            encoded = len(encode_data(piece, None, what="the output"))
            if encoded <= max_bytes:
                break
            size = max(1, len(piece) * max_bytes // encoded - 1)
        yield piece
        start += len(piece)


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError(f"progress must be a finite number, not {number}")
    exact = isinstance(number, int) and abs(number) <= MAX_SAFE_INTEGER
    return number if exact else float(number)


def _prompt_info(prompt: Prompt) -> PromptInfo:
    return PromptInfo(
        prompt.id,
        prompt.text,
        prompt.header,
        tuple(
            OptionInfo(option.value, option.label or option.value, option.description)
            for option in prompt.options
        ),
        prompt.multiple,
        prompt.allow_other,
    )
