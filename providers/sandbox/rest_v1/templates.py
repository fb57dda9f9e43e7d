"""
The imitated v1's templates (provider reference, B.4 and B.13): one made in the panel, more by API.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from providers.sandbox.answers import ApiError
from providers.sandbox.forms import read_json
from providers.sandbox.rest_v1 import checks
from providers.sandbox.rest_v1.entrance import Answer, Entrance

WELCOME_ID = 101

_SUBSTITUTION = re.compile(r"\[%([^%\[\]]+)%\]")
_PARTS = ("name", "from_email", "from_name", "subject", "text", "html")


def _welcome() -> dict[int, dict[str, Any]]:
    template = {
        "id": WELCOME_ID,
        "name": "Welcome",
        "from_email": "news@example.com",
        "from_name": "Example Shop",
        "subject": "Hello [%name%]",
        "text": "Hi [%name%], your code is [%code%]",
        "html": "<p>Hi [%name%], your code is <b>[%code%]</b></p>",
        "state": "active",
    }
    return {WELCOME_ID: template}


@dataclass(slots=True)
class Templates:
    """The templates of one account, by id."""

    entrance: Entrance
    found: dict[int, dict[str, Any]] = field(default_factory=_welcome)

    def routes(self) -> list[Route]:
        """The methods, relative to the base URL."""
        route, one = self.entrance.route, "/email/templates/{id:int}"
        return [
            route("GET", "/email/templates", self._list, extra=True),
            route("POST", "/email/templates", self._create, extra=True),
            route("GET", one, self._show, extra=True),
            route("PATCH", f"{one}/to_pending", self._to_pending, extra=True),
        ]

    async def _list(self, request: Request) -> Answer:
        templates = [_with_params(template) for template in self.found.values()]
        return Answer(checks.page_of(request, templates, self.entrance.dialect))

    async def _create(self, request: Request) -> Answer:
        fields = await read_json(request)
        template: dict[str, Any] = {name: checks.optional(fields, name) for name in _PARTS}
        for name in ("name", "subject", "html"):
            checks.required(fields, name)
        checks.address(fields, "from_email")
        template |= {"id": max(self.found, default=0) + 1, "state": "draft"}
        self.found[template["id"]] = template
        return Answer(_with_params(template), 201)

    async def _show(self, request: Request) -> Answer:
        return Answer(_with_params(self._of(request)))

    async def _to_pending(self, request: Request) -> Answer:
        template = self._of(request)
        if template["state"] != "draft":
            raise ApiError(422, "state is invalid")
        template["state"] = "pending"
        return Answer(_with_params(template))

    def _of(self, request: Request) -> dict[str, Any]:
        template = self.found.get(request.path_params["id"])
        if template is None:
            raise checks.not_found()
        return template


def filled(text: str, params: Mapping[str, Any]) -> str:
    """A template's text with its substitutions; nothing takes the place of what is not given."""
    return _SUBSTITUTION.sub(lambda match: str(params.get(match[1], "")), text)


def _with_params(template: Mapping[str, Any]) -> dict[str, Any]:
    found = dict.fromkeys(
        match[1]
        for part in ("subject", "text", "html")
        for match in _SUBSTITUTION.finditer(template[part])
    )
    return {**template, "preset_params": list(found)}
