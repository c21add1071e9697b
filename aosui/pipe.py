"""
The pipe between a server and an executor in another process: messages, frames, the window.

`docs/pipe.md` says what they mean. A frame is its length, four bytes with the highest first, and
that many bytes of JSON text: one message. Nothing here knows processes or executors.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec

from aosui.events import ErrorInfo, PromptInfo, Stream
from aosui.protocol import encode
from aosui.values import REQUIRED, Param, Project, Workflow

__all__ = [
    "FROM_EXECUTOR",
    "FROM_SERVER",
    "MAX_FRAME_BYTES",
    "PIPE_VERSION",
    "WINDOW_BYTES",
    "Ack",
    "Answer",
    "Ask",
    "Broken",
    "Cancel",
    "Cancelled",
    "Checkpoint",
    "Close",
    "Emit",
    "Execute",
    "Failed",
    "Frames",
    "FromExecutor",
    "FromServer",
    "Hello",
    "Input",
    "ListWorkflows",
    "NextInput",
    "Output",
    "Pipe",
    "PipeError",
    "ProjectInfo",
    "Ready",
    "RunInfo",
    "SayProgress",
    "Succeeded",
    "Unask",
    "WorkflowInfo",
]

PIPE_VERSION: Final = 1
MAX_FRAME_BYTES: Final = 1024 * 1024
WINDOW_BYTES: Final = 256 * 1024
"""Frames of one run that the server has not acknowledged: past it, the executor waits."""
READ_BYTES: Final = 64 * 1024
HEAD_BYTES: Final = 4

M = TypeVar("M")


class PipeError(Exception):
    """The other end says what is no message; nothing more of it can be understood."""


class _Message(msgspec.Struct, rename="camel", frozen=True):
    """What one frame carries."""


# -- values


class ProjectInfo(_Message, frozen=True):
    """A project; `root` is a path on the executor's machine."""

    id: str
    name: str
    root: str

    @classmethod
    def of(cls, project: Project) -> ProjectInfo:
        return cls(project.id, project.name, str(project.root))

    def project(self) -> Project:
        return Project(self.id, self.name, Path(self.root))


class ParamInfo(_Message, frozen=True):
    """A parameter; one without `default` is required."""

    name: str
    type: Literal["string", "text", "integer", "number", "boolean"] = "string"
    default: Any = msgspec.UNSET
    choices: list[Any] = []
    description: str = ""
    secret: bool = False


class WorkflowInfo(_Message, frozen=True):
    """A workflow."""

    name: str
    title: str = ""
    description: str = ""
    params: list[ParamInfo] = []
    timeout: float | None = None

    @classmethod
    def of(cls, workflow: Workflow) -> WorkflowInfo:
        params = [
            ParamInfo(
                param.name,
                param.type,
                msgspec.UNSET if param.required else param.default,
                list(param.choices),
                param.description,
                param.secret,
            )
            for param in workflow.params
        ]
        return cls(workflow.name, workflow.title, workflow.description, params, workflow.timeout)

    def workflow(self) -> Workflow:
        """Make the value; raises ValueError or TypeError where it is none."""
        params = [
            Param(
                param.name,
                param.type,
                REQUIRED if param.default is msgspec.UNSET else param.default,
                param.choices,
                param.description,
                param.secret,
            )
            for param in self.params
        ]
        return Workflow(self.name, self.title, self.description, params, self.timeout)


class RunInfo(_Message, frozen=True):
    """A run, with the real values of secret params; its id is the id of the call."""

    workflow: str
    params: dict[str, Any] = {}
    attempt: int = 1
    retry_of: str | None = None
    checkpoint: Any = None


# -- what the server says


class Hello(_Message, frozen=True, tag="hello"):
    """
    The first message: which executor to be.

    `path` are the directories that the server imports from; on another machine it is empty.
    """

    version: int
    executor: str
    entry_point: str
    options: dict[str, Any] = {}
    path: list[str] = []


class ListWorkflows(_Message, frozen=True, tag="workflows"):
    """A call: `workflows(project)`; its result is a list of `WorkflowInfo`."""

    id: str
    project: ProjectInfo


class Execute(_Message, frozen=True, tag="execute"):
    """A call: `execute(run, channel)`; `id` is the run's."""

    id: str
    project: ProjectInfo
    run: RunInfo


class Close(_Message, frozen=True, tag="close"):
    """The last call: `close()`; the process ends after it."""

    id: str


class Cancel(_Message, frozen=True, tag="cancel"):
    """Cancel a call: once; it still ends in its own way."""

    id: str


class Ack(_Message, frozen=True, tag="ack"):
    """So many bytes of a run's frames are in the server's hands."""

    id: str
    bytes: int


class Answer(_Message, frozen=True, tag="answer"):
    """The answers to a question, or why it cannot be asked."""

    id: str
    question: int
    answers: dict[str, str | list[str]] | None = None
    error: ErrorInfo | None = None


class Input(_Message, frozen=True, tag="input"):
    """A text that a user sent; None when there are no more."""

    id: str
    text: str | None


FromServer = Hello | ListWorkflows | Execute | Close | Cancel | Ack | Answer | Input

# -- what the executor says


class Ready(_Message, frozen=True, tag="ready"):
    """The executor is there."""

    version: int


class Broken(_Message, frozen=True, tag="broken"):
    """There will be no executor: the plugin cannot be used, for this reason."""

    version: int
    status: Literal["broken", "incompatible"]
    reason: str


class Output(_Message, frozen=True, tag="output"):
    """`channel.output`; text that fits one event."""

    id: str
    stream: Stream
    text: str


class Emit(_Message, frozen=True, tag="event"):
    """`channel.event`."""

    id: str
    name: str
    data: Any = None


class SayProgress(_Message, frozen=True, tag="progress"):
    """`channel.progress`."""

    id: str
    current: int | float
    total: int | float | None = None
    message: str = ""


class Checkpoint(_Message, frozen=True, tag="checkpoint"):
    """`channel.checkpoint`."""

    id: str
    value: Any


class Ask(_Message, frozen=True, tag="ask"):
    """`channel.ask`; `question` is a number of the executor's own."""

    id: str
    question: int
    prompts: list[PromptInfo]


class Unask(_Message, frozen=True, tag="unask"):
    """Nobody waits for the answers any more."""

    id: str
    question: int


class NextInput(_Message, frozen=True, tag="nextInput"):
    """The run wants one `Input`; it asks for one at a time."""

    id: str


class Succeeded(_Message, frozen=True, tag="succeeded"):
    """A call returned."""

    id: str
    result: Any = None


class Failed(_Message, frozen=True, tag="failed"):
    """A call raised; `traceback` is for the server's log only."""

    id: str
    error: ErrorInfo
    traceback: str = ""


class Cancelled(_Message, frozen=True, tag="cancelled"):
    """A call ended with CancelledError."""

    id: str


FromExecutor = (
    Ready
    | Broken
    | Output
    | Emit
    | SayProgress
    | Checkpoint
    | Ask
    | Unask
    | NextInput
    | Succeeded
    | Failed
    | Cancelled
)

FROM_SERVER: Final = msgspec.json.Decoder[FromServer](FromServer)
FROM_EXECUTOR: Final = msgspec.json.Decoder[FromExecutor](FromExecutor)


class Frames:
    """Takes a stream of bytes apart into the payloads of its frames."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[bytearray]:
        """Give what is complete; raises `PipeError` at a length that no frame has."""
        rest = self._rest
        rest += data
        start = 0
        while len(rest) - start >= HEAD_BYTES:
            body = start + HEAD_BYTES
            size = int.from_bytes(rest[start:body], "big")
            if not 0 < size <= MAX_FRAME_BYTES:
                raise PipeError(f"a frame of {size} bytes: at most {MAX_FRAME_BYTES} are allowed")
            if len(rest) - body < size:
                break
            start = body + size
            yield rest[body:start]
        del rest[:start]


class Pipe:
    """One end: sends messages and receives those of the other direction."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.WriteTransport) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def backlog(self) -> int:
        """Bytes that the other end has not taken."""
        return self._writer.get_write_buffer_size()

    def send(self, message: msgspec.Struct) -> int:
        """
        Send a message and return the size of its frame; never waits.

        Raises `PipeError` when it is too large, and what msgspec raises for data that is not JSON.
        """
        payload = encode(message)
        if len(payload) > MAX_FRAME_BYTES:
            raise PipeError(
                f"a frame of {len(payload)} bytes: at most {MAX_FRAME_BYTES} are allowed"
            )
        self._writer.write(len(payload).to_bytes(HEAD_BYTES, "big") + payload)
        return HEAD_BYTES + len(payload)

    async def receive(self, decoder: msgspec.json.Decoder[M]) -> AsyncIterator[tuple[M, int]]:
        """Iterate over messages and the sizes of their frames to the end; raises `PipeError`."""
        frames = Frames()
        while data := await self._reader.read(READ_BYTES):
            for payload in frames.feed(data):
                try:
                    message = decoder.decode(payload)
                except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
                    raise PipeError(f"not a message: {error}") from None
                yield message, HEAD_BYTES + len(payload)

    def close(self) -> None:
        """Give up both directions; what is not sent yet is lost."""
        self._writer.abort()
