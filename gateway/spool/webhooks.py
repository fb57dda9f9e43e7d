"""
Calls to applications' webhooks as the spool keeps them: written with what they tell of.

A row says of which recipient, what, and for whom; what it looks like is put together when it is
called, so that no address is kept twice. A call that is given up stays as a dead letter until its
letter is forgotten, or it is replayed. Works, questions, and `SqlWebhooks`, which puts both behind
calls. Sits on `transaction` and `rows`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, delete, select, update

from gateway.domain.queue_id import queue_id_from_number
from gateway.domain.trace_context import TraceContext, letter_ids
from gateway.spool.rows import AnyRow, micros_from_moment, moment_from_micros, trace_from_text
from gateway.spool.schema import message, recipient, tracking_event, webhook_call
from gateway.spool.suppressions import Read, Submit
from gateway.spool.transaction import Transaction


@dataclass(frozen=True, slots=True)
class WebhookCall:
    """
    A call that is to be made.

    Attributes:
        number: Of the call; the same however often it is made.
        endpoint: Whose webhook.
        event: What happened: a settled state, or a word of `EventType`.
        at: When it was recorded.
        attempts: Made so far.
        said: What was answered the last time.
        queue_id: Of the letter; `data` holds the rest that the application is told.
        trace: The trace that the letter belongs to.
    """

    number: int
    endpoint: str
    event: str
    at: datetime
    attempts: int
    said: str
    queue_id: str
    data: tuple[tuple[str, str], ...] = ()
    trace: TraceContext | None = None

    @property
    def ids(self) -> dict[str, str]:
        """What log lines name its letter by."""
        return letter_ids(self.queue_id, dict(self.data).get("message_id", ""), self.trace)


class _Claim(NamedTuple):
    endpoints: Collection[str]
    now: int
    until: int
    limit: int


class _Outcome(NamedTuple):
    number: int
    due_at: int | None
    said: str


class SqlWebhooks:
    """
    The calls of a spool.

    Every method raises `SpoolError` where the spool cannot be had; then nothing was changed.
    """

    def __init__(self, submit: Submit, read: Read) -> None:
        self._submit = submit
        self._read = read

    async def due(
        self, endpoints: Collection[str], now: datetime, until: datetime, limit: int
    ) -> list[WebhookCall]:
        """Calls that are due; nobody else gets them before `until`, and then they are due again."""
        claim = _Claim(endpoints, micros_from_moment(now), micros_from_moment(until), limit)
        return await self._submit(_claim, claim)

    async def done(self, call: WebhookCall) -> None:
        """The application knows."""
        await self._submit(_forget, call.number)

    async def put_off(self, call: WebhookCall, due_at: datetime | None, said: str) -> None:
        """It does not: again then, or never by itself."""
        due = None if due_at is None else micros_from_moment(due_at)
        await self._submit(_put_off, _Outcome(call.number, due, said))

    async def page(
        self, limit: int, *, after: int = 0, dead: bool = False
    ) -> tuple[WebhookCall, ...]:
        """Calls past a number, the oldest first; only those that were given up where `dead`."""

        def ask(connection: Connection) -> tuple[WebhookCall, ...]:
            query = (
                select(webhook_call)
                .where(webhook_call.c.id > after)
                .order_by(webhook_call.c.id)
                .limit(limit)
            )
            if dead:
                query = query.where(webhook_call.c.due_at.is_(None))
            return tuple(_call(row) for row in connection.execute(query))

        found: tuple[WebhookCall, ...] = await self._read(ask)
        return found

    async def replay(self, now: datetime, endpoint: str = "", number: int = 0) -> int:
        """Make calls that were given up due again: of an endpoint, one, or all; how many."""
        return await self._submit(_replay, (micros_from_moment(now), endpoint, number))


def _claim(tx: Transaction, many: Sequence[_Claim]) -> Sequence[list[WebhookCall]]:
    return [_claim_some(tx, claim) for claim in many]


def _claim_some(tx: Transaction, claim: _Claim) -> list[WebhookCall]:
    query = (
        select(webhook_call)
        .where(webhook_call.c.due_at <= claim.now, webhook_call.c.endpoint.in_(claim.endpoints))
        .order_by(webhook_call.c.due_at)
        .limit(claim.limit)
        .with_for_update(skip_locked=True)
    )
    calls = []
    for row in tx.connection.execute(query).all():
        found = _data(tx, row)
        if found is None:  # its letter is forgotten
            tx.connection.execute(delete(webhook_call).where(webhook_call.c.id == row.id))
            continue
        tx.connection.execute(
            update(webhook_call).where(webhook_call.c.id == row.id).values(due_at=claim.until)
        )
        calls.append(_call(row, *found))
    return calls


def _forget(tx: Transaction, numbers: Sequence[int]) -> Sequence[None]:
    tx.connection.execute(delete(webhook_call).where(webhook_call.c.id.in_(numbers)))
    return [None] * len(numbers)


def _put_off(tx: Transaction, many: Sequence[_Outcome]) -> Sequence[None]:
    for number, due_at, said in many:
        tx.connection.execute(
            update(webhook_call)
            .where(webhook_call.c.id == number)
            .values(due_at=due_at, attempts=webhook_call.c.attempts + 1, said=said)
        )
    return [None] * len(many)


def _replay(tx: Transaction, many: Sequence[tuple[int, str, int]]) -> Sequence[int]:
    return [_replay_some(tx, *one) for one in many]


def _replay_some(tx: Transaction, now: int, endpoint: str, number: int) -> int:
    wanted = update(webhook_call).where(webhook_call.c.due_at.is_(None))
    if endpoint:
        wanted = wanted.where(webhook_call.c.endpoint == endpoint)
    if number:
        wanted = wanted.where(webhook_call.c.id == number)
    return tx.connection.execute(wanted.values(due_at=now, attempts=0)).rowcount


def _data(
    tx: Transaction, row: AnyRow
) -> tuple[tuple[tuple[str, str], ...], TraceContext | None] | None:
    """What the application is told of a recipient, in which trace; `None`: nothing is left."""
    told = ("forward_path", "provider", "status", "diagnostic", "provider_message_id")
    query = (
        select(
            *(recipient.c[name] for name in told),
            message.c.reverse_path,
            message.c.message_id.label("message_id_field"),
            message.c.traceparent,
        )
        .join(message, message.c.id == recipient.c.message_id)
        .where(recipient.c.message_id == row.message_id, recipient.c.key == row.key)
    )
    found = tx.connection.execute(query).first()
    if found is None:
        return None
    data = {
        "recipient": found.forward_path,
        "sender": found.reverse_path or "",
        "message_id": found.message_id_field,
        "provider": found.provider,
        "provider_message_id": found.provider_message_id,
        "status": found.status,
        "diagnostic": found.diagnostic,
    }
    if row.tracking_event:
        names = ("at", "recipient", "reason", "mta_response", "click_url")
        columns = (tracking_event.c[name] for name in names)
        event = tx.connection.execute(
            select(*columns).where(tracking_event.c.id == row.tracking_event)
        ).first()
        if event is None:
            return None
        data |= {
            "recipient": event.recipient or found.forward_path,
            "happened_at": moment_from_micros(event.at).isoformat(),
            "reason": event.reason,
            "mta_response": event.mta_response,
            "click_url": event.click_url,
        }
    return tuple(data.items()), trace_from_text(found.traceparent)


def _call(
    row: AnyRow, data: tuple[tuple[str, str], ...] = (), trace: TraceContext | None = None
) -> WebhookCall:
    return WebhookCall(
        row.id,
        row.endpoint,
        row.event,
        moment_from_micros(row.at),
        row.attempts,
        row.said,
        queue_id_from_number(row.message_id),
        data,
        trace,
    )
