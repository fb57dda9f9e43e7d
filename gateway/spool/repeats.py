"""
Letters that come again: found by their marks in the transaction that would admit them.

Nearly every letter is new, and costs one row more; only where a mark is there already are its
letters looked at, recipient by recipient. A mark has a few places beside it, for letters that were
the same and brought new recipients. The rows of letters say which place is theirs, so that an
engine may keep the marks in memory. Runs in the writer thread; sits on `transaction` and `rows`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import delete, select, update

from gateway.domain.duplicates import Mark, Repeat
from gateway.domain.lifecycle import State
from gateway.domain.queue_id import first_number_at, queue_id_from_number
from gateway.spool.rows import Values
from gateway.spool.schema import mark, recipient
from gateway.spool.transaction import Transaction
from providers.contract.address import Address, InvalidAddress, parse_address

AT_ONCE = 500  # marks forgotten in one transaction

_PLACES = 16
# Whoever has failed, or was taken out, may be written to again: that is what a client tries.
_HAVE_IT = tuple(
    state.value
    for state in (State.WAITING, State.SENDING, State.UNCERTAIN, State.HELD, State.HANDED_OVER)
)


class Marked(NamedTuple):
    """A letter's mark as a row wants it; letters before the number `since` do not count."""

    key: int
    proof: int
    number: int
    since: int


def marked(number: int, given: Mark) -> Marked:
    """The mark of the letter with this number."""
    return Marked(given.key, given.proof, number, first_number_at(given.since))


def are_new(tx: Transaction, marks: Sequence[Marked]) -> bool:
    """
    Keep these marks if none of them is there; else keep none.

    One call for all letters of a commit.
    """
    rows = sorted(_row(one) for one in marks)  # in one order, for other gateways' sake
    tx.cursor.executemany(tx.statements.insert_mark, rows)
    if tx.cursor.rowcount == len(rows):
        return True
    numbers = [(one.number,) for one in marks]
    tx.cursor.executemany(tx.statements.delete_mark, numbers)
    return False


@dataclass(frozen=True, slots=True)
class Found:
    """
    What is there with a letter's mark.

    `had` tells, by address, which letter each recipient got it by; `free` is the place for another.
    """

    had: dict[Address, int]
    free: int
    taken: bool


def find(tx: Transaction, one: Marked) -> Found:
    """Which recipients have had a letter with this mark."""
    # Downwards: there is no number above the last key.
    beside = range(one.key, one.key - _PLACES, -1)
    query = select(mark).where(mark.c.key.between(beside[-1], beside[0])).order_by(mark.c.key)
    rows = tx.connection.execute(query).all()
    same = [row for row in rows if row.proof == one.proof and row.message_id >= one.since]
    there = {row.key: row.message_id for row in rows}
    free = next((key for key in beside if key not in there), None)
    if free is None:
        # More letters than places: the oldest is forgotten, expired or not.
        free = min(there, key=there.__getitem__)
    had: dict[Address, int] = {}
    if same:
        query_recipients = (
            select(recipient.c.message_id, recipient.c.forward_path)
            .where(
                recipient.c.message_id.in_([row.message_id for row in same]),
                recipient.c.state.in_(_HAVE_IT),
            )
            .order_by(recipient.c.message_id)
        )
        for row in tx.connection.execute(query_recipients):
            address = address_of(row.forward_path)
            if address is not None:
                had.setdefault(address, row.message_id)
    return Found(had, free, free in there)


def keep(tx: Transaction, one: Marked, found: Found) -> bool:
    """Keep a letter's mark in the place that was found; `False`: another gateway took it."""
    if found.taken:
        values = {"proof": one.proof, "message_id": one.number}
        tx.connection.execute(update(mark).where(mark.c.key == found.free).values(values))
        return True
    tx.cursor.execute(tx.statements.insert_mark, (found.free, one.proof, one.number))
    return bool(tx.cursor.rowcount == 1)


def repeat_from(first: int, keys: Sequence[int]) -> Repeat:
    """What the caller learns."""
    return Repeat(queue_id_from_number(first), frozenset(keys))


class Bound(NamedTuple):
    """Which marks may stay: of letters from the number `since` on, and of them the `most` last."""

    since: int
    most: int


def forget(tx: Transaction, many: Sequence[Bound]) -> Sequence[int]:
    """Forget marks out of bounds, a limited number at once; how many."""
    return [_forget(tx, bound) for bound in many]


def address_of(text: str) -> Address | None:
    """A forward-path as it can be compared; `None` when a row is damaged."""
    try:
        return parse_address(text)
    except InvalidAddress:
        return None


def _forget(tx: Transaction, bound: Bound) -> int:
    newest_first = select(mark.c.message_id).order_by(mark.c.message_id.desc())
    over = tx.connection.execute(newest_first.offset(bound.most).limit(1)).scalar()
    since = bound.since if over is None else max(bound.since, over + 1)
    oldest = (
        select(mark.c.key)
        .where(mark.c.message_id < since)
        .order_by(mark.c.message_id)
        .limit(AT_ONCE)
    )
    keys = tx.connection.execute(oldest).scalars().all()
    tx.connection.execute(delete(mark).where(mark.c.key.in_(keys)))
    return len(keys)


def _row(one: Marked) -> Values:
    return (one.key, one.proof, one.number)
