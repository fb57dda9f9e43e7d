"""What the v1 platform tells of one id, and where it is told to call."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.clock import SystemClock
from providers.contract.tracking import (
    EventType,
    LetterSource,
    StatusSource,
    WebhookRegistry,
    WebhookSource,
)
from providers.rest_v1.provider import RestV1
from providers.sandbox.faults import Fault, FaultKind
from tests.contract.harnesses.rest_v1 import Harness
from tests.support.builders import a_message, a_request

URL = "https://mail.example.com/webhooks/rest/not-to-be-guessed"


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    harness = Harness()
    await harness.start()
    yield harness
    await harness.stop()


@pytest.fixture
async def provider(harness: Harness, clock: SystemClock) -> AsyncIterator[RestV1]:
    provider = harness.build(clock)
    yield provider
    await provider.aclose()


def soon() -> float:
    return SystemClock().monotonic() + 60


async def a_letter(provider: RestV1) -> str:
    request = a_request("bob@example.org", message=a_message(subject="Order 77"))
    return (await provider.deliver(request, deadline=soon())).outcomes[0].provider_message_id


def test_it_is_every_source(provider: RestV1) -> None:
    """What the composition root looks for."""
    for protocol in (WebhookSource, StatusSource, LetterSource, WebhookRegistry):
        assert isinstance(provider, protocol)


async def test_a_letter_by_its_id(harness: Harness, provider: RestV1) -> None:
    """D 19: sender, recipient and subject as the platform has them, and its status."""
    name = await a_letter(provider)
    harness.sandbox.messages.happen(int(name), "opened")
    found = await provider.look_up(name, deadline=soon())
    assert found is not None
    assert (found.recipient, found.subject) == ("bob@example.org", "Order 77")
    assert "@" in found.sender
    assert [event.event_type for event in found.status.events] == [
        EventType.QUEUED,
        EventType.OPENED,
    ]


@pytest.mark.parametrize("name", ["1", "", "../lists", "no id", "\ud800"])
async def test_an_id_of_nothing(provider: RestV1, name: str) -> None:
    """Whatever a webhook tells is asked about safely: no letter, no exception, no other path."""
    assert await provider.look_up(name, deadline=soon()) is None


@pytest.mark.parametrize("kind", [FaultKind.DROP_BEFORE, FaultKind.ERROR, FaultKind.THROTTLE])
async def test_trouble_in_looking_up(harness: Harness, provider: RestV1, kind: FaultKind) -> None:
    """No news; it is asked again later."""
    name = await a_letter(provider)
    harness.faults.add(Fault(kind, times=None, retry_after_s=60))
    deadline = SystemClock().monotonic() + 2
    assert await provider.look_up(name, deadline=deadline) is None


async def test_questions_take_no_place_from_letters(harness: Harness, clock: SystemClock) -> None:
    """B.1: GET costs nothing of the rate; the one place of this hour is a letter's."""
    provider = harness.build(clock, rate="1/h")
    assert list(await provider.statuses(["1", "2"], deadline=soon())) == ["1", "2"]
    assert await a_letter(provider)
    await provider.aclose()
    assert len(harness.sandbox.messages.found) == 1


@pytest.mark.parametrize("habit", ["replace", "add"])
@pytest.mark.parametrize("unset", ["404", "null"])
async def test_registering(harness: Harness, provider: RestV1, habit: str, unset: str) -> None:
    """D 20: ours alone afterwards, whatever was there; and nothing is changed a second time."""
    dialect = harness.sandbox.dialect
    dialect.webhooks, dialect.unset_webhook = habit, unset  # type: ignore[assignment]  # parameters
    assert await provider.register_webhook(URL) == ""
    harness.sandbox.hooks.urls.insert(0, "https://old.example.com/hook")
    harness.sandbox.hooks.urls.reverse()
    assert await provider.register_webhook(URL) == ""
    assert harness.sandbox.hooks.urls == [URL]
    assert await provider.register_webhook(URL) == ""


async def test_registering_in_vain(harness: Harness, provider: RestV1) -> None:
    """One line that says why, without the secret that the URL holds."""
    reason = await provider.register_webhook("ftp://mail.example.com/not-to-be-guessed")
    assert reason
    assert "\n" not in reason
    assert "not-to-be-guessed" not in reason
    harness.faults.add(Fault(FaultKind.UNAUTHORISED, times=None))
    assert await provider.register_webhook(URL)
