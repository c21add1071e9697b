"""
The fold: what a project's log comes to, kept as JSON text and ready to be sent.

Pure: no I/O, no clock. A run is its latest status, so folding an event is replacing one text.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from aosui.log import StoredRun
from aosui.protocol import encode

__all__ = ["Snapshot"]

OUTPUT_PREFIX = b'{"type":"run.output","runId":"'
"""How the text of every `run.output` starts: type and run id are its first fields."""


class Snapshot:
    """
    The latest status of a project's runs at `seq`: all active ones, and the last final ones.

    `tail_bytes` of the newest output are kept for each active run. The text is kept near
    `max_bytes`: tails are left out first, then final runs; active runs never.
    """

    __slots__ = (
        "_active",
        "_final",
        "_final_runs",
        "_max_bytes",
        "_tail_bytes",
        "_tails",
        "_text",
        "epoch",
        "name",
        "project_id",
        "seq",
    )

    def __init__(
        self,
        project_id: str,
        name: str,
        epoch: str,
        seq: int,
        runs: Iterable[StoredRun] = (),
        *,
        final_runs: int = 20,
        tail_bytes: int = 16 * 1024,
        max_bytes: int = 1024 * 1024,
    ) -> None:
        self.project_id = project_id
        self.name = name
        self.epoch = epoch
        self.seq = seq
        self._final_runs = final_runs
        self._tail_bytes = tail_bytes
        self._max_bytes = max_bytes
        self._active: dict[str, StoredRun] = {}
        self._final: dict[str, StoredRun] = {}
        self._tails: dict[bytes, _Tail] = {}
        self._text: bytes | None = None
        self._put(runs)

    def fold(self, entries: Sequence[bytes], runs: Iterable[StoredRun]) -> None:
        """Take accepted entries in, and the latest states of the runs that they touch."""
        self._put(runs)
        if self._tails:
            self._put_tails(entries)
        self.seq += len(entries)
        self._text = None

    def active_bodies(self) -> Sequence[bytes]:
        """Return the JSON texts of the active runs, oldest first."""
        return tuple(run.body for run in self._active.values())

    def text(self, ts: str) -> bytes:
        """Return the `snapshot` frame as JSON text: made once until the next `fold`."""
        if self._text is None:
            self._text = self._encode(ts)
        return self._text

    def _put(self, runs: Iterable[StoredRun]) -> None:
        for run in runs:
            if run.final:
                self._active.pop(run.run_id, None)
                self._tails.pop(run.run_id.encode(), None)
                self._final[run.run_id] = run
            else:
                self._active[run.run_id] = run
                self._tails.setdefault(run.run_id.encode(), _Tail())
        while len(self._final) > self._final_runs:
            del self._final[next(iter(self._final))]

    def _put_tails(self, entries: Sequence[bytes]) -> None:
        """Look at the newest output first, and stop where every tail is full of it."""
        start = len(OUTPUT_PREFIX)
        unfilled = dict(self._tails)
        fresh: dict[bytes, list[bytes]] = {}
        room = dict.fromkeys(unfilled, self._tail_bytes)
        for entry in reversed(entries):
            if entry.startswith(OUTPUT_PREFIX):
                run_id = entry[start : entry.index(b'"', start)]
                if run_id in unfilled:
                    fresh.setdefault(run_id, []).append(entry)
                    room[run_id] -= len(entry)
                    if room[run_id] <= 0:
                        del unfilled[run_id]
                        if not unfilled:
                            break
        for run_id, newest_first in fresh.items():
            self._tails[run_id].extend(reversed(newest_first), self._tail_bytes)

    def _encode(self, ts: str) -> bytes:
        head = encode(
            {
                "type": "snapshot",
                "projectId": self.project_id,
                "ts": ts,
                "epoch": self.epoch,
                "seq": self.seq,
                "project": {"name": self.name},
            }
        )
        room = self._max_bytes - len(head) - sum(len(run.body) for run in self._active.values())
        final: deque[bytes] = deque()
        for run in reversed(self._final.values()):
            room -= len(run.body)
            if room < 0:
                break
            final.appendleft(run.body)
        tails: list[bytes] = []
        for run_id, tail in self._tails.items():
            if tail.entries and tail.size <= room:
                room -= tail.size
                tails.append(b'"' + run_id + b'":[' + b",".join(tail.entries) + b"]")
        bodies = [*final, *(run.body for run in self._active.values())]
        return b"%b,%b%b%b%b%b" % (
            head[:-1],
            b'"runs":[',
            b",".join(bodies),
            b'],"outputTails":{',
            b",".join(tails),
            b"}}",
        )


class _Tail:
    """The newest output of one run, whole events."""

    __slots__ = ("entries", "size")

    def __init__(self) -> None:
        self.entries: deque[bytes] = deque()
        self.size = 0

    def extend(self, entries: Iterable[bytes], max_bytes: int) -> None:
        for entry in entries:
            self.entries.append(entry)
            self.size += len(entry)
        while self.size > max_bytes and len(self.entries) > 1:
            self.size -= len(self.entries.popleft())
