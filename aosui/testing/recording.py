"""`RecordingChannel`: a real channel whose other end is a test."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from aosui.channel import ProjectChannel
from aosui.errors import ChannelClosed, LimitExceeded
from aosui.events import Progress, PromptInfo, Stream
from aosui.protocol import MAX_QUESTIONS_BYTES, encode, encode_data
from aosui.values import Project

__all__ = ["Answers", "Asked", "Emitted", "Output", "Progressed", "RecordingChannel"]

Answers = Mapping[str, str | Sequence[str]]


class Output(NamedTuple):
    """One piece of text, as the executor wrote it."""

    stream: Stream
    text: str


class Progressed(NamedTuple):
    """One progress; a total of None is unknown."""

    current: float
    total: float | None
    message: str


class Emitted(NamedTuple):
    """One event of the executor's own; `data` as viewers see it, that is, after JSON."""

    name: str
    data: Any


class Asked(NamedTuple):
    """One question: its prompts, as viewers see them."""

    prompts: tuple[PromptInfo, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(prompt.prompt_id for prompt in self.prompts)


class RecordingChannel(ProjectChannel):
    """
    Record all that an executor says, and answer what it asks.

    `outputs`, `progresses`, `events`, `questions` and `checkpoints` are lists of plain tuples and
    JSON values, in order. `answers` has an answer by prompt id: text, or a list where the prompt is
    `multiple`. A question whose prompts are not all in it fails the test; with `answers=None` it
    stays open until `answer()`.
    """

    def __init__(
        self, *, root: Path | str, answers: Answers | None = None, run_id: str = "run"
    ) -> None:
        self._recording = recording = _Recording(answers)
        root = Path(root)
        super().__init__(Project("project", root.name, root), run_id, recording)
        self.outputs = recording.outputs
        self.progresses = recording.progresses
        self.events = recording.events
        self.questions = recording.questions
        self.checkpoints = recording.checkpoints

    @property
    def text(self) -> str:
        """All output so far, of all streams."""
        return "".join(output.text for output in self.outputs)

    @property
    def open_questions(self) -> list[Asked]:
        """The questions that wait for `answer()`, the oldest first."""
        return [asked for asked, _ in self._recording.open]

    @property
    def unanswered(self) -> list[str]:
        """The ids of prompts to which `answers` had no answer."""
        return self._recording.unanswered

    @property
    def waiting(self) -> int:
        """How many of the executor's calls wait for room, after `fill()`."""
        return self._recording.waiting

    @property
    def given_up(self) -> int:
        """How many calls were cancelled while they waited for room."""
        return self._recording.given_up

    @property
    def late(self) -> list[str]:
        """The verbs that were called after `end()`; each raised `ChannelClosed`."""
        return self._recording.late

    @property
    def begun(self) -> bool:
        """Whether the executor has said, asked or tried to say anything."""
        said = self.outputs, self.progresses, self.events, self.questions, self.checkpoints
        return any(said) or self.waiting > 0

    @property
    def ended(self) -> bool:
        """Whether `end()` was called."""
        return self._recording.ended

    def answer(self, answers: Answers) -> None:
        """Answer the oldest open question; raises ValueError when the answers do not fit it."""
        self._recording.answer(answers)

    def send_input(self, text: str) -> None:
        """Send what a user would send with `run.input`."""
        self._recording.inputs.append(text)
        self._recording.wake()

    def end(self) -> None:
        """End the run: `inputs()` ends, and every later call raises `ChannelClosed`."""
        self._recording.ended = True
        self._recording.wake()

    def fill(self) -> None:
        """Leave no room, as an event log that is behind: the executor waits until `drain()`."""
        self._recording.blocked = True

    def drain(self) -> None:
        """Make room again."""
        self._recording.blocked = False
        self._recording.wake()

    async def until(self, condition: Callable[[], object], *, timeout: float = 5.0) -> None:
        """
        Wait until `condition` holds, looking whenever the executor says, asks or waits for room.

        Raises TimeoutError after `timeout` seconds.
        """
        async with asyncio.timeout(timeout):
            while not condition():
                await self._recording.changed()


class _Recording:
    """The `RunPort` behind a `RecordingChannel`."""

    def __init__(self, answers: Answers | None) -> None:
        self.answers = answers
        self.outputs: list[Output] = []
        self.progresses: list[Progressed] = []
        self.events: list[Emitted] = []
        self.questions: list[Asked] = []
        self.checkpoints: list[Any] = []
        self.inputs: deque[str] = deque()
        self.open: list[tuple[Asked, asyncio.Future[dict[str, str | list[str]]]]] = []
        self.unanswered: list[str] = []
        self.late: list[str] = []
        self.blocked = False
        self.ended = False
        self.waiting = 0
        self.given_up = 0
        self._stirred = asyncio.Event()

    @property
    def full(self) -> bool:
        return self.blocked and not self.ended

    def output(self, stream: Stream, text: str) -> None:
        encode_data(text, None, what="the output")
        self._say("output", self.outputs, Output(stream, text))

    def event(self, name: str, data: bytes) -> None:
        self._say("event", self.events, Emitted(name, msgspec.json.decode(data)))

    def progress(self, progress: Progress) -> None:
        self._say(
            "progress",
            self.progresses,
            Progressed(progress.current, progress.total, progress.message),
        )

    def checkpoint(self, value: bytes) -> None:
        self._say("checkpoint", self.checkpoints, msgspec.json.decode(value))

    async def ask(self, prompts: Sequence[PromptInfo]) -> Mapping[str, str | list[str]]:
        asked = Asked(tuple(prompts))
        size = sum(len(encode(question.prompts)) for question, _ in [*self.open, (asked, None)])
        if size > MAX_QUESTIONS_BYTES:
            raise LimitExceeded(f"the open questions of a run are at most {MAX_QUESTIONS_BYTES} B")
        self._say("ask", self.questions, asked)
        if self.answers is not None:
            self.unanswered += [name for name in asked.ids if name not in self.answers]
            if self.unanswered:
                raise AssertionError(
                    f"the executor asks {self.unanswered[0]!r}, and the test has no answer to it"
                )
            return _fit(asked, self.answers)
        future: asyncio.Future[dict[str, str | list[str]]]
        future = asyncio.get_running_loop().create_future()
        self.open.append((asked, future))
        self.wake()
        try:
            return await future
        finally:
            self.open.remove((asked, future))

    async def next_input(self) -> str | None:
        while not self.inputs and not self.ended:
            await self.changed()
        return self.inputs.popleft() if self.inputs else None

    async def room(self) -> None:
        self.waiting += 1
        self.wake()
        try:
            while self.full:
                await self.changed()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        finally:
            self.waiting -= 1
        if self.ended:
            raise ChannelClosed

    def answer(self, answers: Answers) -> None:
        pending = [(asked, future) for asked, future in self.open if not future.done()]
        if not pending:
            raise ValueError("no question is open")
        asked, future = pending[0]
        future.set_result(_fit(asked, answers))

    def wake(self) -> None:
        """Let everybody who waits look again."""
        self._stirred.set()
        self._stirred = asyncio.Event()

    async def changed(self) -> None:
        await self._stirred.wait()

    def _say(self, verb: str, said: list[Any], what: object) -> None:
        if self.ended:
            self.late.append(verb)
            raise ChannelClosed
        said.append(what)
        self.wake()


def _fit(asked: Asked, answers: Answers) -> dict[str, str | list[str]]:
    """Take the answers to the prompts, judged as the server judges them."""
    taken: dict[str, str | list[str]] = {}
    for prompt in asked.prompts:
        name = prompt.prompt_id
        if name not in answers:
            raise ValueError(f"there is no answer to {name!r}")
        answer = answers[name]
        if isinstance(answer, str) == prompt.multiple:
            raise ValueError(
                f"the answer to {name!r} must be {'a list' if prompt.multiple else 'text'}"
            )
        chosen = [answer] if isinstance(answer, str) else list(answer)
        values = [option.value for option in prompt.options]
        if (
            values
            and not prompt.allow_other
            and (strange := [c for c in chosen if c not in values])
        ):
            raise ValueError(
                f"{strange[0]!r} is no answer to {name!r}: it takes {', '.join(values)}"
            )
        taken[name] = answer if isinstance(answer, str) else chosen
    return taken
