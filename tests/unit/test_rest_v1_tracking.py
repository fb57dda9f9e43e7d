"""What became of a v1 letter: webhooks of both styles, statuses, and whatever is near them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from providers.contract.tracking import EventType, InvalidWebhook, RejectReason, TrackingEvent
from providers.rest_v1.api.campaigns import one_campaign
from providers.rest_v1.api.messages import message
from providers.rest_v1.api.record import Record
from providers.rest_v1.tracking import (
    MAX_BODY_OCTETS,
    MAX_EVENTS,
    parse_import_callback,
    parse_webhook,
    status_from_campaign,
    status_from_message,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
AT = 1_760_000_000
NESTED = {"message": {"id": 12345}, "event": {"name": "delivered", "timestamp": AT}}
FLAT = {"message_id": 12345, "event": "delivered", "timestamp": AT}


def parsed(content: object, content_type: str = "application/json") -> tuple[TrackingEvent, ...]:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return parse_webhook({"content-type": content_type}, body, now=NOW)


def one(content: object, content_type: str = "application/json") -> TrackingEvent:
    (event,) = parsed(content, content_type)
    return event


class TestWebhooks:
    def test_the_documents_own_shape(self) -> None:
        """B.12: nested, seconds, the link of a click."""
        content = {
            "message": {"id": 5_000_000_001, "to": "bob@example.org"},
            "event": {
                "name": "clicked",
                "timestamp": AT,
                "data": {"url": "https://shop.example.com/a"},
            },
        }
        event = one(content)
        assert event.event_type is EventType.CLICKED
        assert event.provider_message_id == "5000000001"
        assert event.timestamp == datetime.fromtimestamp(AT, UTC)
        assert event.recipient == "bob@example.org"
        assert event.click_url == "https://shop.example.com/a"
        assert json.loads(event.raw) == content

    @pytest.mark.parametrize(
        "content",
        [
            NESTED,
            FLAT,
            {"id": "12345", "event": "delivered", "timestamp": str(AT)},
            {"message": {"id": "12345"}, "event": {"name": " Delivered ", "timestamp": AT * 1000}},
            {"message_id": 12345, "event": {"name": "delivered", "timestamp": float(AT)}},
            {"message": None, "id": 12345, "event": "delivered", "timestamp": AT},
            [NESTED],
            {"events": [NESTED]},
            [7, None, NESTED],
        ],
    )
    def test_both_styles_and_what_is_near_them(self, content: object) -> None:
        """B.12: the same event, however it is told; ids as text (D 10)."""
        event = one(content)
        assert (event.event_type, event.provider_message_id) == (EventType.DELIVERED, "12345")
        assert event.timestamp == datetime.fromtimestamp(AT, UTC)

    def test_a_form(self) -> None:
        """The flat style as a form."""
        body = f"message_id=12345&event=clicked&timestamp={AT}&url=http%3A%2F%2Fa.example.com"
        event = one(body.encode(), "application/x-www-form-urlencoded; charset=utf-8")
        assert (event.provider_message_id, event.click_url) == ("12345", "http://a.example.com")

    @pytest.mark.parametrize(
        ("word", "kind", "reason"),
        [
            ("delivered", EventType.DELIVERED, None),
            ("opened", EventType.OPENED, None),
            ("clicked", EventType.CLICKED, None),
            ("unsubscribed", EventType.UNSUBSCRIBED, None),
            ("complined", EventType.COMPLAINED, RejectReason.SPAM),
            ("complained", EventType.COMPLAINED, RejectReason.SPAM),
            ("skipped", EventType.REJECTED, RejectReason.OTHER),
            ("soft_bounced", EventType.DEFERRED, None),
            ("hard_bounced", EventType.BOUNCED, RejectReason.BOUNCED),
            ("teleported", EventType.UNKNOWN, None),
        ],
    )
    def test_words(self, word: str, kind: EventType, reason: RejectReason | None) -> None:
        """D 11: every word of the documents, both spellings of a complaint, and unknown ones."""
        event = one({**FLAT, "event": word})
        assert (event.event_type, event.reject_reason) == (kind, reason)
        assert word in event.raw

    @pytest.mark.parametrize(
        "timestamp",
        [None, True, "", "soon", [], -1, 1e300, "9" * 400, AT + 10**9, "1999-01-01", float("nan")],
    )
    def test_times_that_cannot_be(self, timestamp: object) -> None:
        """The present stands in; nothing lies in the far future or in the last century."""
        assert one({**FLAT, "timestamp": timestamp}).timestamp == NOW
        without = {key: value for key, value in FLAT.items() if key != "timestamp"}
        assert one(without).timestamp == NOW

    def test_a_time_in_iso_form(self) -> None:
        """With a zone, and without one as UTC."""
        for text in ("2026-01-01T10:00:00+03:00", "2026-01-01T07:00:00Z", "2026-01-01 07:00:00"):
            event = one({**FLAT, "timestamp": text})
            assert event.timestamp == datetime(2026, 1, 1, 7, tzinfo=UTC)

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{",
            b"null",
            b"7",
            b"\xff\xfe",
            b"[" * 100_000,
            {},
            [],
            {"event": "delivered"},
            {"message": {"id": 1}},
            {"message": {"id": True}, "event": "delivered"},
            {"message": {"id": 1}, "event": {"name": ""}},
            {"message": {"id": 1}, "event": {"name": 7}},
            {"message": [1], "event": ["delivered"]},
            {"message_id": "x" * 200, "event": "delivered"},
        ],
        ids=lambda value: repr(value)[:30],
    )
    def test_what_is_no_event(self, content: object) -> None:
        """Told, and never a crash; nothing of the content stands in the words."""
        with pytest.raises(InvalidWebhook) as caught:
            parsed(content)
        assert "delivered" not in str(caught.value)

    def test_limits(self) -> None:
        """D 19: neither a large body nor very many events are read."""
        with pytest.raises(InvalidWebhook, match="too large"):
            parsed(b" " * (MAX_BODY_OCTETS + 1))
        assert len(parsed([FLAT] * MAX_EVENTS)) == MAX_EVENTS
        with pytest.raises(InvalidWebhook, match="too many"):
            parsed([FLAT] * (MAX_EVENTS + 1))
        event = one({**FLAT, "note": "x" * 100_000, "email": "y" * 100_000})
        assert len(event.raw) == 2000
        assert len(event.recipient or "") == 2000

    def test_what_cannot_be_understood_beside_what_can(self) -> None:
        """One bad event does not cost the others."""
        assert len(parsed([FLAT, {"event": "odd"}, NESTED])) == 2

    def test_the_same_event_is_equal(self) -> None:
        """Copies of a call can be told by comparison (D 19)."""
        assert one(NESTED) == one(NESTED)
        later = {**NESTED, "event": {**NESTED["event"], "timestamp": AT + 1}}  # type: ignore[dict-item]
        assert one(later) != one(NESTED)


class TestImportCallbacks:
    @pytest.mark.parametrize(
        ("content", "content_type"),
        [
            ({"id": 31, "status": "completed", "callback_url": "x"}, "application/json"),
            ({"id": "31", "status": "completed"}, ""),
            ({"import": {"id": 31, "status": "completed"}}, "application/json"),
            (b"id=31&status=completed", "application/x-www-form-urlencoded"),
        ],
    )
    def test_whatever_it_looks_like(self, content: object, content_type: str) -> None:
        """B.8: no document shows one; id and status are read where they are."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        found = parse_import_callback({"content-type": content_type}, body)
        assert (found.id, found.status, found.over) == ("31", "completed", True)

    @pytest.mark.parametrize("body", [b"[]", b"{}", b"null", b'"done"'])
    def test_one_that_says_nothing(self, body: bytes) -> None:
        """A call is a sign by itself."""
        assert parse_import_callback({}, body).id == ""

    @pytest.mark.parametrize("body", [b"", b"{", b"\xff", b" " * (MAX_BODY_OCTETS + 1)])
    def test_one_that_cannot_be_read(self, body: bytes) -> None:
        """Told, and never a crash."""
        with pytest.raises(InvalidWebhook):
            parse_import_callback({}, body)


def status(**record: Any) -> Any:
    info = message("1").read(Record(record))
    return status_from_message(info, "1", NOW)


class TestStatuses:
    @pytest.mark.parametrize(
        ("word", "kind", "final"),
        [
            ("queued", EventType.QUEUED, False),
            ("sent", EventType.SENT, False),
            ("delivered", EventType.DELIVERED, True),
            ("skipped", EventType.REJECTED, True),
            ("soft_bounced", EventType.DEFERRED, False),
            ("hard_bounced", EventType.BOUNCED, True),
            ("beamed", EventType.UNKNOWN, False),
        ],
    )
    def test_words(self, word: str, kind: EventType, final: bool) -> None:
        """B.3 and D 12: a soft bounce is not the end, an unknown word is asked about again."""
        found = status(status=word, to="bob@example.org")
        assert [(event.event_type, event.raw) for event in found.events] == [(kind, word)]
        assert found.events[0].recipient == "bob@example.org"
        assert found.final is final

    def test_all_that_happened(self) -> None:
        """Counts become events, each link its own."""
        events = {"open": 2, "spam": 1, "unsubscribe": 0, "redirect": {"http://a.example": 3}}
        found = status(status="delivered", events=events)
        assert [event.event_type for event in found.events] == [
            EventType.DELIVERED,
            EventType.OPENED,
            EventType.COMPLAINED,
            EventType.CLICKED,
        ]
        assert found.events[-1].click_url == "http://a.example"
        assert {event.timestamp for event in found.events} == {NOW}

    def test_a_record_that_says_nothing(self) -> None:
        """No news, and not the end."""
        found = status()
        assert (found.events, found.final) == ((), False)

    @pytest.mark.parametrize(
        ("state", "kind", "final"),
        [
            ("draft", EventType.QUEUED, False),
            ("pending", EventType.QUEUED, False),
            ("sending", EventType.SENT, False),
            ("completed", EventType.SENT, True),
            ("canceled", EventType.REJECTED, True),
            ("stopped", EventType.FAILED, True),
            ("beamed", EventType.UNKNOWN, False),
        ],
    )
    def test_campaigns(self, state: str, kind: EventType, final: bool) -> None:
        """B.11: a list letter is told as a whole."""
        campaign = one_campaign("70").read(Record({"id": 70, "state": state}))
        found = status_from_campaign(campaign, "campaign:70", NOW)
        assert [event.event_type for event in found.events] == [kind]
        assert found.final is final
        assert NOW - found.events[0].timestamp == timedelta(0)
