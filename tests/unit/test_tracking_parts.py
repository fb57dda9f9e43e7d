"""The parts of tracking without a spool: who tells of whose letters, when to ask, what agrees."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from starlette.applications import Starlette

from gateway.app.parts import build_providers
from gateway.app.tracking import accounts_from
from gateway.config import Settings
from gateway.domain.events import Event, WebhookCalled, WebhookResult
from gateway.errors import SpoolFull, SpoolUnavailable
from gateway.spool.tracking_records import TrackingRecords
from gateway.tracking.accounts import Account
from gateway.tracking.lookup import is_the_same
from gateway.tracking.schedule import PollSchedule
from gateway.tracking.webhooks import WebhookDesk
from gateway.web.webhooks import MAX_BODY_OCTETS, webhook_routes
from providers.contract.tracking import EventType, LetterFound, LetterStatus, TrackingEvent
from tests.support.manual_clock import ManualClock

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAYS = timedelta(days=3)
SCHEDULE = PollSchedule(longest=6 * HOUR, lasting=DAYS)
REST = {"kind": "rest_v1", "base_url": "https://api.example.com/v1", "api_key": "key"}
MAIN = {"kind": "smarthost", "host": "smtp.example.com"}
BULK = {"kind": "form_v2", "base_url": "https://app.example.com/api/v2", "token": "t"}


def ask_again(asked: int, *, sealed: bool = False, age: timedelta = HOUR) -> timedelta | None:
    """How long after now, of a letter of that age."""
    first = timedelta(minutes=1)
    at = SCHEDULE.next(since=NOW - age, first=first, asked=asked, now=NOW, sealed=sealed)
    return None if at is None else at - NOW


def test_waits_grow_up_to_the_longest() -> None:
    """Each twice the last; four times as long once the fate is known."""
    assert [ask_again(asked) for asked in (1, 2, 3)] == [timedelta(minutes=m) for m in (2, 4, 8)]
    assert ask_again(10**6) == 6 * HOUR
    assert ask_again(1, sealed=True) == timedelta(minutes=8)
    assert ask_again(10**6, sealed=True) == 24 * HOUR


def test_the_last_question_comes_at_the_age() -> None:
    """D 31: not beyond it, and none after."""
    assert ask_again(10**6, age=DAYS - HOUR) == HOUR
    assert ask_again(1, age=DAYS) is None


def accounts(providers: dict[str, dict[str, Any]], **more: Any) -> dict[str, Account]:
    settings = Settings(providers=providers, **more)
    return dict(accounts_from(settings, build_providers(settings)))


def test_a_smarthost_is_tracked_by_the_account_that_is_named() -> None:
    """Its letters are asked about there, and nowhere else."""
    found = accounts({"main": MAIN | {"tracked_by": "b"}, "a": REST, "b": REST, "bulk": BULK})
    assert {name: sorted(account.carriers) for name, account in found.items()} == {
        "a": ["a"],
        "b": ["b", "main"],
        "bulk": ["bulk"],
    }
    assert sorted(found["b"].asks) == ["b", "main"]


def test_without_a_name_webhooks_of_the_only_account_tell() -> None:
    """Questions would be about somebody else's ids if the smarthost were another platform's."""
    only = accounts({"main": MAIN, "a": REST})["a"]
    assert (sorted(only.carriers), sorted(only.asks)) == (["a", "main"], ["a"])
    both = accounts({"main": MAIN, "a": REST, "b": REST})
    assert [sorted(account.carriers) for account in both.values()] == [["a"], ["b"]]
    assert accounts({"a": REST | {"poll": "0s"}})["a"].asks == {}


@pytest.mark.parametrize("name", ["main", "nobody", "bulk"])
def test_a_tracker_must_be_there(name: str) -> None:
    """A word that is no v1 account is told at the start, not after the first letter."""
    with pytest.raises(ValidationError, match="tracked_by: no provider of kind rest_v1"):
        accounts({"main": MAIN | {"tracked_by": name}, "bulk": BULK})


def test_the_url_that_is_registered() -> None:
    """Name and secret are one path segment each, whatever stands in them; neither is shown."""
    http = {"public_url": "https://mail.example.com/"}
    account = accounts({"a": REST | {"webhook_secret": "s/e c?"}}, http=http)["a"]
    assert account.url == "https://mail.example.com/webhooks/a/s%2Fe%20c%3F"
    assert "s/e" not in repr(account)
    assert "s%2Fe" not in repr(account)
    assert accounts({"a": REST | {"webhook_secret": "s"}})["a"].url == ""
    assert accounts({"a": REST}, http=http)["a"].url == ""
    assert not accounts({"a": REST})["a"].admits("")


LETTER = (
    b"From: Example Shop <news@example.com>\r\n"
    b"Subject: =?utf-8?q?Order_77_=E2=9C=93?=\r\n and more\r\n\r\nSubject: other\r\n"
)


@pytest.mark.parametrize(
    ("sender", "subject", "agrees"),
    [
        ("NEWS@example.com ", "Order 77 \u2713 and more", True),
        ("bounces@example.com", "Order  77 \u2713  and more", True),
        ("other@example.com", "Order 77 \u2713 and more", False),
        ("news@example.com", "Order 78", False),
        ("", "Order 77 \u2713 and more", False),
    ],
)
def test_which_letter_an_id_belongs_to(sender: str, subject: str, agrees: bool) -> None:
    """D 19: sender (From or reverse-path) and decoded subject; the recipient was looked for."""
    found = LetterFound(sender, "bob@example.org", subject, LetterStatus((), final=False))
    assert is_the_same(LETTER, "bounces@example.com", found) is agrees


class Broken(TrackingRecords):
    """Keeps nothing, and says why."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def track(self, *_: Any, **__: Any) -> Any:
        raise self._error


class Reader:
    """Understands every call."""

    def events_from_webhook(self, _headers: Any, _body: bytes) -> tuple[TrackingEvent, ...]:
        return (TrackingEvent(EventType.OPENED, "7", NOW),)


@pytest.mark.parametrize("error", [SpoolFull("full"), SpoolUnavailable("away")])
async def test_our_own_trouble_is_told_as_such(error: Exception) -> None:
    """What is not on disk is not answered well: a provider that comes again shall."""
    seen: list[Event] = []
    desk = a_desk(Broken(error), seen)
    async with a_client(desk) as client:
        answer = await client.post("/webhooks/rest/secret", content=b"{}")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert [event.result for event in seen if isinstance(event, WebhookCalled)] == [
        WebhookResult.UNAVAILABLE
    ]


async def test_another_wait_counts_after_a_reload() -> None:
    """`tracking.look_up_after` and the accounts, from the next call on."""
    asked: list[timedelta] = []

    class Keeping(TrackingRecords):
        def __init__(self) -> None:
            pass

        async def track(self, *_: Any, at: datetime, look_up_at: Any, **__: Any) -> Any:
            asked.append(look_up_at - at)
            return ()

    class Knowing(Reader):
        async def look_up(self, _provider_message_id: str, *, deadline: float) -> None:
            return None

    def known(secret: str) -> dict[str, Account]:
        reader = Knowing()
        return {
            "rest": Account("rest", frozenset(), webhooks=reader, letters=reader, secret=secret)
        }

    desk = WebhookDesk(Keeping(), known("old"), ManualClock(), lambda _: None, look_up_after=HOUR)
    async with a_client(desk) as client:
        assert (await client.post("/webhooks/rest/old", content=b"{}")).status_code == 200
        desk.reconfigure(known("new"), look_up_after=2 * HOUR)
        assert (await client.post("/webhooks/rest/old", content=b"{}")).status_code == 404
        assert (await client.post("/webhooks/rest/new", content=b"{}")).status_code == 200
    assert asked == [HOUR, 2 * HOUR]


async def test_a_body_that_does_not_come() -> None:
    """Given up after its time, and told as the caller's fault."""
    seen: list[Event] = []
    never = _Never()
    async with a_client(a_desk(Broken(SpoolFull("full")), seen), 0.01) as client:
        answer = await client.post("/webhooks/rest/secret", content=never)
    assert answer.status_code == 408
    assert [event.result for event in seen if isinstance(event, WebhookCalled)] == [
        WebhookResult.TOO_SLOW
    ]


async def test_strangers_bodies_are_not_read() -> None:
    """Without the secret, nothing is read, neither too much nor for ever."""
    seen: list[Event] = []
    async with a_client(a_desk(Broken(SpoolFull("full")), seen)) as client:
        big = {"content-length": str(MAX_BODY_OCTETS + 1)}
        for path, headers in (("rest/guess", big), ("rest/", {}), ("none/secret", {})):
            answer = await client.post(f"/webhooks/{path}", content=_Never(), headers=headers)
            assert answer.status_code == 404
    assert [event.provider for event in seen if isinstance(event, WebhookCalled)] == [
        "rest",
        "rest",
        "",
    ]


def a_desk(records: TrackingRecords, seen: list[Event]) -> WebhookDesk:
    account = Account("rest", frozenset({"rest"}), webhooks=Reader(), secret="secret")
    clock = ManualClock()
    return WebhookDesk(records, {"rest": account}, clock, seen.append, look_up_after=HOUR)


def a_client(desk: WebhookDesk, within_s: float = 60.0) -> httpx.AsyncClient:
    app = Starlette(routes=webhook_routes(desk, body_within_s=within_s))
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://gateway.example.com"
    )


class _Never(httpx.AsyncByteStream):
    """A body whose first octet does not come."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""
