"""What is particular to `form_v2`, beside its emulator."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.clock import SystemClock
from providers.contract.outcome import Cause, DeliveryOutcome, DeliveryRequest, Kind, Scope
from providers.form_v2 import FormV2
from providers.mime import html_from_text
from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.form_v2 import Quirk
from tests.contract.harnesses.form_v2 import Harness
from tests.support.builders import File, a_message, a_request


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    harness = Harness()
    await harness.start()
    yield harness
    await harness.stop()


@pytest.fixture
async def provider(harness: Harness, clock: SystemClock) -> AsyncIterator[FormV2]:
    provider = harness.build(clock)
    yield provider
    await provider.aclose()


async def deliver(provider: FormV2, request: DeliveryRequest | None = None) -> DeliveryOutcome:
    deadline = SystemClock().monotonic() + 10
    report = await provider.deliver(request or a_request(), deadline=deadline)
    return report.outcomes[0]


async def test_plain_text_goes_as_html(harness: Harness, provider: FormV2):
    """The service's only body keeps the look of a text."""
    text = "Dear Bob,\n\n    1 < 2 & 3\n"
    await deliver(provider, a_request(message=a_message(text=text)))
    assert harness.letterbox.letters[0].html == html_from_text(text)


async def test_one_file_goes_along(harness: Harness, provider: FormV2):
    """D 29: one attachment, in a multipart form that keeps the token whole."""
    file = File("счёт.pdf", b"\x00\xff" * 100_000)
    outcome = await deliver(provider, a_request(message=a_message(attachments=[file])))
    assert outcome.kind is Kind.ACCEPTED
    ((got,),) = [letter.attachments for letter in harness.letterbox.letters]
    assert (got.filename, got.content) == (file.name, file.content)


async def test_tracking_is_the_operators_to_say(harness: Harness, clock: SystemClock):
    """Sent only where it is configured."""
    provider = harness.build(clock, track_open=False, track_click=True)
    await deliver(provider)
    await provider.aclose()
    assert harness.letterbox.letters[0].parameters == {"track_open": "0", "track_click": "1"}


@pytest.mark.parametrize(
    ("style", "kind"),
    [
        ("", Kind.REJECTED),
        ("200", Kind.REJECTED),
        ("laravel", Kind.REJECTED),
        ("302", Kind.DEFERRED),
    ],
)
async def test_every_dress_of_an_error(harness: Harness, provider: FormV2, style: str, kind: Kind):
    """D 24, D 25: none is taken for a success, no redirect is followed, others are not judged."""
    harness.faults.add(Fault(FaultKind.REFUSE, style=style))
    outcome = await deliver(provider)
    assert (outcome.kind, outcome.scope) == (kind, Scope.RECIPIENT)
    assert harness.letterbox.letters == []
    assert harness.letterbox.calls == {"form_v2": 1}


class TestProbe:
    async def test_by_the_templates(self, harness: Harness, provider: FormV2):
        """C.10: one call with the token in the query."""
        assert (await provider.probe()).ok
        assert harness.letterbox.calls == {"form_v2": 1}

    async def test_token_in_the_form(self, harness: Harness, provider: FormV2):
        """C.10: where the query is refused, the form is tried."""
        harness.sandbox.quirks.add(Quirk.TOKEN_IN_FORM)
        harness.faults.add(Fault(FaultKind.UNAUTHORISED))
        assert (await provider.probe()).ok
        assert harness.letterbox.calls == {"form_v2": 2}

    async def test_refused_either_way(self, harness: Harness, clock: SystemClock):
        """A wrong token is the account's trouble."""
        provider = harness.build_unauthorised(clock)
        result = await provider.probe()
        await provider.aclose()
        assert (result.ok, result.cause) == (False, Cause.ACCOUNT)
        assert harness.letterbox.calls == {"form_v2": 2}
