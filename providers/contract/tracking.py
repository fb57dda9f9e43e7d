"""
The normalised words for what became of a letter after the provider accepted it.

The names are Anymail's. Provider spellings live in the mapping table of each adapter; a word that
no table knows becomes `unknown`, and the raw text travels along.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class EventType(StrEnum):
    """What happened to a letter, as a provider tells it."""

    QUEUED = "queued"  # the provider will try later
    SENT = "sent"  # on its way to the recipient's server
    REJECTED = "rejected"  # the provider will not send it
    FAILED = "failed"  # trouble at the provider
    BOUNCED = "bounced"  # refused by the recipient's server for good
    DEFERRED = "deferred"  # refused for now, or a soft bounce
    DELIVERED = "delivered"
    AUTORESPONDED = "autoresponded"
    OPENED = "opened"
    CLICKED = "clicked"
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"
    SUBSCRIBED = "subscribed"
    UNKNOWN = "unknown"


class RejectReason(StrEnum):
    """Why a letter was rejected or bounced."""

    INVALID = "invalid"
    BOUNCED = "bounced"
    TIMED_OUT = "timed_out"
    BLOCKED = "blocked"
    SPAM = "spam"
    UNSUBSCRIBED = "unsubscribed"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class TrackingEvent:
    """
    One thing a provider told about one recipient's letter.

    `recipient` is `None` where the provider names only its id; `raw` keeps its own words.
    """

    event_type: EventType
    provider_message_id: str
    timestamp: datetime
    recipient: str | None = None
    reject_reason: RejectReason | None = None
    mta_response: str = ""
    raw: str = ""

    def __post_init__(self) -> None:
        if self.timestamp.tzinfo is None:
            raise ValueError("a tracking event's timestamp knows its zone")
