"""
One account at the v2 service, as the gateway uses it: single letters, list letters and batches.

A letter alone goes by sendEmail, whose answer is final; several go by sendBulkEmail, and what
became of each is asked for afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from providers.contract.batch import Batch, Gathering, Place
from providers.contract.capabilities import Shortfall
from providers.contract.clock import Clock
from providers.contract.outcome import (
    DeliveryOutcome,
    DeliveryReport,
    DeliveryRequest,
    Kind,
    Scope,
    accepted,
    all_same,
)
from providers.contract.provider import ProbeResult
from providers.contract.tracking import LetterStatus
from providers.form_v2.batches import PreparedCall
from providers.form_v2.client import FormV2Client
from providers.form_v2.inquiry import Inquiry
from providers.form_v2.letters import attachment_from, content_from, sending_from
from providers.form_v2.results import apart, not_reported
from providers.form_v2.settings import FormV2Settings, capabilities_from
from providers.form_v2.sharing import Sharing
from providers.form_v2.tracking import mailing_id
from providers.form_v2.wire.answers import (
    read_batch_taken,
    read_done,
    read_email_sent,
    read_list_sent,
)
from providers.form_v2.wire.forms import (
    Form,
    build_send_by_list,
    build_send_email,
    build_subscribe,
    build_unsubscribe,
    folded,
)
from providers.form_v2.wire.values import Sending
from providers.form_v2.zone import zone_from
from providers.http.composition import Composition, Submission, prepare
from providers.http.exchange import HttpAnswer
from providers.http.handover import hand_over
from providers.http.verdict import probe_result_from
from providers.pacing import TokenBucket


class FormV2:
    """`BulkProvider`, `StatusSource` and `SubscriptionKeeper` for the v2 formData API."""

    kind = "form_v2"

    def __init__(self, name: str, settings: FormV2Settings, clock: Clock) -> None:
        """
        Connects nothing.

        Raises:
            ProviderConfigError: The settings cannot work.
        """
        self.name = name
        self.capabilities = capabilities_from(settings)
        self.gathering = Gathering(settings.batch_size, settings.batch_window)
        self.pace = TokenBucket(settings.rate)
        self._settings = settings
        self._zone = zone_from(settings.timezone)
        self._clock = clock
        self._client = FormV2Client(settings, clock, self.pace)
        self._inquiry = Inquiry(self._client, clock, settings.results_within)
        self._sharing = Sharing(self.capabilities, self._sending, settings.max_call_size)

    async def deliver(self, request: DeliveryRequest, *, deadline: float) -> DeliveryReport:
        """Hand over one letter to its one recipient, or to a list; see `Provider.deliver`."""
        return await hand_over(
            request,
            capabilities=self.capabilities,
            client=self._client.http,
            pace=self.pace,
            clock=self._clock,
            build=self._build,
            read=_read_email_sent if request.options.mailing_list is None else _read_list_sent,
            deadline=deadline,
        )

    def batches(self, requests: Sequence[DeliveryRequest]) -> tuple[Batch, ...]:
        """Put letters together; those with a file, and list letters, stay alone (C.5)."""
        return self._sharing.batches(requests)

    async def deliver_many(
        self, batch: Batch, *, deadline: float, place: Place
    ) -> tuple[DeliveryReport, ...]:
        """Hand over a batch, and ask what became of each; see `BulkProvider.deliver_many`."""
        call = batch.prepared
        if not isinstance(call, PreparedCall):
            return tuple([await self.deliver(r, deadline=deadline) for r in batch.requests])
        taken = await self._client.ask(call.form, read_batch_taken, deadline=deadline)
        if isinstance(taken, DeliveryOutcome):
            return self._not_taken(batch, taken)
        emails = [folded(email) for email in call.emails]
        results = await self._inquiry.results(taken.uuid, emails, deadline=deadline, place=place)
        return tuple(
            all_same(request, _with_losses(results.get(email) or not_reported(taken.uuid), losses))
            for request, email, losses in zip(batch.requests, emails, call.losses, strict=True)
        )

    def rehearse(self, request: DeliveryRequest) -> tuple[Shortfall, ...]:
        """What would be lost beyond the declared shortfalls; see `Rehearsing`."""
        found = prepare(request, self.capabilities, lambda composition, _: composition)
        return (found,) if isinstance(found, Shortfall) else found.losses

    async def statuses(
        self, provider_message_ids: Sequence[str], *, deadline: float
    ) -> Mapping[str, LetterStatus]:
        """
        Ask what became of batches and list letters; see `StatusSource.statuses`.

        Each question takes a place in the pace. Nobody can be asked about a single letter (D 28):
        that there is no news of it is final.
        """
        return await self._inquiry.statuses(
            provider_message_ids, deadline=deadline, place=self._own_place
        )

    @property
    def keeps_in_step(self) -> bool:
        """Whether the account is told of the suppression list; see `SubscriptionKeeper`."""
        return self._settings.sync_unsubscriptions

    async def set_subscription(
        self, address: str, *, subscribed: bool, deadline: float
    ) -> DeliveryOutcome:
        """Keep all mailings from an address, or lift that (C.8, C.9); see `SubscriptionKeeper`."""
        try:
            async with asyncio.timeout(deadline - self._clock.monotonic()):
                await self._own_place()
        except TimeoutError:
            return DeliveryOutcome(
                Kind.DEFERRED, Scope.PROVIDER, "4.3.2", "no place in the account's pace in time"
            )
        form = build_subscribe(address) if subscribed else build_unsubscribe(address)
        found = await self._client.ask(form, read_done, deadline=deadline)
        return found if isinstance(found, DeliveryOutcome) else accepted()

    async def probe(self) -> ProbeResult:
        """Ask for the templates, which sends nothing (C.10)."""
        deadline = self._clock.monotonic() + self._settings.timeout.total_seconds()
        found = await self._client.templates(deadline=deadline)
        outcome = found if isinstance(found, DeliveryOutcome) else accepted()
        return probe_result_from(outcome)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.http.aclose()

    def _not_taken(self, batch: Batch, outcome: DeliveryOutcome) -> tuple[DeliveryReport, ...]:
        """
        What a batch that was not taken means for each of its letters.

        A refusal may concern one letter of two hundred: each is tried alone next, and then gets
        the verdict that is its own.
        """
        concerns_some = outcome.scope is not Scope.PROVIDER and outcome.kind is not Kind.UNCERTAIN
        if concerns_some:
            outcome = apart(outcome)
            self._sharing.set_apart(batch.requests)
        return tuple(all_same(request, outcome) for request in batch.requests)

    async def _own_place(self) -> None:
        while (wait := self.pace.take(self._clock.monotonic())) > 0:
            await self._clock.sleep(wait)

    def _build(self, composition: Composition, request: DeliveryRequest) -> Submission:
        form = self._form(composition, request)
        return Submission(self._client.signed(form), losses=composition.losses)

    def _sending(self, request: DeliveryRequest) -> Sending:
        now = self._clock.now()
        return sending_from(request.options, self._settings, self._zone, now)

    def _form(self, composition: Composition, request: DeliveryRequest) -> Form:
        content, file = content_from(composition), attachment_from(composition)
        options = request.options
        sending = self._sending(request)
        if options.mailing_list is not None:
            name = f"mailquay {request.queue_id}"
            return build_send_by_list(
                content, options.mailing_list, sending, name=name, attachment=file
            )
        (recipient,) = request.envelope.recipients
        return build_send_email(content, recipient.forward_path.addr_spec, sending, file)


def _with_losses(outcome: DeliveryOutcome, losses: tuple[Shortfall, ...]) -> DeliveryOutcome:
    if not losses or outcome.kind is not Kind.ACCEPTED:
        return outcome
    return replace(outcome, losses=losses)


def _read_email_sent(answer: HttpAnswer, now: datetime, _: Submission) -> DeliveryOutcome:
    sent = read_email_sent(answer, now)
    return sent if isinstance(sent, DeliveryOutcome) else accepted(sent.email_id)


def _read_list_sent(answer: HttpAnswer, now: datetime, _: Submission) -> DeliveryOutcome:
    sent = read_list_sent(answer, now)
    if isinstance(sent, DeliveryOutcome):
        return sent
    count = sent.count_emails
    told = "sent to a list" if count is None else f"sent to a list of {count}"
    return accepted(mailing_id(sent.message_id), told)
