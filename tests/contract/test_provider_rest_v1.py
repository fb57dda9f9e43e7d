"""What is particular to `rest_v1`, beside its emulator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from gateway.clock import SystemClock
from providers.contract.capabilities import Part
from providers.contract.outcome import Cause, DeliveryOutcome, DeliveryRequest, Kind
from providers.rest_v1 import RestV1
from providers.sandbox.faults import Fault, FaultKind
from tests.contract.harnesses.rest_v1 import Harness, closed_port
from tests.support.builders import File, a_message, a_request


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


async def deliver(provider: RestV1, request: DeliveryRequest | None = None) -> DeliveryOutcome:
    deadline = SystemClock().monotonic() + 10
    report = await provider.deliver(request or a_request(), deadline=deadline)
    return report.outcomes[0]


async def test_our_trace_goes_along(harness: Harness, provider: RestV1):
    """D 7: queue id and recipient's key stand in a header field of the letter."""
    await deliver(provider, a_request(queue_id="4Xk2"))
    assert harness.letterbox.letters[0].header_fields == {"Client-Id": "4Xk2-0"}


async def test_header_fields_arrive_in_json_and_in_forms(harness: Harness, provider: RestV1):
    """Reply-To, List-Unsubscribe and own fields, with files and without."""
    fields = {
        "Reply-To": "help@example.com",
        "List-Unsubscribe": "<https://example.com/u>",
        "X-Order": "77",
    }
    for files in ([], [File()]):
        message = a_message(header_fields=list(fields.items()), attachments=files)
        assert not provider.capabilities.shortfalls(message.needs)
        await deliver(provider, a_request(message=message))
    for letter in harness.letterbox.letters:
        assert letter.header_fields == {**fields, "Client-Id": "Q0001-0"}


async def test_payment(harness: Harness, clock: SystemClock):
    """Which credits to use is the operator's to say."""
    provider = harness.build(clock, payment="credit")
    await deliver(provider)
    await provider.aclose()
    assert harness.letterbox.letters[0].parameters == {"payment": "credit"}


async def test_megabytes_arrive(harness: Harness, provider: RestV1):
    """A letter near the limit, taken apart beside the loop, is the same letter."""
    files = [File(f"{n}.bin", bytes(range(256)) * 8192) for n in range(2)]
    outcome = await deliver(provider, a_request(message=a_message(attachments=files)))
    assert outcome.kind is Kind.ACCEPTED
    (letter,) = harness.letterbox.letters
    assert [(f.filename, f.content) for f in letter.attachments] == [
        (file.name, file.content) for file in files
    ]


async def test_what_was_changed_is_told(harness: Harness, provider: RestV1):
    """An accepted letter carries its losses; a refused one lost nothing."""
    request = a_request(message=a_message(subject=""))
    outcome = await deliver(provider, request)
    assert [loss.part for loss in outcome.losses] == [Part.HEADER_FIELD]
    harness.faults.add(Fault(FaultKind.REFUSE))
    assert (await deliver(provider, request)).losses == ()


@pytest.mark.parametrize("style", ["header", "date", "text"])
async def test_every_way_to_throttle(
    harness: Harness, provider: RestV1, clock: SystemClock, style: str
):
    """T3: the named wait is told and kept by the account's pace."""
    harness.faults.add(Fault(FaultKind.THROTTLE, retry_after_s=7, style=style))
    outcome = await deliver(provider)
    assert outcome.cause is Cause.THROTTLED
    assert outcome.retry_after == timedelta(seconds=7)
    assert 5 < provider.pace.take(clock.monotonic()) <= 7


@pytest.mark.parametrize("status", ["502", "504"])
async def test_gateways_in_between(harness: Harness, provider: RestV1, status: str):
    """A proxy's error proves nothing about the platform behind it."""
    harness.faults.add(Fault(FaultKind.ERROR, style=status))
    outcome = await deliver(provider)
    assert outcome.kind is Kind.UNCERTAIN
    assert outcome.diagnostic.startswith(f"HTTP {status}")


async def test_the_reserve(harness: Harness, clock: SystemClock):
    """D 8: with the main host gone, letters and questions go to the reserve."""
    reserve_url = f"http://127.0.0.1:{harness.listener.port}/v1"
    base_url = f"http://127.0.0.1:{closed_port()}/v1"
    provider = harness.build(clock, base_url=base_url, reserve_url=reserve_url)
    assert (await deliver(provider)).kind is Kind.ACCEPTED
    assert (await provider.probe()).ok
    await provider.aclose()


class TestProbe:
    async def test_by_a_list_where_there_is_no_balance(self, harness: Harness, provider: RestV1):
        """B.13: 404 to the balance is no error but an older installation."""
        assert (await provider.probe()).ok
        assert harness.letterbox.calls == {"rest_v1": 2}

    async def test_by_the_balance(self, harness: Harness, provider: RestV1):
        """One call is enough where the installation has the method."""
        harness.sandbox.balance = 100
        assert (await provider.probe()).ok
        assert harness.letterbox.calls == {"rest_v1": 1}

    @pytest.mark.parametrize(
        ("kind", "cause"),
        [
            (FaultKind.THROTTLE, Cause.THROTTLED),
            (FaultKind.DEFER, Cause.THROTTLED),
            (FaultKind.ERROR, Cause.OTHER),
            (FaultKind.GARBAGE, Cause.OTHER),
            (FaultKind.DROP_BEFORE, Cause.OTHER),
        ],
    )
    async def test_trouble(self, harness: Harness, provider: RestV1, kind: FaultKind, cause: Cause):
        """Whatever comes is a result with a line for the operator."""
        harness.faults.add(Fault(kind))
        result = await provider.probe()
        assert (result.ok, result.cause) == (False, cause)
        assert result.detail
