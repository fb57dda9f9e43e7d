"""
One account at the v2 service, as the gateway uses it: single letters, list letters and batches.

A letter alone goes by sendEmail, whose answer is final; several go by sendBulkEmail, and what
became of each is asked for afterwards.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
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
from providers.contract.tracking import LetterStatus, TrackingEvent
from providers.form_v2.batches import PreparedCall, Shareable, batches_from
from providers.form_v2.client import FormV2Client
from providers.form_v2.letters import attachment_from, content_from, sending_from
from providers.form_v2.results import apart, not_reported, outcomes_from
from providers.form_v2.settings import FormV2Settings, capabilities_from
from providers.form_v2.tracking import (
    NO_STATUS,
    events_from_list,
    events_from_mailings,
    mailing_id,
    question_from,
    status_from,
)
from providers.form_v2.wire.answers import (
    read_batch_taken,
    read_delivery_list,
    read_email_sent,
    read_list_sent,
    read_mailings,
)
from providers.form_v2.wire.forms import (
    BULK_STATUS,
    Form,
    build_bulk_status,
    build_send_by_list,
    build_send_email,
    folded,
)
from providers.form_v2.zone import zone_from
from providers.http.composition import Composition, Submission, prepare
from providers.http.exchange import HttpAnswer
from providers.http.handover import hand_over
from providers.http.verdict import probe_result_from
from providers.pacing import TokenBucket

_FIRST_RESULTS_S = 1.0  # after the batch; each wait after it is three times as long
_LONGER = 3.0
_MOST_APART = 10_000  # letters remembered to go alone; beyond them the oldest share a call again


class FormV2:
    """`BulkProvider` and `StatusSource` for the v2 formData API."""

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
        self._apart: OrderedDict[tuple[str, int], None] = OrderedDict()

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
        return batches_from(requests, self._sharer(), max_octets=self._settings.max_call_size)

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
        results = await self._results(taken.uuid, emails, deadline, place)
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
        found: dict[str, LetterStatus] = {}
        for name in provider_message_ids:
            form = question_from(name)
            if form is None:
                found[name] = NO_STATUS
            elif not await self._turn(0.0, deadline, self._own_place):
                break
            elif (events := await self._events(form, name, deadline)) is not None:
                found[name] = status_from(events)
        return found

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
            self._apart.update(dict.fromkeys(map(_lease, batch.requests)))
            while len(self._apart) > _MOST_APART:
                self._apart.popitem(last=False)
        return tuple(all_same(request, outcome) for request in batch.requests)

    async def _events(
        self, form: Form, name: str, deadline: float
    ) -> tuple[TrackingEvent, ...] | None:
        if form.method == BULK_STATUS:
            told = await self._client.ask(form, read_mailings, deadline=deadline)
            if isinstance(told, DeliveryOutcome):
                return None
            return events_from_mailings(told, name, self._clock.now())
        listed = await self._client.ask(form, read_delivery_list, deadline=deadline)
        if isinstance(listed, DeliveryOutcome):
            return None
        return events_from_list(listed, name, self._clock.now())

    async def _results(
        self, uuid: str, emails: Sequence[str], deadline: float, place: Place
    ) -> Mapping[str, DeliveryOutcome]:
        """Ask until all are known, or for as long as the settings say; what is known by then."""
        found: Mapping[str, DeliveryOutcome] = {}
        until = self._clock.monotonic() + self._settings.results_within.total_seconds()
        until = min(until, deadline)
        wait = _FIRST_RESULTS_S
        while uuid and await self._turn(wait, until, place):
            told = await self._client.ask(build_bulk_status(uuid), read_mailings, deadline=until)
            # The batch was taken; trouble in asking does not change that.
            if not isinstance(told, DeliveryOutcome):
                found = outcomes_from(told, uuid)
                if all(email in found for email in emails):
                    break
            wait *= _LONGER
        return found

    async def _turn(self, wait_s: float, until: float, place: Place) -> bool:
        """After a wait take a place in the pace; whether there was one in time."""
        left = until - self._clock.monotonic()
        if wait_s >= left:
            return False
        try:
            async with asyncio.timeout(left):
                await self._clock.sleep(wait_s)
                await place()
        except TimeoutError:
            return False
        return True

    async def _own_place(self) -> None:
        while (wait := self.pace.take(self._clock.monotonic())) > 0:
            await self._clock.sleep(wait)

    def _build(self, composition: Composition, request: DeliveryRequest) -> Submission:
        form = self._form(composition, request)
        return Submission(self._client.signed(form), losses=composition.losses)

    def _form(self, composition: Composition, request: DeliveryRequest) -> Form:
        content, file = content_from(composition), attachment_from(composition)
        options = request.options
        sending = sending_from(options, self._settings, self._zone, self._clock.now())
        if options.mailing_list is not None:
            name = f"mailquay {request.queue_id}"
            return build_send_by_list(
                content, options.mailing_list, sending, name=name, attachment=file
            )
        (recipient,) = request.envelope.recipients
        return build_send_email(content, recipient.forward_path.addr_spec, sending, file)

    def _sharer(self) -> Callable[[DeliveryRequest], Shareable | None]:
        """What letters say; one that goes to many is taken apart once."""
        parsed: dict[tuple[int, int], tuple[DeliveryRequest, Shareable | None]] = {}

        def share(request: DeliveryRequest) -> Shareable | None:
            if _lease(request) in self._apart:
                return None
            key = id(request.message), id(request.options)
            # The request is kept, so that nothing else comes to have the same id.
            if key not in parsed:
                parsed[key] = (request, self._shareable(request))
            return parsed[key][1]

        return share

    def _shareable(self, request: DeliveryRequest) -> Shareable | None:
        options = request.options
        if options.mailing_list is not None or request.message.needs.attachments:
            return None
        found = prepare(request, self.capabilities, lambda composition, _: composition)
        if isinstance(found, Shortfall) or found.letter.attachments:
            return None  # alone it gets its outcome
        sending = sending_from(options, self._settings, self._zone, self._clock.now())
        return Shareable(content_from(found), sending, found.losses)


def _lease(request: DeliveryRequest) -> tuple[str, int]:
    return request.queue_id, request.envelope.recipients[0].key


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
