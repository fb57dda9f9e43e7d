"""
The writer's connection, and one transaction on it.

Belongs to the writer thread. Sits on `engine` and `statements`; what is written is the business of
`passage`, `claims` and `commands`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, bindparam, insert, select
from sqlalchemy.engine.interfaces import DBAPICursor

from gateway.spool.engine import Engine
from gateway.spool.schema import tally
from gateway.spool.statements import Statements


class Transaction:
    """
    One open transaction, in the writer thread.

    Attributes:
        connection: For statements of SQLAlchemy.
        cursor: For those of `statements`, which every letter takes.
        statements: Compiled for this engine.
    """

    __slots__ = ("_counted", "_freed_files", "connection", "cursor", "statements")

    def __init__(self, connection: Connection, statements: Statements) -> None:
        self.connection = connection
        self.cursor: DBAPICursor = connection.connection.cursor()
        self.statements = statements
        self._counted: Counter[str] = Counter()
        self._freed_files: list[int] = []

    def count(self, name: str, number: int) -> None:
        """Add to the tally, once for the whole transaction."""
        self._counted[name] += number

    def drop_settled_contents(self, letters: Iterable[int]) -> None:
        """Delete the content of those of these letters that have no unsettled recipient left."""
        cursor, statements = self.cursor, self.statements
        dropped: list[tuple[int]] = []
        for number in letters:
            cursor.execute(statements.settled_content, (number, number))
            found = cursor.fetchone()
            if found is not None:
                dropped.append((number,))
                if found[0]:
                    self._freed_files.append(number)
        cursor.executemany(statements.delete_content, dropped)

    def finish(self, shard: int) -> list[int]:
        """Write the tally; returns the letters whose files may go after the commit."""
        if self._counted:
            self.cursor.executemany(
                self.statements.add_to_tally,
                [(number, shard, name) for name, number in self._counted.items()],
            )
        return self._freed_files


class Writer:
    """
    Opens transactions on one connection, a new one after the store was ill.

    Args:
        engine: The database.
        statements: Compiled for it.
        free_files: Called after a commit with the letters whose files are of no use any more.
    """

    def __init__(
        self, engine: Engine, statements: Statements, free_files: Callable[[Sequence[int]], None]
    ) -> None:
        self._engine = engine
        self._statements = statements
        self._free_files = free_files
        self._connection: Connection | None = None

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        """
        A transaction: committed and synced when left, undone when left by an exception.

        Raises whatever the database raises, at leaving too; `Engine.trouble_from` reads it.
        """
        try:
            if self._connection is None:
                self._connection = self._engine.writer()
            with self._connection.begin():
                transaction = Transaction(self._connection, self._statements)
                yield transaction
                freed = transaction.finish(self._engine.shard)
        except Exception as error:
            trouble = self._engine.trouble_from(error)
            if trouble is not None and trouble.ill:
                self._disconnect()
            raise
        if freed:
            self._free_files(freed)

    def seed_tally(self, names: Sequence[str]) -> None:
        """Make sure that this shard has a row for each name, so that counting is an update."""
        shard = self._engine.shard
        with self.begin() as transaction:
            connection = transaction.connection
            there = connection.execute(select(tally.c.name).where(tally.c.shard == shard))
            missing = sorted(set(names) - set(there.scalars()))
            if missing:
                connection.execute(
                    insert(tally).values(shard=shard, name=bindparam("of_name"), n=0),
                    [{"of_name": name} for name in missing],
                )

    def close(self) -> None:
        """Close the connection."""
        self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
