"""
The normalised words for what became of a letter after the provider accepted it, and who tells them.

The names are Anymail's. Provider spellings live in the mapping table of each adapter; a word that
no table knows becomes `unknown`, and the raw text travels along. A provider tells by calling us
(`WebhookSource`), by being asked (`StatusSource`), or both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol, runtime_checkable

from providers.contract.errors import ProviderError


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

    `recipient` is `None` where the provider names only its id; `raw` keeps its own words, capped.
    `click_url` is the link that was followed.
    """

    event_type: EventType
    provider_message_id: str
    timestamp: datetime
    recipient: str | None = None
    reject_reason: RejectReason | None = None
    mta_response: str = ""
    raw: str = ""
    click_url: str = ""

    def __post_init__(self) -> None:
        if self.timestamp.tzinfo is None:
            raise ValueError("a tracking event's timestamp knows its zone")


class InvalidWebhook(ProviderError):
    """A call to our webhook that cannot be understood; the text says why, without its content."""


@dataclass(frozen=True, slots=True)
class LetterStatus:
    """
    What a provider answers when it is asked about one letter.

    `events` holds all that it tells, the oldest first as far as it says; it tells the same again
    when it is asked again. `final` means that the letter's own fate is sealed, and asking on would
    bring openings and clicks at most.
    """

    events: tuple[TrackingEvent, ...]
    final: bool


@dataclass(frozen=True, slots=True)
class LetterFound:
    """
    A letter that a provider has under an id of its own, to be compared with those of ours.

    `sender` is the address of its From field, `subject` decoded.
    """

    sender: str
    recipient: str
    subject: str
    status: LetterStatus


@runtime_checkable
class WebhookSource(Protocol):
    """A provider that calls us when something happens to a letter."""

    def events_from_webhook(
        self, headers: Mapping[str, str], body: bytes
    ) -> tuple[TrackingEvent, ...]:
        """
        Read one call.

        Args:
            headers: Of the call, names in lower case.
            body: Its octets, whole.

        Returns:
            At least one event. The same may come again, late, and in any order.

        Raises:
            InvalidWebhook: It cannot be understood.

        Who called is not known from this: the secret in the path is for the caller to check, and
        whether the letter is one of ours.
        """
        ...


@runtime_checkable
class StatusSource(Protocol):
    """A provider that can be asked what became of a letter."""

    async def statuses(
        self, provider_message_ids: Sequence[str], *, deadline: float
    ) -> Mapping[str, LetterStatus]:
        """
        Ask about letters.

        Args:
            provider_message_ids: As the outcomes of delivery named them.
            deadline: Monotonic seconds; what is known by then is returned.

        Returns:
            The answers by id. A letter that is missing has no news: ask again later. Never raises
            for trouble.

        On cancellation nothing is lost: asking changes nothing.
        """
        ...


@runtime_checkable
class LetterSource(Protocol):
    """A provider that can be asked which letter an id belongs to."""

    async def look_up(self, provider_message_id: str, *, deadline: float) -> LetterFound | None:
        """
        Ask for one letter.

        Args:
            provider_message_id: As the provider told it.
            deadline: Monotonic seconds.

        Returns:
            The letter; `None` where there is none or no answer. Never raises for trouble.
        """
        ...


@runtime_checkable
class WebhookRegistry(Protocol):
    """A provider whose API says where it calls."""

    async def register_webhook(self, url: str) -> str:
        """
        Have the provider call this URL and no other; changes nothing where it does already.

        Returns:
            Why it does not, one line without the URL; empty when it does. Never raises for
            trouble.
        """
        ...
