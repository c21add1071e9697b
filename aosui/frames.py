"""Server frames: the control frames of the protocol as JSON text, and text as WebSocket frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aosui.clock import timestamp
from aosui.errors import AosuiError
from aosui.events import ErrorInfo
from aosui.protocol import encode

__all__ = [
    "PING",
    "control",
    "error_info",
    "frame_start",
    "join_frames",
    "pong_frame",
    "skip_frames",
    "text_frame",
]

TEXT = 0x81
KEPT_HEADERS = 4096
PING = b"\x89\x00"
"""A WebSocket ping without payload."""


def control(kind: str, project_id: str, **fields: Any) -> bytes:
    """Build a control frame of the server, ready for the socket; `fields` are as on the wire."""
    return text_frame(
        encode({"type": kind, "projectId": project_id, "ts": timestamp(), **fields}),
    )


def error_info(error: AosuiError) -> ErrorInfo:
    """Show an error as it goes over the wire."""
    details: Mapping[str, Any] | None = error.details
    return ErrorInfo(error.code, error.message, error.retryable, details)


def text_frame(payload: bytes) -> bytes:
    """Make JSON text a WebSocket text frame."""
    return _header(len(payload)) + payload


def pong_frame(payload: bytes) -> bytes:
    """Answer a WebSocket ping."""
    return bytes((0x8A, len(payload))) + payload


def join_frames(payloads: Sequence[bytes]) -> bytes:
    """Make each JSON text a WebSocket text frame, and all of them one piece of bytes."""
    parts = [b""] * (2 * len(payloads))
    parts[::2] = map(_header, map(len, payloads))
    parts[1::2] = payloads
    return b"".join(parts)


def skip_frames(data: bytes, count: int) -> bytes:
    """Leave out the first `count` frames of what `join_frames` made."""
    return data[frame_start(data, count) :]


def frame_start(data: bytes, index: int) -> int:
    """Find where the frame `index` of what `join_frames` made starts."""
    at = 0
    for _ in range(index):
        size = data[at + 1]
        if size < 126:
            at += 2 + size
        elif size == 126:
            at += 4 + int.from_bytes(data[at + 2 : at + 4])
        else:
            at += 10 + int.from_bytes(data[at + 2 : at + 10])
    return at


class _Headers(dict[int, bytes]):
    """The header of a text frame by the size of its payload; those of usual sizes are kept."""

    def __missing__(self, size: int) -> bytes:
        if size < 126:
            header = bytes((TEXT, size))
        elif size < 65536:
            header = bytes((TEXT, 126)) + size.to_bytes(2)
        else:
            header = bytes((TEXT, 127)) + size.to_bytes(8)
        if size < KEPT_HEADERS:
            self[size] = header
        return header


_header = _Headers().__getitem__
