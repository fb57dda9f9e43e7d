"""
One of every event that can happen to a letter, in a trace.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

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
from gateway.domain.lifecycle import State
from gateway.domain.notification import Action, Result
from gateway.domain.suppression import SuppressionReason
from gateway.domain.trace_context import TraceContext
from gateway.domain.tracking import Source
from providers.contract.outcome import accepted
from providers.contract.tracking import EventType, TrackingEvent

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TRACE = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True)
PARENT = TraceContext(TRACE.trace_id, "b9c7c989f97918e1", sampled=True)

_NAMED: dict[str, Any] = {"message_id": "<m>", "trace": TRACE}

OF_A_LETTER: tuple[LetterEvent, ...] = (
    LetterReceived(
        *(NOW, "Q", "app", "127.0.0.1", "a@example.com", 2, 50, "<m>"),
        trace=TRACE,
        parent=PARENT,
        admitted_at=NOW + timedelta(seconds=1),
        stored_at=NOW + timedelta(seconds=2),
    ),
    LetterRepeated(NOW, "Q", "app", "127.0.0.1", 1, "<m>", trace=TRACE, parent=PARENT),
    AttemptEnded(
        queue_id="Q",
        forward_path="b@example.org",
        provider="main",
        attempt=2,
        arrival=NOW,
        claimed_at=NOW,
        started_at=NOW + timedelta(seconds=3),
        ended_at=NOW + timedelta(seconds=5),
        outcome=accepted("42"),
        state=State.HANDED_OVER,
        due_at=None,
        expired=False,
        losses=(),
        **_NAMED,
    ),
    RecipientFailed(NOW, "Q", "b@example.org", "main", NOW, "5.4.7", "old", **_NAMED),
    RecipientSuppressed(NOW, "Q", "b@example.org", "main", SuppressionReason.COMPLAINED, **_NAMED),
    AttemptLost(NOW, "Q", 0, "main", accepted(), **_NAMED),
    AttemptCutShort(NOW, "Q", "b@example.org", "main", 1, **_NAMED),
    SenderTold(NOW, "Q", "a@example.com", Action.FAILED, Result.QUEUED, 1, "R", "main", **_NAMED),
    LetterCorrupt(NOW, "Q", "its content is gone", **_NAMED),
    LetterTracked(
        at=NOW,
        queue_id="Q",
        recipient_key=0,
        forward_path="b@example.org",
        reverse_path="a@example.com",
        message_id="<m>",
        provider="main",
        told_by="main",
        source=Source.WEBHOOK,
        event=TrackingEvent(EventType.BOUNCED, "42", NOW),
        accepted_at=NOW,
        number=1,
        trace=TRACE,
    ),
)
