"""
The imitated v1's campaigns (provider reference, B.11 and B.13): drafts until they are delivered.

`deliver` charges the account; after that a campaign advances on command, and its letters stand in
the letterbox, one for each confirmed recipient of its lists, each address once.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from providers.sandbox.answers import ApiError
from providers.sandbox.forms import FormFile, media_type, read_form, read_json
from providers.sandbox.letterbox import ReceivedAttachment, ReceivedLetter
from providers.sandbox.rest_v1 import checks
from providers.sandbox.rest_v1.entrance import PROVIDER, Answer, Entrance
from providers.sandbox.rest_v1.lists import Lists
from providers.sandbox.rest_v1.messages import MAX_ATTACHMENT_OCTETS

SEGMENTS = ({"id": 1, "title": "Readers"},)

_START_AT = re.compile(r"\d\d\.\d\d\.\d{4} \d\d:\d\d\Z", re.ASCII)
_FIELDS = ("from_email", "from_name", "subject", "text", "html")


@dataclass(slots=True)
class Campaign:
    """One campaign; `answer` is what the API tells of it."""

    answer: dict[str, Any]
    list_ids: tuple[int, ...]
    files: tuple[FormFile, ...] = ()


@dataclass(slots=True)
class Campaigns:
    """
    The campaigns of one account, by id.

    `credits` is how many letters the account can pay for; `None`: as many as it likes.
    """

    entrance: Entrance
    lists: Lists
    credits: int | None = None
    found: dict[int, Campaign] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(70))

    def routes(self) -> list[Route]:
        """The methods, relative to the base URL."""
        route, one = self.entrance.route, "/email/campaigns/{id:int}"
        return [
            route("POST", "/email/campaigns", self._create),
            route("GET", "/email/campaigns", self._list, extra=True),
            route("GET", one, self._show),
            route("PATCH", f"{one}/deliver", self._deliver),
            route("PATCH", f"{one}/schedule", self._schedule, extra=True),
            route("GET", "/email/segments", self._segments, extra=True),
        ]

    def advance(self) -> int:
        """Bring each campaign that is under way one step further; how many there were."""
        under_way = [
            one for one in self.found.values() if one.answer["state"] in ("pending", "sending")
        ]
        for one in under_way:
            if one.answer["state"] == "pending":
                one.answer["state"] = "sending"
            else:
                self._send(one)
        return len(under_way)

    async def _create(self, request: Request) -> Answer:
        fields, lists, files = await _read_campaign(request)
        checks.address(fields, "from_email")
        checks.required(fields, "subject")
        texts = {name: checks.optional(fields, name) for name in _FIELDS}
        if not (texts["text"].strip() or texts["html"].strip()):
            raise ApiError(422, "html can't be blank")
        if not lists:
            raise ApiError(422, "lists can't be blank")
        if any(list_id not in self.lists.found for list_id in lists):
            raise ApiError(422, "lists is invalid")
        if sum(len(file.content) for file in files) > MAX_ATTACHMENT_OCTETS:
            raise ApiError(422, "attachments are too big")
        statistics = ("delivered", "bounced", "delivering", "uniq_open", "uniq_click")
        answer: dict[str, Any] = {"id": next(self._ids), **texts, "state": "draft"}
        answer["statistics"] = dict.fromkeys((*statistics, "unsubscription", "spam"), 0)
        created = Campaign(answer, lists, files)
        self.found[answer["id"]] = created
        return Answer(self._as_json(created), 201)

    async def _show(self, request: Request) -> Answer:
        return Answer(self._as_json(self._of(request)))

    async def _list(self, request: Request) -> Answer:
        found = [self._as_json(one) for one in self.found.values()]
        if request.query_params.get("statistic") != "true":
            found = [{k: v for k, v in one.items() if k != "statistics"} for one in found]
        return Answer(checks.page_of(request, found, self.entrance.dialect))

    async def _deliver(self, request: Request) -> Answer:
        found = self._of(request)
        if found.answer["state"] not in ("draft", "delayed"):
            raise ApiError(422, "state is invalid")
        price = len(self._recipients(found))
        if self.credits is not None:
            if price > self.credits:
                raise ApiError(402, "Not enough funds")
            self.credits -= price
        found.answer["state"] = self.entrance.dialect.delivered_campaign
        return Answer(self._as_json(found))

    async def _schedule(self, request: Request) -> Answer:
        found, fields = self._of(request), await read_json(request)
        start_at = checks.required(fields, "start_at")
        if not _START_AT.match(start_at):
            raise ApiError(422, "start_at is invalid")
        time_zone = checks.required(fields, "time_zone")
        if found.answer["state"] != "draft":
            raise ApiError(422, "state is invalid")
        found.answer |= {"start_at": start_at, "time_zone": time_zone, "state": "delayed"}
        return Answer(self._as_json(found))

    async def _segments(self, request: Request) -> Answer:
        return Answer(checks.page_of(request, SEGMENTS, self.entrance.dialect))

    def _of(self, request: Request) -> Campaign:
        found = self.found.get(request.path_params["id"])
        if found is None:
            raise checks.not_found()
        return found

    def _recipients(self, one: Campaign) -> list[str]:
        emails = {
            subscriber.email.lower(): subscriber.email
            for list_id in one.list_ids
            if list_id in self.lists.found
            for subscriber in self.lists.found[list_id].subscribers.values()
            if subscriber.confirmed
        }
        return list(emails.values())

    def _send(self, one: Campaign) -> None:
        recipients = self._recipients(one)
        files = tuple(
            ReceivedAttachment(file.filename, file.content_type, file.content) for file in one.files
        )
        campaign = {"campaign": str(one.answer["id"])}
        for email in recipients:
            texts = {name: one.answer[name] for name in _FIELDS}
            letter = ReceivedLetter(
                PROVIDER, "", email, attachments=files, parameters=campaign, **texts
            )
            self.entrance.letterbox.put(letter)
        one.answer["statistics"]["delivered"] = len(recipients)
        one.answer["state"] = "completed"

    def _as_json(self, one: Campaign) -> dict[str, Any]:
        count = len(self._recipients(one))
        deficit = 0 if self.credits is None else max(0, count - self.credits)
        purchase = {"enable": not deficit, "subscribers": count, "credits": 0, "deficit": deficit}
        return {**one.answer, "recipients_count": count, "purchase": purchase}


async def _read_campaign(
    request: Request,
) -> tuple[dict[str, Any], tuple[int, ...], tuple[FormFile, ...]]:
    """Fields, list ids and files, from JSON or from a form."""
    if media_type(request) == "application/json":
        fields = await read_json(request)
        given = fields.pop("lists", [])
        if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
            raise ApiError(422, "lists is invalid")
        lists = tuple(checks.id_in(item.get("id"), "lists") for item in given)
        return fields, lists, ()
    form = await read_form(request)
    lists = tuple(checks.id_in(value, "lists") for name, value in form.fields if _is_list(name))
    files = tuple(file for file in form.files if file.name == "attachments[]" and file.filename)
    return dict(form.fields), lists, files


def _is_list(name: str) -> bool:
    return name == "lists[][id]"
