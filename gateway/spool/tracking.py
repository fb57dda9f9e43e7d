"""
What providers told of letters, as the spool keeps it: each thing that happened once.

Works (`batcher.Work`) over all calls that wait at once, so that a flood of webhooks shares its
questions and its commits as letters do. What is new, and what is the same told again, is decided by
`domain.tracking`. An event whose id no letter has is kept as a stray until `adopt` finds its
letter. Sits on `transaction` and `rows`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    delete,
    exists,
    false,
    func,
    insert,
    or_,
    select,
    text,
    update,
)

from gateway.domain.events import LetterTracked
from gateway.domain.queue_id import queue_id_from_number
from gateway.domain.tracking import Merge, Source, Told, place
from gateway.spool.rows import AnyRow, micros_from_moment, moment_from_micros, trace_from_text
from gateway.spool.schema import (
    HAS_PROVIDER_ID,
    attempt,
    inquiry,
    message,
    recipient,
    stray_event,
    tracking_event,
)
from gateway.spool.transaction import Transaction
from providers.contract.address import InvalidAddress, parse_address
from providers.contract.outcome import Kind
from providers.contract.tracking import EventType, RejectReason, TrackingEvent

E = TypeVar("E", bound=StrEnum)
V = TypeVar("V", int, str)

_AT_ONCE = 500  # values in one IN: within what every build of SQLite takes
_MAX_ID = 200  # characters of a provider's id, which are ten or thirty-six

# SQLAlchemy has this clause only for each engine by itself.
_ASK_ABOUT = text(
    "INSERT INTO inquiry (provider, provider_message_id, unknown, since, asked, due_at)"
    " VALUES (:provider, :provider_message_id, 1, :since, 0, :due_at) ON CONFLICT DO NOTHING"
)


class Tidings(NamedTuple):
    """
    The argument of `track`: what one account told at once.

    `carriers` are the providers whose letters its ids name; ids that no letter has are looked up
    from `look_up_at` on, in microseconds, or never.
    """

    told_by: str
    carriers: frozenset[str]
    told: tuple[Told, ...]
    at: int
    look_up_at: int | None


class Adoption(NamedTuple):
    """The argument of `adopt`: carriers by who tells, now, of events told since when, how many."""

    carriers: Mapping[str, frozenset[str]]
    at: int
    since: int
    limit: int


def tidings(
    told_by: str,
    carriers: frozenset[str],
    told: Iterable[Told],
    *,
    at: datetime,
    look_up_at: datetime | None,
) -> Tidings:
    """The argument of `track`; what no database can hold is taken out of the texts."""
    return Tidings(
        told_by,
        carriers,
        tuple(replace(one, event=_storable(one.event)) for one in told),
        micros_from_moment(at),
        None if look_up_at is None else micros_from_moment(look_up_at),
    )


def track(tx: Transaction, many: Sequence[Tidings]) -> Sequence[tuple[LetterTracked, ...]]:
    """Store what is new; for each call, that."""
    items = [
        _Item(number, given.told_by, given.carriers, told, given.at)
        for number, given in enumerate(many)
        for told in given.told
    ]
    stored, unknown = _store(tx, items)
    if unknown:
        _keep(tx, unknown, [given.look_up_at for given in many])
    return _by_call(len(many), stored)


def adopt(tx: Transaction, many: Sequence[Adoption]) -> Sequence[tuple[LetterTracked, ...]]:
    """Give some strays to the letters that have their ids by now; what was new by that."""
    return [_adopt(tx, one) for one in many]


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
            *_LETTER_COLUMNS,
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
    accepted = _accepted_at(connection, {row.message_id for row in rows})
    return tuple(
        _tracked(row, _Stored(row.number, told_from_row(row), row.told_by, row.told_at), accepted)
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
    for some in _in_parts(set(numbers)):
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


class _Item(NamedTuple):
    """One event on its way into the spool, and the number of the call that it came with."""

    call: int
    told_by: str
    carriers: frozenset[str]
    told: Told
    at: int
    stray: int = 0  # the row it stands in so far


class _Stored(NamedTuple):
    """An event that has its number, and who told it when."""

    number: int
    told: Told
    told_by: str
    at: int


@dataclass(slots=True)
class _Entry:
    """An event of a letter while the work goes on; without an id as long as it has no row."""

    told: Told
    id: int | None = None
    is_changed: bool = False


_EVENT_COLUMNS = (
    *("told_at", "told_by", "source", "event", "at"),
    *("recipient", "reason", "mta_response", "click_url", "raw"),
)
_LETTER_COLUMNS = (
    recipient.c.message_id,
    recipient.c.key,
    recipient.c.forward_path,
    recipient.c.provider,
    recipient.c.provider_message_id,
    message.c.reverse_path,
    message.c.message_id.label("message_id_field"),
    message.c.traceparent,
)


def _store(
    tx: Transaction, items: Sequence[_Item]
) -> tuple[list[tuple[int, LetterTracked]], list[_Item]]:
    """Store what is new; that, by the number of its call, and what has an id of no letter."""
    letters = _letters(tx, {item.told.event.provider_message_id for item in items})
    unknown: list[_Item] = []
    pairs: list[tuple[_Item, AnyRow]] = []
    for item in items:
        there = letters.get(item.told.event.provider_message_id, ())
        candidates = [row for row in there if row.provider in item.carriers]
        if not candidates:
            unknown.append(item)
        pairs += [(item, row) for row in _meant(candidates, item.told.event)]
    entries: dict[tuple[int, int, str], list[_Entry]] = {}
    names = {item.told.event.recipient or "" for item, _ in pairs}
    known = known_events(
        tx.connection,
        {row.message_id for _, row in pairs},
        names if len(names) < _AT_ONCE else (),
    )
    for (number, key), rows in known.items():
        for row, told in rows:
            entries.setdefault((number, key, row.recipient), []).append(_Entry(told, row.id))
    fresh: list[tuple[_Item, AnyRow, _Entry]] = []
    for item, row in pairs:
        told = _addressed(item.told, row.forward_path)
        same_letter = entries.setdefault((row.message_id, row.key, told.event.recipient or ""), [])
        found = place([entry.told for entry in same_letter], told)
        if found.merge is Merge.NEW:
            same_letter.append(_Entry(told))
            fresh.append((item, row, same_letter[-1]))
        elif found.merge is Merge.BETTER:
            same_letter[found.of].told = told
            same_letter[found.of].is_changed = True
    _improve(tx, [entry for some in entries.values() for entry in some if entry.is_changed])
    return _insert(tx, fresh), unknown


def _letters(tx: Transaction, ids: Iterable[str]) -> dict[str, list[AnyRow]]:
    """Recipients by their provider's id, locked: two gateways must not store the same twice."""
    found: dict[str, list[AnyRow]] = {}
    for some in _in_parts(ids):
        query = (
            select(*_LETTER_COLUMNS)
            .join(message, message.c.id == recipient.c.message_id)
            .where(recipient.c.provider_message_id.in_(some), HAS_PROVIDER_ID)
            .order_by(recipient.c.message_id, recipient.c.key)
            .with_for_update(of=recipient)
        )
        for row in tx.connection.execute(query):
            found.setdefault(row.provider_message_id, []).append(row)
    return found


def _meant(candidates: Sequence[AnyRow], event: TrackingEvent) -> Sequence[AnyRow]:
    """Of those who share the event's id, the one whose address it names; else all."""
    if len(candidates) < 2 or event.recipient is None:
        return candidates
    wanted = folded_address(event.recipient)
    return [row for row in candidates if folded_address(row.forward_path) == wanted]


def _addressed(told: Told, forward_path: str) -> Told:
    """The same without a recipient that is the letter's own: only who is on a list is named."""
    named = told.event.recipient
    if named is None or folded_address(named) != folded_address(forward_path):
        return told
    return replace(told, event=replace(told.event, recipient=None))


def _insert(
    tx: Transaction, fresh: Sequence[tuple[_Item, AnyRow, _Entry]]
) -> list[tuple[int, LetterTracked]]:
    if not fresh:
        return []
    rows = [
        {"message_id": row.message_id, "key": row.key, **_event_row(item, entry.told)}
        for item, row, entry in fresh
    ]
    adding = insert(tracking_event).returning(tracking_event.c.id, sort_by_parameter_order=True)
    ids = tx.connection.execute(adding, rows).scalars().all()
    arrived = {
        row.message_id
        for _, row, entry in fresh
        if entry.told.event.event_type is EventType.DELIVERED
    }
    accepted = _accepted_at(tx.connection, arrived)
    return [
        (item.call, _tracked(row, _Stored(number, entry.told, item.told_by, item.at), accepted))
        for number, (item, row, entry) in zip(ids, fresh, strict=True)
    ]


def _improve(tx: Transaction, entries: Sequence[_Entry]) -> None:
    """Write the better moment of events that have a row."""
    rows = [
        {
            "of_id": entry.id,
            "source": entry.told.source.value,
            "at": micros_from_moment(entry.told.event.timestamp),
            "raw": entry.told.event.raw,
        }
        for entry in entries
        if entry.id is not None
    ]
    if rows:
        tx.connection.execute(
            update(tracking_event).where(tracking_event.c.id == bindparam("of_id")), rows
        )


def _keep(tx: Transaction, items: Sequence[_Item], look_up_at: Sequence[int | None]) -> None:
    """Keep events of ids that no letter has, each once, and have their ids looked up."""
    ids = {item.told.event.provider_message_id for item in items}
    known: dict[tuple[str, str], list[Told]] = {}
    for some in _in_parts(ids):
        query = select(stray_event).where(stray_event.c.provider_message_id.in_(some))
        for row in tx.connection.execute(query):
            known.setdefault((row.told_by, row.provider_message_id), []).append(told_from_row(row))
    rows = []
    for item in items:
        event = item.told.event
        same = known.setdefault((item.told_by, event.provider_message_id), [])
        if place(same, item.told).merge is not Merge.KNOWN:
            same.append(item.told)
            name = {"provider_message_id": event.provider_message_id}
            rows.append(name | _event_row(item, item.told))
    if rows:
        tx.connection.execute(insert(stray_event), rows)
    questions = {
        (item.told_by, item.told.event.provider_message_id): {
            "provider": item.told_by,
            "provider_message_id": item.told.event.provider_message_id,
            "since": item.at,
            "due_at": due_at,
        }
        for item in items
        if (due_at := look_up_at[item.call]) is not None
    }
    if questions:
        tx.connection.execute(_ASK_ABOUT, [questions[key] for key in sorted(questions)])


def _adopt(tx: Transaction, given: Adoption) -> tuple[LetterTracked, ...]:
    has_letter = [
        and_(stray_event.c.told_by == told_by, recipient.c.provider.in_(sorted(carriers)))
        for told_by, carriers in sorted(given.carriers.items())
    ]
    query = (
        select(stray_event)
        .where(
            stray_event.c.told_at >= given.since,
            exists().where(
                recipient.c.provider_message_id == stray_event.c.provider_message_id,
                HAS_PROVIDER_ID,
                or_(false(), *has_letter),
            ),
        )
        .order_by(stray_event.c.id)
        .limit(given.limit)
        .with_for_update(skip_locked=True)
    )
    rows = tx.connection.execute(query).all()
    if not rows:
        return ()
    items = [
        _Item(0, row.told_by, given.carriers[row.told_by], told_from_row(row), given.at, row.id)
        for row in rows
    ]
    stored, unknown = _store(tx, items)
    left = {item.stray for item in unknown}
    adopted = [row for row in rows if row.id not in left]
    tx.connection.execute(
        delete(stray_event).where(stray_event.c.id.in_([row.id for row in adopted]))
    )
    tx.connection.execute(
        delete(inquiry).where(
            inquiry.c.provider.in_({row.told_by for row in adopted}),
            inquiry.c.provider_message_id.in_({row.provider_message_id for row in adopted}),
            inquiry.c.unknown == 1,
        )
    )
    return tuple(event for _, event in stored)


def _event_row(item: _Item, told: Told) -> dict[str, Any]:
    event = told.event
    return {
        "told_at": item.at,
        "told_by": item.told_by,
        "source": told.source.value,
        "event": event.event_type.value,
        "at": micros_from_moment(event.timestamp),
        "recipient": event.recipient or "",
        "reason": "" if event.reject_reason is None else event.reject_reason.value,
        "mta_response": event.mta_response,
        "click_url": event.click_url,
        "raw": event.raw,
    }


def _accepted_at(connection: Connection, numbers: Iterable[int]) -> dict[tuple[int, int], int]:
    """When providers took these letters, by letter and key."""
    found: dict[tuple[int, int], int] = {}
    for some in _in_parts(numbers):
        query = (
            select(attempt.c.message_id, attempt.c.key, func.max(attempt.c.ended_at).label("at"))
            .where(attempt.c.message_id.in_(some), attempt.c.kind == Kind.ACCEPTED.value)
            .group_by(attempt.c.message_id, attempt.c.key)
        )
        for row in connection.execute(query):
            found[row.message_id, row.key] = row.at
    return found


def _tracked(
    row: AnyRow, stored: _Stored, accepted: Mapping[tuple[int, int], int]
) -> LetterTracked:
    accepted_at = accepted.get((row.message_id, row.key))
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
        accepted_at=None if accepted_at is None else moment_from_micros(accepted_at),
        number=stored.number,
        trace=trace_from_text(row.traceparent),
    )


def _by_call(
    calls: int, stored: Iterable[tuple[int, LetterTracked]]
) -> Sequence[tuple[LetterTracked, ...]]:
    results: list[list[LetterTracked]] = [[] for _ in range(calls)]
    for call, event in stored:
        results[call].append(event)
    return [tuple(result) for result in results]


def folded_address(address: str) -> str:
    """An address to be compared with others, its domain as A-labels."""
    try:
        return parse_address(address.strip()).folded
    except InvalidAddress:
        return address.strip().lower()


def _storable(event: TrackingEvent) -> TrackingEvent:
    return replace(
        event,
        provider_message_id=_text(event.provider_message_id)[:_MAX_ID],
        recipient=None if event.recipient is None else _text(event.recipient),
        mta_response=_text(event.mta_response),
        raw=_text(event.raw),
        click_url=_text(event.click_url),
    )


def _text(value: str) -> str:
    """Without what PostgreSQL (NUL) or UTF-8 (lone surrogates, as JSON can have) does not take."""
    return value.replace("\0", "").encode(errors="replace").decode()


def _in_parts(values: Iterable[V]) -> Iterator[list[V]]:
    """The values, each once and in order, as many at once as one question takes."""
    ordered = sorted(set(values))
    for start in range(0, len(ordered), _AT_ONCE):
        yield ordered[start : start + _AT_ONCE]


def _word(words: type[E], text: str) -> E | None:
    try:
        return words(text)
    except ValueError:
        return None
