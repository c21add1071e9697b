"""The event log in memory: what an embedder gets by default, gone with the process."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import islice

from attrs import Factory, define

from aosui.log import Deliver, LogConflict, NotKept, Position, StoredRun

__all__ = ["MemoryLog"]

EPOCH_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


def new_epoch() -> str:
    """Make an epoch: 12 characters of a-z and 0-9."""
    return "".join(secrets.choice(EPOCH_ALPHABET) for _ in range(12))


@define
class _ProjectLog:
    epoch: str = Factory(new_epoch)
    seq: int = 0
    entries: deque[bytes] = Factory(deque)
    size: int = 0
    runs: dict[str, StoredRun] = Factory(dict)
    requests: dict[str, tuple[float, bytes]] = Factory(dict)
    checkpoints: dict[str, bytes] = Factory(dict)
    deliver: Deliver | None = None

    @property
    def first_seq(self) -> int:
        return self.seq - len(self.entries) + 1

    def position(self, final_runs: int) -> Position:
        runs = list(self.runs.values())
        final = {run.run_id for run in [run for run in runs if run.final][-final_runs:]}
        kept = tuple(run for run in runs if not run.final or run.run_id in final)
        return Position(self.epoch, self.first_seq, self.seq, kept)


class MemoryLog:
    """
    An `EventLog` in memory.

    `kept_bytes` bounds the entries of a project (bytes of JSON text), `kept_runs` its final runs.
    A project keeps its epoch while the process lives, closed and opened again included.
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
        return log.position(20)

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
        if after != log.seq:
            held = len(entries)
            if (
                held
                and after + held == log.seq
                and list(islice(reversed(log.entries), held)) == [*reversed(entries)]
            ):
                return log.first_seq
            raise LogConflict(log.position(20))
        log.entries.extend(entries)
        log.seq += len(entries)
        log.size += sum(map(len, entries))
        while log.size > self.kept_bytes and len(log.entries) > len(entries):
            log.size -= len(log.entries.popleft())
        for run in runs:
            log.runs[run.run_id] = run
        log.checkpoints.update(checkpoints)
        if requests:
            self._remember(log, requests)
        if runs:
            self._drop_final_runs(log)
        if entries and log.deliver is not None:
            log.deliver(entries, runs, log.first_seq)
        return log.first_seq

    async def read(
        self, project_id: str, after: int, limit: int, max_bytes: int
    ) -> Sequence[bytes]:
        log = self._projects[project_id]
        if after + 1 < log.first_seq:
            raise NotKept(log.first_seq)
        start = after + 1 - log.first_seq
        found: list[bytes] = []
        for entry in islice(log.entries, start, start + limit):
            max_bytes -= len(entry)
            if found and max_bytes < 0:
                break
            found.append(entry)
        return found

    async def run(self, project_id: str, run_id: str) -> StoredRun | None:
        return self._projects[project_id].runs.get(run_id)

    async def runs(self, project_id: str, before: str | None, limit: int) -> Sequence[StoredRun]:
        newest_first = reversed(self._projects[project_id].runs.values())
        if before is not None:
            for run in newest_first:
                if run.run_id == before:
                    break
        return list(islice(newest_first, limit))

    async def request(self, project_id: str, request_id: str) -> bytes | None:
        found = self._projects[project_id].requests.get(request_id)
        return found[1] if found else None

    async def checkpoint(self, project_id: str, run_id: str) -> bytes | None:
        return self._projects[project_id].checkpoints.get(run_id)

    async def release(self, project_id: str) -> None:
        if project_id in self._projects:
            self._projects[project_id].deliver = None

    async def forget(self, project_id: str) -> None:
        self._projects.pop(project_id, None)

    async def close(self) -> None:
        for log in self._projects.values():
            log.deliver = None

    def _remember(self, log: _ProjectLog, requests: Mapping[str, bytes]) -> None:
        now = time.monotonic()
        log.requests.update({request_id: (now, body) for request_id, body in requests.items()})
        for request_id, (at, _) in list(log.requests.items()):
            if now - at <= self.request_seconds:
                break
            del log.requests[request_id]

    def _drop_final_runs(self, log: _ProjectLog) -> None:
        excess = len(log.runs) - self.kept_runs
        if excess <= 0:
            return
        final = [run.run_id for run in log.runs.values() if run.final]
        for run_id in final[: max(0, len(final) - self.kept_runs)]:
            del log.runs[run_id]
            log.checkpoints.pop(run_id, None)
