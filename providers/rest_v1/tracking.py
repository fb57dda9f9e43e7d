"""
What became of a v1 letter or import, in our own words: webhooks read, statuses read.

Pure. The platform's documents show one shape of a webhook and lose another; public clients expect
both, so both are read (provider reference, B.12), and whatever is near them. Words that no table
knows become `unknown`. Nothing here proves who called.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from providers.contract.tracking import (
    EventType,
    InvalidWebhook,
    LetterStatus,
    RejectReason,
    TrackingEvent,
)
from providers.http.verdict import id_from
from providers.rest_v1.api.campaigns import Campaign
from providers.rest_v1.api.imports import Import, import_from
from providers.rest_v1.api.messages import MessageInfo
from providers.rest_v1.api.record import Record

MAX_BODY_OCTETS = 1 << 20
MAX_EVENTS = 1000

_MAX_RAW = 2000  # characters
_MILLISECONDS = 100_000_000_000  # a timestamp above this is none in seconds before the year 5138
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_AHEAD = timedelta(days=1)  # clocks differ, and zones are forgotten

_Meaning = tuple[EventType, RejectReason | None]

_EVENTS: dict[str, _Meaning] = {
    "queued": (EventType.QUEUED, None),
    "sent": (EventType.SENT, None),
    "delivered": (EventType.DELIVERED, None),
    "opened": (EventType.OPENED, None),
    "clicked": (EventType.CLICKED, None),
    "unsubscribed": (EventType.UNSUBSCRIBED, None),
    "complined": (EventType.COMPLAINED, RejectReason.SPAM),  # misspelt by the platform
    "complained": (EventType.COMPLAINED, RejectReason.SPAM),
    # An earlier unsubscription or complaint; which, it does not say.
    "skipped": (EventType.REJECTED, RejectReason.OTHER),
    "soft_bounced": (EventType.DEFERRED, None),
    "hard_bounced": (EventType.BOUNCED, RejectReason.BOUNCED),
}
_FINAL = frozenset(("delivered", "skipped", "hard_bounced"))

_CAMPAIGN_STATES: dict[str, EventType] = {
    "draft": EventType.QUEUED,
    "pending": EventType.QUEUED,
    "delayed": EventType.QUEUED,
    "sending": EventType.SENT,
    "completed": EventType.SENT,
    "archived": EventType.SENT,
    "canceled": EventType.REJECTED,
    "stopped": EventType.FAILED,
}
_CAMPAIGN_OVER = frozenset(("completed", "archived", "canceled", "stopped"))


def parse_webhook(
    headers: Mapping[str, str], body: bytes, *, now: datetime
) -> tuple[TrackingEvent, ...]:
    """
    The events of one call.

    Args:
        headers: Names in lower case; only the content type is looked at.
        body: JSON of either style, one event or several, or a form of the flat style.
        now: For an event without a usable time.

    Raises:
        InvalidWebhook: Too large, of no known shape, or without any event that names a letter.
    """
    found = tuple(
        event
        for item in _items(_content(headers, body))
        if (event := _event(item, now)) is not None
    )
    if not found:
        raise InvalidWebhook("no event names a letter and what happened to it")
    if len(found) > MAX_EVENTS:
        raise InvalidWebhook("too many events in one call")
    return found


def parse_import_callback(headers: Mapping[str, str], body: bytes) -> Import:
    """
    What the platform tells at the end of an import (B.8).

    No document says what stands in it, so anything readable is taken: the id is empty where it
    names none, and the address that was called has to tell the import.

    Args:
        headers: Names in lower case; only the content type is looked at.
        body: JSON or a form.

    Raises:
        InvalidWebhook: Too large, or neither JSON nor a form.
    """
    content = _content(headers, body)
    within = content.get("import") if isinstance(content, dict) else None
    return import_from(Record(within if isinstance(within, dict) else content))


def status_from_message(
    message: MessageInfo, provider_message_id: str, now: datetime
) -> LetterStatus:
    """
    What a letter's own record tells; the time of all of it is the time of asking.

    Args:
        message: The record.
        provider_message_id: Under which we know the letter.
        now: When it was asked.
    """
    recipient = message.to or None

    def event(word: str, click_url: str = "") -> TrackingEvent:
        kind, reason = _meaning(word)
        return TrackingEvent(
            kind,
            provider_message_id,
            now,
            recipient,
            reason,
            raw=word[:_MAX_RAW],
            click_url=click_url,
        )

    events = [event(message.status)] if message.status else []
    counted = (
        (message.events.opened, "opened"),
        (message.events.unsubscribed, "unsubscribed"),
        (message.events.spam, "complined"),
    )
    events += [event(word) for count, word in counted if count > 0]
    events += [event("clicked", url) for url, count in message.events.redirect.items() if count > 0]
    return LetterStatus(tuple(events), message.status.lower() in _FINAL)


def status_from_campaign(
    campaign: Campaign, provider_message_id: str, now: datetime
) -> LetterStatus:
    """What a campaign tells of the letter to a list; of single recipients it tells nothing."""
    state = campaign.state.lower()
    kind = _CAMPAIGN_STATES.get(state, EventType.UNKNOWN)
    reason = RejectReason.OTHER if kind is EventType.REJECTED else None
    event = TrackingEvent(
        kind, provider_message_id, now, None, reason, raw=campaign.state[:_MAX_RAW]
    )
    return LetterStatus((event,) if state else (), state in _CAMPAIGN_OVER)


def _content(headers: Mapping[str, str], body: bytes) -> object:
    if len(body) > MAX_BODY_OCTETS:
        raise InvalidWebhook("the body is too large")
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if media_type == "application/x-www-form-urlencoded":
            return dict(parse_qsl(body.decode(), max_num_fields=MAX_EVENTS))
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidWebhook("the body is neither JSON nor a form") from error


def _items(content: object) -> Iterator[dict[str, Any]]:
    """One object, a list of them, or a list of them under `events`."""
    if isinstance(content, dict):
        several = content.get("events")
        content = several if isinstance(several, list) else [content]
    if isinstance(content, list):
        yield from (item for item in content if isinstance(item, dict))


def _event(item: dict[str, Any], now: datetime) -> TrackingEvent | None:
    """Of either style; `None` where letter or happening are not named."""
    message = item.get("message")
    message = message if isinstance(message, dict) else {}
    event = item.get("event")
    detail: dict[str, Any] = event if isinstance(event, dict) else {}
    message_id = next(
        filter(None, (id_from(found) for found in (message.get("id"), *_ids(item)))), ""
    )
    word = detail.get("name") if detail else event
    if not message_id or not isinstance(word, str) or not word.strip():
        return None
    data = detail.get("data")
    data = data if isinstance(data, dict) else item
    kind, reason = _meaning(word)
    return TrackingEvent(
        kind,
        message_id,
        _time(detail.get("timestamp", item.get("timestamp")), now),
        _text(message.get("to") or item.get("email") or item.get("to")) or None,
        reason,
        raw=_raw(item),
        click_url=_text(data.get("url")) if kind is EventType.CLICKED else "",
    )


def _ids(item: dict[str, Any]) -> tuple[object, object]:
    return item.get("message_id"), item.get("id")


def _meaning(word: str) -> _Meaning:
    return _EVENTS.get(word.strip().lower(), (EventType.UNKNOWN, None))


def _time(value: object, now: datetime) -> datetime:
    """Unix seconds, as a number or as text, or ISO 8601; the present for anything else."""
    found = now
    try:
        if isinstance(value, str) and not value.strip().replace(".", "", 1).isdigit():
            parsed = datetime.fromisoformat(value.strip())
            found = parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            seconds = float(value)
            seconds = seconds / 1000 if seconds > _MILLISECONDS else seconds
            found = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return now
    return found if _EARLIEST <= found <= now + _AHEAD else now


def _text(value: object) -> str:
    return value.strip()[:_MAX_RAW] if isinstance(value, str) else ""


def _raw(item: dict[str, Any]) -> str:
    return json.dumps(item, ensure_ascii=False, default=str)[:_MAX_RAW]
