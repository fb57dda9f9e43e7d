"""
Which ids providers are asked about, and when next.

Works (`batcher.Work`) and one question. An inquiry that is taken is due again after a while, so
that one whose gateway died is asked by another; what was answered is stored in the same step that
says when to ask again. Sits on `tracking`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import (
    Connection,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
    text,
    update,
)

from gateway.domain.events import LetterTracked
from gateway.domain.lifecycle import State
from gateway.domain.queue_id import first_number_at, moment_of_number
from gateway.domain.tracking import standing
from gateway.spool.rows import micros_from_moment, moment_from_micros
from gateway.spool.schema import HAS_PROVIDER_ID, inquiry, recipient, stray_event
from gateway.spool.told_events import known_events
from gateway.spool.tracking import Tidings, track
from gateway.spool.transaction import Transaction

NAMING = {
    stray_event: ("recipient", "provider_message_id", "mta_response", "click_url", "raw"),
    inquiry: ("provider_message_id",),
}
"""Texts that may name an address though no letter of ours is known to be the event's, by table."""
MOST_STRAYS = 100_000
"""Events kept of ids that no letter has; beyond them the oldest are forgotten."""

# SQLAlchemy has this clause only for each engine by itself. An id that was looked up before its
# letter was known is that letter's from now on.
_ASK = text(
    "INSERT INTO inquiry (provider, provider_message_id, unknown, since, asked, due_at)"
    " VALUES (:provider, :provider_message_id, 0, :since, 0, :due_at)"
    " ON CONFLICT (provider, provider_message_id) DO UPDATE"
    " SET unknown = 0, since = excluded.since, asked = 0, due_at = excluded.due_at"
    " WHERE inquiry.unknown = 1"
)


@dataclass(frozen=True, slots=True)
class Inquiry:
    """
    An id to ask about.

    `provider` carried the letter, or told of it where no letter has the id (`is_unknown`); `since`
    is when it was handed over, or first told of; `asked` counts the questions so far.
    """

    provider: str
    provider_message_id: str
    since: datetime
    due_at: datetime
    is_unknown: bool = False
    asked: int = 0


class Taking(NamedTuple):
    """The argument of `take`: of which providers, when, until when they are ours, how many."""

    providers: Collection[str]
    now: int
    until: int
    limit: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What is due, and when the next is that was left."""

    inquiries: tuple[Inquiry, ...]
    next_at: datetime | None


class Answer(NamedTuple):
    """
    What came of one inquiry.

    Attributes:
        inquiry: Which.
        tidings: What was told; `None` where there was no answer.
        is_final: The provider says that what it told is the letter's fate.
        open_at: When to ask again while its fate is open.
        sealed_at: The same once it is known.
    """

    inquiry: Inquiry
    tidings: Tidings | None
    is_final: bool
    open_at: datetime | None
    sealed_at: datetime | None


def ask(tx: Transaction, many: Sequence[Sequence[Inquiry]]) -> Sequence[None]:
    """Have ids asked about; one that is there already stays as it is."""
    wanted = {(one.provider, one.provider_message_id): one for some in many for one in some}
    rows = [
        {
            "provider": one.provider,
            "provider_message_id": one.provider_message_id,
            "since": micros_from_moment(one.since),
            "due_at": micros_from_moment(one.due_at),
        }
        for _, one in sorted(wanted.items())
    ]
    if rows:
        tx.connection.execute(_ASK, rows)
    return [None] * len(many)


def take(tx: Transaction, many: Sequence[Taking]) -> Sequence[Taken]:
    """What is due of these providers, the longest due first; it is the caller's for a while."""
    return [_take(tx, one) for one in many]


def answer(
    tx: Transaction, many: Sequence[Sequence[Answer]]
) -> Sequence[tuple[LetterTracked, ...]]:
    """Store what providers told, and say when to ask again; for each call, what was new."""
    answers = [one for some in many for one in some]
    told = [one for one in answers if one.tidings is not None]
    news = track(tx, [one.tidings for one in told if one.tidings is not None])
    new_of = {id(one): new for one, new in zip(told, news, strict=True)}
    sealed = _sealed(tx.connection, [one for one in told if one.is_final])
    rows = []
    for one in answers:
        due_at = one.sealed_at if _name(one) in sealed else one.open_at
        if one.is_final and one.tidings is not None and not one.tidings.told:
            due_at = None  # nobody will ever know more of it
        rows.append(
            {
                "of_provider": one.inquiry.provider,
                "of_id": one.inquiry.provider_message_id,
                "due_at": None if due_at is None else micros_from_moment(due_at),
            }
        )
    if rows:
        tx.connection.execute(
            update(inquiry)
            .where(
                inquiry.c.provider == bindparam("of_provider"),
                inquiry.c.provider_message_id == bindparam("of_id"),
            )
            .values(asked=inquiry.c.asked + 1, due_at=bindparam("due_at")),
            rows,
        )
    return [tuple(event for one in some for event in new_of.get(id(one), ())) for some in many]


def forget(tx: Transaction, moments: Sequence[int]) -> Sequence[int]:
    """Forget inquiries and strays from before these moments, and strays beyond their number."""
    return [_forget(tx, moment) for moment in moments]


def forget_recipient(tx: Transaction, many: Sequence[frozenset[str]]) -> Sequence[int]:
    """
    Forget strays and inquiries that name an address; how many.

    It is given in all the ways in which it may be written, in lower case.
    """
    return [_forget_recipient(tx, forms) for forms in many]


def not_asked_about(
    connection: Connection, providers: Collection[str], since: datetime, after: int, limit: int
) -> tuple[int, tuple[Inquiry, ...]]:
    """
    Ids of letters handed over that nobody asks about, as after a crash.

    Returns:
        The number to go on after (0: there are no more), and the inquiries. Those that are asked
        about by then are not found again.
    """
    query = (
        select(recipient.c.message_id, recipient.c.provider, recipient.c.provider_message_id)
        .distinct()
        .where(
            recipient.c.message_id >= max(after, first_number_at(since)),
            recipient.c.state == State.HANDED_OVER.value,
            recipient.c.provider.in_(sorted(providers)),
            HAS_PROVIDER_ID,
            ~exists().where(
                inquiry.c.provider == recipient.c.provider,
                inquiry.c.provider_message_id == recipient.c.provider_message_id,
            ),
        )
        .order_by(recipient.c.message_id)
        .limit(limit)
    )
    rows = connection.execute(query).all()
    first: dict[tuple[str, str], Inquiry] = {}
    for row in rows:
        name, arrival = (row.provider, row.provider_message_id), moment_of_number(row.message_id)
        first.setdefault(name, Inquiry(*name, since=arrival, due_at=arrival))
    # The last letter may have more of them: the next look begins with it.
    return (rows[-1].message_id if rows else 0), tuple(first.values())


def _take(tx: Transaction, given: Taking) -> Taken:
    of_providers = inquiry.c.provider.in_(sorted(given.providers))
    query = (
        select(inquiry)
        .where(inquiry.c.due_at <= given.now, of_providers)
        .order_by(inquiry.c.due_at)
        .limit(given.limit)
        .with_for_update(skip_locked=True)
    )
    rows = tx.connection.execute(query).all()
    if rows:
        tx.connection.execute(
            update(inquiry)
            .where(
                inquiry.c.provider == bindparam("of_provider"),
                inquiry.c.provider_message_id == bindparam("of_id"),
            )
            .values(due_at=given.until),
            [{"of_provider": row.provider, "of_id": row.provider_message_id} for row in rows],
        )
    first = select(func.min(inquiry.c.due_at)).where(inquiry.c.due_at.is_not(None), of_providers)
    next_at = tx.connection.execute(first).scalar()
    return Taken(
        tuple(
            Inquiry(
                row.provider,
                row.provider_message_id,
                moment_from_micros(row.since),
                moment_from_micros(row.due_at),
                bool(row.unknown),
                row.asked,
            )
            for row in rows
        ),
        None if next_at is None else moment_from_micros(next_at),
    )


def _name(one: Answer) -> tuple[str, str]:
    return one.inquiry.provider, one.inquiry.provider_message_id


def _sealed(connection: Connection, answers: Sequence[Answer]) -> set[tuple[str, str]]:
    """Of which inquiries the fate of every letter is known."""
    names = {_name(one) for one in answers}
    if not names:
        return set()
    query = select(
        recipient.c.provider,
        recipient.c.provider_message_id,
        recipient.c.message_id,
        recipient.c.key,
    ).where(recipient.c.provider_message_id.in_(sorted(name[1] for name in names)), HAS_PROVIDER_ID)
    rows = connection.execute(query).all()
    known = known_events(connection, {row.message_id for row in rows})
    open_ones = {
        (row.provider, row.provider_message_id)
        for row in rows
        if not standing(
            told.event.event_type for _, told in known.get((row.message_id, row.key), ())
        ).is_sealed
    }
    return names - open_ones


def _forget(tx: Transaction, moment: int) -> int:
    gone = tx.connection.execute(delete(inquiry).where(inquiry.c.since < moment)).rowcount
    gone += tx.connection.execute(
        delete(stray_event).where(stray_event.c.told_at < moment)
    ).rowcount
    newest = select(stray_event.c.id).order_by(stray_event.c.id.desc()).offset(MOST_STRAYS).limit(1)
    last = tx.connection.execute(newest).scalar()
    if last is not None:
        gone += tx.connection.execute(delete(stray_event).where(stray_event.c.id <= last)).rowcount
    return gone


def _forget_recipient(tx: Transaction, forms: frozenset[str]) -> int:
    forgotten = 0
    for table, names in NAMING.items():
        columns = [table.c[name] for name in names]
        naming = (c.icontains(form, autoescape=True) for c in columns for form in sorted(forms))
        forgotten += tx.connection.execute(delete(table).where(or_(*naming))).rowcount
    return forgotten
