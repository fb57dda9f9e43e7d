"""What the v2 service tells when it is asked what became of letters (`StatusSource`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from gateway.clock import SystemClock
from providers.contract.options import SendOptions
from providers.contract.outcome import DeliveryRequest
from providers.contract.tracking import (
    EventType,
    LetterStatus,
    RejectReason,
    StatusSource,
    TrackingEvent,
)
from providers.form_v2.provider import FormV2
from providers.form_v2.tracking import NO_STATUS
from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.form_v2_answers import Quirk
from tests.contract.harnesses.form_v2 import Harness
from tests.support.builders import a_message, a_request

BOB, EVE, DAVE = "bob@example.org", "eve@example.org", "dave@example.org"


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    harness = Harness()
    await harness.start()
    yield harness
    await harness.stop()


@pytest.fixture
async def provider(harness: Harness, clock: SystemClock) -> AsyncIterator[FormV2]:
    """Asks for no results by itself."""
    provider = harness.build(clock, rate="1000/s", results_within="0s")
    yield provider
    await provider.aclose()


def soon() -> float:
    return SystemClock().monotonic() + 60


async def status(provider: FormV2, name: str) -> LetterStatus:
    """The answer about one id."""
    return (await provider.statuses([name], deadline=soon()))[name]


async def a_place() -> None:
    """There is always one."""


def by_recipient(told: LetterStatus) -> dict[str, TrackingEvent]:
    events = {str(event.recipient): event for event in told.events}
    assert len(events) == len(told.events)
    return events


async def a_batch(provider: FormV2, *emails: str) -> str:
    """The id of a batch of letters to these."""
    requests: Sequence[DeliveryRequest] = [
        a_request(email, message=a_message(subject=email), queue_id=f"Q{n}")
        for n, email in enumerate(emails)
    ]
    (batch,) = provider.batches(requests)
    (report, *_) = await provider.deliver_many(batch, deadline=soon(), place=a_place)
    return report.outcomes[0].provider_message_id


async def a_single_letter(provider: FormV2, options: SendOptions | None = None) -> str:
    request = a_request() if options is None else replace(a_request(), options=options)
    return (await provider.deliver(request, deadline=soon())).outcomes[0].provider_message_id


@pytest.mark.parametrize("quirk", [None, *(q for q in Quirk if q is not Quirk.NO_RESULT)])
async def test_a_batch(harness: Harness, provider: FormV2, quirk: Quirk | None):
    """C.6: each recipient's last word, however the report is written (D 26 to D 36)."""
    assert isinstance(provider, StatusSource)
    if quirk is not None:
        harness.sandbox.quirks.add(quirk)
    harness.faults.add(Fault(FaultKind.REFUSE, recipient="eve@"))
    uuid = await a_batch(provider, BOB, EVE, DAVE)
    harness.sandbox.account.set_status(BOB, "UNDELIVERED", "no such user")
    told = await status(provider, uuid)
    events = by_recipient(told)
    assert {event.provider_message_id for event in events.values()} == {uuid}
    assert events[EVE].event_type is EventType.REJECTED
    if quirk is Quirk.UNKNOWN_STATUSES:
        assert (events[BOB].event_type, events[BOB].raw) == (EventType.UNKNOWN, "PROCESSED_7")
    else:
        assert events[BOB].event_type is EventType.BOUNCED
        assert events[BOB].reject_reason is RejectReason.BOUNCED
        assert events[BOB].mta_response == "no such user"
    if quirk not in (Quirk.MISSING_RECIPIENTS, Quirk.UNKNOWN_STATUSES):
        assert events[DAVE].event_type is EventType.QUEUED
        assert not told.final


@pytest.mark.parametrize(
    ("word", "event", "final"),
    [
        ("NEW", EventType.QUEUED, False),
        ("SENT", EventType.SENT, False),
        ("DELIVERED", EventType.DELIVERED, True),
        ("OPEN", EventType.OPENED, True),
        ("CLICKED", EventType.CLICKED, True),
        ("PURPLE", EventType.UNKNOWN, False),
    ],
)
async def test_when_to_stop_asking(
    harness: Harness, provider: FormV2, word: str, event: EventType, final: bool
):
    """D 31: opened and clicked imply delivered; of a word that nobody knows one asks on."""
    uuid = await a_batch(provider, BOB, EVE)
    for email in (BOB, EVE):
        harness.sandbox.account.set_status(email, word)
    told = await status(provider, uuid)
    assert {x.event_type for x in told.events} == {event}
    assert told.final is final


async def test_a_list_letter(harness: Harness, provider: FormV2):
    """C.4: by the mailing's id; all on the list, not the envelope's recipient."""
    harness.sandbox.account.lists[7] = [DAVE]
    name = await a_single_letter(provider, SendOptions(mailing_list="7"))
    harness.sandbox.account.set_status(DAVE, "CLICKED")
    events = by_recipient(await status(provider, name))
    assert {to: event.event_type for to, event in events.items()} == {DAVE: EventType.CLICKED}


async def test_a_single_letter_has_no_status(harness: Harness, provider: FormV2):
    """D 28: its id is a number like a mailing's, and nobody is asked about it."""
    name = await a_single_letter(provider)
    assert await status(provider, name) == NO_STATUS
    assert harness.sandbox.methods == {"sendEmail": 1}


async def test_nothing_yet(harness: Harness, provider: FormV2):
    """C.6: an empty report is an answer, and not the last."""
    harness.sandbox.account.queued_s = 1e6
    uuid = await a_batch(provider, BOB, EVE)
    assert await status(provider, uuid) == LetterStatus((), final=False)


@pytest.mark.parametrize("kind", [k for k in FaultKind if k is not FaultKind.HANG])
async def test_trouble(harness: Harness, provider: FormV2, kind: FaultKind):
    """No news of that one, no exception, and the others are asked about all the same."""
    uuids = [await a_batch(provider, BOB, EVE), await a_batch(provider, DAVE, EVE)]
    harness.faults.add(Fault(kind, method="statusBulkEmail", retry_after_s=0))
    assert list(await provider.statuses(uuids, deadline=soon())) == uuids[1:]


async def test_the_deadline_holds(harness: Harness, clock: SystemClock):
    """T24: questions take places in the pace; those that have none in time are left for later."""
    provider = harness.build(clock, rate="1/h", results_within="0s")
    uuids = ["00000000-0000-0000-0000-00000000000" + digit for digit in "12"]
    assert await provider.statuses(uuids, deadline=clock.monotonic() + 2) == {}
    await provider.aclose()
    assert harness.sandbox.methods == {"statusBulkEmail": 1}
