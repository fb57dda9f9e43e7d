"""
Leasing what is due, and making good what a dead holder left behind.

Runs in the writer thread (`batcher.Work`), so that looking and leasing are one transaction. Sits on
`transaction` and `rows`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter

from sqlalchemy import ColumnElement, func, or_, select, update

from gateway.domain.lifecycle import State
from gateway.domain.queue_id import queue_id_from_number
from gateway.domain.window import Priority
from gateway.spool.bodies import Bodies
from gateway.spool.passage import tell_attempt
from gateway.spool.rows import (
    AnyRow,
    UnreadableRow,
    attempt_values,
    micros_from_moment,
    moment_from_micros,
    queued_message_from_rows,
    trace_from_text,
)
from gateway.spool.schema import UNSETTLED, UNSETTLED_OF_LETTER, content, message, recipient
from gateway.spool.transaction import Transaction
from gateway.spool.values import AttemptEnd, Claimed, Corrupt, CutShort, QueuedMessage, Recovery
from providers.contract.outcome import DeliveryOutcome, Kind, Scope

_LEAST_SHARE = 8  # of so many claimed, one is of the least urgent where such wait
_CUT_SHORT = DeliveryOutcome(
    Kind.UNCERTAIN, Scope.RECIPIENT, "4.3.0", "the gateway stopped before the answer came"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The argument of `claim`; with `strays`, `providers` are those not to claim for."""

    providers: frozenset[str]
    strays: bool
    now: datetime
    limit: int
    urgent: int = 0
    besides: frozenset[str] = frozenset()


class Claims:
    """
    The works that take leases.

    Args:
        token: What our leases are marked with.
        lease: How long they last.
        uncertain_after: When a recipient whose attempt was cut short needs attention.
        alone: No other process can hold a lease of this store.
        bodies: Where large contents lie, if they do.
    """

    def __init__(
        self,
        token: int,
        lease: timedelta,
        uncertain_after: timedelta,
        *,
        alone: bool,
        bodies: Bodies | None,
    ) -> None:
        self._token = token
        self._lease_us = lease // timedelta(microseconds=1)
        self._uncertain_after = uncertain_after
        self._alone = alone
        self._bodies = bodies

    def claim(self, tx: Transaction, many: Sequence[Wanted]) -> Sequence[Claimed]:
        """Lease what is due."""
        return [self._claim(tx, wanted) for wanted in many]

    def recover(self, tx: Transaction, many: Sequence[datetime]) -> Sequence[Recovery]:
        """Let go of all leases when we are alone; else of none, they lapse by themselves."""
        return [self._recover(tx, now) if self._alone else Recovery(0) for now in many]

    def _claim(self, tx: Transaction, wanted: Wanted) -> Claimed:
        providers: Iterable[str] = wanted.providers
        if wanted.strays:
            providers = [name for name in active_providers(tx) if name not in wanted.providers]
        rows: list[AnyRow] = []
        for provider in providers:
            rows += _by_priority(tx, provider, wanted, wanted.limit - len(rows))
        cut_short = self._cut_short(tx, [r for r in rows if r.state == "sending"], wanted.now)
        letters: list[QueuedMessage] = []
        corrupt: list[Corrupt] = []
        leased: list[AnyRow] = []
        for group in _by_letter(row for row in rows if row.state != "sending"):
            try:
                self._check_content(group[0])
                letters.append(queued_message_from_rows(group))
                leased += group
            except UnreadableRow as error:
                corrupt.append(_set_aside(tx, group[0], str(error), wanted.now))
        self._lease(tx, leased, wanted.now)
        return Claimed(tuple(letters), cut_short, tuple(corrupt))

    def _check_content(self, row: AnyRow) -> None:
        if row.arrival is None:
            raise UnreadableRow("its envelope is gone")
        octets = row.content_octets
        if octets is None and row.content_of is not None and self._bodies is not None:
            octets = self._bodies.octets(row.number)
        if octets is None:
            raise UnreadableRow("its content is gone")
        if octets != row.size:
            raise UnreadableRow(f"{octets} octets are left of its {row.size}")

    def _lease(self, tx: Transaction, rows: Iterable[AnyRow], now: datetime) -> None:
        until = micros_from_moment(now) + self._lease_us
        tx.cursor.executemany(
            tx.statements.lease,
            [
                # A lapsed lease is claimed anew: what it was due before it still is.
                (until, r.due_at if r.was_due is None else r.was_due, self._token, r.number, r.key)
                for r in rows
            ],
        )

    def _recover(self, tx: Transaction, now: datetime) -> Recovery:
        left = (UNSETTLED, or_(recipient.c.lease.is_not(None), recipient.c.state == "sending"))
        begun = tx.connection.execute(
            select(
                *(c for c in recipient.c if c.name != "message_id"),
                recipient.c.message_id.label("number"),
                message.c.message_id,
                message.c.traceparent,
            )
            .select_from(recipient.outerjoin(message, message.c.id == recipient.c.message_id))
            .where(*left, recipient.c.state == "sending")
        )
        cut_short = self._cut_short(tx, begun.all(), now)
        released = tx.connection.execute(
            update(recipient)
            .where(*left)
            .values(
                # A lease without a moment before it is none of ours; due at once is never wrong.
                due_at=func.coalesce(recipient.c.was_due, micros_from_moment(now)),
                was_due=None,
                lease=None,
            )
        )
        return Recovery(released.rowcount, cut_short)

    def _cut_short(
        self, tx: Transaction, rows: Sequence[AnyRow], now: datetime
    ) -> tuple[CutShort, ...]:
        due_at = micros_from_moment(now + self._uncertain_after)
        for row in rows:
            tx.connection.execute(
                update(recipient)
                .where(recipient.c.message_id == row.number, recipient.c.key == row.key)
                .values(
                    state=State.UNCERTAIN.value,
                    due_at=due_at,
                    was_due=None,
                    lease=None,
                    status=_CUT_SHORT.status,
                    diagnostic=_CUT_SHORT.diagnostic,
                )
            )
            started_at = now if row.started_at is None else moment_from_micros(row.started_at)
            ended = AttemptEnd(row.provider, started_at, now, _CUT_SHORT)
            tell_attempt(tx, attempt_values(row.number, row.key, row.attempts, ended))
        return tuple(
            CutShort(
                queue_id_from_number(row.number),
                row.key,
                row.forward_path,
                row.provider,
                row.attempts,
                row.message_id or "",
                trace_from_text(row.traceparent),
            )
            for row in rows
        )


def _by_priority(tx: Transaction, provider: str, wanted: Wanted, room: int) -> list[AnyRow]:
    """What needs attention: the urgent, a share of the least urgent, then the longest due."""
    rows = _due(tx, provider, wanted, Priority.HIGH, room + wanted.urgent)
    least = _due(tx, provider, wanted, Priority.BULK, (room - len(rows)) // _LEAST_SHARE)
    rows += _due(tx, provider, wanted, Priority.NORMAL, room - len(rows) - len(least))
    left = room - len(rows)
    return rows + (_due(tx, provider, wanted, Priority.BULK, left) if left > len(least) else least)


def _due(
    tx: Transaction, provider: str, wanted: Wanted, priority: Priority, limit: int
) -> list[AnyRow]:
    """Recipients of one priority that need attention, the longest due first, with their letters."""
    if limit <= 0:
        return []
    letter = (c for c in message.c if c.name not in {"id", "client"})
    query = (
        select(
            *(c for c in recipient.c if c.name != "message_id"),
            recipient.c.message_id.label("number"),
            *letter,
            content.c.message_id.label("content_of"),
            func.length(content.c.body).label("content_octets"),
        )
        .select_from(
            recipient.outerjoin(message, message.c.id == recipient.c.message_id).outerjoin(
                content, content.c.message_id == recipient.c.message_id
            )
        )
        .where(
            recipient.c.provider == provider,
            recipient.c.priority == int(priority),
            recipient.c.due_at <= micros_from_moment(wanted.now),
            UNSETTLED,
            *_not_from(wanted.besides),
        )
        .order_by(recipient.c.due_at)
        .limit(limit)
        .with_for_update(of=recipient, skip_locked=True)
    )
    return list(tx.connection.execute(query).all())


def _not_from(senders: frozenset[str]) -> list[ColumnElement[bool]]:
    if not senders:
        return []
    from_others = message.c.reverse_path.not_in(senders)
    # In SQL, NULL is in no list and not in none either.
    return [from_others if "" in senders else or_(from_others, message.c.reverse_path.is_(None))]


def active_providers(tx: Transaction) -> list[str]:
    """Who has unsettled recipients: one step in the index for each, however many those are."""
    names: list[str] = []
    last = ""
    while True:
        after = recipient.c.provider > last if names else recipient.c.provider >= last
        found = tx.connection.execute(
            select(func.min(recipient.c.provider)).where(after, UNSETTLED)
        ).scalar()
        if found is None:
            return names
        names.append(found)
        last = found


def _by_letter(rows: Iterable[AnyRow]) -> Iterable[list[AnyRow]]:
    groups: dict[int, list[AnyRow]] = {}
    for row in rows:
        groups.setdefault(row.number, []).append(row)
    for group in groups.values():
        group.sort(key=attrgetter("key"))  # what is due at one moment has no order on PostgreSQL
    return groups.values()


def _set_aside(tx: Transaction, row: AnyRow, reason: str, now: datetime) -> Corrupt:
    """Hold what is not being sent of a letter; a damaged state is mended on the way."""
    number = row.number
    tx.connection.execute(
        update(recipient)
        .where(
            recipient.c.message_id == number, recipient.c.state != "sending", UNSETTLED_OF_LETTER
        )
        .values(state=State.HELD.value, due_at=None, was_due=None, lease=None)
    )
    tx.cursor.execute(
        tx.statements.insert_note, (number, micros_from_moment(now), None, f"held: {reason}")
    )
    message_id = (row.message_id or "").encode(errors="replace").decode()
    trace = trace_from_text(row.traceparent)
    return Corrupt(queue_id_from_number(number), reason, message_id, trace)
