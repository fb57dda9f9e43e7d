"""
One account at a v1 platform, as the gateway uses it: one request per recipient.
"""

from __future__ import annotations

from providers.contract.clock import Clock
from providers.contract.outcome import DeliveryReport, DeliveryRequest
from providers.contract.provider import ProbeResult
from providers.http.composition import Composition, Submission
from providers.http.exchange import HttpAnswer
from providers.http.handover import hand_over
from providers.http.verdict import outcome_from_no_answer, probe_result_from
from providers.pacing import TokenBucket
from providers.rest_v1 import wire
from providers.rest_v1.client import build_client
from providers.rest_v1.settings import RestV1Settings, capabilities_from


class RestV1:
    """`Provider` for the v1 JSON REST API."""

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
        self._probe_within_s = settings.timeout.total_seconds()
        self._clock = clock
        self._client = build_client(settings, clock)

    async def deliver(self, request: DeliveryRequest, *, deadline: float) -> DeliveryReport:
        """Hand over one letter to its one recipient; see `Provider.deliver`."""
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

    async def probe(self) -> ProbeResult:
        """Ask for the balance, or, where the installation has no such method, for a list (B.13)."""
        deadline = self._clock.monotonic() + self._probe_within_s
        answer = await self._client.call(wire.BALANCE, deadline=deadline)
        if isinstance(answer, HttpAnswer) and answer.status in (404, 405):
            answer = await self._client.call(wire.ONE_LIST, deadline=deadline)
        if isinstance(answer, HttpAnswer):
            return probe_result_from(wire.read_answer(answer, self._clock.now()))
        return probe_result_from(outcome_from_no_answer(answer))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def _build(self, composition: Composition, request: DeliveryRequest) -> Submission:
        (recipient,) = request.envelope.recipients
        return wire.build_message(
            composition,
            recipient.forward_path,
            client_id=f"{request.queue_id}-{recipient.key}",
            payment=self._payment,
        )
