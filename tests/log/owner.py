"""An owner of a project in the tests: it numbers, and remembers what was delivered to it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence

from aosui.log import EventLog, Position, StoredRun


class Owner:
    """Appends at its own head; `delivered` are the entries, `batches` the calls of `deliver`."""

    def __init__(self, log: EventLog, project_id: str = "site-abc123") -> None:
        self.log = log
        self.project_id = project_id
        self.seq = 0
        self.delivered: list[bytes] = []
        self.batches: list[tuple[Sequence[bytes], Sequence[StoredRun], int]] = []

    async def open(self) -> Position:
        position = await self.log.open(self.project_id, self.deliver)
        self.seq = position.seq
        return position

    def deliver(self, entries: Sequence[bytes], runs: Sequence[StoredRun], first_seq: int) -> None:
        assert threading.current_thread() is threading.main_thread()
        assert asyncio.get_running_loop().is_running()
        self.delivered += entries
        self.batches.append((entries, runs, first_seq))

    async def append(
        self,
        *entries: bytes,
        runs: Sequence[StoredRun] = (),
        requests: Mapping[str, bytes] | None = None,
        checkpoints: Mapping[str, bytes] | None = None,
        after: int | None = None,
    ) -> int:
        after = self.seq if after is None else after
        first_seq = await self.log.append(
            self.project_id, after, entries, runs, requests or {}, checkpoints or {}
        )
        self.seq = after + len(entries)
        return first_seq

    async def read(
        self, after: int = 0, limit: int = 100_000, max_bytes: int = 2**30
    ) -> list[bytes]:
        return [*await self.log.read(self.project_id, after, limit, max_bytes)]

    async def run_ids(self, before: str | None = None, limit: int = 10_000) -> list[str]:
        return [run.run_id for run in await self.log.runs(self.project_id, before, limit)]


def entry(seq: int, size: int = 0) -> bytes:
    """Return an entry that says its seq, `size` bytes long if that is more."""
    return (b'{"seq":%d,"text":"' % seq).ljust(size - 2, b".") + b'"}'


def run(run_id: str, *, final: bool = False, text: str = "") -> StoredRun:
    return StoredRun(
        run_id, final, b'{"runId":"%s","text":"%s","firstSeq":1}' % (run_id.encode(), text.encode())
    )
