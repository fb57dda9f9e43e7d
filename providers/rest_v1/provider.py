"""
One account at a v1 platform, as the gateway uses it: one request per recipient.

A letter goes as it is, as a template's (B.4) or to a whole list (B.11), as the client wished. The
rest of the API is at hand as `api`, over the same connections and the same pace.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from providers.contract.capabilities import Shortfall
from providers.contract.clock import Clock
from providers.contract.outcome import DeliveryReport, DeliveryRequest, all_same
from providers.contract.provider import ProbeResult
from providers.contract.tracking import LetterFound, LetterStatus, TrackingEvent
from providers.http.composition import Composition, Submission, prepare
from providers.http.exchange import HttpAnswer
from providers.http.handover import hand_over
from providers.http.verdict import not_carried, outcome_from_no_answer, probe_result_from
from providers.pacing import TokenBucket
from providers.rest_v1 import wire
from providers.rest_v1.api import RestV1Api, RestV1Error
from providers.rest_v1.api.account import set_webhook
from providers.rest_v1.api.campaigns import one_campaign
from providers.rest_v1.api.errors import NotFound
from providers.rest_v1.api.messages import message as message_info
from providers.rest_v1.client import build_client
from providers.rest_v1.list_letter import CAMPAIGN, ListDelivery, build_draft, no_such_list
from providers.rest_v1.settings import RestV1Settings, capabilities_from
from providers.rest_v1.tracking import parse_webhook, status_from_campaign, status_from_message


class RestV1:
    """
    `Provider` for the v1 JSON REST API, and all that tells of letters.

    That is `WebhookSource`, `WebhookRegistry`, `StatusSource` and `LetterSource`.
    """

    kind = "rest_v1"

    def __init__(self, name: str, settings: RestV1Settings, clock: Clock) -> None:
        """
        Connects nothing.

        Raises:
            ProviderConfigError: The settings cannot work.
        """
        self.name = name
        self.capabilities = capabilities_from(settings)
        self.pace = TokenBucket(settings.rate)
        self._payment = None if settings.payment is None else settings.payment.value
        self._timeout_s = settings.timeout.total_seconds()
        self._clock = clock
        self._client = build_client(settings, clock)
        self.api = RestV1Api(self._client, self.pace, clock, timeout_s=self._timeout_s)
        self._lists = ListDelivery(self._client, self.pace, clock)

    async def deliver(self, request: DeliveryRequest, *, deadline: float) -> DeliveryReport:
        """Hand over one letter to its one recipient, or to a list; see `Provider.deliver`."""
        options = request.options
        if unknown := wire.unknown_payment(options.payment):
            return all_same(request, not_carried(unknown))
        if options.mailing_list is not None:
            return await self._deliver_to_list(request, options.mailing_list, deadline)
        return await hand_over(
            request,
            capabilities=self.capabilities,
            client=self._client,
            pace=self.pace,
            clock=self._clock,
            build=self._build,
            read=wire.read_answer,
            deadline=deadline,
        )

    def rehearse(self, request: DeliveryRequest) -> tuple[Shortfall, ...]:
        """What would be lost beyond the declared shortfalls; see `Rehearsing`."""
        found = prepare(request, self.capabilities, self._build)
        return (found,) if isinstance(found, Shortfall) else found.losses

    async def probe(self) -> ProbeResult:
        """Ask for the balance, or, where the installation has no such method, for a list (B.13)."""
        deadline = self._clock.monotonic() + self._timeout_s
        answer = await self._client.call(wire.BALANCE, deadline=deadline)
        if isinstance(answer, HttpAnswer) and answer.status in (404, 405):
            answer = await self._client.call(wire.ONE_LIST, deadline=deadline)
        if isinstance(answer, HttpAnswer):
            return probe_result_from(wire.read_answer(answer, self._clock.now()))
        return probe_result_from(outcome_from_no_answer(answer))

    def events_from_webhook(
        self, headers: Mapping[str, str], body: bytes
    ) -> tuple[TrackingEvent, ...]:
        """Read one call of the platform; see `WebhookSource`."""
        return parse_webhook(headers, body, now=self._clock.now())

    async def statuses(
        self, provider_message_ids: Sequence[str], *, deadline: float
    ) -> Mapping[str, LetterStatus]:
        """
        Ask about letters one by one, for they share their connections; see `StatusSource`.

        A letter that the platform does not know any more has no events and is final. The first
        trouble ends the round: whoever comes after it would meet the same.
        """
        found: dict[str, LetterStatus] = {}
        for message_id in provider_message_ids:
            try:
                found[message_id] = await self._status(message_id, deadline)
            except (NotFound, ValueError):  # or no id at all, where the platform named none
                found[message_id] = LetterStatus((), final=True)
            except RestV1Error:
                break
        return found

    async def look_up(self, provider_message_id: str, *, deadline: float) -> LetterFound | None:
        """Ask for one letter of ours (D 19); see `LetterSource`."""
        try:
            asked = message_info(provider_message_id)
            message = await self.api.call(asked, deadline=deadline)
        except (RestV1Error, ValueError):
            return None
        status = status_from_message(message, provider_message_id, self._clock.now())
        return LetterFound(message.from_email, message.to, message.subject, status)

    async def register_webhook(self, url: str) -> str:
        """Remove what is set, set ours, look (D 20); see `WebhookRegistry`."""
        api = self.api
        try:
            if await api.webhook() == url:
                return ""
            await api.remove_webhook()
            await api.call(set_webhook(url))
            stands = await api.webhook()
        except RestV1Error as error:
            return str(error).replace(url, "the URL")
        return "" if stands == url else "the platform keeps another URL than it was given"

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _status(self, message_id: str, deadline: float) -> LetterStatus:
        if message_id.startswith(CAMPAIGN):
            asked = one_campaign(message_id.removeprefix(CAMPAIGN))
            campaign = await self.api.call(asked, deadline=deadline)
            return status_from_campaign(campaign, message_id, self._clock.now())
        message = await self.api.call(message_info(message_id), deadline=deadline)
        return status_from_message(message, message_id, self._clock.now())

    async def _deliver_to_list(
        self, request: DeliveryRequest, list_id: str, deadline: float
    ) -> DeliveryReport:
        def build(composition: Composition, _request: DeliveryRequest) -> Submission:
            return build_draft(composition, list_id)

        if unknown := no_such_list(list_id):
            return all_same(request, not_carried(unknown))
        draft = await asyncio.to_thread(prepare, request, self.capabilities, build)
        if isinstance(draft, Shortfall):
            return all_same(request, not_carried(draft))
        letter = f"{request.queue_id} {list_id}"
        return all_same(request, await self._lists.deliver(letter, draft, deadline=deadline))

    def _build(self, composition: Composition, request: DeliveryRequest) -> Submission:
        (recipient,) = request.envelope.recipients
        options = request.options
        payment = options.payment or self._payment
        if options.template is not None:
            return wire.build_template_message(
                composition,
                recipient.forward_path,
                template=options.template,
                params=options.params,
                payment=payment,
            )
        return wire.build_message(
            composition,
            recipient.forward_path,
            client_id=f"{request.queue_id}-{recipient.key}",
            payment=payment,
        )
