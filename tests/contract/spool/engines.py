"""
Databases a spool can lie on, as the contract suite needs them: opened, damaged, shut, full.

The suite knows engines only through `SpoolEngine`; SQLite's is here, PostgreSQL's in
`postgresql_store`.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest
from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    Text,
    Update,
    cast,
    create_engine,
    event,
    func,
    literal,
    select,
)

from gateway.domain.lifecycle import SETTLED, State
from gateway.domain.queue_id import queue_id_from_number
from gateway.spool.schema import (
    ACCEPTED,
    VERSION_TABLE,
    attempt,
    content,
    message,
    note,
    recipient,
    tally,
)
from gateway.spool.store import SqlSpool
from providers.contract.clock import Clock

ON_SQLITE = pytest.mark.parametrize("store", ["sqlite"], indirect=True)
ON_POSTGRESQL = pytest.mark.parametrize("store", ["postgresql"], indirect=True)

UNCERTAIN_AFTER = timedelta(minutes=7)
LEASE = timedelta(minutes=5)
PATIENCE = timedelta(seconds=30)  # with a lock of somebody who is slow, or was killed just now
IMPATIENCE = timedelta(milliseconds=50)


class SpoolEngine(Protocol):
    """One store of one test; `url` is what `SqlSpool.open` takes."""

    url: str

    async def open(self, clock: Clock, *, exclusive: bool = True, **more: Any) -> SqlSpool:
        """Open the store; the caller closes it."""
        ...

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Look at the tables, or damage them, past the spool; committed at the end."""
        ...

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Another process keeps every writer out."""
        ...

    @contextmanager
    def no_room(self) -> Iterator[Callable[[], None]]:
        """The disk is full until the end or until the function given is called."""
        ...

    def move_to_small_disk(self) -> None:
        """Put the store, before it is opened, where `no_room` can be had; skips where it cannot."""
        ...

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """The disk cannot be written; needs `move_to_small_disk`, and everybody closed."""
        ...

    def litter(self) -> set[str]:
        """Queue ids of what lies outside the tables."""
        ...

    def damage_large(self, queue_id: str, octets: int | None) -> None:
        """Cut what lies outside the tables of a letter, or delete it."""
        ...

    def write_raw(
        self, connection: Connection, statement: Update, values: Mapping[str, object]
    ) -> None:
        """Write values into rows, surrogates as the octets they stand for."""
        ...

    def reclaim(self) -> None:
        """Let the store give back the room of what was deleted, where it does so later."""
        ...

    def is_a_spool(self) -> bool:
        """Whether there is a store with our tables."""
        ...

    def clean_up(self) -> None:
        """Undo what the test changed about the machine."""
        ...


class SqliteStore:
    """A SQLite file, in a folder that the spool has to make."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mounted: Path | None = None
        self.path = folder / "made" / "spool.db"

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    @property
    def _large(self) -> Path:
        return self.path.with_name(f"{self.path.name}.large")

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
        engine = create_engine(self.url)
        event.listen(engine, "connect", _read_any_octets)
        try:
            with engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()

    @contextmanager
    def locked(self) -> Iterator[None]:
        holder = sqlite3.connect(self.path, isolation_level=None)
        try:
            holder.execute("BEGIN IMMEDIATE")
            yield
            holder.execute("ROLLBACK")
        finally:
            holder.close()

    def move_to_small_disk(self) -> None:
        disk = self._folder / "small"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", str(disk)]
        if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
            pytest.skip("a full disk needs root, who may mount a small one")
        self._mounted = disk
        self.path = disk / "spool.db"

    @contextmanager
    def no_room(self) -> Iterator[Callable[[], None]]:
        assert self._mounted is not None, "move_to_small_disk comes first"
        with ballast(self._mounted) as free:
            yield free

    @contextmanager
    def read_only(self) -> Iterator[None]:
        self._remount("ro")
        try:
            yield
        finally:
            self._remount("rw")

    def litter(self) -> set[str]:
        return {path.name for path in self._large.iterdir()} if self._large.is_dir() else set()

    def damage_large(self, queue_id: str, octets: int | None) -> None:
        path = self._large / queue_id
        if octets is None:
            path.unlink()
        else:
            os.truncate(path, octets)

    def write_raw(
        self, connection: Connection, statement: Update, values: Mapping[str, object]
    ) -> None:
        for name, value in values.items():
            octets = str(value).encode("utf-8", "surrogateescape")
            raw = cast(literal(octets, LargeBinary), Text)
            connection.execute(statement.values({name: raw if isinstance(value, str) else value}))

    def reclaim(self) -> None:
        """Free pages are not counted."""

    def _remount(self, how: str) -> None:
        assert self._mounted is not None, "move_to_small_disk comes first"
        command = ["mount", "-o", f"remount,{how}", str(self._mounted)]
        subprocess.run(command, check=True)

    def is_a_spool(self) -> bool:
        if not self.path.is_file():
            return False
        with closing(sqlite3.connect(self.path)) as connection:
            try:
                tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
            except sqlite3.DatabaseError:
                return False
        return (VERSION_TABLE,) in tables

    def clean_up(self) -> None:
        if self._mounted is not None:
            # Lazily: a failed test may still hold a file there.
            subprocess.run(["umount", "--lazy", str(self._mounted)], check=True)


@contextmanager
def ballast(disk: Path) -> Iterator[Callable[[], None]]:
    """A disk is full until the end or until the function given is called."""
    path = disk / "ballast"
    with path.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue  # full for pieces of this size
    try:
        yield lambda: path.unlink(missing_ok=True)
    finally:
        path.unlink(missing_ok=True)


def _read_any_octets(connection: sqlite3.Connection, _record: object) -> None:
    connection.text_factory = lambda octets: octets.decode("utf-8", "surrogateescape")


def check_accounts(connection: Connection, litter: set[str]) -> None:
    """
    What holds of a spool at any time, read from its tables.

    T2: every recipient is in one state of the table, and is settled, or due at a moment, or set
    aside. The ledger balances: accepted = settled + active.
    """
    settled_words = [state.value for state in SETTLED]
    r, settled = recipient.c, recipient.c.state.in_(settled_words)

    def recipients(*conditions: ColumnElement[bool]) -> int:
        return connection.execute(
            select(func.count()).select_from(recipient).where(*conditions)
        ).scalar_one()

    sums = select(tally.c.name, func.sum(tally.c.n)).group_by(tally.c.name)
    counted = {row.name: row[1] for row in connection.execute(sums)}
    assert counted.pop(ACCEPTED) == sum(counted.values()) + recipients(r.settled == 0)
    assert not recipients(r.state.not_in([state.value for state in State]))
    assert not recipients(settled, r.settled == 0)
    assert not recipients(~settled, r.settled == 1)
    assert not recipients(settled, r.due_at.is_not(None) | r.lease.is_not(None))
    assert not recipients(r.state.in_(["waiting", "sending"]), r.due_at.is_(None))
    assert not recipients(r.state == "held", r.due_at.is_not(None) | r.lease.is_not(None))
    assert not recipients(r.state == "sending", r.lease.is_(None))
    assert not recipients(r.lease.is_(None), r.was_due.is_not(None))
    assert not recipients(r.lease.is_not(None), r.was_due.is_(None))
    letters = set(connection.execute(select(message.c.id)).scalars())
    for table in (recipient, attempt, note, content):
        of = set(connection.execute(select(table.c.message_id)).scalars())
        assert of <= letters, f"rows of {table.name} are of no letter"
    kept = set(connection.execute(select(content.c.message_id)).scalars())
    active = set(connection.execute(select(r.message_id).where(r.settled == 0)).scalars())
    assert kept == active, "contents are those of letters that are not settled"
    filed = connection.execute(select(content.c.message_id).where(content.c.body.is_(None)))
    assert litter == {queue_id_from_number(number) for number in filed.scalars()}
