"""What is particular to `rest_v1`, beside its emulator."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.clock import SystemClock
from providers.contract.capabilities import Part, Rate, Tracking
from providers.contract.options import SendOptions
from providers.contract.outcome import Cause, DeliveryOutcome, DeliveryRequest, Kind, Scope
from providers.contract.tracking import EventType, StatusSource, WebhookSource
from providers.rest_v1.provider import RestV1
from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.rest_v1.lists import MailingList
from providers.sandbox.rest_v1.templates import WELCOME_ID
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


async def deliver(
    provider: RestV1, request: DeliveryRequest | None = None, within: float = 60.0
) -> DeliveryOutcome:
    deadline = SystemClock().monotonic() + within
    report = await provider.deliver(request or a_request(), deadline=deadline)
    return report.outcomes[0]


async def test_our_trace_goes_along(harness: Harness, provider: RestV1):
    """D 7: queue id and recipient's key stand in a header field of the letter."""
    await deliver(provider, a_request(queue_id="4Xk2"))
    assert harness.letterbox.letters[0].header_fields == {"Client-Id": "4Xk2-0"}


async def test_header_fields_arrive_in_json_and_in_forms(harness: Harness, provider: RestV1):
    """Reply-To, List-Unsubscribe, References and own fields, with files and without."""
    fields = {
        "Reply-To": "help@example.com",
        "List-Unsubscribe": "<https://example.com/u>",
        "References": "<1@example.com> <2@example.com>",
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
    request = a_request(message=a_message(sender="root"))
    outcome = await deliver(provider, request)
    assert [loss.part for loss in outcome.losses] == [Part.FROM]
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


def wishing(**wishes: Any) -> DeliveryRequest:
    """A request with these wishes of the client."""
    parts = {name: wishes.pop(name) for name in ("message",) if name in wishes}
    return replace(a_request(**parts), options=SendOptions(**wishes))


class TestTemplates:
    async def test_a_template_letter(self, harness: Harness, provider: RestV1):
        """B.4: the template takes the place of sender, subject and bodies, filled in."""
        assert provider.capabilities.templates
        outcome = await deliver(
            provider,
            wishing(template=str(WELCOME_ID), params={"name": "Боб", "code": 77}, payment="credit"),
        )
        assert (outcome.kind, outcome.losses) == (Kind.ACCEPTED, ())
        (letter,) = harness.letterbox.letters
        assert letter.recipient == "bob@example.org"
        assert (letter.subject, letter.text) == ("Hello Боб", "Hi Боб, your code is 77")
        assert letter.parameters == {"payment": "credit", "template": str(WELCOME_ID)}
        assert letter.provider_message_id == outcome.provider_message_id

    async def test_what_has_no_place_in_a_template(self, provider: RestV1):
        """Files and header fields are losses, each by its name."""
        fields = {"Reply-To": "help@example.com", "References": "<1@example.com>", "X-Order": "7"}
        message = a_message(header_fields=list(fields.items()), attachments=[File("a.pdf")])
        outcome = await deliver(provider, wishing(message=message, template=str(WELCOME_ID)))
        assert outcome.kind is Kind.ACCEPTED
        assert [loss.part for loss in outcome.losses] == [
            *(Part.ATTACHMENT, Part.REPLY_TO, Part.THREADING, Part.HEADER_FIELD)
        ]

    @pytest.mark.parametrize("template", ["999", "../1", "x y/?#"])
    async def test_an_unknown_template(self, harness: Harness, provider: RestV1, template: str):
        """404: refused for good, and no other path was asked."""
        outcome = await deliver(provider, wishing(template=template))
        assert outcome.kind is Kind.REJECTED
        assert harness.letterbox.letters == []


class TestPayment:
    async def test_the_clients_word_counts_more(self, harness: Harness, clock: SystemClock):
        """The letter's own wish stands above the account's setting."""
        provider = harness.build(clock, payment="credit")
        assert provider.capabilities.payments
        await deliver(provider, wishing(payment="subscriber"))
        await provider.aclose()
        assert harness.letterbox.letters[0].parameters == {"payment": "subscriber"}

    async def test_a_word_that_nobody_knows(self, harness: Harness, provider: RestV1):
        """Told without a call."""
        outcome = await deliver(provider, wishing(payment="cash"))
        assert (outcome.kind, outcome.scope) == (Kind.UNSUPPORTED, Scope.MESSAGE)
        assert "cash" in outcome.diagnostic
        assert harness.letterbox.calls == {}

    @pytest.mark.parametrize("status", ["402", "403"])
    async def test_an_account_that_cannot_pay(
        self, harness: Harness, provider: RestV1, status: str
    ):
        """D 14: the account's trouble holds the queue and loses no letter."""
        harness.faults.add(Fault(FaultKind.UNAUTHORISED, style=status))
        outcome = await deliver(provider)
        assert (outcome.kind, outcome.scope) == (Kind.DEFERRED, Scope.PROVIDER)
        assert outcome.cause is Cause.ACCOUNT


class TestListLetters:
    @pytest.fixture
    def list_id(self, harness: Harness) -> str:
        """A list of two."""
        harness.sandbox.lists.found[1] = clients = MailingList(1, "Clients")
        for email in ("bob@example.com", "eve@example.com"):
            harness.sandbox.recipients.put(clients, email, {})
        return "1"

    async def test_a_letter_to_a_list(self, harness: Harness, provider: RestV1, list_id: str):
        """B.11: everybody on the list gets the letter with its files, whoever RCPT named."""
        assert provider.capabilities.mailing_lists
        message = a_message(html="<p>Hi</p>", attachments=[File("a.pdf")])
        outcome = await deliver(provider, wishing(message=message, mailing_list=list_id))
        assert outcome.kind is Kind.ACCEPTED
        assert outcome.provider_message_id == "campaign:70"
        harness.sandbox.advance()
        letters = harness.letterbox.letters
        assert [letter.recipient for letter in letters] == ["bob@example.com", "eve@example.com"]
        assert letters[0].html.strip() == "<p>Hi</p>"
        assert [file.filename for file in letters[0].attachments] == ["a.pdf"]

    async def test_header_fields_are_losses(self, provider: RestV1, list_id: str):
        """A campaign takes none."""
        message = a_message(header_fields=[("X-Order", "7"), ("Reply-To", "help@example.com")])
        outcome = await deliver(provider, wishing(message=message, mailing_list=list_id))
        assert {loss.part for loss in outcome.losses} == {Part.REPLY_TO, Part.HEADER_FIELD}

    @pytest.mark.parametrize("name", ["clients", "1/2", "", "١"])
    async def test_an_id_that_is_none(self, harness: Harness, provider: RestV1, name: str):
        """Told without a call."""
        outcome = await deliver(provider, wishing(mailing_list=name))
        assert outcome.kind is Kind.UNSUPPORTED
        assert harness.letterbox.calls == {}

    async def test_a_list_that_is_not_there(self, provider: RestV1):
        """422 of the platform: refused for good."""
        assert (await deliver(provider, wishing(mailing_list="404"))).kind is Kind.REJECTED

    @pytest.mark.parametrize(
        "kind",
        [FaultKind.DROP_BEFORE, FaultKind.DROP_AFTER, FaultKind.GARBAGE, FaultKind.ERROR],
    )
    async def test_trouble_with_the_draft(
        self, harness: Harness, provider: RestV1, list_id: str, kind: FaultKind
    ):
        """Nothing was sent, whatever became of the first call: never `uncertain`."""
        harness.faults.add(Fault(kind))
        outcome = await deliver(provider, wishing(mailing_list=list_id))
        assert outcome.kind is Kind.DEFERRED
        harness.sandbox.advance()
        assert harness.letterbox.letters == []

    @pytest.mark.parametrize(
        ("fault", "kind"),
        [
            (Fault(FaultKind.DROP_AFTER), Kind.ACCEPTED),
            (Fault(FaultKind.GARBAGE), Kind.ACCEPTED),
            (Fault(FaultKind.ERROR, style="504 after"), Kind.ACCEPTED),
            (Fault(FaultKind.DROP_BEFORE), Kind.UNCERTAIN),
            (Fault(FaultKind.ERROR), Kind.UNCERTAIN),
            (Fault(FaultKind.UNAUTHORISED, style="402"), Kind.DEFERRED),
            (Fault(FaultKind.REFUSE), Kind.REJECTED),
        ],
        ids=lambda value: f"{value.kind} {value.style}" if isinstance(value, Fault) else "",
    )
    async def test_trouble_with_its_delivery(
        self, harness: Harness, provider: RestV1, list_id: str, fault: Fault, kind: Kind
    ):
        """The campaign itself is asked what became of it; a draft proves nothing (D 7)."""
        harness.faults.add(replace(fault, method="PATCH /email/campaigns/*/deliver"))
        outcome = await deliver(provider, wishing(mailing_list=list_id))
        assert outcome.kind is kind

    async def test_a_draft_without_a_name(self, harness: Harness, provider: RestV1, list_id: str):
        """D 9: nobody can deliver it, so nothing was sent."""
        harness.faults.add(Fault(FaultKind.GARBAGE, style="no_id"))
        outcome = await deliver(provider, wishing(mailing_list=list_id))
        assert (outcome.kind, outcome.scope) == (Kind.DEFERRED, Scope.PROVIDER)
        assert harness.letterbox.calls == {"rest_v1": 1}

    async def test_no_time_for_the_second_call(
        self, harness: Harness, clock: SystemClock, list_id: str
    ):
        """The second call has its place in the pace, too; without one the draft waits."""
        provider = harness.build(clock, rate=Rate(1, timedelta(minutes=1)))
        provider.pace.take(clock.monotonic())  # as the caller does for the first call
        outcome = await deliver(provider, wishing(mailing_list=list_id), within=5.0)
        assert outcome.kind is Kind.DEFERRED
        assert harness.letterbox.calls == {"rest_v1": 1}
        assert harness.sandbox.campaigns.found[70].answer["state"] == "draft"
        await provider.aclose()

    @pytest.mark.parametrize("kind", [FaultKind.DROP_BEFORE, FaultKind.DEFER, FaultKind.THROTTLE])
    async def test_tried_again(
        self, harness: Harness, provider: RestV1, list_id: str, kind: FaultKind
    ):
        """The draft of the first try is delivered: no second one stays behind."""
        harness.faults.add(Fault(kind, method="PATCH /email/campaigns/*/deliver"))
        assert (await deliver(provider, wishing(mailing_list=list_id))).kind is not Kind.ACCEPTED
        outcome = await deliver(provider, wishing(mailing_list=list_id))
        assert outcome.provider_message_id == "campaign:70"
        assert len(harness.sandbox.campaigns.found) == 1

    async def test_tried_again_after_it_went_out_unseen(
        self, harness: Harness, provider: RestV1, list_id: str
    ):
        """D 7: where even the question for its state failed, the next try asks before it sends."""
        harness.faults.add(Fault(FaultKind.DROP_AFTER, method="PATCH /email/campaigns/*/deliver"))
        harness.faults.add(Fault(FaultKind.ERROR, method="GET /email/campaigns/*"))
        assert (await deliver(provider, wishing(mailing_list=list_id))).kind is Kind.UNCERTAIN
        harness.sandbox.advance()
        assert (await deliver(provider, wishing(mailing_list=list_id))).kind is Kind.ACCEPTED
        assert len(harness.letterbox.letters) == 2
        again = await deliver(provider, replace(wishing(mailing_list=list_id), queue_id="other"))
        assert again.provider_message_id == "campaign:71"


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


class TestAnswersThatProveNothing:
    @pytest.mark.parametrize(
        ("style", "kind", "accepted"),
        [
            ("no_id", Kind.ACCEPTED, True),
            ("errors", Kind.REJECTED, False),
            ("list", Kind.UNCERTAIN, True),
            ("empty", Kind.UNCERTAIN, True),
        ],
    )
    async def test_success_codes(
        self, *, harness: Harness, provider: RestV1, style: str, kind: Kind, accepted: bool
    ):
        """D 9: a 2xx without id is accepted, with errors refused, unreadable uncertain."""
        harness.faults.add(Fault(FaultKind.GARBAGE, style=style))
        outcome = await deliver(provider)
        assert (outcome.kind, outcome.provider_message_id) == (kind, "")
        assert bool(harness.letterbox.letters) is accepted

    @pytest.mark.parametrize("created", [200, 201])
    @pytest.mark.parametrize("ids", ["number", "string"])
    async def test_any_success_and_any_id(
        self, harness: Harness, provider: RestV1, created: int, ids: str
    ):
        """D 9 and D 10: 200 or 201, number or string: the same id as text."""
        harness.sandbox.dialect.created = created
        harness.sandbox.dialect.ids = ids
        assert (await deliver(provider)).provider_message_id == "5000000001"

    @pytest.mark.parametrize("shape", ["errors", "message", "error", "text", "html", "empty"])
    @pytest.mark.parametrize("status", ["400", "422"])
    async def test_a_refused_sender(
        self, *, harness: Harness, provider: RestV1, shape: str, status: str
    ):
        """D 15 and D 23: by the code, wherever and in whatever words the reason stands."""
        harness.sandbox.dialect.errors = shape
        harness.faults.add(Fault(FaultKind.REFUSE, style=status))
        assert (await deliver(provider)).kind is Kind.REJECTED

    async def test_an_installation_that_names_no_files(self, harness: Harness, provider: RestV1):
        """D 17: silence about files is no loss."""
        harness.sandbox.dialect.files = "untold"
        outcome = await deliver(provider, a_request(message=a_message(attachments=[File()])))
        assert (outcome.kind, outcome.losses) == (Kind.ACCEPTED, ())

    async def test_a_wait_that_is_not_named(self, harness: Harness, provider: RestV1):
        """D 13: throttled all the same; how long to wait is the gateway's to choose."""
        harness.faults.add(Fault(FaultKind.THROTTLE, style="none"))
        outcome = await deliver(provider)
        assert (outcome.cause, outcome.retry_after) == (Cause.THROTTLED, None)

    async def test_the_reserve_gets_nothing_that_the_main_host_may_have(
        self, harness: Harness, clock: SystemClock
    ):
        """D 8: after an answer that was lost, and after any answer, the reserve is not asked."""
        main = Harness()
        await main.start()
        reserve_url = f"http://127.0.0.1:{harness.listener.port}/v1"
        provider = main.build(clock, reserve_url=reserve_url)
        for kind in (FaultKind.DROP_BEFORE, FaultKind.DROP_AFTER, FaultKind.DEFER, FaultKind.ERROR):
            main.faults.add(Fault(kind))
            assert (await deliver(provider)).kind is not Kind.ACCEPTED
        assert harness.letterbox.calls == {}
        await provider.aclose()
        await main.stop()


class TestTracking:
    async def test_it_is_a_source_of_both_kinds(self, provider: RestV1):
        """As its capabilities say."""
        assert isinstance(provider, WebhookSource)
        assert isinstance(provider, StatusSource)
        assert provider.capabilities.tracking is Tracking.WEBHOOK_AND_POLL

    async def test_statuses(self, harness: Harness, provider: RestV1):
        """Asked by the id of the outcome: on its way, and in the end delivered and opened."""
        message_id = (await deliver(provider)).provider_message_id
        seen = []
        for _ in range(3):
            found = await provider.statuses([message_id], deadline=soon())
            (event,) = found[message_id].events
            seen.append((event.event_type, found[message_id].final))
            harness.sandbox.advance()
        assert seen == [
            (EventType.QUEUED, False),
            (EventType.SENT, False),
            (EventType.DELIVERED, True),
        ]
        harness.sandbox.messages.happen(int(message_id), "opened")
        found = await provider.statuses([message_id], deadline=soon())
        assert found[message_id].events[1].event_type is EventType.OPENED

    async def test_list_letters(self, harness: Harness, provider: RestV1):
        """A campaign is asked as one."""
        harness.sandbox.lists.found[1] = MailingList(1, "Clients")
        outcome = await deliver(provider, wishing(mailing_list="1"))
        harness.sandbox.advance()
        found = await provider.statuses([outcome.provider_message_id], deadline=soon())
        assert found["campaign:70"].final

    async def test_letters_that_nobody_knows(self, provider: RestV1):
        """Not found, and without an id: nothing more will come."""
        found = await provider.statuses(["1", ""], deadline=soon())
        assert [(status.events, status.final) for status in found.values()] == [((), True)] * 2

    @pytest.mark.parametrize(
        "kind", [FaultKind.UNAUTHORISED, FaultKind.ERROR, FaultKind.DROP_BEFORE, FaultKind.GARBAGE]
    )
    async def test_trouble_ends_the_round(
        self, harness: Harness, provider: RestV1, kind: FaultKind
    ):
        """What was learnt before stays; the others are asked another time."""
        ids = [(await deliver(provider)).provider_message_id for _ in range(2)]
        harness.faults.add(Fault(kind, times=None))
        assert await provider.statuses(ids, deadline=soon()) == {}
        harness.faults.clear()
        assert len(await provider.statuses(ids, deadline=soon())) == 2
        assert await provider.statuses(ids, deadline=SystemClock().monotonic() - 1) == {}

    @pytest.mark.parametrize("style", ["nested", "flat"])
    async def test_webhooks_as_the_platform_sends_them(
        self, harness: Harness, provider: RestV1, style: str
    ):
        """What the emulator would post is what the adapter reads (B.12)."""
        harness.sandbox.dialect.webhook_style = style
        harness.sandbox.hooks.urls.append("http://127.0.0.1:1/hook")
        harness.sandbox.sender.held = True
        message_id = (await deliver(provider)).provider_message_id
        harness.sandbox.messages.happen(int(message_id), "complined")
        ((_, body),) = harness.sandbox.sender._waiting
        (event,) = provider.events_from_webhook({}, json.dumps(body).encode())
        assert event.event_type is EventType.COMPLAINED
        assert event.provider_message_id == message_id


def soon() -> float:
    return SystemClock().monotonic() + 60
