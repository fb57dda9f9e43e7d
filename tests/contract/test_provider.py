"""
What every adapter owes the gateway (`providers.contract.provider.Provider`).

Runs over each adapter and its strict emulator, and knows them only by `ProviderHarness`. What is
particular to a protocol is tested beside it.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from email import message_from_bytes, policy
from typing import Any

import pytest

from providers.contract.clock import Clock
from providers.contract.outcome import Cause, DeliveryOutcome, DeliveryRequest, Kind, Scope
from providers.contract.provider import Provider
from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.letterbox import ReceivedLetter
from tests.contract.provider_harness import ProviderHarness
from tests.support.builders import File, a_message, a_request

SOON = 2.0  # seconds: a deadline for those who get no answer, and get as far as that
LATER = 60.0  # seconds: a deadline for everybody else

Deliver = Callable[..., Awaitable[DeliveryOutcome]]


@pytest.fixture
async def provider(harness: ProviderHarness, clock: Clock) -> AsyncIterator[Provider]:
    provider = harness.build(clock)
    yield provider
    await provider.aclose()


@pytest.fixture
def deliver(provider: Provider, clock: Clock) -> Deliver:
    """Deliver a letter to one recipient; its outcome."""

    async def _deliver(
        request: DeliveryRequest | None = None, within: float = LATER, by: Provider | None = None
    ) -> DeliveryOutcome:
        request = request or a_request()
        deadline = clock.monotonic() + within
        report = await (by or provider).deliver(request, deadline=deadline)
        assert set(report.outcomes) == {0}
        return report.outcomes[0]

    return _deliver


@dataclass(frozen=True)
class Decoded:
    """A received letter as a reader sees it."""

    subject: str
    text: str
    html: str
    files: list[tuple[str, bytes]]


def decoded(letter: ReceivedLetter) -> Decoded:
    """Over SMTP the letter is parsed, over the APIs its parts came apart."""
    if not letter.content:
        files = [(file.filename, file.content) for file in letter.attachments]
        return Decoded(letter.subject, letter.text, letter.html, files)
    parsed: Any = message_from_bytes(letter.content, policy=policy.default)
    text, html = parsed.get_body(("plain",)), parsed.get_body(("html",))
    return Decoded(
        parsed["Subject"],
        text.get_content() if text else "",
        html.get_content() if html else "",
        [(part.get_filename(), part.get_content()) for part in parsed.iter_attachments()],
    )


def same_text(one: str, other: str) -> bool:
    """Equal but for line ends, which transports may change."""
    return one.split() == other.split()


class TestAccepted:
    async def test_the_letter_arrives_as_it_was_sent(
        self, harness: ProviderHarness, provider: Provider, deliver: Deliver
    ):
        """Subject, bodies and files are equal after decoding (T26), as far as they are carried."""
        file = File("отчёт.pdf", b"%PDF \x00\xff" * 100)
        carries_files = provider.capabilities.max_attachments != 0
        message = a_message(
            subject="Заказ № 77 – grüße",
            text="Привет,\n.\n..точка\nend\n",
            html="<p>Привет, <b>Боб</b></p>\n",
            attachments=[file] if carries_files else [],
        )
        outcome = await deliver(a_request(message=message))
        assert (outcome.kind, outcome.scope) == (Kind.ACCEPTED, Scope.RECIPIENT)
        (letter,) = harness.letterbox.letters
        assert letter.recipient == "bob@example.org"
        got = decoded(letter)
        assert got.subject == "Заказ № 77 – grüße"
        assert same_text(got.html, "<p>Привет, <b>Боб</b></p>")
        if provider.capabilities.text_beside_html:
            assert same_text(got.text, "Привет, . ..точка end")
        assert got.files == ([(file.name, file.content)] if carries_files else [])

    async def test_a_text_letter_keeps_its_words(
        self, harness: ProviderHarness, provider: Provider, deliver: Deliver
    ):
        """A letter without HTML is read the same everywhere."""
        outcome = await deliver(a_request(message=a_message(text="Thank you & <goodbye>\n")))
        assert outcome.kind is Kind.ACCEPTED
        got = decoded(harness.letterbox.letters[0])
        if got.text:
            assert same_text(got.text, "Thank you & <goodbye>")
        else:
            assert "Thank you &amp; &lt;goodbye&gt;" in got.html

    async def test_the_providers_id_is_told(self, harness: ProviderHarness, deliver: Deliver):
        """The id that the provider gave is the one reported, as text."""
        outcome = await deliver()
        assert outcome.provider_message_id
        assert outcome.provider_message_id == harness.letterbox.letters[0].provider_message_id

    async def test_one_outcome_per_recipient(
        self, harness: ProviderHarness, provider: Provider, clock: Clock
    ):
        """As many recipients as one request may have: each has its outcome, id and letter (T8)."""
        count = min(provider.capabilities.max_recipients or 5, 5)
        recipients = [f"user{n}@example.org" for n in range(count)]
        report = await provider.deliver(a_request(*recipients), deadline=clock.monotonic() + LATER)
        assert set(report.outcomes) == set(range(count))
        arrived = {x.recipient: x.provider_message_id for x in harness.letterbox.letters}
        assert sorted(arrived) == sorted(recipients)
        for key, recipient in enumerate(recipients):
            assert report.outcomes[key].kind is Kind.ACCEPTED
            assert report.outcomes[key].provider_message_id == arrived[recipient]

    async def test_letters_at_once_do_not_mix(
        self, harness: ProviderHarness, provider: Provider, clock: Clock
    ):
        """Many deliveries in parallel: each letter goes to its own recipient, with its own id."""

        async def one(n: int) -> DeliveryOutcome:
            message = a_message(subject=f"letter {n}")
            request = a_request(f"user{n}@example.org", message=message)
            report = await provider.deliver(request, deadline=clock.monotonic() + LATER)
            return report.outcomes[0]

        outcomes = await asyncio.gather(*[one(n) for n in range(20)])
        arrived = {letter.recipient: letter for letter in harness.letterbox.letters}
        assert len(harness.letterbox.letters) == len(arrived) == 20
        for n, outcome in enumerate(outcomes):
            letter = arrived[f"user{n}@example.org"]
            assert decoded(letter).subject == f"letter {n}"
            assert outcome.provider_message_id == letter.provider_message_id


class TestNotAccepted:
    async def test_refused(self, harness: ProviderHarness, deliver: Deliver):
        """A refusal is permanent, of the recipient alone, and says what the provider said."""
        harness.faults.add(Fault(FaultKind.REFUSE))
        outcome = await deliver()
        assert (outcome.kind, outcome.scope) == (Kind.REJECTED, Scope.RECIPIENT)
        assert outcome.diagnostic
        assert harness.letterbox.letters == []

    async def test_throttled(self, harness: ProviderHarness, deliver: Deliver):
        """Too fast: put off for the provider as a whole; a named wait is kept (T3)."""
        harness.faults.add(Fault(FaultKind.THROTTLE, retry_after_s=7))
        outcome = await deliver()
        assert (outcome.kind, outcome.scope) == (Kind.DEFERRED, Scope.PROVIDER)
        assert outcome.cause is Cause.THROTTLED
        # SMTP has no way to name a wait.
        smtp = harness.kind == "smarthost"
        assert outcome.retry_after == (None if smtp else timedelta(seconds=7))
        assert harness.letterbox.letters == []
        assert (await deliver()).kind is Kind.ACCEPTED

    @pytest.mark.parametrize("by_fault", [True, False])
    async def test_unauthorised(
        self, harness: ProviderHarness, clock: Clock, deliver: Deliver, by_fault: bool
    ):
        """A wrong credential concerns the account, not the letter (T4)."""
        if by_fault:
            harness.faults.add(Fault(FaultKind.UNAUTHORISED))
        provider = harness.build(clock) if by_fault else harness.build_unauthorised(clock)
        outcome = await deliver(by=provider)
        await provider.aclose()
        assert (outcome.kind, outcome.scope) == (Kind.DEFERRED, Scope.PROVIDER)
        assert outcome.cause is Cause.ACCOUNT
        assert harness.letterbox.letters == []

    async def test_connection_refused(
        self, harness: ProviderHarness, clock: Clock, deliver: Deliver
    ):
        """Never got through: surely not sent, and any provider may try at once."""
        provider = harness.build_unreachable(clock)
        outcome = await deliver(by=provider)
        await provider.aclose()
        assert (outcome.kind, outcome.scope) == (Kind.DEFERRED, Scope.PROVIDER)
        assert outcome.cause is Cause.UNREACHABLE

    async def test_server_that_went_away(self, harness: ProviderHarness, deliver: Deliver):
        """Connections kept from better times do not make a refused one uncertain."""
        assert (await deliver()).kind is Kind.ACCEPTED
        await harness.stop()
        outcome = await deliver()
        assert (outcome.kind, outcome.scope) == (Kind.DEFERRED, Scope.PROVIDER)
        assert outcome.cause is Cause.UNREACHABLE


class TestDoubt:
    @pytest.mark.parametrize(
        "fault",
        [
            Fault(FaultKind.HANG, style="after"),
            Fault(FaultKind.DROP_AFTER),
            Fault(FaultKind.GARBAGE),
        ],
        ids=lambda fault: fault.kind.value,
    )
    async def test_answer_lost(self, harness: ProviderHarness, deliver: Deliver, fault: Fault):
        """Accepted, and the answer lost: uncertain, and nothing is sent again unasked."""
        harness.faults.add(Fault(fault.kind, style=fault.style))
        outcome = await deliver(within=SOON)
        assert outcome.kind is Kind.UNCERTAIN
        assert len(harness.letterbox.letters) == 1
        assert harness.letterbox.calls == {harness.kind: 1}

    async def test_connection_breaks_before_acceptance(
        self, harness: ProviderHarness, deliver: Deliver
    ):
        """Not accepted: the outcome may doubt that and never claims the contrary."""
        harness.faults.add(Fault(FaultKind.DROP_BEFORE))
        outcome = await deliver()
        assert outcome.kind in (Kind.DEFERRED, Kind.UNCERTAIN)
        assert harness.letterbox.letters == []
        assert harness.letterbox.calls == {harness.kind: 1}

    @pytest.mark.parametrize("kind", [kind for kind in FaultKind if kind is not FaultKind.HANG])
    async def test_a_fault_never_escapes_and_passes(
        self, harness: ProviderHarness, deliver: Deliver, kind: FaultKind
    ):
        """Whatever goes wrong is an outcome, and the next letter goes as if nothing had been."""
        harness.faults.add(Fault(kind))
        assert (await deliver()).kind is not Kind.ACCEPTED
        harness.faults.clear()
        harness.letterbox.letters.clear()
        assert (await deliver(a_request("eve@example.org"))).kind is Kind.ACCEPTED
        assert [letter.recipient for letter in harness.letterbox.letters] == ["eve@example.org"]


class TestLimits:
    async def test_a_letter_too_large_causes_no_traffic(
        self, harness: ProviderHarness, clock: Clock, deliver: Deliver
    ):
        """The declared size limit is real: `unsupported` before the provider hears of it."""
        request = a_request()
        fits = harness.build(clock, max_message_size=request.message.size)
        tight = harness.build(clock, max_message_size=request.message.size - 1)
        assert tight.capabilities.max_message_octets == request.message.size - 1
        outcome = await deliver(request, by=tight)
        assert (outcome.kind, outcome.scope) == (Kind.UNSUPPORTED, Scope.MESSAGE)
        assert harness.letterbox.calls == {}
        assert (await deliver(request, by=fits)).kind is Kind.ACCEPTED
        await tight.aclose()
        await fits.aclose()

    async def test_attachments_beyond_the_limit_cause_no_traffic(
        self, harness: ProviderHarness, provider: Provider, deliver: Deliver
    ):
        """More files, or larger ones, than declared: `unsupported` and nothing sent."""
        capabilities = provider.capabilities
        messages = []
        if capabilities.max_attachments is not None:
            files = [File(f"{n}.pdf") for n in range(capabilities.max_attachments + 1)]
            messages.append(a_message(attachments=files))
        if capabilities.max_attachment_octets is not None:
            octets = b"\0" * (capabilities.max_attachment_octets + 1)
            messages.append(a_message(attachments=[File(content=octets)]))
        for message in messages:
            outcome = await deliver(a_request(message=message))
            assert (outcome.kind, outcome.scope) == (Kind.UNSUPPORTED, Scope.MESSAGE)
        if not messages:
            octets = b"\0" * (1 << 20)
            files = [File(f"{n}.bin", octets) for n in range(4)]
            message = a_message(attachments=files)
            assert (await deliver(a_request(message=message))).kind is Kind.ACCEPTED
        assert len(harness.letterbox.letters) == (not messages)
        assert sum(harness.letterbox.calls.values()) == (not messages)

    async def test_the_deadline_is_kept(self, harness: ProviderHarness, deliver: Deliver):
        """A provider that never answers holds a letter until the deadline and no longer (T10)."""
        harness.faults.add(Fault(FaultKind.HANG))
        loop = asyncio.get_running_loop()
        begun = loop.time()
        outcome = await deliver(within=0.4)
        assert outcome.kind in (Kind.DEFERRED, Kind.UNCERTAIN)
        assert 0.4 * 0.9 <= loop.time() - begun < 0.4 + 10

    async def test_a_deadline_that_has_passed(self, harness: ProviderHarness, deliver: Deliver):
        """Too late to begin: put off at once, and nothing was handed over."""
        outcome = await deliver(within=-1.0)
        assert outcome.kind is Kind.DEFERRED
        assert harness.letterbox.letters == []


class TestLife:
    async def test_cancelling_leaves_the_next_letter_clean(
        self, harness: ProviderHarness, deliver: Deliver
    ):
        """Nothing half-sent stays on a connection that is used again."""
        harness.faults.add(Fault(FaultKind.HANG))
        task = asyncio.create_task(deliver())  # type: ignore[arg-type]
        await harness.letterbox.wait_until(lambda box: bool(box.calls))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        harness.faults.clear()
        harness.letterbox.letters.clear()
        outcome = await deliver(a_request("eve@example.org", message=a_message(subject="next")))
        assert outcome.kind is Kind.ACCEPTED
        (letter,) = harness.letterbox.letters
        assert (letter.recipient, decoded(letter).subject) == ("eve@example.org", "next")

    async def test_closing_twice_and_without_use(self, harness: ProviderHarness, clock: Clock):
        """`aclose` is always safe."""
        provider = harness.build(clock)
        await provider.aclose()
        await provider.aclose()

    async def test_closing_leaves_nothing_open(
        self, harness: ProviderHarness, provider: Provider, deliver: Deliver
    ):
        """After use `aclose` closes every connection; warnings are errors here."""
        assert (await deliver()).kind is Kind.ACCEPTED
        await provider.aclose()
        await provider.aclose()

    async def test_secrets_stay_secret(
        self,
        harness: ProviderHarness,
        clock: Clock,
        deliver: Deliver,
        caplog: pytest.LogCaptureFixture,
    ):
        """The credential is in no log line, repr or diagnostic, in no spelling (T25)."""
        caplog.set_level(logging.DEBUG)
        diagnostics = []
        for kind in (None, FaultKind.UNAUTHORISED, FaultKind.THROTTLE, FaultKind.GARBAGE):
            provider = harness.build(clock)
            if kind is not None:
                harness.faults.add(Fault(kind))
            diagnostics.append((await deliver(by=provider)).diagnostic)
            diagnostics.append((await provider.probe()).detail)
            diagnostics += [repr(provider), str(provider), repr(vars(provider))]
            await provider.aclose()
        said = "\n".join([*diagnostics, caplog.text])
        assert harness.secret not in said
        assert base64.b64encode(harness.secret.encode()).decode() not in said


class TestProbe:
    async def test_all_is_well(self, harness: ProviderHarness, provider: Provider):
        """Address and credentials are right, and nobody gets a letter."""
        result = await provider.probe()
        assert result.ok
        assert result.detail
        assert harness.letterbox.letters == []

    async def test_unauthorised(self, harness: ProviderHarness, clock: Clock):
        """A wrong credential is told as the account's trouble."""
        provider = harness.build_unauthorised(clock)
        result = await provider.probe()
        await provider.aclose()
        assert not result.ok
        assert result.cause is Cause.ACCOUNT
        assert result.detail

    async def test_unreachable(self, harness: ProviderHarness, clock: Clock):
        """Nobody there is a result, not an exception."""
        provider = harness.build_unreachable(clock)
        result = await provider.probe()
        await provider.aclose()
        assert not result.ok
        assert result.cause is Cause.UNREACHABLE
        assert result.detail
