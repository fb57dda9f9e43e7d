"""
Signs of a provider about an attempt whose answer was lost: what was uncertain is handed over.

A work (`batcher.Work`) that needs no lease: whoever receives the sign need not be who holds the
letter, and one that only waits in a window is taken from it. Sits on `transaction`; who asks which
recipient a sign belongs to is answered by `reading.find_uncertain`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import update

from gateway.domain.lifecycle import State, may_follow
from gateway.spool.rows import micros_from_moment, number_of
from gateway.spool.schema import recipient
from gateway.spool.transaction import Transaction
from providers.contract.outcome import DeliveryOutcome, Kind

_SETTLED = State.HANDED_OVER


class Sign(NamedTuple):
    """The argument of `settle`: of which recipient, when, and what it says; moments as rows."""

    number: int
    key: int
    at: int
    outcome: DeliveryOutcome


def sign(queue_id: str, key: int, outcome: DeliveryOutcome, at: datetime) -> Sign:
    """
    The argument of `settle`.

    Raises:
        UnknownQueueId: It is none.
        ValueError: The outcome is no acceptance.
    """
    if outcome.kind is not Kind.ACCEPTED or not may_follow(State.UNCERTAIN, _SETTLED):
        raise ValueError(f"an outcome of {outcome.kind.value} settles nothing that is uncertain")
    return Sign(number_of(queue_id), key, micros_from_moment(at), outcome)


def settle(tx: Transaction, signs: Sequence[Sign]) -> Sequence[bool]:
    """Let those that are uncertain be handed over; whether each was."""
    return [_settle(tx, one) for one in signs]


def _settle(tx: Transaction, given: Sign) -> bool:
    number, key, at, outcome = given
    changed = tx.connection.execute(
        update(recipient)
        .where(
            recipient.c.message_id == number,
            recipient.c.key == key,
            recipient.c.state == State.UNCERTAIN.value,
        )
        .values(
            state=_SETTLED.value,
            settled=1,
            due_at=None,
            was_due=None,
            lease=None,
            status=outcome.status,
            diagnostic=outcome.diagnostic,
            provider_message_id=outcome.provider_message_id,
        )
    )
    if changed.rowcount == 0:
        return False
    told = f"a sign of the provider proves the hand-over: {outcome.diagnostic}".rstrip(": ")
    tx.cursor.execute(tx.statements.insert_note, (number, at, key, told))
    tx.count(_SETTLED.value, 1)
    tx.announce(_SETTLED.value, number, key, at)
    tx.drop_settled_contents({number})
    return True
