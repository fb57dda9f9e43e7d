"""A PostgreSQL database as the contract suite needs it: opened, damaged, shut, full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, Update, create_engine, delete, func, update

from gateway.domain.queue_id import number_from_queue_id
from gateway.spool.schema import VERSION_TABLE, content, metadata
from gateway.spool.store import SqlSpool
from providers.contract.clock import Clock
from tests.contract.spool.engines import LEASE, PATIENCE, UNCERTAIN_AFTER, ballast
from tests.support.postgresql import GivenServer, PostgresqlServer, execute


class PostgresqlStore:
    """A database of its own on the session's server; `SpoolEngine`."""

    def __init__(self, server: PostgresqlServer | GivenServer, folder: Path) -> None:
        self._server = server
        self._folder = folder
        self._mounted: Path | None = None
        self._stack = ExitStack()
        self.url = self._stack.enter_context(server.database())
        self.name = str(conninfo_to_dict(self.url)["dbname"])

    async def open(self, clock: Clock, *, exclusive: bool = True, **more: Any) -> SqlSpool:
        settings = {
            "uncertain_after": UNCERTAIN_AFTER,
            "lease": LEASE,
            "patience": PATIENCE,
            **more,
        }
        return await SqlSpool.open(self.url, clock=clock, exclusive=exclusive, **settings)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(self.url))
        try:
            with engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()

    @contextmanager
    def locked(self) -> Iterator[None]:
        tables = sql.SQL(", ").join(map(sql.Identifier, metadata.tables))
        with psycopg.connect(self.url) as holder:
            # Keeps out whoever writes or locks a row, and no one who reads.
            holder.execute(sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(tables))
            yield

    def move_to_small_disk(self) -> None:
        """A tablespace on it, so that the server's own files have room for ever."""
        if not isinstance(self._server, PostgresqlServer) or os.geteuid() != 0:
            pytest.skip("a full disk needs root, who may mount a small one, and a server of ours")
        disk = self._server.folder / f"small-{self.name}"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "tmpfs", str(disk)]
        if subprocess.run(mount, check=False).returncode != 0:
            pytest.skip("a full disk needs root, who may mount a small one")
        self._mounted = disk
        space = disk / "space"
        space.mkdir()
        owner = self._server.folder.stat()
        for path in (disk, space):
            os.chown(path, owner.st_uid, owner.st_gid)
        admin = self._server.url
        execute(admin, f"CREATE TABLESPACE {self.name} LOCATION '{space}'")
        execute(admin, f"ALTER DATABASE {self.name} SET TABLESPACE {self.name}")
        execute(self.url, "SELECT 1")  # the first to come writes a file that all others need

    @contextmanager
    def no_room(self) -> Iterator[Callable[[], None]]:
        assert self._mounted is not None, "move_to_small_disk comes first"
        with ballast(self._mounted) as free:
            yield free

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """As on a standby, or by an administrator."""
        admin, alter = self._server.url, f"ALTER DATABASE {self.name}"
        execute(admin, f"{alter} SET default_transaction_read_only = on")
        try:
            yield
        finally:
            execute(admin, f"{alter} RESET default_transaction_read_only")

    def litter(self) -> set[str]:
        """Nothing of a spool lies outside the tables."""
        return set()

    def damage_large(self, queue_id: str, octets: int | None) -> None:
        of_letter = content.c.message_id == number_from_queue_id(queue_id)
        cut = func.substring(content.c.body, 1, octets)
        change = delete(content) if octets is None else update(content).values(body=cut)
        with self.connect() as connection:
            connection.execute(change.where(of_letter))

    def write_raw(
        self, connection: Connection, statement: Update, values: Mapping[str, object]
    ) -> None:
        try:
            connection.execute(statement.values(values))
        except UnicodeEncodeError:
            pytest.skip("PostgreSQL itself lets no text in that is no UTF-8")

    def reclaim(self) -> None:
        execute(self.url, "VACUUM FULL")

    def is_a_spool(self) -> bool:
        return bool(execute(self.url, f"SELECT to_regclass('{VERSION_TABLE}')")[0][0])

    def clean_up(self) -> None:
        self._stack.close()
        if self._mounted is not None and isinstance(self._server, PostgresqlServer):
            execute(self._server.url, f"DROP TABLESPACE IF EXISTS {self.name}")
            subprocess.run(["umount", "--lazy", str(self._mounted)], check=True)
