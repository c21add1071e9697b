"""
The event log: the one place where a project's events are kept, and the seam for storage.

A log stores finished JSON text and never parses it. Its contract, which one test suite
(`tests/log/`) holds every implementation to:

- **Owner.** A project has one owner (a hub), and the owner numbers: `append` stores its entries as
  `after + 1, after + 2, …`. Only `open` takes a project up; until then, `append` raises `KeyError`.
- **Order and delivery.** `deliver` is called on the event loop, in order, once for every accepted
  batch, before its `append` returns, and only for what is as durable as the log ever makes it. A
  caller that is cancelled meanwhile changes nothing of that.
- **Atomicity.** Entries, run states, request records and checkpoints of one `append` are stored
  together or not at all.
- **Conflict.** An `append` whose `after` is not the head raises `LogConflict`, unless the log
  already ends with exactly that batch: an append of unknown outcome is simply sent again.
- **Trouble.** An `append` that could not be stored and may go well later raises `LogUnavailable`,
  and nothing of it was stored, or all of it. Other calls raise it too when the storage fails.
- **Continuity.** `epoch` stays as long as no accepted entry can have been lost.
- **Retention.** The oldest entries go when the kept bytes of a project exceed the log's limit, a
  64th of the limit at once; the newest batch stays. Of final runs, those that ended last stay.

    LogConflict            somebody else appended: open again
    NotKept                the entries asked for have gone
    LogFileError           the log cannot be had at all: a person has to act
    ├── LogLocked          another process has it; says which
    ├── LogNotWritable     its file or directory cannot be written
    └── LogSchemaNewer     a newer aosui wrote it
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from attrs import frozen

__all__ = [
    "Deliver",
    "EventLog",
    "LogConflict",
    "LogFileError",
    "LogLocked",
    "LogNotWritable",
    "LogSchemaNewer",
    "NotKept",
    "Position",
    "StoredRun",
]


@frozen
class StoredRun:
    """The latest state of one run; `body` is the JSON text of its `RunStatus`."""

    run_id: str
    final: bool
    body: bytes


@frozen
class Position:
    """
    Where a project's log stands.

    `first_seq` is the seq of the oldest entry that is kept (`seq + 1` when none is), `seq` the
    head (0 when empty). `runs` are the 20 that ended last, in that order, then the active ones,
    oldest first.
    """

    epoch: str
    first_seq: int
    seq: int
    runs: Sequence[StoredRun] = ()


Deliver = Callable[[Sequence[bytes], Sequence[StoredRun], int], None]
"""`deliver(entries, runs, first_seq)`: accepted entries, the runs they touch, the oldest kept."""


class LogConflict(Exception):
    """Somebody else appended: `position` is where the log really stands."""

    def __init__(self, position: Position) -> None:
        super().__init__(f"the log stands at {position.seq} of epoch {position.epoch}")
        self.position = position


class NotKept(LookupError):
    """The entries asked for are no longer kept; `first_seq` is the oldest that is."""

    def __init__(self, first_seq: int) -> None:
        super().__init__(f"entries before {first_seq} are no longer kept")
        self.first_seq = first_seq


class LogFileError(Exception):
    """A log cannot be had, and trying again does not help; `path` is its file."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"the event log {path} {reason}")
        self.path = path


class LogLocked(LogFileError):
    """Another process has the log open; `holder` says which, where and since when."""

    def __init__(self, path: str, holder: str) -> None:
        super().__init__(path, f"is in use by {holder}")
        self.holder = holder


class LogNotWritable(LogFileError):
    """The log's file or directory cannot be written."""


class LogSchemaNewer(LogFileError):
    """A newer aosui wrote the log; it was not touched."""


class EventLog(Protocol):
    """Append-only logs, one a project."""

    async def open(self, project_id: str, deliver: Deliver) -> Position:
        """
        Take up a project as its owner; its batches go to `deliver` from now on.

        Open already, it goes over to the new `deliver`: what the position has, the old one got.
        Raises `LogUnavailable` when the storage does not answer, `LogFileError` when it is not to
        be had.
        """

    async def append(
        self,
        project_id: str,
        after: int,
        entries: Sequence[bytes],
        runs: Sequence[StoredRun],
        requests: Mapping[str, bytes],
        checkpoints: Mapping[str, bytes],
    ) -> int:
        """
        Store a batch as `after + 1…` and deliver it.

        `runs` are the latest states of the runs that the batch touches, a run at most once;
        `requests` maps the ids of the requests that caused an event to a record of theirs, kept at
        least 10 minutes; `checkpoints` maps run ids to values, kept as long as the run. A batch
        may have no entries (only checkpoints); nothing is delivered then. An entry is JSON text
        without a raw newline. Returns `first_seq`. Raises `LogConflict` or `LogUnavailable`.
        """

    async def read(
        self, project_id: str, after: int, limit: int, max_bytes: int
    ) -> Sequence[bytes]:
        """
        Return the entries `after + 1, …`: at most `limit` and `max_bytes`, at least one if any.

        Raises `NotKept` when `after + 1` is no longer kept, `LogUnavailable`.
        """

    async def run(self, project_id: str, run_id: str) -> StoredRun | None:
        """Return the latest state of a run: active, or one of the 1,000 that ended last."""

    async def runs(self, project_id: str, before: str | None, limit: int) -> Sequence[StoredRun]:
        """Return runs, newest first, older than the run `before` (None = from the newest)."""

    async def request(self, project_id: str, request_id: str) -> bytes | None:
        """Return the record of a request that caused an event."""

    async def checkpoint(self, project_id: str, run_id: str) -> bytes | None:
        """Return the last checkpoint of a run."""

    async def release(self, project_id: str) -> None:
        """Give up a project: nothing is delivered any more; what is stored stays."""

    async def forget(self, project_id: str) -> None:
        """
        Delete all of a project's log, open or not; opened again, it is empty and of another epoch.

        Raises `LogUnavailable`: the project is given up then, and may have lost old entries.
        """

    async def close(self) -> None:
        """Close cleanly, and give up every project; everything accepted is stored."""
