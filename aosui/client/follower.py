"""
`Follower`: what a client of one project remembers and decides, without any I/O or clock.

It is fed the frames that come and the time, and says what to do; `ProjectSocket` does it. The rules
are those of `docs/protocol.md`, sections 4 to 6 and 10.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from attrs import define, field, frozen

from aosui import errors
from aosui.client.fold import EVENT_TYPES, Frame, fold
from aosui.errors import AosuiError, MessageTooBig
from aosui.protocol import CLOSE_CODES, CloseCode, encode

__all__ = [
    "Effect",
    "Emit",
    "Follower",
    "OutcomeUnknown",
    "Refused",
    "Resync",
    "Send",
    "Settle",
    "Synced",
    "after_close",
    "backoff",
    "close_error",
    "wire_error",
]

REQUEST_SECONDS = 300.0
"""Past this age an unanswered request is not sent again."""


class OutcomeUnknown(AosuiError):
    """
    The reply of a request never came: it may have happened, or not.

    `details` has its `requestId`, and `sent`: False when it never left, so it did not happen.
    """

    code = "outcomeUnknown"
    default = "the connection was lost for too long: look whether this happened before asking again"


@frozen
class Emit:
    """Show this to whoever iterates: an event, a `gap` or a `reset`, these with a snapshot."""

    event: Frame


@frozen
class Send:
    """Write this frame."""

    frame: Frame


@frozen
class Settle:
    """The request is over: `outcome` is the reply's result, or an error to raise."""

    request_id: str
    outcome: Frame | AosuiError


@frozen
class Synced:
    """The state is up to date: what comes now is live."""


@frozen
class Resync:
    """Something is missing that should have come: close with 4000 and resume."""


@frozen
class Refused:
    """The server says why it is about to close."""

    error: AosuiError


Effect = Emit | Send | Settle | Synced | Resync | Refused


@define
class _Pending:
    frame: Frame
    asked_at: float
    sent_in: str | None = None
    """The epoch in which it was first sent; None while it never was."""


@define
class Follower:
    """
    One project's position, state and unanswered requests.

    `last_seq` and `epoch` are the position, None before the first `welcome` unless given: then the
    first connection resumes from there. `snapshot` is the folded state (`aosui.client.fold`).
    """

    project_id: str
    last_seq: int | None = None
    epoch: str | None = None
    live: bool = field(default=False, init=False)
    snapshot: Frame | None = field(default=None, init=False)
    _missed: Frame | None = field(default=None, init=False)
    _outbox: dict[str, _Pending] = field(factory=dict, init=False)
    _max_bytes: int | None = field(default=None, init=False)

    @property
    def unanswered(self) -> Sequence[str]:
        """The ids of the requests that wait for their reply, oldest first."""
        return tuple(self._outbox)

    def query(self) -> dict[str, str]:
        """Return the handshake's parameters: where to go on from."""
        if self.last_seq is None or self.epoch is None:
            return {}
        return {"since": str(self.last_seq), "epoch": self.epoch}

    def receive(self, frame: Frame, now: float) -> Iterator[Effect]:
        """Take in a frame of the server's; `now` is seconds of any steady clock."""
        match frame.get("type"):
            case "welcome":
                self._welcome(frame)
            case "snapshot":
                yield from self._take_snapshot(frame)
            case "synced":
                yield from self._synced(frame, now)
            case "gap":
                self._miss(frame["fromSeq"], frame["reason"])
                self.last_seq = frame["toSeq"]
            case "reply":
                if self._outbox.pop(frame["id"], None) is not None:
                    yield Settle(
                        frame["id"],
                        frame["result"] if frame["ok"] else wire_error(frame["error"]),
                    )
            case "error" if frame["fatal"]:
                yield Refused(wire_error(frame["error"]))
            case _ if isinstance(frame.get("seq"), int):
                yield from self._event(frame)

    def lost(self) -> None:
        """Take note that the connection is gone."""
        self.live = False

    def request(
        self,
        kind: str,
        fields: Mapping[str, Any],
        now: float,
        *,
        request_id: str | None = None,
    ) -> tuple[str, Sequence[Effect]]:
        """
        Put a request into the outbox, where it stays until it is answered: returns its id.

        Raises `MessageTooBig` when the server would not take it, ValueError for text that is not
        valid Unicode and TypeError for what is not JSON.
        """
        request_id = request_id or str(uuid.uuid4())
        frame = {"type": kind, "projectId": self.project_id, "id": request_id, **fields}
        size = len(encode(frame))
        if self._max_bytes is not None and size > self._max_bytes:
            raise MessageTooBig(f"{size} bytes are too many: the server takes {self._max_bytes}")
        pending = self._outbox[request_id] = _Pending(frame, now)
        return request_id, [self._send(pending)] if self.live else []

    def forget(self, request_id: str) -> None:
        """Take a request out of the outbox: nobody waits for its reply any more."""
        self._outbox.pop(request_id, None)

    def expire(self, now: float) -> Iterator[Effect]:
        """Give up requests that are too old to be sent again; for while there is no connection."""
        for request_id, pending in list(self._outbox.items()):
            if now - pending.asked_at >= REQUEST_SECONDS:
                yield self._give_up(request_id)

    def wants(self, projects: Sequence[Frame]) -> bool:
        """Say whether a dormant project is worth a connection; `projects` as listed over HTTP."""
        for project in projects:
            if project["projectId"] == self.project_id:
                return bool(
                    project["activity"]["active"]
                    or project["epoch"] != self.epoch
                    or project["seq"] not in (None, self.last_seq)
                )
        return True  # closed, perhaps: the handshake says what became of it

    def _welcome(self, frame: Frame) -> None:
        resume, head = frame["resume"], frame["seq"]
        if self.last_seq is None:
            self.last_seq = head
        elif frame["epoch"] != self.epoch or self.last_seq > head:
            self._missed = {"type": "reset", "reason": resume["reason"]}
            self.last_seq = head
        elif not resume["recovered"]:
            self._miss(self.last_seq + 1, resume["reason"])
            self.last_seq = head
        self.epoch = frame["epoch"]
        self._max_bytes = frame["limits"]["maxMessageBytes"]

    def _take_snapshot(self, frame: Frame) -> Iterator[Effect]:
        self.snapshot = fold(self.snapshot, frame)
        if self._missed is not None:
            missed, self._missed = self._missed, None
            if missed["type"] == "gap":
                missed["toSeq"] = self.last_seq
            yield Emit({"projectId": self.project_id, **missed, "snapshot": self.snapshot})

    def _synced(self, frame: Frame, now: float) -> Iterator[Effect]:
        if frame["seq"] != self.last_seq:
            yield Resync()
            return
        self.live = True
        yield Synced()
        for request_id, pending in list(self._outbox.items()):
            other_epoch = pending.sent_in not in (None, self.epoch)
            if other_epoch or now - pending.asked_at >= REQUEST_SECONDS:
                yield self._give_up(request_id)
            else:
                yield self._send(pending)

    def _event(self, frame: Frame) -> Iterator[Effect]:
        if self.last_seq is None or frame["seq"] > self.last_seq + 1:
            yield Resync()
        elif frame["seq"] == self.last_seq + 1:
            self.last_seq = frame["seq"]
            self.snapshot = fold(self.snapshot, frame)
            if frame["type"] in EVENT_TYPES:
                yield Emit(frame)

    def _miss(self, from_seq: int, reason: str) -> None:
        # Kept until a snapshot bridges it, over any number of connections that break before.
        if self._missed is None:
            self._missed = {"type": "gap", "fromSeq": from_seq, "reason": reason}

    def _send(self, pending: _Pending) -> Send:
        pending.sent_in = pending.sent_in or self.epoch
        return Send(pending.frame)

    def _give_up(self, request_id: str) -> Settle:
        pending = self._outbox.pop(request_id)
        details = {"requestId": request_id, "sent": pending.sent_in is not None}
        return Settle(request_id, OutcomeUnknown(details=details))


def after_close(code: int) -> Literal["reconnect", "dormant", "final"]:
    """Say what a close code asks of the client: the code alone decides."""
    if code == CloseCode.DORMANT:
        return "dormant"
    if code in (1000, 1009) or 4500 <= code < 5000:
        return "final"
    return "reconnect"


def backoff(failures: int, random: float) -> float:
    """
    Return how many seconds to wait before connecting again.

    `failures` counts connections in a row that did not last 5 s beyond `synced`, this one not
    included; `random` is of [0, 1).
    """
    return min(4.0, 0.5 + random * min(4.0, 0.5 * 2.0 ** min(failures, 10)))


_ERRORS: Mapping[str, type[AosuiError]] = {
    kind.code: kind
    for kind in (getattr(errors, name) for name in errors.__all__)
    if not kind.__subclasses__()
}
_CLOSES = {int(code): name for name, code in reversed(CLOSE_CODES.items())}


def wire_error(error: Mapping[str, Any]) -> AosuiError:
    """Turn an error of the wire into the exception of that code, or a plain `AosuiError`."""
    code = error["code"]
    raised = _ERRORS.get(code, AosuiError)(error["message"], details=error.get("details"))
    raised.code, raised.retryable = code, error["retryable"]
    return raised


def close_error(code: int) -> AosuiError:
    """Return the exception for a close code that came without an `error` frame."""
    if code == CloseCode.REPLACED:
        raised = AosuiError("another connection with the same clientId took over")
        raised.code = CloseCode.REPLACED.reason
        return raised
    kind = _ERRORS.get(_CLOSES.get(4506 if code == 1009 else code, ""))
    return kind() if kind else AosuiError(f"the server closed the connection with code {code}")
