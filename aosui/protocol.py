"""
The rules of the wire that need no I/O: encode and decode, sizes, close codes.

`docs/protocol.md` says what they mean; this module is where they are numbers.
"""

from __future__ import annotations

import enum
import re
from typing import Annotated, Any, Final, TypeVar

import msgspec

from aosui.errors import BadJson, BadRequest, NotSerialisable, UnknownType

__all__ = [
    "BEARER_PREFIX",
    "CLOSE_CODES",
    "MAX_ANSWERS_BYTES",
    "MAX_CHECKPOINT_BYTES",
    "MAX_DATA_BYTES",
    "MAX_ERROR_BYTES",
    "MAX_EVENT_BYTES",
    "MAX_PARAMS_BYTES",
    "MAX_PROGRESS_MESSAGE_BYTES",
    "MAX_QUESTIONS_BYTES",
    "MAX_RESULT_BYTES",
    "MAX_SAFE_INTEGER",
    "MAX_TEXT_BYTES",
    "PROJECT_ID",
    "SUBPROTOCOL",
    "TOKEN",
    "VERSION",
    "CloseCode",
    "Command",
    "Ping",
    "QuestionAnswer",
    "RunCancel",
    "RunInput",
    "RunRetry",
    "RunStart",
    "convert",
    "cut",
    "decode_command",
    "decode_object",
    "encode",
    "encode_data",
]

T = TypeVar("T")

VERSION: Final = 1
SUBPROTOCOL: Final = "aosui.v1"
BEARER_PREFIX: Final = "aosui.bearer."
TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{16,}")
"""What may be a token: it fits into a subprotocol, a URL's fragment and a cookie."""
PROJECT_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

KIB: Final = 1024
MAX_PARAMS_BYTES: Final = 16 * KIB
MAX_ANSWERS_BYTES: Final = 16 * KIB
MAX_CHECKPOINT_BYTES: Final = 16 * KIB
MAX_RESULT_BYTES: Final = 24 * KIB
MAX_QUESTIONS_BYTES: Final = 12 * KIB
MAX_DATA_BYTES: Final = 60 * KIB
MAX_EVENT_BYTES: Final = 64 * KIB
MAX_TEXT_BYTES: Final = 63 * KIB
"""JSON text of one output: an event's 64 KiB less room for its other fields."""
MAX_ERROR_BYTES: Final = 4 * KIB
MAX_PROGRESS_MESSAGE_BYTES: Final = 1 * KIB
MAX_SAFE_INTEGER: Final = 2**53 - 1


class CloseCode(enum.IntEnum):
    """Close codes; 4000-4499 mean reconnect, 4500-4999 never by itself. The reason is the name."""

    OK = 1000
    GOING_AWAY = 1001
    CLIENT_RESYNC = 4000
    INTERNAL = 4004
    CONNECTION_LIMIT = 4007
    RATE_LIMITED = 4008
    BAD_REQUEST = 4500
    UNAUTHORIZED = 4501
    FORBIDDEN = 4502
    PROJECT_NOT_FOUND = 4503
    PROJECT_CLOSED = 4504
    UNSUPPORTED_VERSION = 4505
    MESSAGE_TOO_BIG = 4506
    REPLACED = 4508
    DORMANT = 4510

    @property
    def reason(self) -> str:
        first, *rest = self.name.lower().split("_")
        return first + "".join(word.capitalize() for word in rest)


CLOSE_CODES: Final = {
    "internal": CloseCode.INTERNAL,
    "logUnavailable": CloseCode.INTERNAL,
    "connectionLimit": CloseCode.CONNECTION_LIMIT,
    "rateLimited": CloseCode.RATE_LIMITED,
    "badRequest": CloseCode.BAD_REQUEST,
    "unauthorized": CloseCode.UNAUTHORIZED,
    "forbidden": CloseCode.FORBIDDEN,
    "projectNotFound": CloseCode.PROJECT_NOT_FOUND,
    "projectClosed": CloseCode.PROJECT_CLOSED,
    "unsupportedVersion": CloseCode.UNSUPPORTED_VERSION,
    "messageTooBig": CloseCode.MESSAGE_TOO_BIG,
    "shuttingDown": CloseCode.GOING_AWAY,
}
"""The close code of a refused connection, by the code of its error."""


class _Request(msgspec.Struct, rename="camel", frozen=True):
    project_id: str
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class RunStart(_Request, frozen=True, tag="run.start"):
    """Start a run of `workflow`, which is `<executor>:<name>`."""

    workflow: str
    params: dict[str, Any] = {}


class RunCancel(_Request, frozen=True, tag="run.cancel"):
    """Ask a run to end."""

    run_id: str


class RunRetry(_Request, frozen=True, tag="run.retry"):
    """Run again what failed, was cancelled or interrupted."""

    run_id: str
    params: dict[str, Any] | None = None


class RunInput(_Request, frozen=True, tag="run.input"):
    """Send text to a run."""

    run_id: str
    text: str


class QuestionAnswer(_Request, frozen=True, tag="question.answer"):
    """Answer every prompt of a question."""

    question_id: str
    answers: dict[str, str | list[str]]


class Ping(msgspec.Struct, rename="camel", frozen=True, tag="ping"):
    """Ask for a `pong`; no request."""

    project_id: str
    nonce: str | int | float | None = None


Command = RunStart | RunCancel | RunRetry | RunInput | QuestionAnswer | Ping
_TYPES: Final[dict[str, type[Command]]] = {
    "run.start": RunStart,
    "run.cancel": RunCancel,
    "run.retry": RunRetry,
    "run.input": RunInput,
    "question.answer": QuestionAnswer,
    "ping": Ping,
}

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()
encode = _encoder.encode


def encode_data(data: object, max_bytes: int | None, *, what: str) -> bytes:
    """
    Encode an executor's data: what msgspec writes, at most `max_bytes` of it.

    Raises `NotSerialisable` with `what` it was.
    """
    try:
        encoded = encode(data)
        # An author's `msgspec.Raw` is copied as it stands, and may be anything.
        _decoder.decode(encoded)
        if b"\n" in encoded:
            encoded = msgspec.json.format(encoded, indent=-1)
    except RecursionError:
        raise NotSerialisable(f"{what} is nested too deeply") from None
    except UnicodeError:
        raise NotSerialisable(f"{what} has text that is not valid Unicode") from None
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise NotSerialisable(f"{what} cannot be written as JSON: {error}") from None
    if max_bytes is not None and len(encoded) > max_bytes:
        raise NotSerialisable(
            f"{what} is {len(encoded)} bytes of JSON: at most {max_bytes} are allowed"
        )
    return encoded


def cut(text: str, max_bytes: int) -> str:
    """Cut text so that its JSON text is at most `max_bytes`; what is no valid Unicode becomes ?."""
    text = text[:max_bytes].encode("utf-8", "replace").decode()
    while len(encode(text)) > max_bytes:
        text = text[: len(text) * 9 // 10]
    return text


def decode_object(data: str | bytes) -> dict[str, Any]:
    """Decode a JSON object from outside: raises `BadJson`, `BadRequest`."""
    try:
        value = _decoder.decode(data)
        _refuse_unsafe_integers(value, "$")
    except RecursionError:
        raise BadJson("this JSON is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BadJson(f"this is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadRequest("this must be a JSON object")
    return value


def decode_command(value: dict[str, Any]) -> Command:
    """
    Take a client's frame apart: `value` as `decode_object` gave it.

    Raises `BadRequest` with the path of the field, or `UnknownType`.
    """
    tag = value.get("type")
    if not isinstance(tag, str):
        raise BadRequest("a frame needs a `type` - at `$.type`")
    if not isinstance(value.get("projectId"), str):
        raise BadRequest("a frame needs a `projectId` - at `$.projectId`")
    kind = _TYPES.get(tag)
    if kind is None:
        raise UnknownType(f"there is no frame type {tag[:64]!r}", details={"type": tag[:64]})
    return convert(value, kind)


def convert(value: object, kind: type[T]) -> T:
    """Check a decoded value against a wire class: raises `BadRequest` with the field's path."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise BadRequest(str(error)) from None


def _refuse_unsafe_integers(value: object, path: str) -> None:
    if isinstance(value, int):
        if not -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
            raise BadRequest(f"integers beyond 2^53-1 are not exact everywhere - at `{path}`")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_unsafe_integers(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_unsafe_integers(item, f"{path}[{index}]")
