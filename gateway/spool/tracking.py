"""
What providers told of letters, as the spool keeps it: each thing that happened once.

Works (`batcher.Work`) over all calls that wait at once, so that a flood of webhooks shares its
questions and its commits as letters do. What is new, and what is the same told again, is decided by
`domain.tracking`. An event whose id no letter has is kept as a stray until `adopt` finds its
letter. Sits on `transaction` and `told_events`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import (
    and_,
    bindparam,
    delete,
    exists,
    false,
    insert,
    or_,
    select,
    text,
    update,
)

from gateway.domain.events import LetterTracked
from gateway.domain.tracking import Merge, Told, place
from gateway.spool.rows import AnyRow, micros_from_moment
from gateway.spool.schema import (
    HAS_PROVIDER_ID,
    inquiry,
    message,
    recipient,
    stray_event,
    tracking_event,
)
from gateway.spool.told_events import (
    AT_ONCE,
    LETTER_COLUMNS,
    Stored,
    accepted_at,
    event_row,
    folded_address,
    in_parts,
    known_events,
    storable,
    told_from_row,
    tracked,
)
from gateway.spool.transaction import Transaction
from providers.contract.tracking import EventType, TrackingEvent

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
        tuple(replace(one, event=storable(one.event)) for one in told),
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


class _Item(NamedTuple):
    """One event on its way into the spool, and the number of the call that it came with."""

    call: int
    told_by: str
    carriers: frozenset[str]
    told: Told
    at: int
    stray: int = 0  # the row it stands in so far


@dataclass(slots=True)
class _Entry:
    """An event of a letter while the work goes on; without an id as long as it has no row."""

    told: Told
    id: int | None = None
    is_changed: bool = False


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
        names if len(names) < AT_ONCE else (),
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
    for some in in_parts(ids):
        query = (
            select(*LETTER_COLUMNS)
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
        {
            "message_id": row.message_id,
            "key": row.key,
            **event_row(entry.told, item.told_by, item.at),
        }
        for item, row, entry in fresh
    ]
    adding = insert(tracking_event).returning(tracking_event.c.id, sort_by_parameter_order=True)
    ids = tx.connection.execute(adding, rows).scalars().all()
    arrived = {
        row.message_id
        for _, row, entry in fresh
        if entry.told.event.event_type is EventType.DELIVERED
    }
    accepted = accepted_at(tx.connection, arrived)
    return [
        (item.call, tracked(row, Stored(number, entry.told, item.told_by, item.at), accepted))
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
    for some in in_parts(ids):
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
            rows.append(name | event_row(item.told, item.told_by, item.at))
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


def _by_call(
    calls: int, stored: Iterable[tuple[int, LetterTracked]]
) -> Sequence[tuple[LetterTracked, ...]]:
    results: list[list[LetterTracked]] = [[] for _ in range(calls)]
    for call, event in stored:
        results[call].append(event)
    return [tuple(result) for result in results]
