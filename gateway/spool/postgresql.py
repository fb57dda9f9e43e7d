"""
A spool in a PostgreSQL database, which several gateways may share.

Everything that only PostgreSQL needs is here and in `sqlstate`. A session has no say in what is
promised: commits are synchronous, waits bounded, transactions short, whatever the server's or the
role's defaults are. Nobody has the store alone, so leases lapse by themselves (`claims`), rows are
claimed with SKIP LOCKED, and every content lies in its row. Connections that end are opened anew by
whoever needs one.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import psycopg
import structlog
from psycopg.abc import Buffer, PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Format
from psycopg.rows import RowFactory, tuple_row
from psycopg.types.string import StrDumperUnknown
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, create_engine, func, insert, select, text, update
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.pool import NullPool, QueuePool

from gateway.errors import SpoolError, SpoolIncompatible, SpoolUnavailable
from gateway.spool.engine import Trouble
from gateway.spool.schema import content, metadata, tally
from gateway.spool.sqlstate import trouble_from_error
from gateway.spool.upgrade import prepare_store

R = TypeVar("R")

log = structlog.get_logger("gateway.spool")

SHARDS = 256
OLDEST_VERSION = 140000  # the oldest that its makers still mend

_ANSWER_WITHIN_S = 30.0
_STATEMENT_WITHIN_S = 25  # so that a server that is only slow says so itself
_A_MOMENT = timedelta(seconds=1)  # what a busy machine may need between two lines
_PREPARING = 0x6D61696C71756179  # any number, the same in every gateway
_PROBE_OCTETS = 64 << 10

# What a URL may say otherwise. A peer that vanishes without a word is noticed within a minute.
_CONNECTION_DEFAULTS = {
    "application_name": "mailquay",
    "connect_timeout": "5",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}


class PostgresqlEngine:
    """
    A database with the spool's tables; `Engine` for PostgreSQL. Built by `open`.

    Attributes:
        shard: By chance one of `SHARDS`, so that gateways seldom wait for each other's tally.
    """

    begin = "BEGIN ISOLATION LEVEL READ COMMITTED"
    readers = 4
    shared = True
    large: Path | None = None

    def __init__(
        self, url: str, *, password: SecretStr | None, patience: timedelta, lease: timedelta
    ) -> None:
        self.shard = secrets.randbelow(SHARDS)
        self._url = url
        self._parameters = _parameters(url)
        self._password = password
        self._lease = lease
        self._session = {
            "lock_timeout": _milliseconds(patience),
            "statement_timeout": f"{_STATEMENT_WITHIN_S}s",
            # A gateway that stands still within a transaction keeps its rows no longer than others.
            "idle_in_transaction_session_timeout": _milliseconds(max(lease, _A_MOMENT)),
            # The same for one whose machine is gone.
            "tcp_keepalives_idle": "30",
            "tcp_keepalives_interval": "10",
            "tcp_keepalives_count": "3",
        }
        self._writers = self._pool(self._connect_writer, NullPool)
        self._readers = self._pool(
            self._connect_reader, QueuePool, pool_size=self.readers, max_overflow=0
        )
        self.dialect = self._writers.dialect

    @classmethod
    def open(
        cls,
        url: str,
        *,
        password: SecretStr | None,
        exclusive: bool,
        patience: timedelta = timedelta(seconds=5),
        lease: timedelta,
    ) -> PostgresqlEngine:
        """
        Open the database; blocks.

        Args:
            url: As libpq takes it, without a password.
            password: Of the user; `None` leaves it to libpq (PGPASSFILE, peer, a certificate …).
            exclusive: As a gateway, who makes the tables and brings them up to date; gateways that
                start at once do it one after the other.
            patience: How long a write waits for a lock of another process.
            lease: How long leases last; clocks must agree better than that.

        Raises:
            SpoolUnavailable: It cannot be reached or written, or its clock is another.
            SpoolFull: There is no room for the tables.
            SpoolIncompatible: It holds something else, is of another version or encoding.
        """
        engine = cls(url, password=password, patience=patience, lease=lease)
        try:
            engine._prepare(exclusive=exclusive)
        except Exception as error:
            raise engine._from_opening(error) from error
        return engine

    def writer(self) -> Connection:
        """A new connection for the writer thread."""
        return self._writers.connect()

    def together(self, cursor: DBAPICursor) -> AbstractContextManager[object]:
        """One way to the server and back for all statements within."""
        return cast("psycopg.Cursor[Any]", cursor).connection.pipeline()

    def read(self, ask: Callable[[Connection], R]) -> R:
        """Run `ask` in one snapshot; at most `readers` at once, further ones wait their turn."""
        try:
            return self._read(ask)
        except Exception as error:
            trouble = self.trouble_from(error)
            if trouble is None:
                raise
            if not trouble.again:
                raise trouble.error from error
        # The connection had ended since it was last used, and so may have all others.
        self._readers.dispose()
        try:
            return self._read(ask)
        except Exception as error:
            trouble = self.trouble_from(error)
            if trouble is None:
                raise
            raise trouble.error from error

    def trouble_from(self, error: Exception) -> Trouble | None:
        """By SQLSTATE, wrapped by SQLAlchemy or not."""
        return trouble_from_error(error)

    def probe(self, connection: Connection, octets: int) -> None:
        """
        Rewrite this process's part of the tally; insert a content of that size and take it back.

        What is taken back keeps its room until it is vacuumed, and a large one would eat up the
        room that smaller letters need: it is 64 KiB at most.
        """
        mine = tally.c.shard == self.shard
        connection.execute(update(tally).where(mine).values(n=tally.c.n))
        body = os.urandom(min(octets, _PROBE_OCTETS))  # nothing that could be compressed
        connection.exec_driver_sql("SAVEPOINT room")
        connection.execute(insert(content).values(message_id=-1 - self.shard, body=body))
        connection.exec_driver_sql("ROLLBACK TO room")

    def octets(self, connection: Connection) -> int:
        """Tables and indexes as the server counts them, with what vacuum has not reclaimed."""
        sizes = (func.pg_total_relation_size(func.to_regclass(name)) for name in metadata.tables)
        return sum(connection.execute(select(*sizes)).one())

    def scrub(self) -> bool:
        """Vacuum: the room of deleted rows is written anew from now on."""
        with self.writer() as connection:
            for name in metadata.tables:
                connection.exec_driver_sql(f"VACUUM {name}")
        return True

    def close(self) -> None:
        """Close the readers; the writer's connection is its owner's."""
        self._readers.dispose()

    def _read(self, ask: Callable[[Connection], R]) -> R:
        with self._readers.connect() as connection:
            try:
                with connection.begin():
                    return ask(connection)
            except Exception as error:
                if self.trouble_from(error) is not None:
                    connection.invalidate(error)
                raise

    def _prepare(self, *, exclusive: bool) -> None:
        with self._pool(self._connect_preparing, NullPool).begin() as connection:
            self._check_server(connection)
            if exclusive:
                self._check_clock(connection)
                _tell_weaknesses(connection)
                connection.execute(select(func.pg_advisory_xact_lock(_PREPARING)))
            prepare_store(connection, may_change=exclusive)

    def _check_server(self, connection: Connection) -> None:
        version, encoding, schema = connection.execute(
            select(
                func.current_setting("server_version_num"),
                func.current_setting("server_encoding"),
                func.current_schema(),
            )
        ).one()
        if int(version) < OLDEST_VERSION:
            raise SpoolIncompatible(f"PostgreSQL {OLDEST_VERSION // 10000} or newer is needed")
        if encoding != "UTF8":
            raise SpoolIncompatible(
                f"its encoding is {encoding}; create the database with ENCODING UTF8"
            )
        if schema is None:
            raise SpoolIncompatible("no schema of its search_path exists; create one")

    def _check_clock(self, connection: Connection) -> None:
        theirs = connection.execute(select(func.clock_timestamp())).scalar_one()
        apart = abs(datetime.now(UTC) - theirs)
        if apart > max(self._lease / 2, _A_MOMENT):
            raise SpoolUnavailable(
                f"this machine's clock and the database's are {apart.total_seconds():.0f} s apart:"
                " set them, leases go by the clock"
            )

    def _pool(
        self, creator: Callable[[], psycopg.Connection[Any]], kind: type, **more: int
    ) -> Engine:
        return create_engine(
            "postgresql+psycopg://",
            creator=creator,
            poolclass=kind,
            # What was open ends with the connection, or was ended by the one who opened it.
            pool_reset_on_return=None,
            paramstyle="format",
            use_native_hstore=False,
            **more,
        )

    def _connect_writer(self) -> psycopg.Connection[Any]:
        return self._connect(self._session)

    def _connect_reader(self) -> psycopg.Connection[Any]:
        snapshot = {
            "default_transaction_isolation": "repeatable read",
            "default_transaction_read_only": "on",
        }
        connection = self._connect({**self._session, **snapshot})
        connection.cursor_factory = _BinaryCursor
        connection.autocommit = False
        return connection

    def _connect_preparing(self) -> psycopg.Connection[Any]:
        # Another gateway may be changing large tables.
        patient = {"lock_timeout": "0", "statement_timeout": "0"}
        connection = self._connect({**self._session, **patient})
        connection.answer_within_s = None
        connection.autocommit = False
        return connection

    def _connect(self, session: Mapping[str, str]) -> _Connection:
        parameters = dict(self._parameters)
        if self._password is not None:
            parameters["password"] = self._password.get_secret_value()
        connection = _Connection.connect(**parameters, autocommit=True)
        try:
            connection.adapters.register_dumper(str, _TextDumper)
            settings = ", ".join(["set_config(%s, %s, false)"] * len(session))
            connection.execute(
                f"SELECT {_SYNCHRONOUS}, {settings}",
                [word for setting in session.items() for word in setting],
            )
        except BaseException:
            connection.close()
            raise
        return connection

    def _from_opening(self, error: Exception) -> Exception:
        """The same with the URL and the server's own words, for operators; no client sees it."""
        if isinstance(error, SpoolError):
            return type(error)(f"{self._url}: {error.reason}")
        trouble = self.trouble_from(error)
        if trouble is None:
            return error
        said = " ".join(str(getattr(error, "orig", error)).split())[:_LONGEST_TOLD]
        return type(trouble.error)(f"{self._url}: {trouble.error.reason}: {said}")


_LONGEST_TOLD = 400

# `remote_apply` is the one setting that promises more than `on`.
_SYNCHRONOUS = (
    "set_config('synchronous_commit', CASE current_setting('synchronous_commit')"
    " WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false)"
)


class _Connection(psycopg.Connection[Any]):
    """A connection on which no answer is waited for without end, whatever became of the server."""

    answer_within_s: float | None = _ANSWER_WITHIN_S

    def wait(self, gen: PQGen[R], interval: float = 0.1, timeout: float | None = None) -> R:
        limit = self.answer_within_s if timeout is None else timeout
        begun = time.monotonic()
        try:
            return super().wait(gen, interval, limit)
        except psycopg.OperationalError:
            if limit is not None and time.monotonic() - begun >= limit:
                self.pgconn.finish()  # or the next call would wait for the same answer
            raise


class _BinaryCursor(psycopg.Cursor[Any]):
    """Results in binary: a content in text would have twice its size."""

    def __init__(
        self, connection: psycopg.Connection[Any], *, row_factory: RowFactory[Any] = tuple_row
    ) -> None:
        super().__init__(connection, row_factory=row_factory)
        self.format = Format.BINARY


class _TextDumper(StrDumperUnknown):
    """PostgreSQL's text has no NUL; a header field's value, kept for people, may hold one."""

    def dump(self, obj: str) -> Buffer | None:
        return super().dump(obj.replace("\0", "\N{REPLACEMENT CHARACTER}"))


def _parameters(url: str) -> dict[str, Any]:
    given = conninfo_to_dict(url)
    if "," in str(given.get("host", "")):
        # Of several hosts, the one that can be written.
        given.setdefault("target_session_attrs", "read-write")
    return {**_CONNECTION_DEFAULTS, **given}


def _tell_weaknesses(connection: Connection) -> None:
    """A server may be set up so that no commit is safe; it is the operator's to know."""
    query = text(
        "SELECT name FROM pg_settings"
        " WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off' ORDER BY name"
    )
    if off := connection.execute(query).scalars().all():
        log.warning("spool_not_durable", server_has_off=list(off))


def _milliseconds(span: timedelta) -> str:
    return f"{max(1, span // timedelta(milliseconds=1))}ms"
