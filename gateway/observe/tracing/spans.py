"""
Spans from events: what happened to a letter, as parts of its trace.

Pure. The reception of a letter is the span that all others are children of: its id was drawn at
admission and lies in the spool. No address is told: traces are read by more people than mail is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

from gateway.domain.events import (
    AttemptCutShort,
    AttemptEnded,
    AttemptLost,
    LetterCorrupt,
    LetterEvent,
    LetterReceived,
    LetterRepeated,
    LetterTracked,
    RecipientFailed,
    RecipientSuppressed,
    SenderTold,
)
from gateway.domain.notification import Result
from gateway.domain.trace_context import TraceContext
from providers.contract.outcome import Kind
from providers.contract.tracking import EventType

Value = str | int | bool

_BAD_NEWS = frozenset(
    {EventType.BOUNCED, EventType.COMPLAINED, EventType.FAILED, EventType.REJECTED}
)


class SpanKind(IntEnum):
    """As OTLP numbers them."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    CONSUMER = 5


@dataclass(frozen=True, slots=True)
class Span:
    """
    Something that took its time.

    Attributes:
        name: One of a few words, so that spans can be counted by it.
        context: Its own place in the trace.
        parent_id: Of the span that it is a part of; empty where it is the first.
        started_at: Aware.
        ended_at: Aware; the same, where only a moment is known.
        kind: Which side of a call it is.
        attributes: What is known of it; queue id and Message-ID among them.
        trouble: What went wrong, as a status code or a word; empty where nothing did.
    """

    name: str
    context: TraceContext
    parent_id: str
    started_at: datetime
    ended_at: datetime
    kind: SpanKind = SpanKind.INTERNAL
    attributes: Mapping[str, Value] = field(default_factory=dict)
    trouble: str = ""


def spans_from(
    event: LetterEvent, trace: TraceContext, new_id: Callable[[], str]
) -> tuple[Span, ...]:
    """
    The spans that an event completes.

    Args:
        event: What happened to a letter.
        trace: The letter's: its reception is the parent.
        new_id: Draws span ids, 16 hexadecimal digits.
    """
    if isinstance(event, LetterReceived):
        return _reception(event, trace, new_id)
    span = _attempt(event, trace, new_id) if isinstance(event, AttemptEnded) else None
    return (span or _moment(event, trace, new_id),)


def _reception(
    event: LetterReceived, trace: TraceContext, new_id: Callable[[], str]
) -> tuple[Span, ...]:
    stored_at = event.stored_at or event.at
    reception = Span(
        "receive",
        trace,
        "" if event.parent is None else event.parent.span_id,
        event.at,
        stored_at,
        SpanKind.SERVER,
        {
            **_names(event),
            "mailquay.listener": event.listener,
            "mailquay.recipients": event.recipients,
            "mailquay.size": event.size,
        },
    )
    if event.admitted_at is None:
        return (reception,)
    commit = Span(
        *("commit", _child(trace, new_id), trace.span_id, event.admitted_at, stored_at),
        attributes=_names(event),
    )
    return reception, commit


def _attempt(event: AttemptEnded, trace: TraceContext, new_id: Callable[[], str]) -> Span:
    outcome = event.outcome
    attributes: dict[str, Value] = {
        **_names(event),
        "mailquay.provider": event.provider,
        "mailquay.attempt": event.attempt,
        "mailquay.outcome": outcome.kind.value,
        "mailquay.scope": outcome.scope.value,
        "mailquay.status": outcome.status,
        "mailquay.state": event.state.value,
    }
    if outcome.provider_message_id:
        attributes["mailquay.provider_message_id"] = outcome.provider_message_id
    return Span(
        *("attempt", _child(trace, new_id), trace.span_id, event.started_at, event.ended_at),
        kind=SpanKind.CLIENT,
        attributes=attributes,
        trouble="" if outcome.kind is Kind.ACCEPTED else f"{outcome.kind} {outcome.status}".strip(),
    )


def _moment(event: LetterEvent, trace: TraceContext, new_id: Callable[[], str]) -> Span:
    """What has no length, or none that is known."""
    name, about, trouble = _told(event)
    at = event.ended_at if isinstance(event, AttemptEnded) else event.at
    parent_id = trace.span_id
    if isinstance(event, LetterRepeated):
        # The copy was not received: there is no span of ours above it.
        parent_id = "" if event.parent is None else event.parent.span_id
    is_told = isinstance(event, LetterTracked)
    return Span(
        *(name, _child(trace, new_id), parent_id, at, at),
        kind=SpanKind.CONSUMER if is_told else SpanKind.INTERNAL,
        attributes={**_names(event), **about},
        trouble=trouble,
    )


def _told(event: LetterEvent) -> tuple[str, dict[str, Value], str]:
    """Name, attributes and trouble of a moment."""
    match event:
        case LetterTracked():
            word = event.event.event_type
            told: dict[str, Value] = {
                "mailquay.provider": event.provider,
                "mailquay.event": word.value,
                "mailquay.happened_at": event.event.timestamp.isoformat(),
                "mailquay.provider_message_id": event.event.provider_message_id,
            }
            return "tracked", told, word.value if word in _BAD_NEWS else ""
        case LetterRepeated():
            return "repeated", {"mailquay.recipients": event.recipients}, ""
        case AttemptCutShort() | AttemptLost():
            lost: dict[str, Value] = {"mailquay.provider": event.provider}
            return "attempt_lost", lost, "its answer was not recorded"
        case RecipientFailed():
            return "failed", {"mailquay.provider": event.provider}, event.status
        case RecipientSuppressed():
            return "suppressed", {"mailquay.reason": event.reason.value}, event.reason.value
        case SenderTold():
            report: dict[str, Value] = {
                "mailquay.action": event.action.value,
                "mailquay.result": event.result.value,
                "mailquay.report_id": event.report_id,
            }
            return "report", report, "" if event.result is Result.QUEUED else event.result.value
        case LetterCorrupt():
            return "corrupt", {}, event.reason
        case _:
            raise ValueError(f"{type(event).__name__} is more than a moment")


def _names(event: LetterEvent) -> dict[str, Value]:
    return {"mailquay.queue_id": event.queue_id, "mailquay.message_id": event.message_id}


def _child(trace: TraceContext, new_id: Callable[[], str]) -> TraceContext:
    return TraceContext(trace.trace_id, new_id(), trace.sampled)
