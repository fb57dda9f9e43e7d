"""
The imitated v1's imports (provider reference, B.8).

They are queued, carried out on command, and told to the address that asked for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from providers.sandbox.answers import ApiError
from providers.sandbox.forms import read_json
from providers.sandbox.rest_v1 import checks
from providers.sandbox.rest_v1.entrance import Answer, Entrance
from providers.sandbox.rest_v1.lists import MailingList
from providers.sandbox.rest_v1.recipients import Recipients, tags_in, values_in
from providers.sandbox.rest_v1.webhooks import WebhookSender

MAX_RECIPIENTS = 10_000
CHUNK = 1000  # recipients that one step brings in


@dataclass(slots=True)
class Import:
    """One import and how far it got."""

    id: int
    into: MailingList
    rows: list[tuple[str, dict[int, str]]]
    tags: list[str]
    callback_url: str
    status: str = "queued"
    done: int = 0


@dataclass(slots=True)
class Imports:
    """The imports of one account, by id."""

    entrance: Entrance
    recipients: Recipients
    sender: WebhookSender
    found: dict[int, Import] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(31))

    def routes(self) -> list[Route]:
        """The methods, relative to the base URL."""
        path = "/email/lists/{list_id:int}/recipients/imports"
        return [
            self.entrance.route("POST", path, self._create),
            self.entrance.route("GET", f"{path}/{{id:int}}", self._show, extra=True),
        ]

    def advance(self) -> int:
        """Bring each import that is under way one step further; how many there were."""
        under_way = [one for one in self.found.values() if one.status != "completed"]
        for one in under_way:
            if one.status == "queued":
                one.status = "processing"
                continue
            for email, values in one.rows[one.done : one.done + CHUNK]:
                # What is no address is left out, and nobody says so.
                if checks.is_one_address(email):
                    subscriber = self.recipients.put(one.into, email, values)
                    subscriber.tags = [*dict.fromkeys([*subscriber.tags, *one.tags])]
            one.done = min(one.done + CHUNK, len(one.rows))
            if one.done == len(one.rows):
                one.status = "completed"
                if one.callback_url:
                    self.sender.put(one.callback_url, self.entrance.dialect.spell(_as_json(one)))
        return len(under_way)

    async def _create(self, request: Request) -> Answer:
        into, fields = self.recipients.lists.of(request), await read_json(request)
        items = fields.get("recipients")
        if not isinstance(items, list) or not items:
            raise ApiError(422, "recipients can't be blank")
        if len(items) > MAX_RECIPIENTS:
            raise ApiError(422, f"recipients is too long (maximum is {MAX_RECIPIENTS})")
        rows = []
        for item in items:
            if not isinstance(item, dict):
                raise ApiError(422, "recipients is invalid")
            rows.append((checks.required(item, "email"), values_in(item, into)[0]))
        callback_url = checks.optional(fields, "callback_url")
        created = Import(next(self._ids), into, rows, tags_in(fields), callback_url)
        self.found[created.id] = created
        return Answer(_as_json(created), 201)

    async def _show(self, request: Request) -> Answer:
        found = self.found.get(request.path_params["id"])
        if found is None or found.into is not self.recipients.lists.of(request):
            raise checks.not_found()
        return Answer(_as_json(found))


def _as_json(one: Import) -> dict[str, Any]:
    return {"id": one.id, "status": one.status, "callback_url": one.callback_url or None}
