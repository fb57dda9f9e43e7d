"""
One account at the v2 service, as the gateway uses it: sendEmail, one letter per call.
"""

from __future__ import annotations

from providers.contract.clock import Clock
from providers.contract.outcome import Cause, DeliveryOutcome, DeliveryReport, DeliveryRequest
from providers.contract.provider import ProbeResult
from providers.form_v2 import wire
from providers.form_v2.client import FormV2Client
from providers.form_v2.settings import FormV2Settings, capabilities_from
from providers.http.composition import Composition, Submission
from providers.http.exchange import HttpAnswer, HttpRequest
from providers.http.handover import hand_over
from providers.http.verdict import outcome_from_no_answer, probe_result_from
from providers.pacing import TokenBucket


class FormV2:
    """`Provider` for the v2 formData API."""

    kind = "form_v2"

    def __init__(self, name: str, settings: FormV2Settings, clock: Clock) -> None:
        """
        Connects nothing.

        Raises:
            ProviderConfigError: The settings cannot work.
        """
        self.name = name
        self.capabilities = capabilities_from(settings)
        self.pace = TokenBucket(settings.rate)
        self._settings = settings
        self._clock = clock
        self._client = FormV2Client(settings, clock)

    async def deliver(self, request: DeliveryRequest, *, deadline: float) -> DeliveryReport:
        """Hand over one letter to its one recipient; see `Provider.deliver`."""
        return await hand_over(
            request,
            capabilities=self.capabilities,
            client=self._client.http,
            pace=self.pace,
            clock=self._clock,
            build=self._build,
            read=wire.read_answer,
            deadline=deadline,
        )

    async def probe(self) -> ProbeResult:
        """Ask for the templates; where the token is refused in the query, with it in the form."""
        deadline = self._clock.monotonic() + self._settings.timeout.total_seconds()
        outcome = await self._ask(self._client.signed_in_query(wire.TEMPLATES), deadline)
        if outcome.cause is Cause.ACCOUNT:
            outcome = await self._ask(self._client.signed(wire.Form(wire.TEMPLATES)), deadline)
        return probe_result_from(outcome)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.http.aclose()

    async def _ask(self, request: HttpRequest, deadline: float) -> DeliveryOutcome:
        answer = await self._client.http.call(request, deadline=deadline)
        if isinstance(answer, HttpAnswer):
            return wire.read_answer(answer, self._clock.now())
        return outcome_from_no_answer(answer)

    def _build(self, composition: Composition, request: DeliveryRequest) -> Submission:
        (recipient,) = request.envelope.recipients
        form = wire.build_send_email(
            composition,
            recipient.forward_path,
            track_open=self._settings.track_open,
            track_click=self._settings.track_click,
        )
        return Submission(self._client.signed(form), losses=form.losses)
