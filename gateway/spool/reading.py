"""
Questions to the spool that change nothing; run on a reader's connection, in one snapshot each.

Sits on `rows` and `schema`. Lists walk tables; what a letter's way depends on (a content, the
counts) goes by a key or by the index of the active part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    case,
    exists,
    false,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)

from gateway.domain.lifecycle import SETTLED, State
from gateway.domain.queue_id import first_number_at, number_from_queue_id, queue_id_from_number
from gateway.domain.tracking import Told, standing
from gateway.errors import UnknownQueueId
from gateway.spool.pausing import read_pauses
from gateway.spool.rows import (
    AnyRow,
    listed_from_row,
    micros_from_moment,
    moment_from_micros,
    number_of,
    state_from_text,
    story_line_from_attempt,
    trace_from_text,
)
from gateway.spool.schema import (
    ACCEPTED,
    HAS_PROVIDER_ID,
    UNSETTLED,
    attempt,
    content,
    message,
    note,
    recipient,
    tally,
)
from gateway.spool.told_events import known_events
from gateway.spool.values import AGE_STEPS_S, Filter, Listed, SpoolStats, Story, StoryLine
from providers.contract.address import InvalidAddress, parse_address

AT_ONCE = 200
"""How many rows a command or a purge takes in one transaction: letters wait some 5 ms for it."""


@dataclass(frozen=True, slots=True)
class StoredContent:
    """A content as its row has it; `body` is `None` when it lies in a file."""

    body: bytes | None
    size: int


def read_content(connection: Connection, number: int) -> StoredContent:
    """
    Where a letter's content is.

    Raises:
        UnknownQueueId: There is no such letter, or its content is gone.
    """
    query = (
        select(content.c.body, message.c.size)
        .join(message, message.c.id == content.c.message_id)
        .where(content.c.message_id == number)
    )
    row = connection.execute(query).first()
    if row is None:
        raise UnknownQueueId(f"there is no content of {queue_id_from_number(number)}")
    return StoredContent(row.body, row.size)


def with_content(connection: Connection, numbers: Sequence[int]) -> Sequence[int]:
    """Those of these letters that have a content."""
    query = select(content.c.message_id).where(content.c.message_id.in_(numbers))
    return connection.execute(query).scalars().all()


def read_list(
    connection: Connection, wanted: Filter, limit: int, after: tuple[int, int] | None = None
) -> tuple[Listed, ...]:
    """Recipients, the oldest letter first; those past a letter's number and a key."""
    query = _listed().where(*conditions(wanted)).order_by(recipient.c.message_id, recipient.c.key)
    if after is not None:
        query = query.where(tuple_(recipient.c.message_id, recipient.c.key) > tuple_(*after))
    return tuple(map(listed_from_row, connection.execute(query.limit(limit))))


def matching_after(
    connection: Connection,
    wanted: Filter,
    states: frozenset[State],
    after: tuple[int, int],
) -> list[tuple[int, int]]:
    """Keys, past `after`, of the next recipients that a command on these states speaks of."""
    named = states & wanted.states if wanted.states else states
    query = (
        select(recipient.c.message_id, recipient.c.key)
        .join(message, message.c.id == recipient.c.message_id)
        .where(
            *conditions(replace(wanted, states=named)),
            recipient.c.state.in_([state.value for state in named]),
            tuple_(recipient.c.message_id, recipient.c.key) > tuple_(*after),
        )
        .order_by(recipient.c.message_id, recipient.c.key)
        .limit(AT_ONCE)
    )
    return [(row.message_id, row.key) for row in connection.execute(query)]


def purgeable_after(connection: Connection, arrived_before: datetime, after: int) -> Sequence[int]:
    """The next letters, past `after`, that are settled and arrived before."""
    query = (
        select(message.c.id)
        .where(
            message.c.id > after,
            message.c.id < first_number_at(arrived_before),
            ~exists().where(recipient.c.message_id == message.c.id, UNSETTLED),
        )
        .order_by(message.c.id)
        .limit(AT_ONCE)
    )
    return connection.execute(query).scalars().all()


def find_letters(
    connection: Connection, text: str, limit: int, before: str = ""
) -> tuple[str, ...]:
    """
    Queue ids of letters that a text names, the newest first; those before a queue id, if given.

    What is kept under a key is asked first; only when that finds nothing are Message-IDs and
    addresses walked through.
    """
    end = number_from_queue_id(before)
    text = text.strip()
    bare = text.removeprefix("<").removesuffix(">")
    by_provider = recipient.c.provider_message_id.in_({text, bare})
    kept_under_a_key = [select(recipient.c.message_id).where(by_provider, HAS_PROVIDER_ID)]
    number = number_from_queue_id(text)
    if number is not None:
        kept_under_a_key.append(select(message.c.id).where(message.c.id == number))
    walks = []
    if "@" in bare:
        forms = written_forms(bare)
        walks = [
            [select(message.c.id).where(message.c.message_id.in_({text, f"<{bare}>"}))],
            [
                select(recipient.c.message_id).where(folded(recipient.c.forward_path).in_(forms)),
                select(message.c.id).where(folded(message.c.reverse_path).in_(forms)),
            ],
        ]
    for queries in (kept_under_a_key, *walks):
        found = _newest(connection, queries, limit, end)
        # Where all of one kind were seen, those of another kind do not follow them.
        if found or (end is not None and _newest(connection, queries, 1)):
            return tuple(queue_id_from_number(number) for number in found)
    return ()


def find_uncertain(
    connection: Connection, *, provider: str, forward_path: str, since: datetime, until: datetime
) -> tuple[Listed, ...]:
    """Uncertain recipients of a provider whose attempt began between two moments."""
    query = (
        _listed()
        .where(
            recipient.c.provider == provider,
            UNSETTLED,
            recipient.c.state == State.UNCERTAIN.value,
            recipient.c.started_at.between(micros_from_moment(since), micros_from_moment(until)),
            folded(recipient.c.forward_path).in_(written_forms(forward_path)),
        )
        .order_by(recipient.c.started_at, recipient.c.message_id, recipient.c.key)
    )
    return tuple(map(listed_from_row, connection.execute(query)))


def read_story(connection: Connection, queue_id: str) -> Story:
    """
    All that is known of a letter.

    Raises:
        UnknownQueueId: There is no such letter.
    """
    number = number_of(queue_id)
    letter = connection.execute(select(message).where(message.c.id == number)).first()
    if letter is None:
        raise UnknownQueueId(f"there is no letter {queue_id_from_number(number)}")
    kept = connection.execute(
        select(content.c.message_id).where(content.c.message_id == number)
    ).first()
    by_key = _listed().where(recipient.c.message_id == number).order_by(recipient.c.key)
    rows = connection.execute(by_key.add_columns(recipient.c.started_at)).all()
    arrival = moment_from_micros(letter.arrival)
    lines = [StoryLine(arrival, None, "received", text=letter.client)]
    lines += _attempts(connection, number)
    lines += [line for row in rows if (line := _attempt_under_way(row)) is not None]
    lines += _notes(connection, number)
    tracked = known_events(connection, (number,))
    lines += _happenings(tracked)
    lines.sort(key=lambda line: line.at)
    return Story(
        queue_id=queue_id_from_number(number),
        arrival=arrival,
        listener=letter.listener,
        client=letter.client,
        reverse_path=letter.reverse_path or "",
        message_id=letter.message_id,
        size=letter.size,
        content_kept=kept is not None,
        recipients=tuple(_tracked(listed_from_row(row), tracked, number) for row in rows),
        lines=_with_delays(lines, arrival),
        trace=trace_from_text(letter.traceparent),
    )


def read_stats(connection: Connection, now: datetime, octets: int) -> SpoolStats:
    """Counts: the tally, and one pass over the active part by its index."""
    tallied = select(tally.c.name, func.sum(tally.c.n)).group_by(tally.c.name)
    sums = {name: int(number) for name, number in connection.execute(tallied)}
    active: dict[tuple[str, State], int] = {}
    ages: dict[tuple[str, State], list[int]] = {}
    oldest: dict[str, int] = {}
    for row in connection.execute(_active(now)):
        key = (row.provider, state_from_text(row.state))
        active[key] = active.get(key, 0) + row.number
        ages.setdefault(key, [0] * (len(AGE_STEPS_S) + 1))[row.step] += row.number
        if row.oldest is not None:
            oldest[row.provider] = min(row.oldest, oldest.get(row.provider, row.oldest))
    return SpoolStats(
        accepted=sums.get(ACCEPTED, 0),
        settled={state: sums.get(state.value, 0) for state in SETTLED},
        active=active,
        oldest_due={provider: moment_from_micros(due) for provider, due in oldest.items()},
        ages={key: tuple(numbers) for key, numbers in ages.items()},
        octets=octets,
        pauses=read_pauses(connection),
    )


def conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    """
    A filter as conditions on `recipient` joined with `message`.

    A queue id that is none names no letter.
    """
    found: list[ColumnElement[bool]] = []
    if wanted.queue_id:
        number = number_from_queue_id(wanted.queue_id)
        found.append(false() if number is None else recipient.c.message_id == number)
    if wanted.provider:
        found.append(recipient.c.provider == wanted.provider)
    if wanted.states:
        found.append(recipient.c.state.in_([state.value for state in wanted.states]))
    if not wanted.states & SETTLED:
        found.append(UNSETTLED)
    if wanted.address:
        found.append(
            or_(
                recipient.c.forward_path.icontains(wanted.address, autoescape=True),
                message.c.reverse_path.icontains(wanted.address, autoescape=True),
            )
        )
    if wanted.older_than is not None:
        found.append(message.c.arrival < micros_from_moment(wanted.older_than))
    return found


def _listed() -> Select[Any]:
    shown = ("key", "forward_path", "state", "provider", "attempts")
    told = ("status", "diagnostic", "provider_message_id")
    return select(
        recipient.c.message_id.label("number"),
        *(recipient.c[name] for name in (*shown, *told)),
        func.coalesce(recipient.c.was_due, recipient.c.due_at).label("due_at"),
        *(
            message.c[name]
            for name in ("arrival", "size", "reverse_path", "message_id", "traceparent")
        ),
    ).join(message, message.c.id == recipient.c.message_id)


def _active(now: datetime) -> Select[Any]:
    # The age is that of the queue id, which spares a look at each letter.
    steps = [
        (recipient.c.message_id >= first_number_at(now - timedelta(seconds=upper)), step)
        for step, upper in enumerate(AGE_STEPS_S)
    ]
    due = recipient.c.due_at <= micros_from_moment(now)  # a leased one only when its lease lapsed
    return (
        select(
            recipient.c.provider,
            recipient.c.state,
            case(*steps, else_=len(AGE_STEPS_S)).label("step"),
            func.count().label("number"),
            func.min(case((due, recipient.c.due_at))).label("oldest"),
        )
        .where(UNSETTLED)
        .group_by(recipient.c.provider, recipient.c.state, literal_column("step"))
    )


def _newest(
    connection: Connection, queries: Sequence[Select[Any]], limit: int, before: int | None = None
) -> list[int]:
    found: set[int] = set()
    for query in queries:
        column = query.selected_columns[0]
        earlier = query if before is None else query.where(column < before)
        newest = earlier.distinct().order_by(column.desc()).limit(limit)
        found.update(connection.execute(newest).scalars())
    return sorted(found, reverse=True)[:limit]


def _attempts(connection: Connection, number: int) -> list[StoryLine]:
    rows = connection.execute(select(attempt).where(attempt.c.message_id == number))
    return [story_line_from_attempt(row) for row in rows]


def _attempt_under_way(row: AnyRow) -> StoryLine | None:
    if row.state != "sending" or row.started_at is None:
        return None
    at = moment_from_micros(row.started_at)
    return StoryLine(at, row.key, "attempt", provider=row.provider, attempt=row.attempts)


def _with_delays(lines: Iterable[StoryLine], arrival: datetime) -> tuple[StoryLine, ...]:
    """The same lines, attempts with the time before them and in them."""
    told: list[StoryLine] = []
    since: dict[int | None, datetime] = {}
    for line in lines:
        if line.what != "attempt":
            told.append(line)
            continue
        queued = line.at - since.get(line.key, arrival)
        took = None if line.ended_at is None else (line.ended_at - line.at).total_seconds()
        told.append(replace(line, queued_s=max(0.0, queued.total_seconds()), took_s=took))
        since[line.key] = line.ended_at or line.at
    return tuple(told)


def _notes(connection: Connection, number: int) -> list[StoryLine]:
    query = select(note).where(note.c.message_id == number).order_by(note.c.id)
    return [
        StoryLine(moment_from_micros(row.at), row.key, "note", text=row.text)
        for row in connection.execute(query)
    ]


def _happenings(
    tracked: Mapping[tuple[int, int], Sequence[tuple[AnyRow, Told]]],
) -> list[StoryLine]:
    return [
        StoryLine(
            moment_from_micros(row.at),
            key,
            "event",
            provider=row.told_by,
            kind=row.event,
            text=_happening(row),
            provider_message_id=row.provider_message_id,
        )
        for (_, key), rows in tracked.items()
        for row, _ in rows
    ]


def _happening(row: AnyRow) -> str:
    """What goes with the word: for whom else, why, what the recipient's server said, which link."""
    return ": ".join(filter(None, (row.recipient, row.reason, row.mta_response, row.click_url)))


def _tracked(
    listed: Listed, tracked: Mapping[tuple[int, int], Sequence[tuple[AnyRow, Told]]], number: int
) -> Listed:
    told = tracked.get((number, listed.key), ())
    own = (one.event.event_type for row, one in told if not row.recipient)
    return replace(listed, tracked=str(standing(own)))


def folded(column: ColumnElement[str | None]) -> ColumnElement[str]:
    """A column in lower case, to be compared with `written_forms`."""
    return func.lower(column)


def written_forms(text: str) -> set[str]:
    """How an address may stand in the spool, which keeps it as received; in lower case."""
    forms = {text}
    try:
        address = parse_address(text)
        forms.add(address.addr_spec)
        domain = address.domain.encode("ascii").decode("idna")
        forms.add(f"{address.local_part}@{domain}")
    except (InvalidAddress, UnicodeError):
        pass  # then it is found only as it stands
    # SQLite folds the case of ASCII alone, PostgreSQL of every letter.
    return {form.lower() for form in forms} | {ascii_lower(form) for form in forms}


def ascii_lower(text: str) -> str:
    """Lower case as SQLite knows it."""
    return "".join(c.lower() if c.isascii() else c for c in text)
