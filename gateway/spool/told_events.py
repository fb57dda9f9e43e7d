"""
Events of letters as rows of the spool: from and to the values that `domain.tracking` judges.

Pure but for the questions to an open connection; writes nothing, which is `tracking`'s. Sits on
`rows` and `schema`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, and_, func, select

from gateway.domain.events import LetterTracked
from gateway.domain.queue_id import queue_id_from_number
from gateway.domain.tracking import Source, Told
from gateway.spool.rows import AnyRow, micros_from_moment, moment_from_micros, trace_from_text
from gateway.spool.schema import attempt, message, recipient, tracking_event
from providers.contract.address import InvalidAddress, parse_address
from providers.contract.outcome import Kind
from providers.contract.tracking import EventType, RejectReason, TrackingEvent

E = TypeVar("E", bound=StrEnum)
V = TypeVar("V", int, str)

AT_ONCE = 500
"""Values in one IN: within what every build of SQLite takes."""

_MAX_ID = 200  # characters of a provider's id, which are ten or thirty-six

LETTER_COLUMNS = (
    recipient.c.message_id,
    recipient.c.key,
    recipient.c.forward_path,
    recipient.c.provider,
    recipient.c.provider_message_id,
    message.c.reverse_path,
    message.c.message_id.label("message_id_field"),
    message.c.traceparent,
)
"""What `tracked` needs of a letter and its recipient."""

_EVENT_COLUMNS = (
    *("told_at", "told_by", "source", "event", "at"),
    *("recipient", "reason", "mta_response", "click_url", "raw"),
)


class Stored(NamedTuple):
    """An event that has its number, and who told it when."""

    number: int
    told: Told
    told_by: str
    at: int


def events_after(connection: Connection, number: int, limit: int) -> tuple[LetterTracked, ...]:
    """
    The next events past this number, the oldest first; for those who must miss none.

    Where several gateways share the spool, one that is committed late may have a lower number than
    another that was seen before.
    """
    query = (
        select(
            *(tracking_event.c[name] for name in _EVENT_COLUMNS),
            tracking_event.c.id.label("number"),
            *LETTER_COLUMNS,
        )
        .join(
            recipient,
            and_(
                recipient.c.message_id == tracking_event.c.message_id,
                recipient.c.key == tracking_event.c.key,
            ),
        )
        .join(message, message.c.id == recipient.c.message_id)
        .where(tracking_event.c.id > number)
        .order_by(tracking_event.c.id)
        .limit(limit)
    )
    rows = connection.execute(query).all()
    accepted = accepted_at(connection, {row.message_id for row in rows})
    return tuple(
        tracked(row, Stored(row.number, told_from_row(row), row.told_by, row.told_at), accepted)
        for row in rows
    )


def known_events(
    connection: Connection, numbers: Iterable[int], named: Collection[str] = ()
) -> dict[tuple[int, int], list[tuple[AnyRow, Told]]]:
    """
    What is stored of these letters, by letter and key, in the order it came.

    `named` leaves out events of others on a list, who may be many; a few hundred names at most.
    """
    found: dict[tuple[int, int], list[tuple[AnyRow, Told]]] = {}
    for some in in_parts(set(numbers)):
        query = select(
            tracking_event,
            recipient.c.provider_message_id,
        ).join(
            recipient,
            and_(
                recipient.c.message_id == tracking_event.c.message_id,
                recipient.c.key == tracking_event.c.key,
            ),
        )
        query = query.where(tracking_event.c.message_id.in_(some))
        if named:
            query = query.where(tracking_event.c.recipient.in_(sorted({*named, ""})))
        for row in connection.execute(query.order_by(tracking_event.c.id)):
            found.setdefault((row.message_id, row.key), []).append((row, told_from_row(row)))
    return found


def told_from_row(row: AnyRow) -> Told:
    """An event as it was told; a word that a newer program wrote is unknown here."""
    return Told(
        TrackingEvent(
            _word(EventType, row.event) or EventType.UNKNOWN,
            row.provider_message_id,
            moment_from_micros(row.at),
            row.recipient or None,
            _word(RejectReason, row.reason),
            row.mta_response,
            row.raw,
            row.click_url,
        ),
        Source(row.source),
    )


def event_row(told: Told, told_by: str, at: int) -> dict[str, Any]:
    """The columns of an event that do not say whose letter it is of; told at, in microseconds."""
    event = told.event
    return {
        "told_at": at,
        "told_by": told_by,
        "source": told.source.value,
        "event": event.event_type.value,
        "at": micros_from_moment(event.timestamp),
        "recipient": event.recipient or "",
        "reason": "" if event.reject_reason is None else event.reject_reason.value,
        "mta_response": event.mta_response,
        "click_url": event.click_url,
        "raw": event.raw,
    }


def accepted_at(connection: Connection, numbers: Iterable[int]) -> dict[tuple[int, int], int]:
    """When providers took these letters, by letter and key; microseconds since 1970."""
    found: dict[tuple[int, int], int] = {}
    for some in in_parts(numbers):
        query = (
            select(attempt.c.message_id, attempt.c.key, func.max(attempt.c.ended_at).label("at"))
            .where(attempt.c.message_id.in_(some), attempt.c.kind == Kind.ACCEPTED.value)
            .group_by(attempt.c.message_id, attempt.c.key)
        )
        for row in connection.execute(query):
            found[row.message_id, row.key] = row.at
    return found


def tracked(row: AnyRow, stored: Stored, accepted: Mapping[tuple[int, int], int]) -> LetterTracked:
    """What everybody else is told of a stored event, given when providers took the letters."""
    taken_at = accepted.get((row.message_id, row.key))
    return LetterTracked(
        at=moment_from_micros(stored.at),
        queue_id=queue_id_from_number(row.message_id),
        recipient_key=row.key,
        forward_path=row.forward_path,
        reverse_path=row.reverse_path or "",
        message_id=row.message_id_field,
        provider=row.provider,
        told_by=stored.told_by,
        source=stored.told.source,
        event=stored.told.event,
        accepted_at=None if taken_at is None else moment_from_micros(taken_at),
        number=stored.number,
        trace=trace_from_text(row.traceparent),
    )


def folded_address(address: str) -> str:
    """An address to be compared with others, its domain as A-labels."""
    try:
        return parse_address(address.strip()).folded
    except InvalidAddress:
        return address.strip().lower()


def storable(event: TrackingEvent) -> TrackingEvent:
    """The same without what no database can hold."""
    return replace(
        event,
        provider_message_id=_text(event.provider_message_id)[:_MAX_ID],
        recipient=None if event.recipient is None else _text(event.recipient),
        mta_response=_text(event.mta_response),
        raw=_text(event.raw),
        click_url=_text(event.click_url),
    )


def in_parts(values: Iterable[V]) -> Iterator[list[V]]:
    """The values, each once and in order, as many at once as one question takes."""
    ordered = sorted(set(values))
    for start in range(0, len(ordered), AT_ONCE):
        yield ordered[start : start + AT_ONCE]


def _text(value: str) -> str:
    """Without what PostgreSQL (NUL) or UTF-8 (lone surrogates, as JSON can have) does not take."""
    return value.replace("\0", "").encode(errors="replace").decode()


def _word(words: type[E], text: str) -> E | None:
    try:
        return words(text)
    except ValueError:
        return None
