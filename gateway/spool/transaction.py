"""
The writer's connection, and one transaction on it.

Belongs to the writer thread. Sits on `engine` and `statements`; what is written is the business of
`passage`, `claims` and `commands`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress

from sqlalchemy import Connection, select, text
from sqlalchemy.engine.interfaces import DBAPICursor

from gateway.spool.engine import Engine
from gateway.spool.rows import Values
from gateway.spool.schema import tally
from gateway.spool.statements import Statements

Outbox = Mapping[str, frozenset[str]]
"""By name, the webhooks of applications, and the events that each wants to know."""

NO_OUTBOX: Outbox = {}
_NONE: frozenset[int] = frozenset()

# Another process may add the same; SQLAlchemy has this clause only for each engine by itself.
_ADD_NAMES = text(
    "INSERT INTO tally (shard, name, n) VALUES (:shard, :name, 0) ON CONFLICT DO NOTHING"
)


class Transaction:
    """
    One open transaction, in the writer thread.

    Attributes:
        connection: For statements of SQLAlchemy.
        cursor: For those of `statements`, which every letter takes.
        statements: Compiled for this engine.
    """

    __slots__ = (
        "_counted",
        "_engine",
        "_freed_files",
        "_outbox",
        "_told",
        "connection",
        "cursor",
        "statements",
    )

    def __init__(
        self,
        engine: Engine,
        connection: Connection,
        cursor: DBAPICursor,
        statements: Statements,
        outbox: Outbox,
    ) -> None:
        self._engine = engine
        self._outbox = outbox
        self._told: list[Values] = []
        self.connection = connection
        self.cursor = cursor
        self.statements = statements
        self._counted: Counter[str] = Counter()
        self._freed_files: list[int] = []

    def together(self) -> AbstractContextManager[object]:
        """Within it, statements may be sent without waiting for each answer; see `Engine`."""
        return self._engine.together(self.cursor)

    def count(self, name: str, number: int) -> None:
        """Add to the tally, once for the whole transaction."""
        self._counted[name] += number

    def announce(self, event: str, number: int, key: int, at: int, tracking_event: int = 0) -> None:
        """Have the webhooks called that want to know; written with all else."""
        for endpoint, wanted in self._outbox.items():
            if event in wanted:
                self._told.append((endpoint, event, number, key, tracking_event, at, at, 0, ""))

    def missed(
        self, statement: str, rows: Sequence[Values], *, all_or_none: bool = False
    ) -> frozenset[int]:
        """
        Run a statement that changes one row or none for each of `rows`.

        Args:
            statement: Of `statements`.
            rows: Its parameters.
            all_or_none: Where it changed none for one of them, undo the others too.

        Returns:
            The places in `rows` where it changed none: the fence did not let it.
        """
        cursor = self.cursor
        if len(rows) > 1 or all_or_none:
            # Nearly always all are hit, and the driver tells only how many were.
            cursor.execute("SAVEPOINT several")
            cursor.executemany(statement, rows)
            hit = cursor.rowcount
            cursor.execute("RELEASE several" if hit == len(rows) else "ROLLBACK TO several")
            if hit == len(rows):
                return _NONE
        missed = []
        for place, values in enumerate(rows):
            cursor.execute(statement, values)
            if cursor.rowcount != 1:
                missed.append(place)
        if missed and all_or_none:
            cursor.execute("ROLLBACK TO several")
        return frozenset(missed) if missed else _NONE

    def drop_settled_contents(self, letters: Collection[int]) -> None:
        """Delete the content of those of these letters that have no unsettled recipient left."""
        cursor, statements = self.cursor, self.statements
        numbers = [(number, number) for number in sorted(letters)]
        with self.together():
            if self._engine.shared:
                # Of two gateways that settle a letter's last two recipients at once, the later
                # must see what the earlier did.
                cursor.executemany(statements.lock_content, [(number,) for number, _ in numbers])
            cursor.executemany(statements.delete_settled_content, numbers)
        if self._engine.large is None or cursor.rowcount == len(numbers):
            return
        filed = []
        for both in numbers:
            cursor.execute(statements.settled_content_in_file, both)
            if cursor.fetchone() is not None:
                filed.append(both[0])
        cursor.executemany(statements.delete_content, [(number,) for number in filed])
        self._freed_files += filed

    def finish(self) -> list[int]:
        """Write tally and calls; returns the letters whose files may go after the commit."""
        if self._counted:
            shard = self._engine.shard
            self.cursor.executemany(
                self.statements.add_to_tally,
                # In one order: two processes may have the same shard.
                [(number, shard, name) for name, number in sorted(self._counted.items())],
            )
        if self._told:
            self.cursor.executemany(self.statements.insert_webhook_call, self._told)
        return self._freed_files


class Writer:
    """
    Opens transactions on one connection, a new one after the store was ill.

    BEGIN and COMMIT go by the driver's cursor: by SQLAlchemy they would cost several times as much.

    Args:
        engine: The database.
        statements: Compiled for it.
        outbox: Who is called for what.
        free_files: Called after a commit with the letters whose files are of no use any more.
    """

    def __init__(
        self,
        engine: Engine,
        statements: Statements,
        free_files: Callable[[Sequence[int]], None],
        outbox: Outbox = NO_OUTBOX,
    ) -> None:
        self._outbox = outbox
        self._engine = engine
        self._statements = statements
        self._free_files = free_files
        self._open: tuple[Connection, DBAPICursor] | None = None

    def announce_to(self, outbox: Outbox) -> None:
        """Who is called for what from the next transaction on; from any thread."""
        self._outbox = outbox

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        """
        A transaction: committed and synced when left, undone when left by an exception.

        Raises whatever the database raises, at leaving too; `Engine.trouble_from` reads it.
        """
        try:
            connection, cursor = self._begin()
            transaction = Transaction(
                self._engine, connection, cursor, self._statements, self._outbox
            )
            yield transaction
            with transaction.together():
                freed = transaction.finish()
                cursor.execute("COMMIT")
        except Exception as error:
            self._undo(error)
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
                connection.execute(_ADD_NAMES, [{"shard": shard, "name": name} for name in missing])

    def close(self) -> None:
        """Close the connection; the next transaction opens another."""
        opened, self._open = self._open, None
        if opened is not None:
            opened[0].invalidate()  # closing undoes what is open; a ROLLBACK may reach nobody
            opened[0].close()

    def _begin(self) -> tuple[Connection, DBAPICursor]:
        """BEGIN; on a new connection where the old one has ended since its last transaction."""
        if self._open is not None:
            try:
                self._open[1].execute(self._engine.begin)
            except Exception as error:
                trouble = self._engine.trouble_from(error)
                if trouble is None or not trouble.again:
                    raise
                self.close()
            else:
                return self._open
        opened = self._connect()
        opened[1].execute(self._engine.begin)
        return opened

    def _connect(self) -> tuple[Connection, DBAPICursor]:
        connection = self._engine.writer()
        self._open = connection, connection.connection.cursor()
        return self._open

    def _undo(self, error: Exception) -> None:
        trouble = self._engine.trouble_from(error)
        if self._open is None:
            return
        if trouble is None or not trouble.ill:
            with suppress(Exception):
                self._open[1].execute("ROLLBACK")
                return
        self.close()  # a new connection has no transaction open, whatever became of this one
