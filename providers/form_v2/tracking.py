"""
What became of letters after the service took them, as tracking events. Pure.

The service calls nobody: it is asked, by the batch's uuid (C.6) or by the mailing's id (C.4). A
single letter has no status anywhere (D 28), so its id is none that can be asked about. The service
tells no moments; an event bears the one of asking.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from providers.contract.tracking import EventType, LetterStatus, RejectReason, TrackingEvent
from providers.form_v2.wire.forms import Form, build_bulk_status, build_delivery_list, folded
from providers.form_v2.wire.values import Mailing, RecipientStatus
from providers.form_v2.wire.words import event_type_from

# Ids of mailings and of single letters are both numbers, so those of mailings are marked.
_MAILING = "mailing-"
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", re.IGNORECASE)

NO_STATUS = LetterStatus((), final=True)
"""Of a letter that nobody can be asked about."""

_ON_THE_WAY = frozenset({EventType.QUEUED, EventType.SENT, EventType.UNKNOWN})


def status_from(events: Sequence[TrackingEvent]) -> LetterStatus:
    """
    The answer about a batch or list letter.

    It is final when the fate of everybody named is sealed. Who is not named yet (D 32) nobody
    knows here: that is for the caller to compare.
    """
    sealed = all(event.event_type not in _ON_THE_WAY for event in events)
    return LetterStatus(tuple(events), final=bool(events) and sealed)


def mailing_id(message_id: str) -> str:
    """The provider_message_id of a list letter; empty where the service named no mailing."""
    return f"{_MAILING}{message_id}" if message_id else ""


def question_from(provider_message_id: str) -> Form | None:
    """The call that asks about letters of this id; `None` where nothing can be asked."""
    if provider_message_id.startswith(_MAILING):
        return build_delivery_list(provider_message_id.removeprefix(_MAILING))
    if _UUID.match(provider_message_id):
        return build_bulk_status(provider_message_id)
    return None


def events_from_mailings(
    mailings: Iterable[Mailing], provider_message_id: str, now: datetime
) -> tuple[TrackingEvent, ...]:
    """The event of every recipient that the mailings of a batch name."""
    return tuple(_of_mailings(mailings, provider_message_id, now))


def events_from_list(
    recipients: Iterable[RecipientStatus], provider_message_id: str, now: datetime
) -> tuple[TrackingEvent, ...]:
    """The event of every recipient of a list letter."""
    return tuple(_event(entry, provider_message_id, now) for entry in recipients)


def _of_mailings(
    mailings: Iterable[Mailing], provider_message_id: str, now: datetime
) -> Iterator[TrackingEvent]:
    for mailing in mailings:
        for entry in mailing.success:
            yield _event(entry, provider_message_id, now)
        for refused in mailing.errors:
            yield TrackingEvent(
                EventType.REJECTED,
                provider_message_id,
                now,
                recipient=folded(refused.email),
                reject_reason=RejectReason.OTHER,
                mta_response=refused.error,
            )


def _event(entry: RecipientStatus, provider_message_id: str, now: datetime) -> TrackingEvent:
    kind = event_type_from(entry.status)
    return TrackingEvent(
        kind,
        provider_message_id,
        now,
        recipient=folded(entry.email),
        reject_reason=RejectReason.BOUNCED if kind is EventType.BOUNCED else None,
        mta_response=entry.error,
        raw=entry.status,
    )
