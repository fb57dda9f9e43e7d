"""
The connections to one account of the v2 API, and its token on every call.
"""

from __future__ import annotations

from urllib.parse import urlencode

from providers.contract.clock import Clock
from providers.form_v2.settings import FormV2Settings
from providers.form_v2.wire import Form
from providers.http.client import HttpClient
from providers.http.exchange import HttpRequest
from providers.http.forms import build_multipart, build_urlencoded


class FormV2Client:
    """`http` makes the calls that `signed` and `signed_in_query` write; connects nothing itself."""

    def __init__(self, settings: FormV2Settings, clock: Clock) -> None:
        self._token = settings.token
        self.http = HttpClient(
            (settings.base_url,),
            connections=settings.connections,
            clock=clock,
            # Without it Laravel takes us for a browser and redirects (provider reference, D 25).
            headers=(("Accept", "application/json"),),
            secret=settings.token.get_secret_value(),
        )

    def signed(self, form: Form) -> HttpRequest:
        """The call with the token as its first field: PHP drops the last ones of too many."""
        fields = (("token", self._token.get_secret_value()), *form.fields)
        if form.files:
            content_type, body = build_multipart(fields, form.files)
        else:
            content_type, body = build_urlencoded(fields)
        return HttpRequest("POST", f"/{form.method}", (("Content-Type", content_type),), body)

    def signed_in_query(self, method: str) -> HttpRequest:
        """A call without a form, its token in the query: what getEmailTemplates wants (C.10)."""
        query = urlencode({"token": self._token.get_secret_value()})
        return HttpRequest("POST", f"/{method}", query=query)
