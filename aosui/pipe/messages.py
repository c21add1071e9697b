"""What goes over the pipe, as classes; `docs/pipe.md` says what each means."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from aosui.events import ErrorInfo, PromptInfo, Stream
from aosui.values import REQUIRED, Param, Project, Workflow

__all__ = [
    "FROM_EXECUTOR",
    "FROM_SERVER",
    "PIPE_VERSION",
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
    "FromExecutor",
    "FromServer",
    "Hello",
    "Input",
    "ListWorkflows",
    "ListingInfo",
    "NextInput",
    "Output",
    "ProjectInfo",
    "Ready",
    "RunInfo",
    "SayProgress",
    "Succeeded",
    "Unask",
    "WorkflowInfo",
]

PIPE_VERSION: Final = 1


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


class ListingInfo(_Message, frozen=True):
    """What a call of `workflows` gives: some workflows, and what is wrong with the others."""

    workflows: list[WorkflowInfo] = []
    problem: str = ""


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
    """A call: `workflows(project)`; its result is a `ListingInfo`."""

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
    becomes: Literal["broken", "incompatible"]
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
