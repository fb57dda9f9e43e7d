"""
A spool in one SQLite file: opening it safely, syncing each commit, telling its troubles.

Everything that only SQLite needs is here. The journal is a write-ahead log with synchronous=FULL:
every commit appends to the log and syncs it before it returns (sqlite.org/pragma.html,
"synchronous"; seen with strace). One process at a time, the gateway, has the file for itself by a
lock beside it; commands look in and change things meanwhile, as WAL lets them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, create_engine, event, text, update
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.pool import NullPool, QueuePool

from gateway.domain.duplicates import MOST_MARKS
from gateway.errors import (
    SpoolError,
    SpoolFull,
    SpoolIncompatible,
    SpoolInDoubt,
    SpoolUnavailable,
)
from gateway.spool.bodies import sync_folder, trouble_from_os_error
from gateway.spool.engine import Trouble
from gateway.spool.schema import tally
from gateway.spool.upgrade import prepare_store

R = TypeVar("R")

_PAGE_OCTETS = 4096  # the tally's page, the head of the log: what any write takes beside its letter
_WRITER_PRAGMAS = (
    "PRAGMA synchronous=FULL",
    "PRAGMA wal_autocheckpoint=4000",  # 16 MiB: pages that change all the time go home less often
    "PRAGMA journal_size_limit=67108864",  # a log grown by a burst shrinks again
    "PRAGMA cache_size=-4096",
    # Some builds overwrite deleted data with zeros, which would write every content twice.
    "PRAGMA secure_delete=OFF",
    "PRAGMA temp_store=MEMORY",
)
# In the place of the table on disk (`schema`), whose name it has: what it holds stands in `message`
# too, where it costs next to nothing.
_MARKS = (
    "CREATE TEMP TABLE mark (key INTEGER PRIMARY KEY, proof INTEGER, message_id INTEGER)",
    "CREATE INDEX temp.mark_message ON mark (message_id)",
)
# The newest first: a place that was given anew is the later letter's.
_KNOWN_MARKS = (
    "INSERT OR IGNORE INTO temp.mark SELECT mark, proof, id FROM main.message"
    " WHERE id >= ? AND mark IS NOT NULL ORDER BY id DESC LIMIT ?"
)
_READER_PRAGMAS = ("PRAGMA query_only=ON", "PRAGMA cache_size=-2048")

_ILL: dict[int, tuple[type[SpoolError], str]] = {
    sqlite3.SQLITE_FULL: (SpoolFull, "no room left for letters"),
    sqlite3.SQLITE_IOERR: (SpoolInDoubt, "the disk of the spool fails"),
    sqlite3.SQLITE_READONLY: (SpoolUnavailable, "the spool is read-only"),
    sqlite3.SQLITE_PERM: (SpoolUnavailable, "the spool may not be written"),
    sqlite3.SQLITE_BUSY: (SpoolUnavailable, "another process keeps the spool locked"),
    sqlite3.SQLITE_LOCKED: (SpoolUnavailable, "another process keeps the spool locked"),
    sqlite3.SQLITE_PROTOCOL: (SpoolUnavailable, "another process keeps the spool locked"),
    sqlite3.SQLITE_CANTOPEN: (SpoolUnavailable, "the spool cannot be opened"),
    sqlite3.SQLITE_CORRUPT: (SpoolUnavailable, "the spool is damaged"),
    sqlite3.SQLITE_NOTADB: (SpoolUnavailable, "the spool is damaged"),
    sqlite3.SQLITE_NOMEM: (SpoolUnavailable, "no memory left for the spool"),
}
_OF_ONE_LETTER: dict[int, str] = {
    sqlite3.SQLITE_CONSTRAINT: "the queue id is taken",
    sqlite3.SQLITE_TOOBIG: "the letter is too large for the spool",
}


class SqliteEngine:
    """
    An open spool file; `Engine` for SQLite. Built by `open`.

    Attributes:
        path: Of the file; its log and index lie beside it.
        large: The folder for large contents, beside it too.
        exclusive: This process is the one gateway that has it.
    """

    begin = "BEGIN IMMEDIATE"  # a later lock would let two writers meet half-way
    readers = 2  # a long walk (list, find) leaves one for the letters' contents
    shared = False
    shard = 0

    def __init__(
        self,
        path: Path,
        *,
        exclusive: bool,
        patience: timedelta,
        marks_since: Callable[[], int],
    ) -> None:
        self.path = path
        self.large: Path | None = path.with_name(f"{path.name}.large")
        self.exclusive = exclusive
        self._marks_since = marks_since
        self._patience_s = patience.total_seconds()
        self._lock: int | None = None
        self._writers = create_engine("sqlite://", creator=self._connect_writer, poolclass=NullPool)
        self._readers = create_engine(
            "sqlite://",
            creator=self._connect_reader,
            poolclass=QueuePool,
            pool_size=self.readers,
            max_overflow=0,
        )
        event.listen(self._readers, "begin", _begin_snapshot)
        self.dialect = self._writers.dialect

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        exclusive: bool,
        patience: timedelta = timedelta(seconds=5),
        marks_since: Callable[[], int] = lambda: 0,
    ) -> SqliteEngine:
        """
        Open the file; blocks.

        Args:
            path: Of the file. An exclusive opener creates it and its folder (0700, the file 0600).
            exclusive: Take the spool as its one gateway.
            patience: How long a write or read waits for one of another process.
            marks_since: The number of the first letter that is to be known when it comes again;
                asked with every connection of an exclusive opener.

        Raises:
            SpoolUnavailable: Another gateway has it, there is none to look into, or it cannot be
                read or written here.
            SpoolFull: No room to create it.
            SpoolIncompatible: It is something else, or of another version.
        """
        engine = cls(path, exclusive=exclusive, patience=patience, marks_since=marks_since)
        try:
            engine._take()
            engine._prepare()
        except OSError as error:
            engine.close()
            raise _from_os_error(error, path) from error
        except Exception as error:
            engine.close()
            raise engine._from_opening(error) from error
        return engine

    def writer(self) -> Connection:
        """A new connection for the writer thread."""
        return self._writers.connect()

    def together(self, _cursor: DBAPICursor) -> AbstractContextManager[None]:
        """Every statement is done when its call returns."""
        return _NOTHING_TO_WAIT_FOR

    def read(self, ask: Callable[[Connection], R]) -> R:
        """Run `ask` in one snapshot; at most `readers` at once, further ones wait their turn."""
        try:
            with self._readers.connect() as connection:
                return self._ask(connection, ask)
        except Exception as error:
            trouble = self.trouble_from(error)
            if trouble is None:
                raise
            raise trouble.error from error

    def trouble_from(self, error: Exception) -> Trouble | None:
        """By SQLite's result code, wrapped by SQLAlchemy or not."""
        primary = _code(error)
        if primary is None:
            return None
        if primary in _OF_ONE_LETTER:
            return Trouble(SpoolUnavailable(_OF_ONE_LETTER[primary]), ill=False)
        if primary == sqlite3.SQLITE_IOERR and self._room() < _PAGE_OCTETS:
            primary = sqlite3.SQLITE_FULL  # a log index that cannot grow fails as an I/O error
        kind, reason = _ILL.get(primary, (SpoolUnavailable, "the spool fails"))
        return Trouble(kind(reason), ill=True)

    def probe(self, connection: Connection, octets: int) -> None:
        """Rewrite a page of the tally; room is that for the letter in the log and in the file."""
        connection.execute(update(tally).values(n=tally.c.n))
        if self._room() < 2 * octets + 16 * _PAGE_OCTETS:
            raise SpoolFull(_ILL[sqlite3.SQLITE_FULL][1])

    def octets(self, connection: Connection) -> int:
        """Pages in use."""
        pages, free, size = (
            connection.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def scrub(self) -> bool:
        """Empty the log: writers beside the gateway overwrite in the file what they delete."""
        with self.writer() as connection:
            busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar()
        return busy == 0

    def close(self) -> None:
        """Close the readers and leave the lock; the writer's connection is its owner's."""
        self._readers.dispose()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take(self) -> None:
        if not self.exclusive:
            if not self.path.exists():
                raise SpoolUnavailable("there is no spool; the gateway makes it when it starts")
            if not os.access(self.path.parent, os.W_OK | os.X_OK):
                # Even readers of a write-ahead log write: to the index beside it.
                raise SpoolUnavailable("its folder is read-only for this user")
            return
        folder = self.path.parent
        missing = [level for level in (folder, *folder.parents) if not level.exists()]
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for level in missing:
            sync_folder(level.parent)
        self._lock = _lock(self.path)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        sync_folder(folder)

    def _prepare(self) -> None:
        # Asked before the first pragma is set: a database of somebody else stays as it is.
        plain = create_engine("sqlite://", creator=self._connect, poolclass=NullPool)
        with plain.connect() as connection:
            connection.exec_driver_sql(self.begin)
            prepare_store(connection, may_change=self.exclusive)
            connection.exec_driver_sql("COMMIT")
        with closing(self._connect_to_write()) as connection:
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        if mode != "wal":
            raise SpoolIncompatible(
                f"{self.path.parent} cannot hold a write-ahead log (a network file system?);"
                " put the spool on a local disk"
            )
        if self.exclusive:
            sync_folder(self.path.parent)

    def _ask(self, connection: Connection, ask: Callable[[Connection], R]) -> R:
        try:
            with connection.begin():
                return ask(connection)
        except Exception as error:
            if self.trouble_from(error) is not None:
                connection.invalidate(error)
            raise

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?mode=rw",  # never a new file where ours was taken away
            uri=True,
            timeout=self._patience_s,
            isolation_level=None,
            check_same_thread=False,
        )
        # A text that is no UTF-8 reaches `rows`, which tells one rotten row from the store.
        connection.text_factory = _text_or_surrogates
        return connection

    def _connect_writer(self) -> sqlite3.Connection:
        connection = self._connect_to_write()
        if self.exclusive:
            self._know_marks(connection)
        else:
            connection.execute("PRAGMA secure_delete=ON")  # what a person removes is to be gone
        return connection

    def _connect_to_write(self) -> sqlite3.Connection:
        connection = self._connect()
        connection.execute("PRAGMA journal_mode=WAL")
        for pragma in _WRITER_PRAGMAS:
            connection.execute(pragma)
        return connection

    def _know_marks(self, connection: sqlite3.Connection) -> None:
        """Whoever takes letters knows again what came lately."""
        try:
            for statement in _MARKS:
                connection.execute(statement)
            connection.execute("BEGIN")
            connection.execute(_KNOWN_MARKS, (self._marks_since(), MOST_MARKS))
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise

    def _connect_reader(self) -> sqlite3.Connection:
        connection = self._connect()
        connection.text_factory = _text_or_replacement
        for pragma in _READER_PRAGMAS:
            connection.execute(pragma)
        return connection

    def _room(self) -> int:
        """Octets free on the file system, for users that are not root."""
        try:
            found = os.statvfs(self.path.parent)
        except OSError:
            return sys.maxsize  # a disk that does not answer is no full one
        return found.f_bavail * found.f_frsize

    def _from_opening(self, error: Exception) -> Exception:
        """The same with the path, which an operator needs and no client sees."""
        if isinstance(error, SpoolError):
            return type(error)(f"{self.path}: {error.reason}")
        if _code(error) == sqlite3.SQLITE_NOTADB:
            return SpoolIncompatible(f"{self.path}: not a SQLite database; move it away")
        trouble = self.trouble_from(error)
        if trouble is None:
            return error
        advice = ""
        if _code(error) == sqlite3.SQLITE_CORRUPT:
            advice = "; restore a copy, or save what can be read: sqlite3 FILE .recover"
        return type(trouble.error)(f"{self.path}: {trouble.error.reason}{advice}")


_NOTHING_TO_WAIT_FOR = nullcontext()


def _lock(path: Path) -> int:
    """The lock of the one gateway; it ends with the process, however that dies."""
    # Never removed: whoever waits on a removed file's lock holds a lock of nothing.
    held = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(held)
        if error.errno not in {errno.EAGAIN, errno.EACCES}:
            raise
        raise SpoolUnavailable("another gateway has this spool; stop it, or use another") from None
    return held


def _from_os_error(error: OSError, path: Path) -> SpoolError:
    kind = type(trouble_from_os_error(error).error)
    return kind(f"{error.filename or path}: {error.strerror or error}")


def _code(error: Exception) -> int | None:
    """SQLite's primary result code; `None` when the error is not of the database."""
    original = getattr(error, "orig", error)
    if not isinstance(original, sqlite3.DatabaseError):
        return None
    code: int | None = getattr(original, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _begin_snapshot(connection: Connection) -> None:
    # Left to itself, the driver begins none for reading.
    connection.exec_driver_sql("BEGIN")


def _text_or_surrogates(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")


def _text_or_replacement(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")
