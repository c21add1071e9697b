"""
The file of a SQLite log: who may open it, what it must look like, and what its last stop means.

Beside `aosui.db` and SQLite's own `-wal` and `-shm` there are `aosui.db.lock`, locked by whoever
has the log open and naming it, and `aosui.db.damaged` once damage was seen: the next start moves
the log aside then.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import sqlite3
import threading
import time
from datetime import UTC, datetime
from typing import Final, Literal
from urllib.parse import quote

from aosui._logging import logger
from aosui.clock import timestamp
from aosui.errors import LogUnavailable
from aosui.log import LogFileError, LogLocked, LogNotWritable, LogSchemaNewer
from aosui.log.epoch import boot_id, new_epoch

__all__ = ["LogFile", "Synchronous", "primary_code"]

Synchronous = Literal["NORMAL", "FULL"]

SCHEMA_VERSION: Final = 1
APPLICATION_ID: Final = int.from_bytes(b"aosu", "big")
BUSY_SECONDS: Final = 1.0
"""How long a call waits for a stranger who has the file locked before it fails."""
SMALLEST_BYTES: Final = 512
PAGE_BYTES: Final = 8192
CHECKPOINT_PAGES: Final = 500
"""4 MiB: less costs more in all, more makes a single append wait longer."""
WAL_BYTES: Final = 16 * 1024 * 1024
"""What a write-ahead log that grew (beside a long reader) is cut back to."""

# batch: one row a batch, bodies joined by newlines. `key` is project << 40 | last seq, so that the
# batches of a project lie in order without an index; `start` counts the project's bytes before it.
# run: `number` is the order of beginning, `ended` that of ending, without gaps.
SCHEMA: Final = f"""
BEGIN IMMEDIATE;
CREATE TABLE session (boot TEXT NOT NULL, synchronous TEXT NOT NULL, clean INTEGER NOT NULL);
CREATE TABLE project (
    id INTEGER PRIMARY KEY, project_id TEXT NOT NULL UNIQUE, epoch TEXT NOT NULL
);
CREATE TABLE batch (
    key INTEGER PRIMARY KEY, first INTEGER NOT NULL, start INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE TABLE run (
    number INTEGER PRIMARY KEY, project INTEGER NOT NULL, run_id TEXT NOT NULL, ended INTEGER,
    body BLOB NOT NULL
);
CREATE UNIQUE INDEX run_id ON run (project, run_id);
CREATE INDEX run_number ON run (project, number);
CREATE INDEX run_ended ON run (project, ended) WHERE ended IS NOT NULL;
CREATE TABLE request (
    project INTEGER NOT NULL, request_id TEXT NOT NULL, at REAL NOT NULL, record BLOB NOT NULL,
    PRIMARY KEY (project, request_id)
) WITHOUT ROWID;
CREATE INDEX request_at ON request (at);
CREATE TABLE checkpoint (
    project INTEGER NOT NULL, run_id TEXT NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (project, run_id)
);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""

DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
UNWRITABLE: Final = frozenset(
    {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}
)
REASONS: Final = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_BUSY: "another program holds its file",
    sqlite3.SQLITE_LOCKED: "another program holds its file",
    sqlite3.SQLITE_IOERR: "its file cannot be read or written",
    sqlite3.SQLITE_PROTOCOL: "another program holds its file",
    sqlite3.SQLITE_NOMEM: "there is not enough memory",
    sqlite3.SQLITE_INTERRUPT: "it is closing",
    **dict.fromkeys(UNWRITABLE, "its file cannot be written"),
    **dict.fromkeys(DAMAGE, "its file is damaged: start aosui again to begin a new one"),
}


class LogFile:
    """
    An open log file with its two connections; `writer` and `reader` belong to one thread each.

    `unclean` says that the last user of the file did not close it.
    """

    def __init__(self, path: str | os.PathLike[str], synchronous: Synchronous) -> None:
        """
        Open the file, or make it; the directory must exist.

        Blocks for the time of a recovery. Raises `LogFileError`, or `LogUnavailable` when trying
        again may help.
        """
        self.path = os.path.realpath(os.path.expanduser(path))
        self._synchronous = synchronous
        self._marker = f"{self.path}.damaged"
        self._lock = _lock(self.path)
        self._checking: tuple[threading.Thread, sqlite3.Connection] | None = None
        try:
            self._open()
        except BaseException as error:
            os.close(self._lock)
            if isinstance(error, sqlite3.Error):
                code = primary_code(error)
                if code in UNWRITABLE:
                    raise LogNotWritable(self.path, "cannot be written") from error
                raise self.trouble(error) from error
            raise

    def _open(self) -> None:
        if os.path.exists(self._marker):
            self._move_aside("damage was seen when it was last used")
        elif os.path.isfile(self.path) and 0 < os.path.getsize(self.path) < SMALLEST_BYTES:
            self._move_aside("file is not a database")  # SQLite would take it for an empty one
        try:
            self._connect()
        except sqlite3.DatabaseError as error:
            if primary_code(error) not in DAMAGE:
                raise
            self._move_aside(str(error))
            self._connect()

    def _connect(self) -> None:
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise _not_writable(self.path, error) from error
        version = self._look()
        with contextlib.ExitStack() as undo:
            self.writer = sqlite3.connect(
                self.path, BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            undo.callback(self.writer.close)
            self.writer.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            mode = self.writer.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if mode != "wal":
                raise LogFileError(self.path, "is on a file system without shared memory")
            self.writer.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            self.writer.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
            # What is said about this session must not be lost with it.
            self.writer.execute("PRAGMA synchronous = FULL")
            if version == 0:
                self.writer.executescript(SCHEMA)
            self.unclean = self._begin_session()
            self.writer.execute(f"PRAGMA synchronous = {self._synchronous}")
            self.reader = sqlite3.connect(
                self.path, BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            undo.callback(self.reader.close)
            self.reader.execute("PRAGMA query_only = ON")
            undo.pop_all()

    def _look(self) -> int:
        """Return the schema version, 0 for an empty file, without writing anything."""
        with contextlib.closing(self._read_only()) as connection:
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            made_by = connection.execute("PRAGMA application_id").fetchone()[0]
            empty = not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not empty and made_by != APPLICATION_ID:
            raise LogFileError(self.path, "is another program's database")
        if version > SCHEMA_VERSION:
            raise LogSchemaNewer(
                self.path,
                f"was written by a newer aosui: its format is {version}, known are those up to "
                f"{SCHEMA_VERSION}",
            )
        return 0 if empty else version

    def _read_only(self) -> sqlite3.Connection:
        return sqlite3.connect(
            f"file:{quote(self.path)}?mode=ro",
            BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            uri=True,
        )

    def _begin_session(self) -> bool:
        boot = boot_id()
        self.writer.execute("BEGIN IMMEDIATE")
        last = self.writer.execute("SELECT boot, synchronous, clean FROM session").fetchone()
        unclean = last is not None and not last[2]
        if unclean and last[0] != boot and last[1] != "FULL":
            self._begin_epochs()
        self.writer.execute("DELETE FROM session")
        self.writer.execute("INSERT INTO session VALUES (?, ?, 0)", (boot, self._synchronous))
        self.writer.execute("COMMIT")
        return unclean

    def _begin_epochs(self) -> None:
        projects = self.writer.execute("SELECT id FROM project").fetchall()
        self.writer.executemany(
            "UPDATE project SET epoch = ? WHERE id = ?", [(new_epoch(), row[0]) for row in projects]
        )
        self.writer.execute(
            "UPDATE run SET body = CAST(json_set(CAST(body AS TEXT), '$.firstSeq', NULL) AS BLOB)"
        )
        logger.warning(
            "the machine stopped without warning: the last events may be lost, new epochs begin",
            code="epochChanged",
            path=self.path,
        )

    def trouble(self, error: Exception) -> Exception:
        """Return what to raise: `LogUnavailable` for trouble with the file, else the error."""
        code = primary_code(error)
        if code not in REASONS:
            return error
        if code in DAMAGE:
            self._mark_damaged(str(error))
        return LogUnavailable(f"the event log is not available: {REASONS[code]}")

    def check(self) -> None:
        """Look for damage beside the serving, in a thread of its own."""
        connection = self._read_only()
        thread = threading.Thread(
            target=self._check, args=(connection,), name="aosui-log-check", daemon=True
        )
        self._checking = (thread, connection)
        thread.start()

    def _check(self, connection: sqlite3.Connection) -> None:
        began = time.perf_counter()
        with contextlib.closing(connection):
            try:
                found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            except sqlite3.Error as error:
                if primary_code(error) not in DAMAGE:
                    return
                found = str(error)
        if found != "ok":
            self._mark_damaged(found)
            return
        logger.info(
            "the event log was not closed last time: it is undamaged",
            path=self.path,
            seconds=round(time.perf_counter() - began, 3),
        )

    def _mark_damaged(self, found: str) -> None:
        if os.path.exists(self._marker):
            return
        logger.error(
            "the event log is damaged: start aosui again to move it aside and begin a new one",
            code="logUnavailable",
            path=self.path,
            found=found,
        )
        with contextlib.suppress(OSError):
            os.close(os.open(self._marker, os.O_WRONLY | os.O_CREAT, 0o600))

    def _move_aside(self, found: str) -> None:
        aside = f"{self.path}.{datetime.now(UTC):%Y%m%dT%H%M%S%f}.aside"
        try:
            for ending in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    os.rename(self.path + ending, aside + ending)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._marker)
        except OSError as error:
            raise _not_writable(self.path, error) from error
        logger.error(
            "the event log was damaged: it was moved aside, a new one begins",
            code="logUnavailable",
            path=self.path,
            aside=aside,
            found=found,
        )

    def close(self) -> None:
        """Note that all went well, and give the file up."""
        if self._checking is not None:
            thread, connection = self._checking
            with contextlib.suppress(sqlite3.ProgrammingError):
                connection.interrupt()
            thread.join()
        self.reader.close()
        try:
            self.writer.execute("UPDATE session SET clean = 1")
        except sqlite3.Error as error:
            logger.warning(
                "the event log could not be closed cleanly",
                code="logUnavailable",
                path=self.path,
                reason=str(self.trouble(error)),
            )
        # The last connection to go writes everything into the file itself.
        self.writer.close()
        os.ftruncate(self._lock, 0)
        os.close(self._lock)


def primary_code(error: Exception) -> int:
    """Return SQLite's primary result code, 0 when an error is not from there."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def _lock(path: str) -> int:
    """Lock the file beside the log; the system unlocks it when the process ends in any way."""
    try:
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _not_writable(path, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        holder = f"process {os.getpid()} on {socket.gethostname()} since {timestamp()}"
        os.ftruncate(lock, 0)
        with contextlib.suppress(OSError):
            os.write(lock, holder.encode())
    except BlockingIOError:
        holder = os.read(lock, 1024).decode(errors="replace")
        os.close(lock)
        raise LogLocked(path, holder or "another process") from None
    except BaseException:
        os.close(lock)
        raise
    return lock


def _not_writable(path: str, error: OSError) -> LogNotWritable:
    return LogNotWritable(path, f"cannot be written: {error.strerror}")
