"""
What a database must give to carry a spool, beside the tables: connections, and words for trouble.

The seam between the spool and its databases, `sqlite` and `postgresql`. Everything above speaks to
this protocol and to `schema`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from sqlalchemy import Connection, Dialect
from sqlalchemy.engine.interfaces import DBAPICursor

from gateway.errors import SpoolError

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Trouble:
    """
    What a failure of the database means.

    Attributes:
        error: What callers get.
        ill: The store as a whole cannot be written, and not just this one value.
        again: The same may well succeed at once: after a deadlock with another gateway, or by a new
            connection where the old one was lost.
    """

    error: SpoolError
    ill: bool
    again: bool = False


class Engine(Protocol):
    """
    An open database with the tables of `schema`.

    Attributes:
        dialect: Statements are compiled for it.
        begin: What opens a transaction of the writer.
        readers: How many may ask by `read` at once.
        shared: Several gateways may have it open at once; leases then lapse by themselves alone.
        shard: Which rows of the tally this process adds to.
        large: The folder for large contents; `None` keeps all in the tables.
    """

    dialect: Dialect
    begin: str
    readers: int
    shared: bool
    shard: int
    large: Path | None

    def writer(self) -> Connection:
        """
        A new connection for the writer thread, on which only BEGIN begins a transaction.

        When COMMIT returns, everything has been synced.
        """
        ...

    def together(self, cursor: DBAPICursor) -> AbstractContextManager[object]:
        """
        Within it, statements of the writer's cursor may be sent without waiting for each answer.

        None of them may ask for anything; what fails is raised at the end at the latest.
        """
        ...

    def read(self, ask: Callable[[Connection], R]) -> R:
        """
        Run `ask` on a read-only connection, in one snapshot; blocks, any thread may call it.

        Raises:
            SpoolUnavailable: It cannot be read now.
        """
        ...

    def trouble_from(self, error: Exception) -> Trouble | None:
        """What a failure means; `None` when it is none of the database's but a bug."""
        ...

    def probe(self, connection: Connection, octets: int) -> None:
        """
        Write something in the transaction that is open, where it shows whether writing works.

        Raises:
            SpoolFull: There is less room than a letter of so many octets needs.
        """
        ...

    def octets(self, connection: Connection) -> int:
        """What the store takes on disk, free pages left out."""
        ...

    def scrub(self) -> bool:
        """
        Let nothing remain on the disk of what was deleted by writers that are not exclusive.

        Blocks. False where others kept the store from it.
        """
        ...

    def close(self) -> None:
        """Close what `read` has open, and let others have the store."""
        ...
