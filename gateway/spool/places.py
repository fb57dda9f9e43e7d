"""
Places in the pace of accounts, for gateways that share a spool: who takes one takes it from all.

Works (`batcher.Work`). A row for each provider says from when on a place is free; taking some moves
it on, and the row's lock puts gateways one behind the other. Their clocks must agree much better
than the interval of an account. Sits on `transaction` and `rows`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import case, insert, update
from sqlalchemy.exc import IntegrityError

from gateway.spool.rows import micros_from_moment, moment_from_micros
from gateway.spool.schema import pace
from gateway.spool.transaction import Transaction

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Reservation:
    """`count` places of a provider, `interval` apart, none before `earliest`."""

    provider: str
    earliest: datetime
    interval: timedelta
    count: int


def reserve(tx: Transaction, many: Sequence[Reservation]) -> Sequence[datetime]:
    """Take places; the moment of the first of each."""
    return [_reserve(tx, one) for one in many]


def _reserve(tx: Transaction, wanted: Reservation) -> datetime:
    earliest = micros_from_moment(wanted.earliest)
    span = wanted.count * (wanted.interval // _MICROSECOND)
    free = case((pace.c.next_free > earliest, pace.c.next_free), else_=earliest)
    take = (
        update(pace)
        .where(pace.c.provider == wanted.provider)
        .values(next_free=free + span)
        .returning(pace.c.next_free - span)
    )
    found = tx.connection.execute(take).scalar()
    if found is None:
        row = {"provider": wanted.provider, "next_free": earliest}
        # Another gateway may be first; then its row is there.
        with contextlib.suppress(IntegrityError), tx.connection.begin_nested():
            tx.connection.execute(insert(pace).values(row))
        found = tx.connection.execute(take).scalar_one()
    return moment_from_micros(found)
