"""
What people and time do to letters: held, released, tried again, removed; forgotten when old.

Works (`batcher.Work`) on a bounded number of rows, so that a command over a long queue never makes
sessions wait; `store` finds the rows on a reader and repeats. A work looks at each row again: what
has changed meanwhile stays. What is being sent is never touched; what only waits in somebody's
window is taken from them by ending the lease. Sits on `transaction`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, delete, exists, select, update

from gateway.domain.lifecycle import SETTLED, State, may_follow
from gateway.spool.rows import micros_from_moment
from gateway.spool.schema import (
    UNSETTLED,
    attempt,
    content,
    message,
    note,
    recipient,
    tracking_event,
    webhook_call,
)
from gateway.spool.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Command:
    """From which states to which, whether due at once then, and what the story says."""

    before: frozenset[State]
    after: State
    due: bool
    told: str

    def __post_init__(self) -> None:
        if not all(may_follow(before, self.after) for before in self.before):
            raise ValueError(f"the table does not allow {self}")


_NOT_BEGUN = frozenset({State.WAITING, State.UNCERTAIN})

HOLD = Command(_NOT_BEGUN, State.HELD, due=False, told="held by hand")
RELEASE = Command(frozenset({State.HELD}), State.WAITING, due=True, told="released by hand")
RETRY = Command(_NOT_BEGUN, State.WAITING, due=True, told="to be tried again, by hand")
REMOVE = Command(_NOT_BEGUN | {State.HELD}, State.REMOVED, due=False, told="removed by hand")


@dataclass(frozen=True, slots=True)
class Step:
    """The argument of `carry_out`: a command on some recipients (letter and key)."""

    command: Command
    keys: Sequence[tuple[int, int]]
    now: datetime


def carry_out(tx: Transaction, steps: Sequence[Step]) -> Sequence[int]:
    """Do it to those of the recipients that still stand in its states; how many."""
    return [_carry_out(tx, step) for step in steps]


def purge(tx: Transaction, many: Sequence[Sequence[int]]) -> Sequence[int]:
    """Forget those of these letters that are settled; how many."""
    return [_purge(tx, numbers) for numbers in many]


def _carry_out(tx: Transaction, step: Step) -> int:
    command, now = step.command, micros_from_moment(step.now)
    query = (
        select(recipient.c.message_id, recipient.c.key)
        .where(
            recipient.c.message_id.in_({number for number, _ in step.keys}),
            recipient.c.state.in_([state.value for state in command.before]),
        )
        .order_by(recipient.c.message_id, recipient.c.key)
        .with_for_update()  # in one order, so that two commands wait for each other at most
    )
    wanted = set(step.keys)
    keys = [key for row in tx.connection.execute(query) if (key := tuple(row)) in wanted]
    if not keys:
        return 0
    tx.connection.execute(
        update(recipient)
        .where(
            recipient.c.message_id == bindparam("of_message_id"),
            recipient.c.key == bindparam("of_key"),
        )
        .values(
            state=command.after.value,
            settled=int(command.after in SETTLED),
            due_at=now if command.due else None,
            was_due=None,
            lease=None,
        ),
        [{"of_message_id": number, "of_key": key} for number, key in keys],
    )
    tx.cursor.executemany(
        tx.statements.insert_note, [(number, now, key, command.told) for number, key in keys]
    )
    if command.after in SETTLED:
        tx.count(command.after.value, len(keys))
        tx.drop_settled_contents({number for number, _ in keys})
    return len(keys)


def _purge(tx: Transaction, numbers: Sequence[int]) -> int:
    query = select(message.c.id).where(
        message.c.id.in_(numbers),
        ~exists().where(recipient.c.message_id == message.c.id, UNSETTLED),
    )
    settled = tx.connection.execute(query).scalars().all()
    # Recipients first: a late story is written under a lock on its recipient (`passage`).
    for table in (recipient, note, attempt, tracking_event, webhook_call, content):
        tx.connection.execute(delete(table).where(table.c.message_id.in_(settled)))
    tx.connection.execute(delete(message).where(message.c.id.in_(settled)))
    return len(settled)
