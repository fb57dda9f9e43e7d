"""
Letters for the spool, and what a deliverer says of them: whole from no arguments.

Sits on `builders`; every function takes the queue id or the letter that came before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from gateway.domain.duplicates import Mark
from gateway.domain.instructions import NO_INSTRUCTIONS, Instructions
from gateway.domain.lifecycle import State
from gateway.domain.trace_context import TraceContext
from gateway.domain.window import Priority
from gateway.spool.protocol import Spool
from gateway.spool.values import AttemptEnd, AttemptStart, Change, NewLetter, QueuedMessage
from providers.contract.envelope import Envelope
from providers.contract.outcome import DeliveryOutcome, Kind, Scope, accepted
from tests.support.builders import an_envelope

CONTENT = b"From: news@example.com\r\nSubject: Order 77\r\n\r\nThank you\r\n"

PUT_OFF = DeliveryOutcome(Kind.DEFERRED, Scope.RECIPIENT, "4.2.1", "450 try later")
REFUSED = DeliveryOutcome(Kind.REJECTED, Scope.RECIPIENT, "5.1.1", "550 no such user")


def a_letter(
    spool: Spool,
    now: datetime,
    *recipients: str,
    envelope: Envelope | None = None,
    content: bytes = CONTENT,
    providers: Sequence[str] | str = "main",
    leased: bool = False,
    queue_id: str = "",
    message_id: str = "<order-77@example.com>",
    client: str = "192.0.2.7",
    instructions: Instructions = NO_INSTRUCTIONS,
    due_at: Sequence[datetime] = (),
    mark: Mark | None = None,
    user: str = "",
    priority: Priority = Priority.NORMAL,
    trace: TraceContext | None = None,
) -> NewLetter:
    """A letter to admit; one provider's name is that of every recipient."""
    envelope = envelope or an_envelope(*recipients)
    names = (providers,) * len(envelope.recipients) if isinstance(providers, str) else providers
    return NewLetter(
        queue_id=queue_id or spool.new_queue_id(now),
        envelope=envelope,
        content=content,
        arrival=now,
        listener="app",
        client=client,
        message_id=message_id,
        providers=tuple(names),
        leased=leased,
        instructions=instructions,
        due_at=tuple(due_at),
        mark=mark,
        user=user,
        priority=priority,
        trace=trace,
    )


def a_start(
    queue_id: str,
    now: datetime,
    *,
    key: int = 0,
    attempt: int = 1,
    before: State = State.WAITING,
    provider: str = "main",
) -> AttemptStart:
    """An attempt about to be made."""
    return AttemptStart(queue_id, key, attempt, before, provider, now)


def starts_of(letter: QueuedMessage, now: datetime) -> list[AttemptStart]:
    """The next attempts for all recipients of a claimed letter."""
    return [
        a_start(
            letter.queue_id,
            now,
            key=queued.recipient.key,
            attempt=queued.attempts + 1,
            before=queued.state,
            provider=queued.provider,
        )
        for queued in letter.recipients
    ]


def a_change(
    queue_id: str,
    now: datetime,
    after: State = State.HANDED_OVER,
    *,
    key: int = 0,
    attempts: int = 1,
    before: State = State.SENDING,
    due_at: datetime | None = None,
    provider: str = "main",
    excluded: tuple[str, ...] = (),
    outcome: DeliveryOutcome | None = None,
    notes: tuple[str, ...] = (),
    warned: bool = False,
) -> Change:
    """What follows an attempt, or where `before` is another state, what follows without one."""
    if outcome is None:
        outcome = {State.HANDED_OVER: accepted("id-77"), State.FAILED: REFUSED}.get(after, PUT_OFF)
    tried = before is State.SENDING
    if after is State.WAITING and due_at is None:
        due_at = now + timedelta(seconds=30)
    return Change(
        queue_id,
        key,
        attempts,
        before,
        after,
        due_at,
        provider,
        excluded,
        status=outcome.status,
        diagnostic=outcome.diagnostic,
        provider_message_id=outcome.provider_message_id,
        ended=AttemptEnd(provider, now, now, outcome) if tried else None,
        notes=notes,
        warned=warned,
    )
