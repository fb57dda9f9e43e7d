"""
Rows to values and back: the only place that knows how a value looks in a column.

Pure. Sits on `protocol`, `domain` and the contract. What goes in is built in the order of the
columns (`statements`), words by `str`, which is several times quicker than an enum's `value`; what
comes out is read by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row

from gateway.domain.lifecycle import SETTLED, State
from gateway.domain.queue_id import number_from_queue_id, queue_id_from_number
from gateway.domain.trace_context import TraceContext, parse_traceparent
from gateway.domain.window import Priority
from gateway.errors import UnknownQueueId
from gateway.spool.instructions import instructions_from_text, text_from_instructions
from gateway.spool.values import (
    AttemptEnd,
    Listed,
    NewLetter,
    QueuedMessage,
    QueuedRecipient,
    StoryLine,
)
from providers.contract.address import Address, parse_address
from providers.contract.envelope import BodyType, Notify, Recipient, Ret

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

NEVER_US = 250_000_000_000_000_000
"""A moment that never comes (in the year 9892): who waits for it waits for a pause to end."""

AnyRow = Row[*tuple[Any, ...]]
"""A row as a query gives it, read by the names of its columns."""

Values = tuple[Any, ...]
"""The values of one row or statement, in its order."""


class UnreadableRow(Exception):
    """A row does not hold what was written: the disk, or a hand."""


def micros_from_moment(moment: datetime) -> int:
    """Microseconds since 1970 of an aware moment."""
    return (moment - _EPOCH) // _MICROSECOND


def moment_from_micros(micros: int) -> datetime:
    """An aware moment in UTC."""
    return _EPOCH + timedelta(microseconds=micros)


def due_moment(micros: int | None) -> datetime | None:
    """When a row is due; `None` where it waits for a person or for the end of a pause."""
    return None if micros is None or micros >= NEVER_US else moment_from_micros(micros)


def number_of(queue_id: str) -> int:
    """
    The number of a queue id.

    Raises:
        UnknownQueueId: The text is none.
    """
    number = number_from_queue_id(queue_id)
    if number is None:
        raise UnknownQueueId(f"{queue_id!r} is no queue id")
    return number


def message_values(number: int, letter: NewLetter) -> Values:
    """A row of `message`."""
    envelope = letter.envelope
    reverse_path = envelope.reverse_path
    return (
        number,
        micros_from_moment(letter.arrival),
        None if reverse_path is None else reverse_path.text,
        str(envelope.body),
        int(envelope.smtputf8),
        None if envelope.ret is None else str(envelope.ret),
        envelope.envid,
        letter.listener,
        letter.client,
        len(letter.content),
        letter.message_id,
        text_from_instructions(letter.instructions),
        *((None, None) if letter.mark is None else (letter.mark.key, letter.mark.proof)),
        letter.user,
        None if letter.trace is None else str(letter.trace),
    )


def recipient_values(number: int, letter: NewLetter, token: int, lease_us: int) -> list[Values]:
    """The rows of `recipient` for a fresh letter, leased when it is to be delivered at once."""
    arrival = micros_from_moment(letter.arrival)
    recipients = letter.envelope.recipients
    due = tuple(map(micros_from_moment, letter.due_at)) or (arrival,) * len(recipients)
    begun = letter.begun_at is not None
    started_at = None if letter.begun_at is None else micros_from_moment(letter.begun_at)
    return [
        (
            number,
            recipient.key,
            recipient.forward_path.text,
            recipient.orcpt,
            _notify_text(recipient.notify),
            "sending" if begun else "waiting",
            0,
            provider,
            "",
            int(begun),
            *((arrival + lease_us, due_at, token) if letter.leased else (due_at, None, None)),
            "",
            "",
            "",
            started_at,
            0,
            int(letter.priority),
        )
        for recipient, provider, due_at in zip(recipients, letter.providers, due, strict=True)
    ]


def attempt_values(number: int, key: int, attempt: int, ended: AttemptEnd) -> Values:
    """A row of `attempt`."""
    outcome = ended.outcome
    return (
        number,
        key,
        attempt,
        ended.provider,
        micros_from_moment(ended.started_at),
        micros_from_moment(ended.ended_at),
        str(outcome.kind),
        str(outcome.scope),
        outcome.status,
        outcome.diagnostic,
        outcome.provider_message_id,
    )


def joined(names: Sequence[str]) -> str:
    """
    Names of providers as one text.

    Raises:
        ValueError: A name holds the comma that joins them.
    """
    if any("," in name for name in names):
        raise ValueError("a provider's name has no comma")
    return ",".join(names)


def queued_message_from_rows(rows: Sequence[AnyRow], *, due: bool = True) -> QueuedMessage:
    """
    A letter from the joined rows of those of its recipients that were claimed.

    With `due=False` they may be in any state.

    Raises:
        UnreadableRow: One of them does not hold what was written.
    """
    first = rows[0]
    try:
        for row in rows:
            _check_text(row)
        return QueuedMessage(
            queue_id=queue_id_from_number(first.number),
            arrival=moment_from_micros(first.arrival),
            reverse_path=_address(first.reverse_path),
            body=BodyType(first.body),
            smtputf8=bool(first.smtputf8),
            ret=None if first.ret is None else Ret(first.ret),
            envid=first.envid,
            listener=first.listener,
            size=first.size,
            message_id=first.message_id,
            recipients=tuple(_queued_recipient(row, due=due) for row in rows),
            instructions=instructions_from_text(first.instructions),
            user=first.user,
            priority=Priority(first.priority),
            trace=trace_from_text(first.traceparent),
        )
    except (ValueError, TypeError, OverflowError, AttributeError) as error:
        raise UnreadableRow(f"its record is damaged: {error}") from error


def listed_from_row(row: AnyRow) -> Listed:
    """One recipient as a list shows it; shows what is there even where a claim would refuse it."""
    return Listed(
        queue_id=queue_id_from_number(row.number),
        key=row.key,
        arrival=moment_from_micros(row.arrival),
        size=row.size,
        reverse_path=row.reverse_path or "",
        forward_path=row.forward_path,
        state=state_from_text(row.state),
        provider=row.provider,
        attempts=row.attempts,
        due_at=due_moment(row.due_at),
        status=row.status,
        diagnostic=row.diagnostic,
        provider_message_id=row.provider_message_id,
        message_id=row.message_id,
        trace=trace_from_text(row.traceparent),
    )


def trace_from_text(text: str | None) -> TraceContext | None:
    """A trace; a damaged one is none, for no letter waits on it."""
    return None if text is None else parse_traceparent(text)


def state_from_text(text: str) -> State:
    """A state; a word that is none shows as what the next claim makes of it."""
    try:
        return State(text)
    except ValueError:
        return State.HELD


def story_line_from_attempt(row: AnyRow) -> StoryLine:
    """An attempt that has ended."""
    return StoryLine(
        at=moment_from_micros(row.started_at),
        key=row.key,
        what="attempt",
        provider=row.provider,
        attempt=row.attempt,
        ended_at=moment_from_micros(row.ended_at),
        kind=row.kind,
        scope=row.scope,
        status=row.status,
        text=row.diagnostic,
        provider_message_id=row.provider_message_id,
    )


def _queued_recipient(row: AnyRow, *, due: bool) -> QueuedRecipient:
    state = State(row.state)
    if due and (state in SETTLED or state in {State.SENDING, State.HELD}):
        raise ValueError(f"a recipient that is {state.value} is not due")
    forward_path = _address(row.forward_path)
    if forward_path is None:
        raise ValueError("a recipient has no forward-path")
    return QueuedRecipient(
        Recipient(row.key, forward_path, row.orcpt, _notify_from_text(row.notify)),
        state,
        row.provider,
        row.attempts,
        tuple(row.excluded.split(",")) if row.excluded else (),
        bool(row.warned),
    )


def _address(text: str | None) -> Address | None:
    return None if text is None else parse_address(text)


def _notify_text(notify: frozenset[Notify] | None) -> str | None:
    return None if notify is None else ",".join(sorted(notify))


def _notify_from_text(text: str | None) -> frozenset[Notify] | None:
    if text is None:
        return None
    return frozenset(Notify(word) for word in text.split(",")) if text else frozenset()


def _check_text(row: AnyRow) -> None:
    """Octets that are no UTF-8 come as surrogates; they must not leave in an envelope."""
    for value in row:
        if isinstance(value, str):
            value.encode()
