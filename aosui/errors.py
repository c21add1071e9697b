"""
Every way in which aosui says no, each with its code on the wire.

    AosuiError
    ├── RequestError           the request is wrong: change it
    │   ├── BadJson · BadRequest · UnknownType · UnsupportedVersion
    │   ├── InvalidParams · InvalidAnswer · IdReused
    │   └── MessageTooBig · UnsupportedMediaType · MethodNotAllowed · UpgradeRequired
    ├── RefusedError           the caller may not: sign in, or ask somebody
    │   ├── Unauthorized · Forbidden · OutsideRoot · WrongProject
    │   └── HostNotAllowed · OriginNotAllowed
    ├── NotFoundError          there is no such thing
    │   ├── NotFound · ProjectNotFound
    │   └── WorkflowNotFound · RunNotFound · QuestionNotFound
    ├── ConflictError          not in this state: look again
    │   └── ProjectBusy · ProjectClosed · RunNotActive · RunNotRetryable · QuestionClosed
    ├── TryAgainError          the same later may go well (retryable)
    │   ├── RateLimited · LimitExceeded · ConnectionLimit
    │   └── ShuttingDown · LogUnavailable
    ├── InternalError          a bug of aosui
    └── ExecutorFailure        how a run fails
        ├── ExecutorError      raised by executors, with a message for people
        ├── ChannelClosed · NotSerialisable

Errors of an event log that never reach the wire are in `aosui.log`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

__all__ = [
    "AosuiError",
    "BadJson",
    "BadRequest",
    "ChannelClosed",
    "ConflictError",
    "ConnectionLimit",
    "ExecutorError",
    "ExecutorFailure",
    "Forbidden",
    "HostNotAllowed",
    "IdReused",
    "InternalError",
    "InvalidAnswer",
    "InvalidParams",
    "LimitExceeded",
    "LogUnavailable",
    "MessageTooBig",
    "MethodNotAllowed",
    "NotFound",
    "NotFoundError",
    "NotSerialisable",
    "OriginNotAllowed",
    "OutsideRoot",
    "ProjectBusy",
    "ProjectClosed",
    "ProjectNotFound",
    "QuestionClosed",
    "QuestionNotFound",
    "RateLimited",
    "RefusedError",
    "RequestError",
    "RunNotActive",
    "RunNotFound",
    "RunNotRetryable",
    "ShuttingDown",
    "TryAgainError",
    "Unauthorized",
    "UnknownType",
    "UnsupportedMediaType",
    "UnsupportedVersion",
    "UpgradeRequired",
    "WorkflowNotFound",
    "WrongProject",
]


class AosuiError(Exception):
    """
    The root of all of aosui's errors.

    `message` is for people and carries no path of the server and no traceback; `details` is
    JSON for programs.
    """

    code: str = "internal"
    status: ClassVar[int] = 500
    retryable: bool = False
    default: ClassVar[str] = "something went wrong inside aosui"

    def __init__(self, message: str = "", *, details: Mapping[str, Any] | None = None) -> None:
        self.message = message or self.default
        self.details = dict(details) if details else None
        super().__init__(self.message)


class InternalError(AosuiError):
    """A bug in aosui; its traceback is in the server's log."""


class RequestError(AosuiError):
    """The request itself is wrong: sending it again unchanged cannot help."""

    code = "badRequest"
    status = 400
    default = "the request is malformed"


class BadRequest(RequestError):
    """A field is missing or has the wrong type."""


class BadJson(RequestError):
    """The text is not JSON that aosui takes."""

    code = "badJson"
    default = "this is not valid JSON"


class UnknownType(RequestError):
    """The frame's `type` is not one that a client may send."""

    code = "unknownType"
    default = "there is no such frame type"


class UnsupportedVersion(RequestError):
    """The client does not offer a protocol version that this server speaks."""

    code = "unsupportedVersion"
    default = "this server speaks aosui.v1: offer it as a WebSocket subprotocol"


class InvalidParams(RequestError):
    """Parameters of a workflow are missing, unknown or of the wrong type; `details` says which."""

    code = "invalidParams"
    default = "the parameters do not fit the workflow"


class InvalidAnswer(RequestError):
    """The answers do not fit the prompts of the question; `details` says which."""

    code = "invalidAnswer"
    default = "the answers do not fit the question"


class IdReused(RequestError):
    """A request id came again with other content."""

    code = "idReused"
    status = 409
    default = "this request id was used for another request: ids are used once"


class MessageTooBig(RequestError):
    """A frame or a body is larger than the server takes."""

    code = "messageTooBig"
    status = 413
    default = "the message is too big"


class UnsupportedMediaType(RequestError):
    """A body is not sent as `application/json`."""

    code = "unsupportedMediaType"
    status = 415
    default = "send the body as application/json"


class MethodNotAllowed(RequestError):
    """The path exists, but not for this method."""

    code = "methodNotAllowed"
    status = 405
    default = "this path does not take that method"


class UpgradeRequired(RequestError):
    """A plain HTTP request reached the WebSocket route."""

    code = "upgradeRequired"
    status = 426
    default = "this path speaks WebSocket only"


class RefusedError(AosuiError):
    """The caller may not do this."""

    code = "forbidden"
    status = 403
    default = "you may not do this"


class Forbidden(RefusedError):
    """The user is known and is not allowed."""


class Unauthorized(RefusedError):
    """No credentials, or wrong ones."""

    code = "unauthorized"
    status = 401
    default = "sign in first: the server's URL with its token is printed where it was started"


class HostNotAllowed(RefusedError):
    """The `Host` header names a host that this server is not."""

    code = "hostNotAllowed"
    default = "this Host is not allowed here"


class OriginNotAllowed(RefusedError):
    """The request comes from a web page of another origin."""

    code = "originNotAllowed"
    default = "pages of this origin are not allowed here"


class OutsideRoot(RefusedError):
    """A directory is outside the roots below which projects may be opened."""

    code = "outsideRoot"
    default = "this directory is outside the allowed roots"


class WrongProject(RefusedError):
    """A frame names another project than its connection's."""

    code = "wrongProject"
    default = "this connection belongs to another project"


class NotFoundError(AosuiError):
    """There is no such thing."""

    code = "notFound"
    status = 404
    default = "there is nothing here"


class NotFound(NotFoundError):
    """No such path."""


class ProjectNotFound(NotFoundError):
    """No project with this id is open."""

    code = "projectNotFound"
    default = "no such project is open"


class WorkflowNotFound(NotFoundError):
    """The project has no such workflow, or its plugin is broken."""

    code = "workflowNotFound"
    default = "the project has no such workflow"


class RunNotFound(NotFoundError):
    """The project has no such run, or keeps it no longer."""

    code = "runNotFound"
    default = "the project has no such run"


class QuestionNotFound(NotFoundError):
    """The project has no such question."""

    code = "questionNotFound"
    default = "the project has no such question"


class ConflictError(AosuiError):
    """The thing is in a state that does not allow this."""

    code = "runNotActive"
    status = 409
    default = "not in this state"


class ProjectBusy(ConflictError):
    """The project still has active runs."""

    code = "projectBusy"
    default = "the project still has active runs: cancel them first"


class ProjectClosed(ConflictError):
    """The project was closed while it was in use."""

    code = "projectClosed"
    default = "the project was closed"


class RunNotActive(ConflictError):
    """The run has ended."""

    default = "the run has ended"


class RunNotRetryable(ConflictError):
    """Only failed, cancelled and interrupted runs can be run again."""

    code = "runNotRetryable"
    default = "only a failed, cancelled or interrupted run can be run again"


class QuestionClosed(ConflictError):
    """Somebody was faster, or the run stopped asking; `details` has the outcome."""

    code = "questionClosed"
    default = "the question is closed"


class TryAgainError(AosuiError):
    """The same request may go well later."""

    code = "internal"
    status = 503
    retryable = True


class RateLimited(TryAgainError):
    """Too many requests in too short a time."""

    code = "rateLimited"
    status = 429
    default = "too many requests: slow down"


class LimitExceeded(TryAgainError):
    """A limit of the server is reached; `details` names it."""

    code = "limitExceeded"
    status = 429
    default = "a limit of this server is reached"


class ConnectionLimit(TryAgainError):
    """Too many connections to the project or to the server."""

    code = "connectionLimit"
    status = 429
    default = "too many connections"


class ShuttingDown(TryAgainError):
    """The server is going away."""

    code = "shuttingDown"
    default = "the server is shutting down"


class LogUnavailable(TryAgainError):
    """
    The event log does not take anything at the moment.

    What was asked for may still happen: ask again with the same id to learn the outcome.
    """

    code = "logUnavailable"
    default = "the event log is not available: this may still happen once it is back"


class ExecutorFailure(AosuiError):
    """How a run fails; becomes `Run.error`."""

    code = "executorFailed"
    default = "the executor failed"


class ExecutorError(ExecutorFailure):
    """
    Raise it in an executor to fail a run with a message for people.

    `code` is the executor's own (camelCase); `retryable` says that a retry may go well.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "executorFailed",
        retryable: bool = False,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, details=details)
        self.code = code
        self.retryable = retryable


class ChannelClosed(ExecutorFailure):
    """The run has ended: nothing more can be said on its channel."""

    default = "the run has ended: its channel is closed"


class NotSerialisable(ExecutorFailure):
    """The value is not JSON data, or is too large; nothing of it was stored."""

    code = "notSerialisable"
    default = "the value cannot be written as JSON"
