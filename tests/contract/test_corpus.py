"""
The whole corpus through every adapter: equal after decoding, or the exact difference told (T26).

Letters go in parallel to one imitated provider, as the gateway would send them on a route that
tolerates losses. `tests.support.fidelity` judges what arrived.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest

from gateway.domain.routing import Fidelity, Route, plan
from providers.contract.capabilities import Part, Shortfall
from providers.contract.clock import Clock
from providers.contract.message import Message
from providers.contract.outcome import DeliveryOutcome, DeliveryRequest, Kind
from providers.contract.provider import Provider
from providers.mime import Mailbox, needs_from, parse_letter
from providers.sandbox.letterbox import ReceivedLetter
from tests.contract.harnesses import form_v2, rest_v1, smarthost
from tests.contract.provider_harness import ProviderHarness
from tests.support.builders import an_envelope
from tests.support.corpus import Specimen, corpus
from tests.support.fidelity import Difference, differences_over_an_api, leaves, ledger

AT_ONCE = 8
MODERN = (
    "AUTH",
    "SIZE",
    "8BITMIME",
    "SMTPUTF8",
    "PIPELINING",
    "CHUNKING",
    "DSN",
    "ENHANCEDSTATUSCODES",
)
EIGHT_BIT = ("AUTH", "SIZE", "8BITMIME", "PIPELINING")
ANCIENT = ("AUTH", "SIZE")

letters = cache(corpus)
# Without SMTPUTF8 a domain is written as A-labels: the same domain, in other letters.
A_LABELS = {
    letter.name: replace(letter.truth, from_=Mailbox("Алиса", "alice@xn--bcher-kva.example"))
    for letter in letters()
    if letter.name == "from a U-label domain"
}


@dataclass(frozen=True)
class Passage:
    """What became of one letter: who was passed over and why, or what was told and what came."""

    specimen: Specimen
    passed_over: tuple[Shortfall, ...] = ()
    losses: tuple[Shortfall, ...] = ()
    outcome: DeliveryOutcome | None = None
    arrived: ReceivedLetter | None = None

    @property
    def name(self) -> str:
        """Of the letter."""
        return self.specimen.name

    @property
    def is_accepted(self) -> bool:
        """Whether the provider took it."""
        return self.outcome is not None and self.outcome.kind is Kind.ACCEPTED


async def passages(harness: ProviderHarness, clock: Clock, **settings: Any) -> list[Passage]:
    """Send all letters; what became of each, in order."""
    await harness.start()
    provider = harness.build(clock, **settings)
    places = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, specimen: Specimen) -> Passage:
        async with places:
            return await passage(provider, specimen, f"Q{number:04}", clock)

    try:
        found = await asyncio.gather(*(one(n, letter) for n, letter in enumerate(letters())))
    finally:
        await provider.aclose()
        await harness.stop()
    arrived = {letter.provider_message_id: letter for letter in harness.letterbox.letters}
    accepted = [p.outcome.provider_message_id for p in found if p.is_accepted and p.outcome]
    assert sorted(arrived) == sorted(accepted), "what was not accepted was not sent"
    return [
        Passage(
            p.specimen,
            p.passed_over,
            p.losses,
            p.outcome,
            arrived.get(p.outcome.provider_message_id) if p.outcome else None,
        )
        for p in found
    ]


async def passage(provider: Provider, specimen: Specimen, queue_id: str, clock: Clock) -> Passage:
    """Plan and deliver one letter."""
    request, shortfalls = planned(provider, specimen, queue_id, specimen.recipient)
    if request is None:
        return Passage(specimen, shortfalls)
    report = await provider.deliver(request, deadline=clock.monotonic() + 300)
    outcome = report.outcomes[0]
    return Passage(specimen, (), (*shortfalls, *outcome.losses), outcome, None)


def planned(
    provider: Provider, specimen: Specimen, queue_id: str, recipient: str
) -> tuple[DeliveryRequest | None, tuple[Shortfall, ...]]:
    """What the provider is asked, and what is lost thereby; or nothing, and why."""
    envelope = an_envelope(
        recipient, reverse_path=specimen.reverse_path, smtputf8=specimen.smtputf8
    )
    message = Message(specimen.content, needs_from(specimen.content, envelope))
    route = Route("corpus", (provider.name,), fidelity=Fidelity.TOLERANT)
    made = plan(route, {provider.name: provider.capabilities}, message.needs)
    if not made.candidates:
        return None, made.passed_over[provider.name]
    return DeliveryRequest(queue_id, envelope, message), made.losses[provider.name]


def test_the_corpus_is_large_and_true():
    """At least 150 letters, each name once, and each reads as what it was made of."""
    assert len(letters()) >= 250
    assert len({specimen.name for specimen in letters()}) == len(letters())
    for specimen in letters():
        assert parse_letter(specimen.content) == specimen.truth, specimen.name


@pytest.mark.parametrize("harness", [rest_v1, form_v2], ids=["rest_v1", "form_v2"])
async def test_over_an_api(harness: Any, clock: Clock):
    """What the platform got differs from the letter in exactly what the ledger says."""
    told: dict[str, tuple[set[Difference], set[Difference]]] = {}
    for found in await passages(harness.Harness(), clock, rate="1000/s"):
        letter = found.specimen
        if found.passed_over:
            reasons = {loss.part for loss in found.passed_over}
            expected = {Part.SEAL} if letter.truth.sealed else {Part.SMTPUTF8}
            assert reasons == expected, found.name
            continue
        if not found.is_accepted or found.arrived is None:
            assert found.outcome is not None
            assert found.outcome.kind is Kind.UNSUPPORTED, (found.name, found.outcome)
            assert Part.ATTACHMENT in {loss.part for loss in found.losses}, found.name
            continue
        differences = differences_from(letter, found.arrived)
        if differences != ledger(found.losses):
            told[found.name] = (differences, ledger(found.losses))
    assert told == {}, "letter: (what differs, what was told)"


async def test_gathered_into_calls_of_form_v2(clock: Clock):
    """The same of letters that share a call, as they do under load."""
    harness = form_v2.Harness()
    await harness.start()
    provider = harness.build(clock, rate="1000/s", results_within="0s")
    asked: dict[str, tuple[Specimen, tuple[Shortfall, ...]]] = {}
    requests = []
    for number, specimen in enumerate(letters()):
        # Nobody stands twice in a call.
        recipient = specimen.recipient.replace("bob@", f"bob{number}@")
        request, losses = planned(provider, specimen, f"Q{number:04}", recipient)
        if request is not None:
            requests.append(request)
            asked[request.queue_id] = specimen, losses
    told: dict[str, tuple[set[Difference], set[Difference]]] = {}
    shared = 0
    try:
        for batch in provider.batches(requests):
            if len(batch.requests) == 1:
                continue  # it leaves as a letter by itself does
            known = len(harness.letterbox.letters)
            deadline = clock.monotonic() + 300
            reports = await provider.deliver_many(batch, deadline=deadline, place=no_wait)
            arrived = {one.recipient: one for one in harness.letterbox.letters[known:]}
            for request, report in zip(batch.requests, reports, strict=True):
                specimen, losses = asked[request.queue_id]
                (recipient,) = request.envelope.recipients
                outcome = report.outcomes[recipient.key]
                assert outcome.kind is Kind.ACCEPTED, (specimen.name, outcome)
                lost = ledger((*losses, *outcome.losses))
                differences = differences_from(specimen, arrived[recipient.forward_path.addr_spec])
                if differences != lost:
                    told[specimen.name] = (differences, lost)
                shared += 1
    finally:
        await provider.aclose()
        await harness.stop()
    assert told == {}, "letter: (what differs, what was told)"
    assert shared >= 100


async def no_wait() -> None:
    """A place in a pace that nobody else wants."""


def differences_from(specimen: Specimen, arrived: ReceivedLetter) -> set[Difference]:
    """Between a letter and what a platform got of it, the envelope's included."""
    differences = differences_over_an_api(specimen.truth, arrived)
    if specimen.reverse_path is None:
        differences.add((Part.NULL_REVERSE_PATH, ""))
    return differences


async def test_to_a_modern_smarthost(clock: Clock):
    """Every letter arrives octet for octet, and nothing is lost or passed over."""
    for found in await passages(smarthost.Harness(extensions=MODERN), clock):
        assert found.is_accepted, (found.name, found.passed_over, found.outcome)
        assert found.arrived is not None
        assert found.arrived.content == found.specimen.content, found.name
        assert found.losses == (), found.name


@pytest.mark.parametrize("extensions", [EIGHT_BIT, ANCIENT], ids=["8BITMIME", "nothing"])
async def test_to_a_lesser_smarthost(clock: Clock, extensions: tuple[str, ...]):
    """
    Equal after decoding, by our reader and by the standard library.

    What has no encoding, a seal over octets above 127 or an address beyond ASCII, is not sent.
    """
    for found in await passages(smarthost.Harness(extensions=extensions), clock):
        letter = found.specimen
        if not found.is_accepted or found.arrived is None:
            assert found.outcome is not None
            assert found.outcome.kind is Kind.UNSUPPORTED, (found.name, found.outcome)
            is_sealed = letter.truth.sealed and "8BITMIME" not in extensions
            status = "5.6.3" if is_sealed else "5.6.7"
            assert found.outcome.status == status, found.name
            assert is_sealed or letter.smtputf8, found.name
            continue
        content = found.arrived.content
        if letter.content.isascii() or ("8BITMIME" in extensions and not letter.smtputf8):
            assert content == letter.content, found.name
        assert found.losses == (), found.name
        assert parse_letter(content) == A_LABELS.get(found.name, letter.truth), found.name
        assert leaves(content) == leaves(letter.content), found.name
