"""The event log in memory: what an embedder gets by default, gone with the process."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate, islice

from attrs import Factory, define

from aosui.log import Deliver, LogConflict, NotKept, Position, StoredRun
from aosui.log.epoch import new_epoch

__all__ = ["MemoryLog"]

FINAL_RUNS = 20


@define
class _Kept:
    """What a project has said."""

    entries: list[bytes] = Factory(list)
    size: int = 0
    runs: dict[str, StoredRun] = Factory(dict)
    ended: dict[str, None] = Factory(dict)
    requests: dict[str, tuple[float, bytes]] = Factory(dict)
    checkpoints: dict[str, bytes] = Factory(dict)


NOTHING = _Kept()
"""What every project has kept that has said nothing yet; never changed."""


@define
class _ProjectLog:
    epoch: str = Factory(new_epoch)
    seq: int = 0
    kept: _Kept = NOTHING
    deliver: Deliver | None = None

    @property
    def first_seq(self) -> int:
        return self.seq - len(self.kept.entries) + 1

    @property
    def position(self) -> Position:
        kept = self.kept
        final = [kept.runs[run_id] for run_id in islice(reversed(kept.ended), FINAL_RUNS)]
        active = [run for run in kept.runs.values() if not run.final]
        return Position(self.epoch, self.first_seq, self.seq, (*reversed(final), *active))


class MemoryLog:
    """
    An `EventLog` in memory.

    `kept_bytes` bounds the entries of a project (bytes of JSON text), `kept_runs` its final runs;
    request records go after `request_seconds`. A project keeps its epoch while the process lives,
    closed and opened again included.
    """

    def __init__(
        self,
        *,
        kept_bytes: int = 8 * 1024 * 1024,
        kept_runs: int = 1000,
        request_seconds: float = 600.0,
    ) -> None:
        self.kept_bytes = kept_bytes
        self.kept_runs = kept_runs
        self.request_seconds = request_seconds
        self._projects: dict[str, _ProjectLog] = {}

    async def open(self, project_id: str, deliver: Deliver) -> Position:
        log = self._projects.setdefault(project_id, _ProjectLog())
        log.deliver = deliver
        return log.position

    async def append(
        self,
        project_id: str,
        after: int,
        entries: Sequence[bytes],
        runs: Sequence[StoredRun],
        requests: Mapping[str, bytes],
        checkpoints: Mapping[str, bytes],
    ) -> int:
        log = self._projects[project_id]
        if log.deliver is None:
            raise KeyError(project_id)
        if after != log.seq:
            held = len(entries)
            if held and after + held == log.seq and log.kept.entries[-held:] == list(entries):
                return log.first_seq
            raise LogConflict(log.position)
        if log.kept is NOTHING:
            log.kept = _Kept()
        kept = log.kept
        kept.entries.extend(entries)
        log.seq += len(entries)
        kept.size += sum(map(len, entries))
        if kept.size > self.kept_bytes:
            self._drop_entries(kept, len(entries))
        self._keep_runs(kept, runs)
        kept.checkpoints.update(checkpoints)
        if requests:
            self._remember(kept, requests)
        if entries:
            log.deliver(entries, runs, log.first_seq)
        return log.first_seq

    async def read(
        self, project_id: str, after: int, limit: int, max_bytes: int
    ) -> Sequence[bytes]:
        log = self._projects[project_id]
        start = after + 1 - log.first_seq
        if start < 0:
            raise NotKept(log.first_seq)
        found = log.kept.entries[start : start + limit]
        return found[: max(1, bisect_right([*accumulate(map(len, found))], max_bytes))]

    async def run(self, project_id: str, run_id: str) -> StoredRun | None:
        return self._projects[project_id].kept.runs.get(run_id)

    async def runs(self, project_id: str, before: str | None, limit: int) -> Sequence[StoredRun]:
        newest_first = reversed(self._projects[project_id].kept.runs.values())
        if before is not None:
            for run in newest_first:
                if run.run_id == before:
                    break
        return list(islice(newest_first, limit))

    async def request(self, project_id: str, request_id: str) -> bytes | None:
        found = self._projects[project_id].kept.requests.get(request_id)
        return found[1] if found else None

    async def checkpoint(self, project_id: str, run_id: str) -> bytes | None:
        return self._projects[project_id].kept.checkpoints.get(run_id)

    async def release(self, project_id: str) -> None:
        if project_id in self._projects:
            self._projects[project_id].deliver = None

    async def forget(self, project_id: str) -> None:
        self._projects.pop(project_id, None)

    async def close(self) -> None:
        for log in self._projects.values():
            log.deliver = None

    def _drop_entries(self, kept: _Kept, newest: int) -> None:
        # More at once than it takes: moving the rest of a list is too dear for every append.
        wanted = self.kept_bytes - self.kept_bytes // 64
        drop = 0
        while kept.size > wanted and drop < len(kept.entries) - newest:
            kept.size -= len(kept.entries[drop])
            drop += 1
        del kept.entries[:drop]

    def _keep_runs(self, kept: _Kept, runs: Sequence[StoredRun]) -> None:
        for run in runs:
            kept.runs[run.run_id] = run
            if run.final:
                kept.ended.setdefault(run.run_id)
        while len(kept.ended) > self.kept_runs:
            oldest = next(iter(kept.ended))
            del kept.ended[oldest], kept.runs[oldest]
            kept.checkpoints.pop(oldest, None)

    def _remember(self, kept: _Kept, requests: Mapping[str, bytes]) -> None:
        now = time.monotonic()
        kept.requests.update({request_id: (now, body) for request_id, body in requests.items()})
        while kept.requests:
            oldest = next(iter(kept.requests))
            if now - kept.requests[oldest][0] <= self.request_seconds:
                break
            del kept.requests[oldest]
