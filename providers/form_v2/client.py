"""
The connections to one account of the v2 API, and its token on every call.
"""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import urlencode

from providers.contract.clock import Clock
from providers.contract.outcome import Cause, DeliveryOutcome
from providers.contract.provider import Pace
from providers.form_v2.settings import FormV2Settings
from providers.form_v2.wire.answers import Read, read_templates
from providers.form_v2.wire.forms import DELIVERY_LIST, Form, build_templates
from providers.form_v2.wire.values import Template
from providers.http.client import HttpClient
from providers.http.exchange import MAX_ANSWER_OCTETS, HttpRequest, NoAnswer
from providers.http.forms import build_multipart, build_urlencoded
from providers.http.verdict import outcome_from_no_answer

T = TypeVar("T")

# A mailing's recipients come all at once (C.4): about half a million of them.
_DELIVERY_LIST_OCTETS = 64 << 20


class FormV2Client:
    """
    Calls of one account; `http` makes them, and connects nothing before the first.

    The pace is told of the waits that the service asks for; places are the caller's to take.
    """

    def __init__(self, settings: FormV2Settings, clock: Clock, pace: Pace) -> None:
        self._token = settings.token
        self._clock = clock
        self._pace = pace
        self.http = HttpClient(
            (settings.base_url,),
            connections=settings.connections,
            clock=clock,
            # Without it Laravel takes us for a browser and redirects (provider reference, D 25).
            headers=(("Accept", "application/json"),),
            secret=settings.token.get_secret_value(),
        )

    async def ask(self, form: Form, read: Read[T], *, deadline: float) -> T | DeliveryOutcome:
        """
        Make one call.

        Args:
            form: What is asked.
            read: Reads the answer.
            deadline: Monotonic seconds.

        Returns:
            What the answer says; or the outcome that tells why there is nothing to say.
        """
        return await self._ask(self.signed(form), read, deadline)

    async def templates(self, *, deadline: float) -> tuple[Template, ...] | DeliveryOutcome:
        """Ask for the templates; where the token is refused in the query, with it in the form."""
        form = build_templates()
        found = await self._ask(self.signed_in_query(form), read_templates, deadline)
        if isinstance(found, DeliveryOutcome) and found.cause is Cause.ACCOUNT:
            found = await self._ask(self.signed(form), read_templates, deadline)
        return found

    def signed(self, form: Form) -> HttpRequest:
        """The call with the token as its first field: PHP drops the last ones of too many."""
        fields = (("token", self._token.get_secret_value()), *form.fields)
        if form.files:
            content_type, body = build_multipart(fields, form.files)
        else:
            content_type, body = build_urlencoded(fields)
        headers = (("Content-Type", content_type),)
        most = _DELIVERY_LIST_OCTETS if form.method == DELIVERY_LIST else MAX_ANSWER_OCTETS
        return HttpRequest("POST", f"/{form.method}", headers, body, answer_octets=most)

    def signed_in_query(self, form: Form) -> HttpRequest:
        """A call without fields, its token in the query: what getEmailTemplates wants (C.10)."""
        query = urlencode({"token": self._token.get_secret_value()})
        return HttpRequest("POST", f"/{form.method}", query=query)

    async def _ask(
        self, request: HttpRequest, read: Read[T], deadline: float
    ) -> T | DeliveryOutcome:
        answer = await self.http.call(request, deadline=deadline)
        if isinstance(answer, NoAnswer):
            return outcome_from_no_answer(answer)
        found = read(answer, self._clock.now())
        if isinstance(found, DeliveryOutcome) and found.retry_after is not None:
            wait_s = found.retry_after.total_seconds()
            self._pace.hold_off(self._clock.monotonic(), wait_s)
        return found
