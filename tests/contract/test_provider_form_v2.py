"""What is particular to `form_v2`, beside its emulator."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.clock import SystemClock
from providers.contract.options import SendOptions
from providers.contract.outcome import Cause, DeliveryOutcome, DeliveryRequest, Kind, Scope
from providers.contract.provider import BulkProvider
from providers.form_v2 import inquiry
from providers.form_v2.provider import FormV2
from providers.mime import html_from_text
from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.form_v2_answers import Quirk
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
    deadline = SystemClock().monotonic() + 60
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


def wishing(options: SendOptions) -> DeliveryRequest:
    """A letter whose client has wishes."""
    return replace(a_request(), options=options)


class TestWishes:
    async def test_all_that_are_declared_are_known(self, provider: FormV2):
        """The capabilities name what follows here, and neither templates, payment nor tags."""
        known, needs = provider.capabilities, a_message(text=None, html="<p>Hi</p>").needs
        offered = SendOptions(track_opens=True, mailing_list="7", send_at=datetime.now(UTC))
        missing = SendOptions(template="11", payment="credit", tag="a")
        before = len(known.shortfalls(needs))
        assert len(known.shortfalls(needs, offered)) == before
        assert len(known.shortfalls(needs, missing)) == before + 3

    async def test_tracking_switched_for_one_letter(self, harness: Harness, clock: SystemClock):
        """The client's word goes before the operator's."""
        provider = harness.build(clock, track_open=True, track_click=True)
        await deliver(provider, wishing(SendOptions(track_clicks=False)))
        await provider.aclose()
        assert harness.letterbox.letters[0].parameters == {"track_open": "1", "track_click": "0"}

    @pytest.mark.parametrize(("zone", "hours"), [("Europe/Minsk", 3), ("UTC", 0)])
    async def test_scheduled(self, harness: Harness, clock: SystemClock, zone: str, hours: int):
        """D 33: the moment in the account's zone, in minutes."""
        provider = harness.build(clock, timezone=zone)
        at = datetime(2126, 1, 31, 12, 30, tzinfo=UTC)
        outcome = await deliver(provider, wishing(SendOptions(send_at=at)))
        await provider.aclose()
        assert outcome.kind is Kind.ACCEPTED
        (letter,) = harness.letterbox.letters
        assert letter.parameters == {"d_schedule": f"2126-01-31 {12 + hours}:30"}

    async def test_a_moment_that_has_passed_is_now(self, harness: Harness, provider: FormV2):
        """C.1: the service never gets one in the past."""
        at = datetime.now(UTC) - timedelta(hours=1)
        assert (await deliver(provider, wishing(SendOptions(send_at=at)))).kind is Kind.ACCEPTED
        assert harness.letterbox.letters[0].parameters == {}

    async def test_to_a_list(self, harness: Harness, provider: FormV2):
        """C.3: everybody on the list gets it, the envelope's recipient only if on it; our id."""
        harness.sandbox.account.lists[7] = ["dave@example.org", "eve@example.org"]
        file = File("a.pdf", b"%PDF")
        message = a_message(attachments=[file])
        request = replace(a_request(message=message), options=SendOptions(mailing_list="7"))
        outcome = await deliver(provider, request)
        assert outcome.kind is Kind.ACCEPTED
        assert [x.recipient for x in harness.letterbox.letters] == harness.sandbox.account.lists[7]
        (message_id,) = harness.sandbox.account.mailings
        assert outcome.provider_message_id == f"mailing-{message_id}"
        assert harness.letterbox.letters[0].parameters["name"] == "mailquay Q0001"
        assert harness.letterbox.letters[0].attachments[0].content == file.content

    async def test_to_a_list_that_is_not_there(self, harness: Harness, provider: FormV2):
        """The service's refusal is the letter's."""
        outcome = await deliver(provider, wishing(SendOptions(mailing_list="8")))
        assert outcome.kind is Kind.REJECTED


def letters(*emails: str, same: bool = False, **parts: object) -> list[DeliveryRequest]:
    """A letter for each address, all with the same content or each with its own."""
    return [
        a_request(
            email,
            message=a_message(subject="Hi" if same else f"Hi {n}", **parts),  # type: ignore[arg-type]
            queue_id=f"Q{n}",
        )
        for n, email in enumerate(emails)
    ]


async def a_place() -> None:
    """There is always one."""


BOB, EVE, DAVE = "bob@example.org", "eve@example.org", "dave@example.org"


class TestBatches:
    @pytest.fixture
    async def provider(
        self, harness: Harness, clock: SystemClock, monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[FormV2]:
        """Asks for results soon."""
        monkeypatch.setattr(inquiry, "_FIRST_S", 0.01)
        monkeypatch.setattr(inquiry, "_LONGER", 1.0)
        provider = harness.build(clock, rate="1000/s", results_within="30s")
        yield provider
        await provider.aclose()

    async def send(
        self, provider: FormV2, requests: Sequence[DeliveryRequest], within: float = 60.0
    ) -> dict[str, DeliveryOutcome]:
        """Hand all over, batch by batch; the outcome by address."""
        found = {}
        for batch in provider.batches(requests):
            deadline = SystemClock().monotonic() + within
            reports = await provider.deliver_many(batch, deadline=deadline, place=a_place)
            for request, report in zip(batch.requests, reports, strict=True):
                (recipient,) = request.envelope.recipients
                found[recipient.forward_path.addr_spec] = report.outcomes[recipient.key]
        return found

    async def test_it_is_a_bulk_provider(self, provider: FormV2):
        """The gateway finds the ability by the protocol."""
        assert isinstance(provider, BulkProvider)

    @pytest.mark.parametrize("same", [True, False])
    async def test_one_call_for_all(self, harness: Harness, provider: FormV2, same: bool):
        """C.5: the same letter as bulk, different ones as personal; each arrives as its own."""
        outcomes = await self.send(provider, letters(BOB, EVE, DAVE, same=same))
        assert harness.sandbox.methods == {"sendBulkEmail": 1, "statusBulkEmail": 1}
        assert {x.recipient: x.subject for x in harness.letterbox.letters} == {
            email: "Hi" if same else f"Hi {n}" for n, email in enumerate((BOB, EVE, DAVE))
        }
        kind = {x.parameters["message_type"] for x in harness.letterbox.letters}
        assert kind == {"bulk" if same else "personal"}
        (uuid,) = harness.sandbox.account.batches
        for outcome in outcomes.values():
            assert (outcome.kind, outcome.provider_message_id) == (Kind.ACCEPTED, uuid)

    async def test_the_batch_carries_our_id(self, harness: Harness, provider: FormV2):
        """D 35: by its name a batch is found in the account's panel."""
        await self.send(provider, letters(BOB, EVE))
        assert harness.letterbox.letters[0].parameters["name"] == "mailquay Q0 +1"

    @pytest.mark.parametrize("quirk", [None, *Quirk])
    async def test_results_by_recipient(
        self,
        harness: Harness,
        provider: FormV2,
        monkeypatch: pytest.MonkeyPatch,
        quirk: Quirk | None,
    ):
        """C.6: refused and undelivered ones fail alone, however the report is written (D 26-36)."""
        if quirk is not None:
            harness.sandbox.quirks.add(quirk)
        harness.faults.add(Fault(FaultKind.REFUSE, recipient="eve@"))
        # Some of these reports are never whole.
        monkeypatch.setattr(provider._inquiry, "_within", timedelta(seconds=1))
        outcomes = await self.send(provider, letters(BOB, EVE, DAVE))
        assert outcomes[BOB].kind is outcomes[DAVE].kind is Kind.ACCEPTED
        if quirk is Quirk.NO_RESULT:  # no uuid to ask by
            assert outcomes[EVE].kind is Kind.ACCEPTED
            assert "cannot be asked" in outcomes[EVE].diagnostic
        else:
            assert (outcomes[EVE].kind, outcomes[EVE].scope) == (Kind.REJECTED, Scope.RECIPIENT)
            assert "incorrect" in outcomes[EVE].diagnostic
        assert [x.recipient for x in harness.letterbox.letters] == [BOB, DAVE]

    async def test_undelivered_is_told(self, harness: Harness, provider: FormV2):
        """C.6: taken, and failed before we asked: the sender hears of it."""
        harness.faults.add(Fault(FaultKind.REFUSE, recipient="eve@", style="undelivered"))
        outcomes = await self.send(provider, letters(BOB, EVE))
        assert outcomes[EVE].kind is Kind.REJECTED
        assert outcomes[EVE].diagnostic == "UNDELIVERED Mailbox unavailable"

    async def test_no_result_yet_is_acceptance(
        self, harness: Harness, clock: SystemClock, monkeypatch: pytest.MonkeyPatch
    ):
        """D 32: the batch was taken; who is in no report is left to tracking, by the batch's id."""
        monkeypatch.setattr(inquiry, "_FIRST_S", 0.01)
        harness.sandbox.account.queued_s = 1e6
        provider = harness.build(clock, rate="1000/s", results_within="1s")
        outcomes = await self.send(provider, letters(BOB, EVE))
        await provider.aclose()
        (uuid,) = harness.sandbox.account.batches
        assert {x.provider_message_id for x in outcomes.values()} == {uuid}
        assert {x.kind for x in outcomes.values()} == {Kind.ACCEPTED}
        assert harness.sandbox.methods["statusBulkEmail"] >= 1

    async def test_questions_take_places_of_the_caller_s(self, harness: Harness, provider: FormV2):
        """T24: whoever shares the account says when; without a place in time nobody asks."""

        async def no_place() -> None:
            await asyncio.Event().wait()

        (batch,) = provider.batches(letters(BOB, EVE))
        deadline = SystemClock().monotonic() + 2
        (told, _) = await provider.deliver_many(batch, deadline=deadline, place=no_place)
        assert told.outcomes[0].kind is Kind.ACCEPTED
        assert harness.sandbox.methods == {"sendBulkEmail": 1}

    async def test_nobody_asks_where_nobody_wants_to_know(
        self, harness: Harness, clock: SystemClock
    ):
        """`results_within: 0s`: one call for a batch, and no more."""
        provider = harness.build(clock, rate="1000/s", results_within="0s")
        outcomes = await self.send(provider, letters(BOB, EVE))
        await provider.aclose()
        assert harness.sandbox.methods == {"sendBulkEmail": 1}
        assert outcomes[BOB].kind is Kind.ACCEPTED

    @pytest.mark.parametrize(
        "kind", [FaultKind.ERROR, FaultKind.DROP_AFTER, FaultKind.GARBAGE, FaultKind.UNAUTHORISED]
    )
    async def test_trouble_in_asking_changes_nothing(
        self, harness: Harness, provider: FormV2, kind: FaultKind
    ):
        """The batch was taken, whatever the question meets; it is asked again."""
        harness.faults.add(Fault(kind, method="statusBulkEmail"))
        harness.faults.add(Fault(FaultKind.REFUSE, recipient="eve@"))
        outcomes = await self.send(provider, letters(BOB, EVE))
        assert outcomes[BOB].kind is Kind.ACCEPTED
        assert outcomes[EVE].kind is Kind.REJECTED

    @pytest.mark.parametrize(
        "fault",
        [
            Fault(FaultKind.HANG, style="after"),
            Fault(FaultKind.DROP_AFTER),
            Fault(FaultKind.GARBAGE),
            Fault(FaultKind.ERROR),
        ],
        ids=lambda fault: fault.kind.value,
    )
    async def test_lost_answer(self, harness: Harness, provider: FormV2, fault: Fault):
        """D 35: uncertain for each of the batch, and not sent again unasked."""
        harness.faults.add(replace(fault))
        outcomes = await self.send(provider, letters(BOB, EVE), within=2.0)
        assert {x.kind for x in outcomes.values()} == {Kind.UNCERTAIN}
        assert {x.scope for x in outcomes.values()} == {Scope.RECIPIENT}
        assert harness.sandbox.methods == {"sendBulkEmail": 1}

    @pytest.mark.parametrize(
        ("kind", "cause"),
        [
            (FaultKind.THROTTLE, Cause.THROTTLED),
            (FaultKind.DEFER, Cause.THROTTLED),
            (FaultKind.UNAUTHORISED, Cause.ACCOUNT),
        ],
    )
    async def test_trouble_of_the_account(
        self, harness: Harness, provider: FormV2, kind: FaultKind, cause: Cause
    ):
        """Put off for the provider as a whole; the same batch goes again."""
        harness.faults.add(Fault(kind, retry_after_s=7))
        requests = letters(BOB, EVE)
        outcomes = await self.send(provider, requests)
        for outcome in outcomes.values():
            assert (outcome.kind, outcome.scope) == (Kind.DEFERRED, Scope.PROVIDER)
            assert outcome.cause is cause
        assert harness.letterbox.letters == []
        assert len(provider.batches(requests)) == 1

    @pytest.mark.parametrize("style", ["", "200", "laravel", "302"])
    async def test_a_refused_batch_comes_apart(
        self, harness: Harness, provider: FormV2, style: str
    ):
        """One bad letter condemns nobody else: each goes alone next, and gets its own verdict."""
        harness.faults.add(Fault(FaultKind.REFUSE, style=style))
        requests = letters(BOB, EVE)
        outcomes = await self.send(provider, requests)
        for outcome in outcomes.values():
            assert (outcome.kind, outcome.scope) == (Kind.DEFERRED, Scope.RECIPIENT)
            assert outcome.retry_after == timedelta(seconds=1)
        assert harness.letterbox.letters == []
        harness.faults.add(Fault(FaultKind.REFUSE, recipient="eve@", style="200"))
        again = await self.send(provider, requests)
        assert (again[BOB].kind, again[EVE].kind) == (Kind.ACCEPTED, Kind.REJECTED)
        assert harness.sandbox.methods == {"sendBulkEmail": 1, "sendEmail": 2}

    async def test_unreachable(self, harness: Harness, clock: SystemClock):
        """Surely not sent: anybody may try at once."""
        provider = harness.build_unreachable(clock)
        outcomes = await self.send(provider, letters(BOB, EVE))
        await provider.aclose()
        assert {x.cause for x in outcomes.values()} == {Cause.UNREACHABLE}

    async def test_letters_with_files_go_alone(self, harness: Harness, provider: FormV2):
        """D 29: no attachment in a batch."""
        mixed = [*letters(BOB, EVE), *letters(DAVE, attachments=[File()])]
        outcomes = await self.send(provider, mixed)
        assert {x.kind for x in outcomes.values()} == {Kind.ACCEPTED}
        assert harness.sandbox.methods["sendEmail"] == 1
        files = {x.recipient: len(x.attachments) for x in harness.letterbox.letters}
        assert files == {BOB: 0, EVE: 0, DAVE: 1}

    async def test_the_token_is_in_no_log(
        self, harness: Harness, provider: FormV2, caplog: pytest.LogCaptureFixture
    ):
        """T25, D 34: however a call ends, and in the query too, where one method wants it."""
        caplog.set_level(logging.DEBUG)
        told = []
        for kind in (None, FaultKind.ERROR, FaultKind.DROP_AFTER, FaultKind.UNAUTHORISED):
            if kind is not None:
                harness.faults.add(Fault(kind, times=2))
            told.append(repr(await provider.probe()))
            told.append(repr(await self.send(provider, letters(BOB, EVE))))
        shown = caplog.text + "".join(told)
        assert "eyJpdiI6" not in shown
