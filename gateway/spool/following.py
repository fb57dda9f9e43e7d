"""
Following what the spool records, step by step: whoever takes a step, of several gateways, is alone.

How far a follower has come is a row of `turn`; a step moves it on in the same transaction as all
that follows from it, so that a crash neither loses nor doubles anything. Sits on `transaction`;
`passage` takes steps.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from gateway.domain.events import LetterTracked
from gateway.domain.suppression import Suppression
from gateway.spool.rows import AnyRow, micros_from_moment, number_of, queued_message_from_rows
from gateway.spool.schema import message, recipient, turn
from gateway.spool.suppressions import add_in
from gateway.spool.transaction import Transaction
from gateway.spool.values import QueuedMessage


@dataclass(frozen=True, slots=True)
class FollowStep:
    """
    A step from one number to another.

    Attributes:
        name: Of the follower.
        before: How far it had come.
        after: How far it comes.
        suppressions: Addresses that are sent nothing from now on.
        accounts: Who is told of those that are new and complained.
        events: What applications are told of.
    """

    name: str
    before: int
    after: int
    suppressions: tuple[Suppression, ...] = ()
    accounts: tuple[str, ...] = ()
    events: tuple[LetterTracked, ...] = ()


def read_position(connection: Connection, name: str) -> int:
    """How far a follower has come; 0 before its first step."""
    query = select(turn.c.number).where(turn.c.name == name)
    return connection.execute(query).scalar() or 0


def take_step(tx: Transaction, step: FollowStep) -> bool:
    """Take a step, with the addresses it suppresses; whether nobody took it before."""
    if not _move(tx, step):
        return False
    if step.suppressions:
        add_in(tx, step.suppressions, step.accounts)
    for one in step.events:
        number, at = number_of(one.queue_id), micros_from_moment(one.at)
        tx.announce(one.event.event_type.value, number, one.recipient_key, at, one.number)
    return True


def read_letter_of(connection: Connection, number: int, key: int) -> QueuedMessage | None:
    """A letter's record with one of its recipients, whatever has become of it."""
    columns = (c for c in message.c if c.name != "id")
    query = (
        select(
            *(c for c in recipient.c if c.name != "message_id"),
            recipient.c.message_id.label("number"),
            *columns,
        )
        .join(message, message.c.id == recipient.c.message_id)
        .where(recipient.c.message_id == number, recipient.c.key == key)
    )
    row: AnyRow | None = connection.execute(query).first()
    if row is None:
        return None
    return replace(queued_message_from_rows([row], due=False), client=row.client)


def _move(tx: Transaction, step: FollowStep) -> bool:
    move = (
        update(turn)
        .where(turn.c.name == step.name, turn.c.number == step.before)
        .values(number=step.after)
    )
    if tx.connection.execute(move).rowcount:
        return True
    if step.before:
        return False
    # Another gateway may be first; then its row is there.
    with contextlib.suppress(IntegrityError), tx.connection.begin_nested():
        tx.connection.execute(insert(turn).values(name=step.name, number=step.after))
        return True
    return False
