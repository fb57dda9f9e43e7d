"""
Pauses as the spool keeps them, and the letters that wait for their end.

A recipient that waits for the end of a pause is due at a moment that never comes (`NEVER_US`), so
that it costs nothing however long the pause, and one range of the index of what is due finds it.
Works (`batcher.Work`) and one question; sits on `claims`, `transaction` and `rows`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from gateway.domain.lifecycle import State
from gateway.domain.pauses import Pause, PauseKind
from gateway.spool.claims import active_providers
from gateway.spool.rows import NEVER_US, AnyRow, micros_from_moment, moment_from_micros
from gateway.spool.schema import UNSETTLED, pause, recipient
from gateway.spool.transaction import Transaction

AT_ONCE = 200
"""How many recipients are woken in one transaction, so that letters coming in wait little."""

PauseKey = tuple[PauseKind, str]


def read_pauses(connection: Connection) -> tuple[Pause, ...]:
    """All pauses, by kind and name."""
    query = select(pause).order_by(pause.c.kind, pause.c.name)
    return tuple(
        Pause(PauseKind(row.kind), row.name, moment_from_micros(row.since), row.reason)
        for row in connection.execute(query)
    )


def begin(tx: Transaction, pauses: Sequence[Pause]) -> Sequence[bool]:
    """Keep these pauses; whether each is new. One that was there gets the newer reason."""
    return [_begin(tx, one) for one in pauses]


def end(tx: Transaction, keys: Sequence[PauseKey]) -> Sequence[bool]:
    """Forget pauses; whether each was there."""
    return [_delete(tx, key) for key in keys]


def wake(tx: Transaction, many: Sequence[tuple[datetime, frozenset[str]]]) -> Sequence[int]:
    """
    Make some of those due that wait for the end of a pause; how many, 0 when none is left.

    Those of the providers named are spared.
    """
    return [_wake(tx, now, spared) for now, spared in many]


def _begin(tx: Transaction, given: Pause) -> bool:
    since = micros_from_moment(given.since)
    renewed = tx.connection.execute(
        update(pause)
        .where(pause.c.kind == given.kind.value, pause.c.name == given.name)
        .values(reason=given.reason)
    )
    if renewed.rowcount:
        return False
    row = {"kind": given.kind.value, "name": given.name, "since": since, "reason": given.reason}
    tx.connection.execute(insert(pause), row)
    return True


def _delete(tx: Transaction, key: PauseKey) -> bool:
    kind, name = key
    gone = tx.connection.execute(
        delete(pause).where(pause.c.kind == kind.value, pause.c.name == name)
    )
    return gone.rowcount > 0


def _wake(tx: Transaction, now: datetime, spared: frozenset[str]) -> int:
    keys: list[AnyRow] = []
    for provider in active_providers(tx):
        if provider not in spared:
            keys += _asleep(tx, provider, AT_ONCE - len(keys))
        if len(keys) >= AT_ONCE:
            break
    if keys:
        tx.connection.execute(
            update(recipient)
            .where(
                recipient.c.message_id == bindparam("of_message_id"),
                recipient.c.key == bindparam("of_key"),
            )
            .values(due_at=micros_from_moment(now)),
            [{"of_message_id": row.message_id, "of_key": row.key} for row in keys],
        )
    return len(keys)


def _asleep(tx: Transaction, provider: str, limit: int) -> Sequence[AnyRow]:
    query = (
        select(recipient.c.message_id, recipient.c.key)
        .where(
            recipient.c.provider == provider,
            recipient.c.due_at >= NEVER_US,
            recipient.c.state == State.WAITING.value,
            UNSETTLED,
        )
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return tx.connection.execute(query).all()
