"""What is in a SQLite log, said in SQL: plain blocking calls, one side for writing, one to read."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final

from attrs import define

from aosui.log import LogConflict, NotKept, Position, StoredRun
from aosui.log.epoch import new_epoch
from aosui.log.logfile import LogFile, primary_code
from aosui.log.worker import Call

__all__ = ["Reader", "Writer"]

ROW_ENTRIES: Final = 1000
"""A larger batch takes several rows: what is read to serve one entry stays bounded."""
FORGET_BYTES: Final = 1024 * 1024
"""How much of a forgotten project goes at once, so that no other project waits."""
FINAL_RUNS: Final = 20

BATCHES: Final = "SELECT {} FROM batch WHERE key BETWEEN id << 40 AND (id + 1 << 40) - 1"
HEAD: Final = f"""
SELECT id, epoch, newest.key - (id << 40), newest.start + length(newest.body),
    oldest.first, oldest.start
FROM project
LEFT JOIN batch AS newest ON newest.key = ({BATCHES.format("max(key)")})
LEFT JOIN batch AS oldest ON oldest.key = ({BATCHES.format("min(key)")})
WHERE project_id = ?
"""
POSITION_RUNS: Final = f"""
SELECT run_id, ended, body FROM run
WHERE project = :project AND (ended IS NULL OR ended > (
    SELECT max(ended) FROM run WHERE project = :project AND ended IS NOT NULL) - {FINAL_RUNS})
ORDER BY ended IS NULL, ended, number
"""
PUT_RUN: Final = """
INSERT INTO run (project, run_id, ended, body) VALUES (:project, :run_id, CASE WHEN :final THEN (
    SELECT coalesce(max(ended), 0) + 1 FROM run WHERE project = :project AND ended IS NOT NULL) END,
    :body)
ON CONFLICT (project, run_id) DO UPDATE
SET body = excluded.body, ended = coalesce(ended, excluded.ended)
"""
# `ended` has no gaps, so the run that goes is found by counting back from the newest.
OLD_RUNS: Final = """
FROM run WHERE project = :project AND ended <= (
    SELECT max(ended) FROM run WHERE project = :project AND ended IS NOT NULL) - :kept
"""
PROJECT: Final = "(SELECT id FROM project WHERE project_id = :project)"


@define
class _Head:
    """Where a project stands; `start` and `end` count the bytes that it ever stored."""

    id: int
    epoch: str
    seq: int
    end: int
    first_seq: int
    start: int

    def key(self, seq: int) -> int:
        return self.id << 40 | seq


class Writer:
    """
    The writing side: calls in transactions, as many at once as there are (group commit).

    Heads are kept in memory as long as every transaction goes well.
    """

    def __init__(
        self, file: LogFile, *, kept_bytes: int, kept_runs: int, request_seconds: float
    ) -> None:
        self._file = file
        self._execute = file.writer.execute
        self._executemany = file.writer.executemany
        self._kept_bytes = kept_bytes
        self._kept_runs = kept_runs
        self._request_seconds = request_seconds
        self._heads: dict[str, _Head] = {}

    def transact(self, calls: Sequence[Call[Any]]) -> None:
        """
        Run calls in one transaction; should it fail, each in its own.

        A `LogConflict` is an answer, given before anything was written.
        """
        answers: list[object] = []
        try:
            self._execute("BEGIN IMMEDIATE")
            for call in calls:
                try:
                    answers.append(call.run())
                except LogConflict as conflict:
                    answers.append(conflict)
            self._execute("COMMIT")
        except Exception as error:
            self._roll_back()
            if len(calls) > 1 and primary_code(error) != sqlite3.SQLITE_BUSY:
                for call in calls:
                    self.transact([call])
            else:
                for call in calls:
                    call.fail(self._file.trouble(error))
            return
        for call, answer in zip(calls, answers, strict=True):
            if isinstance(answer, LogConflict):
                call.fail(answer)
            else:
                call.succeed(answer)

    def _roll_back(self) -> None:
        self._heads.clear()
        if self._file.writer.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._execute("ROLLBACK")

    def open(self, project_id: str) -> Position:
        """Return where a project stands; it is new when the log does not know it."""
        head = self._heads.get(project_id) or self._stored_head(project_id)
        if head is None:
            self._execute(
                "INSERT INTO project (project_id, epoch) VALUES (?, ?)", (project_id, new_epoch())
            )
            head = self._stored_head(project_id)
            assert head is not None
        return self._position(head)

    def append(
        self,
        project_id: str,
        after: int,
        entries: Sequence[bytes],
        runs: Sequence[StoredRun],
        requests: Mapping[str, bytes],
        checkpoints: Mapping[str, bytes],
    ) -> int:
        """Compare and append: see `EventLog.append`."""
        head = self._head(project_id)
        if head is None:
            raise KeyError(project_id)
        if after != head.seq:
            if self._holds(head, after, entries):
                return head.first_seq
            raise LogConflict(self._position(head))
        self._put_entries(head, entries)
        if runs:
            self._put_runs(head, runs)
        if requests:
            now = time.time()
            self._executemany(
                "REPLACE INTO request VALUES (?, ?, ?, ?)",
                [(head.id, request_id, now, record) for request_id, record in requests.items()],
            )
            self._execute("DELETE FROM request WHERE at < ?", (now - self._request_seconds,))
        if checkpoints:
            self._executemany(
                "REPLACE INTO checkpoint VALUES (?, ?, ?)",
                [(head.id, run_id, value) for run_id, value in checkpoints.items()],
            )
        return head.first_seq

    def forget(self, project_id: str) -> bool:
        """Delete a part of a project, the oldest first; return whether all of it has gone."""
        head = self._head(project_id)
        if head is None:
            return True
        first_seq = head.first_seq
        self._drop_batches(head, head.start + FORGET_BYTES, head.seq - 1)
        if head.first_seq > first_seq:
            return False
        self._execute(
            "DELETE FROM batch WHERE key BETWEEN ? AND ?",
            (head.key(head.first_seq), head.key(head.seq)),
        )
        for table in ("run", "request", "checkpoint"):
            self._execute(f"DELETE FROM {table} WHERE project = ?", (head.id,))
        self._execute("DELETE FROM project WHERE id = ?", (head.id,))
        del self._heads[project_id]
        return True

    def _head(self, project_id: str) -> _Head | None:
        """Return where a project stands, and remember it: somebody writes."""
        head = self._heads.get(project_id)
        if head is None:
            head = self._stored_head(project_id)
            if head is not None:
                self._heads[project_id] = head
        return head

    def _stored_head(self, project_id: str) -> _Head | None:
        row = self._execute(HEAD, (project_id,)).fetchone()
        if row is None:
            return None
        number, epoch, seq, end, first_seq, start = row
        return _Head(number, epoch, seq or 0, end or 0, first_seq or 1, start or 0)

    def _position(self, head: _Head) -> Position:
        rows = self._execute(POSITION_RUNS, {"project": head.id})
        return Position(head.epoch, head.first_seq, head.seq, _stored_runs(rows))

    def _holds(self, head: _Head, after: int, entries: Sequence[bytes]) -> bool:
        if not entries or after + len(entries) != head.seq or after + 1 < head.first_seq:
            return False
        rows = self._execute(
            "SELECT first, body FROM batch WHERE key > ? AND key <= ? ORDER BY key",
            (head.key(after), head.key(head.seq)),
        ).fetchall()
        held = [entry for _, body in rows for entry in body.split(b"\n")]
        return held[after + 1 - rows[0][0] :] == list(entries)

    def _put_entries(self, head: _Head, entries: Sequence[bytes]) -> None:
        before = head.seq
        for at in range(0, len(entries), ROW_ENTRIES):
            piece = entries[at : at + ROW_ENTRIES]
            if b"\n" in b"".join(piece):
                raise ValueError("an entry has a raw newline: it is not JSON text on one line")
            body = b"\n".join(piece)
            last = head.seq + len(piece)
            self._execute(
                "INSERT INTO batch VALUES (?, ?, ?, ?)",
                (head.key(last), head.seq + 1, head.end, body),
            )
            head.seq = last
            head.end += len(body)
        if head.end - head.start > self._kept_bytes:
            self._drop_batches(head, head.end - self._kept_bytes + self._kept_bytes // 64, before)

    def _drop_batches(self, head: _Head, start: int, before: int) -> None:
        """Drop what was stored before the byte `start`, but nothing after the seq `before`."""
        row = self._execute(
            "SELECT key, first, start FROM batch"
            " WHERE key BETWEEN ? AND ? AND (start >= ? OR key > ?) ORDER BY key LIMIT 1",
            (head.key(head.first_seq), head.key(head.seq), start, head.key(before)),
        ).fetchone()
        if row is not None:
            key, first, start = row
            self._execute(
                "DELETE FROM batch WHERE key >= ? AND key < ?", (head.key(head.first_seq), key)
            )
            head.first_seq, head.start = first, start

    def _put_runs(self, head: _Head, runs: Sequence[StoredRun]) -> None:
        self._executemany(
            PUT_RUN,
            [
                {"project": head.id, "run_id": run.run_id, "final": run.final, "body": run.body}
                for run in runs
            ],
        )
        if any(run.final for run in runs):
            old = {"project": head.id, "kept": self._kept_runs}
            self._execute(
                "DELETE FROM checkpoint WHERE project = :project AND run_id IN"
                f" (SELECT run_id {OLD_RUNS})",
                old,
            )
            self._execute(f"DELETE {OLD_RUNS}", old)


class Reader:
    """The reading side: what is committed, on a connection that never waits for the writer's."""

    def __init__(self, file: LogFile) -> None:
        self._file = file
        self._execute = file.reader.execute

    def work(self, calls: Sequence[Call[Any]]) -> None:
        """Run calls one by one."""
        for call in calls:
            try:
                result = call.run()
            except Exception as error:
                call.fail(self._file.trouble(error))
            else:
                call.succeed(result)

    def read(self, project_id: str, after: int, limit: int, max_bytes: int) -> Sequence[bytes]:
        """See `EventLog.read`."""
        found: list[bytes] = []
        size = 0
        with contextlib.closing(
            self._execute(
                "SELECT first, body FROM project"
                " JOIN batch ON key BETWEEN (id << 40 | :after) + 1 AND (id + 1 << 40) - 1"
                " WHERE project_id = :project ORDER BY key",
                {"project": project_id, "after": after},
            )
        ) as rows:
            for first, body in rows:
                if not found and first > after + 1:
                    raise NotKept(first)
                piece = body.split(b"\n")[max(0, after + 1 - first) :]
                found += piece
                size += sum(map(len, piece))
                if len(found) >= limit or size > max_bytes:
                    break
        del found[limit:]
        return found[: max(1, bisect_right([*accumulate(map(len, found))], max_bytes))]

    def run(self, project_id: str, run_id: str) -> StoredRun | None:
        """See `EventLog.run`."""
        rows = self._execute(
            f"SELECT run_id, ended, body FROM run WHERE project = {PROJECT} AND run_id = :run",
            {"project": project_id, "run": run_id},
        )
        return next(iter(_stored_runs(rows)), None)

    def runs(self, project_id: str, before: str | None, limit: int) -> Sequence[StoredRun]:
        """See `EventLog.runs`."""
        older = ""
        if before is not None:
            older = (
                "AND number < (SELECT number FROM run"
                f" WHERE project = {PROJECT} AND run_id = :before)"
            )
        rows = self._execute(
            f"SELECT run_id, ended, body FROM run WHERE project = {PROJECT} {older}"
            " ORDER BY number DESC LIMIT :limit",
            {"project": project_id, "before": before, "limit": limit},
        )
        return _stored_runs(rows)

    def request(self, project_id: str, request_id: str) -> bytes | None:
        """See `EventLog.request`."""
        return self._value(
            f"SELECT record FROM request WHERE project = {PROJECT} AND request_id = :key",
            project_id,
            request_id,
        )

    def checkpoint(self, project_id: str, run_id: str) -> bytes | None:
        """See `EventLog.checkpoint`."""
        return self._value(
            f"SELECT value FROM checkpoint WHERE project = {PROJECT} AND run_id = :key",
            project_id,
            run_id,
        )

    def _value(self, query: str, project_id: str, key: str) -> bytes | None:
        row = self._execute(query, {"project": project_id, "key": key}).fetchone()
        return None if row is None else bytes(row[0])


def _stored_runs(rows: Iterable[tuple[str, int | None, bytes]]) -> tuple[StoredRun, ...]:
    return tuple(StoredRun(run_id, ended is not None, body) for run_id, ended, body in rows)
