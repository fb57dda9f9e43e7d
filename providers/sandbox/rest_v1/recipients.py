"""
The imitated v1's recipients and the search for them (provider reference, B.7 and B.9).
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
from providers.sandbox.rest_v1.lists import Lists, MailingList, Subscriber


@dataclass(slots=True)
class Recipients:
    """The recipients of an account's lists."""

    entrance: Entrance
    lists: Lists
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(900))

    def routes(self) -> list[Route]:
        """The methods, relative to the base URL."""
        route, many = self.entrance.route, "/email/lists/{list_id:int}/recipients"
        return [
            route("GET", "/email/recipients/search", self._search),
            route("POST", many, self._create),
            route("GET", many, self._list),
            route("GET", f"{many}/{{id:int}}", self._show),
            route("PATCH", f"{many}/{{id:int}}", self._change),
            route("DELETE", f"{many}/{{id:int}}", self._delete),
        ]

    def put(self, found: MailingList, email: str, values: dict[int, str]) -> Subscriber:
        """
        Add an address to a list, or fill in its values where it is there already.

        A value of a parameter that is gone meanwhile goes with it.
        """
        subscriber = found.by_email(email)
        if subscriber is None:
            subscriber = Subscriber(next(self._ids), email)
            found.add(subscriber)
        subscriber.values |= {key: text for key, text in values.items() if key in found.parameters}
        return subscriber

    async def _create(self, request: Request) -> Answer:
        found, fields = self.lists.of(request), await read_json(request)
        email = checks.address(fields, "email")
        if found.by_email(email) is not None:
            raise ApiError(422, "email has already been taken")
        values, _ = values_in(fields, found)
        tags = tags_in(fields)
        subscriber = self.put(found, email, values)
        subscriber.confirmed = not checks.flag(fields, "unconfirmed")
        subscriber.tags = tags
        return Answer(self._as_json(found, subscriber), 201)

    async def _list(self, request: Request) -> Answer:
        found, dialect = self.lists.of(request), self.entrance.dialect
        page = checks.page_of(
            request,
            list(found.subscribers.values()),
            dialect,
            dialect.largest_recipients_page,
            lambda one: self._as_json(found, one),
        )
        return Answer(page)

    async def _show(self, request: Request) -> Answer:
        return Answer(self._as_json(*self._of(request)))

    async def _change(self, request: Request) -> Answer:
        found, subscriber = self._of(request)
        fields = await read_json(request)
        email = checks.address(fields, "email") if "email" in fields else subscriber.email
        if found.by_email(email) not in (None, subscriber):
            raise ApiError(422, "email has already been taken")
        values, destroyed = values_in(fields, found, may_destroy=True)
        if "tags" in fields:
            subscriber.tags = tags_in(fields)
        found.readdress(subscriber, email)
        subscriber.values |= values
        for parameter_id in destroyed:
            subscriber.values.pop(parameter_id, None)
        return Answer(self._as_json(found, subscriber))

    async def _delete(self, request: Request) -> Answer:
        found, subscriber = self._of(request)
        found.remove(subscriber)
        return Answer(None, 204)

    async def _search(self, request: Request) -> Answer:
        """By any piece of the address, which no document rules out (B.9)."""
        wanted = request.query_params.get("email", "").strip()
        if not wanted:
            raise ApiError(422, "email can't be blank")
        found: dict[str, dict[str, Any]] = {}
        for one in self.lists.found.values():
            for subscriber in one.subscribers.values():
                if wanted.lower() in subscriber.email.lower():
                    new: dict[str, Any] = {"email": subscriber.email, "recipients": []}
                    item = found.setdefault(subscriber.email.lower(), new)
                    membership = {"list_id": one.id, "list_title": one.title}
                    item["recipients"].append({**membership, "recipient_id": subscriber.id})
        page = checks.page_of(request, list(found.values()), self.entrance.dialect)
        return Answer({**page, "query": wanted})

    def _of(self, request: Request) -> tuple[MailingList, Subscriber]:
        found = self.lists.of(request)
        subscriber = found.subscribers.get(request.path_params["id"])
        if subscriber is None:
            raise checks.not_found()
        return found, subscriber

    def _as_json(self, found: MailingList, subscriber: Subscriber) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "id": subscriber.id,
            "email": subscriber.email,
            "confirmed": subscriber.confirmed,
            "values": [
                {
                    "parameter_id": parameter_id,
                    "kind": found.parameters[parameter_id][1],
                    "value": value,
                }
                for parameter_id, value in subscriber.values.items()
            ],
        }
        if self.entrance.dialect.extras:
            answer |= {"list_id": found.id, "status": "active", "tags": subscriber.tags}
        return answer


def values_in(
    fields: dict[str, Any], found: MailingList, *, may_destroy: bool = False
) -> tuple[dict[int, str], list[int]]:
    """
    The values to set and the parameters whose value is to go.

    Raises:
        ApiError: An unknown parameter, no value, or a value beside `destroy`.
    """
    items = fields.get("values", [])
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ApiError(422, "values is invalid")
    values: dict[int, str] = {}
    destroyed: list[int] = []
    for item in items:
        parameter_id = checks.id_in(item.get("parameter_id"), "parameter_id")
        if parameter_id not in found.parameters:
            raise ApiError(422, "parameter_id is invalid")
        destroy = may_destroy and checks.flag(item, "destroy")
        if destroy and "value" in item:
            raise ApiError(422, "value and destroy exclude each other")
        if destroy:
            destroyed.append(parameter_id)
        elif not isinstance(item.get("value"), str | int | float | bool):
            raise ApiError(422, "value can't be blank")
        else:
            values[parameter_id] = str(item["value"])
    return values, destroyed


def tags_in(fields: dict[str, Any]) -> list[str]:
    """
    The tags of a request.

    Raises:
        ApiError: They are no list of texts.
    """
    tags = fields.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) and tag for tag in tags):
        raise ApiError(422, "tags is invalid")
    return tags
