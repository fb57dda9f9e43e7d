"""
Everything that can happen, as frozen values: one stream for log, metrics and tests.

What happens to a letter names it: by its queue id, the value of its Message-ID field and the trace
that it belongs to, if any.

Emitting is calling `Emit` with one of them; readers must not raise and must not wait.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gateway.domain.health import CircuitState
from gateway.domain.lifecycle import State
from gateway.domain.notification import Action, Result
from gateway.domain.repair import Repair
from gateway.domain.suppression import SuppressionReason
from gateway.domain.trace_context import TraceContext
from gateway.domain.tracking import Source
from providers.contract.capabilities import Shortfall
from providers.contract.outcome import DeliveryOutcome
from providers.contract.tracking import TrackingEvent


@dataclass(frozen=True, slots=True)
class LetterReceived:
    """
    A letter is on disk and the client is told so.

    `at` is its arrival; `reverse_path` is empty for the null one; `repairs` is what the client
    needed. `parent` is what the application named as its trace, of which `trace` goes on;
    `admitted_at` and `stored_at` enclose the commit.
    """

    at: datetime
    queue_id: str
    listener: str
    client: str
    reverse_path: str
    recipients: int
    size: int
    message_id: str
    repairs: tuple[Repair, ...] = ()
    trace: TraceContext | None = None
    parent: TraceContext | None = None
    admitted_at: datetime | None = None
    stored_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LetterRepeated:
    """
    A letter came again, and recipients that have it are not sent it again.

    `queue_id` is that of the first; `recipients` counts those that had it. `trace` and `parent` are
    those of the copy.
    """

    at: datetime
    queue_id: str
    listener: str
    client: str
    recipients: int
    message_id: str
    trace: TraceContext | None = None
    parent: TraceContext | None = None


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """
    An attempt for one recipient is over and what follows is recorded.

    Moments are absolute, differences are taken where they are shown: `arrival` at the front door or
    the later moment that the client named, `claimed_at` when it entered the active window,
    `started_at` and `ended_at` of the attempt. `state` and `due_at` tell what follows; `expired`
    that it failed by age.
    """

    queue_id: str
    forward_path: str
    provider: str
    attempt: int
    arrival: datetime
    claimed_at: datetime
    started_at: datetime
    ended_at: datetime
    outcome: DeliveryOutcome
    state: State
    due_at: datetime | None
    expired: bool
    losses: tuple[Shortfall, ...]
    message_id: str = ""
    trace: TraceContext | None = None


@dataclass(frozen=True, slots=True)
class RecipientFailed:
    """A recipient failed without an attempt: too old, or nobody can carry it any more."""

    at: datetime
    queue_id: str
    forward_path: str
    provider: str
    arrival: datetime
    status: str
    reason: str
    message_id: str = ""
    trace: TraceContext | None = None


@dataclass(frozen=True, slots=True)
class RecipientSuppressed:
    """Nothing was sent to a recipient: its address is on the suppression list."""

    at: datetime
    queue_id: str
    forward_path: str
    provider: str
    reason: SuppressionReason
    message_id: str = ""
    trace: TraceContext | None = None


@dataclass(frozen=True, slots=True)
class AttemptLost:
    """
    An attempt's end could not be recorded as ours: the lease had lapsed.

    Whoever has the recipient now decides; the outcome is told here, so that nothing is silent.
    """

    at: datetime
    queue_id: str
    recipient_key: int
    provider: str
    outcome: DeliveryOutcome
    message_id: str = ""
    trace: TraceContext | None = None


@dataclass(frozen=True, slots=True)
class AttemptCutShort:
    """An attempt was found that nobody ended; its recipient is uncertain now."""

    at: datetime
    queue_id: str
    forward_path: str
    provider: str
    attempt: int
    message_id: str = ""
    trace: TraceContext | None = None


@dataclass(frozen=True, slots=True)
class BatchEnded:
    """A call to a provider that takes several letters is over; how many recipients it had."""

    at: datetime
    provider: str
    recipients: int


@dataclass(frozen=True, slots=True)
class SenderTold:
    """
    The sender of a letter was told what became of recipients, or was not and why.

    `reverse_path` is empty for the null one; `action` is the gravest of those told. `report_id` is
    the queue id of the report, and `provider` who carries it; both are empty without one.
    """

    at: datetime
    queue_id: str
    reverse_path: str
    action: Action
    result: Result
    recipients: int
    report_id: str
    provider: str
    message_id: str = ""
    trace: TraceContext | None = None


@dataclass(frozen=True, slots=True)
class LetterCorrupt:
    """A stored letter cannot be read; its recipients are held."""

    at: datetime
    queue_id: str
    reason: str
    message_id: str = ""
    trace: TraceContext | None = None


@dataclass(frozen=True, slots=True)
class CircuitChanged:
    """A provider is given letters again, none, or a few; `reason` is empty when all is well."""

    at: datetime
    provider: str
    state: CircuitState
    reason: str


class WebhookResult(StrEnum):
    """What became of a call to a webhook of ours."""

    ACCEPTED = "accepted"  # stored, and answered with 2xx
    FORGED = "forged"  # no such account, or not its secret
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    MALFORMED = "malformed"
    UNAVAILABLE = "unavailable"  # our trouble: the caller is asked to come again


@dataclass(frozen=True, slots=True)
class LetterTracked:
    """
    A provider told something new of what became of a letter, and it is stored.

    Emitted once for each thing that happened, however often it is told.

    Attributes:
        at: When it was stored; when it happened says `event.timestamp`.
        queue_id: Of the letter, with the recipient's key.
        forward_path: Of the recipient. `event.recipient` may be another: who is on a list.
        reverse_path: Empty for the null one.
        message_id: Value of the letter's Message-ID field.
        provider: Who carried it.
        told_by: The account that told, the same as `provider` but for a smarthost's letters.
        source: How it was told.
        event: What happened.
        accepted_at: When the provider took it; `None` where that was never told.
        number: Of the event in the spool, increasing: `SqlSpool.tracking.after` goes on from it.
    """

    at: datetime
    queue_id: str
    recipient_key: int
    forward_path: str
    reverse_path: str
    message_id: str
    provider: str
    told_by: str
    source: Source
    event: TrackingEvent
    accepted_at: datetime | None
    number: int
    trace: TraceContext | None = None


@dataclass(frozen=True, slots=True)
class WebhookCalled:
    """Somebody called a webhook of ours; `provider` is empty where no account has that name."""

    at: datetime
    provider: str
    result: WebhookResult
    events: int = 0


@dataclass(frozen=True, slots=True)
class StatusAsked:
    """A provider was asked what became of letters: of how many ids, and of how many it told."""

    at: datetime
    provider: str
    asked: int
    answered: int


@dataclass(frozen=True, slots=True)
class WebhookRegistered:
    """It was looked whether a provider calls us; `reason` says why not, and is empty else."""

    at: datetime
    provider: str
    reason: str = ""


LetterEvent = (
    LetterReceived
    | LetterRepeated
    | AttemptEnded
    | RecipientFailed
    | RecipientSuppressed
    | AttemptLost
    | AttemptCutShort
    | SenderTold
    | LetterCorrupt
    | LetterTracked
)
"""What happens to one letter."""

Event = LetterEvent | BatchEnded | CircuitChanged | WebhookCalled | StatusAsked | WebhookRegistered
Emit = Callable[[Event], None]
