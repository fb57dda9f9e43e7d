"""
The imitated v1's recipient lists and their parameters (provider reference, B.5 and B.6).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from providers.sandbox.forms import read_json
from providers.sandbox.rest_v1 import checks
from providers.sandbox.rest_v1.entrance import Answer, Entrance

KINDS = ("string", "numeric", "date", "boolean", "geo")


@dataclass(slots=True)
class Subscriber:
    """One recipient of one list; `values` by parameter id."""

    id: int
    email: str
    confirmed: bool = True
    values: dict[int, str] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)


@dataclass(slots=True)
class MailingList:
    """One list: its parameters (title and kind) by id, its recipients by id."""

    id: int
    title: str
    parameters: dict[int, tuple[str, str]] = field(default_factory=dict)
    subscribers: dict[int, Subscriber] = field(default_factory=dict)
    _ids: dict[str, int] = field(default_factory=dict)  # by address in lower case

    def by_email(self, email: str) -> Subscriber | None:
        """The recipient with this address, in whatever case."""
        found = self._ids.get(email.lower())
        return None if found is None else self.subscribers[found]

    def add(self, subscriber: Subscriber) -> None:
        """Put a recipient on the list."""
        self.subscribers[subscriber.id] = subscriber
        self._ids[subscriber.email.lower()] = subscriber.id

    def remove(self, subscriber: Subscriber) -> None:
        """Take a recipient off the list."""
        del self.subscribers[subscriber.id]
        del self._ids[subscriber.email.lower()]

    def readdress(self, subscriber: Subscriber, email: str) -> None:
        """Give a recipient another address, at the same place of the list."""
        del self._ids[subscriber.email.lower()]
        subscriber.email = email
        self._ids[email.lower()] = subscriber.id


@dataclass(slots=True)
class Lists:
    """The lists of one account, by id."""

    entrance: Entrance
    found: dict[int, MailingList] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _parameter_ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def routes(self) -> list[Route]:
        """The methods, relative to the base URL."""
        route, one = self.entrance.route, "/email/lists/{list_id:int}"
        return [
            route("POST", "/email/lists", self._create),
            route("GET", "/email/lists", self._list),
            route("GET", one, self._show),
            route("PATCH", one, self._rename),
            route("DELETE", one, self._delete),
            route("POST", f"{one}/parameters", self._create_parameter),
            route("GET", f"{one}/parameters", self._parameters),
            route("PATCH", f"{one}/parameters/{{id:int}}", self._change_parameter),
            route("DELETE", f"{one}/parameters/{{id:int}}", self._delete_parameter),
        ]

    def of(self, request: Request) -> MailingList:
        """
        The list that a request's path names.

        Raises:
            ApiError: There is none.
        """
        found = self.found.get(request.path_params["list_id"])
        if found is None:
            raise checks.not_found()
        return found

    async def _create(self, request: Request) -> Answer:
        title = checks.title(await read_json(request), self._titles())
        created = MailingList(next(self._ids), title)
        self.found[created.id] = created
        return Answer(_as_json(created), 201)

    async def _list(self, request: Request) -> Answer:
        lists = [_as_json(one) for one in self.found.values()]
        return Answer(checks.page_of(request, lists, self.entrance.dialect))

    async def _show(self, request: Request) -> Answer:
        return Answer(_as_json(self.of(request)))

    async def _rename(self, request: Request) -> Answer:
        found = self.of(request)
        found.title = checks.title(await read_json(request), self._titles(but=found))
        return Answer(_as_json(found))

    async def _delete(self, request: Request) -> Answer:
        del self.found[self.of(request).id]
        return Answer(None, 204)

    def _titles(self, but: MailingList | None = None) -> tuple[str, ...]:
        return tuple(one.title for one in self.found.values() if one is not but)

    async def _create_parameter(self, request: Request) -> Answer:
        parameters, fields = self.of(request).parameters, await read_json(request)
        title = checks.title(fields, [taken for taken, _ in parameters.values()])
        kind = checks.one_of(fields, "kind", KINDS, KINDS[0])
        parameter_id = next(self._parameter_ids)
        parameters[parameter_id] = (title, kind)
        return Answer({"id": parameter_id, "title": title, "kind": kind}, 201)

    async def _parameters(self, request: Request) -> Answer:
        parameters = [
            {"id": parameter_id, "title": title, "kind": kind}
            for parameter_id, (title, kind) in self.of(request).parameters.items()
        ]
        return Answer(checks.page_of(request, parameters, self.entrance.dialect))

    async def _change_parameter(self, request: Request) -> Answer:
        found, parameter_id = self._parameter(request)
        title, kind = found.parameters[parameter_id]
        fields = await read_json(request)
        if "title" in fields:
            others = [t for other, (t, _) in found.parameters.items() if other != parameter_id]
            title = checks.title(fields, others)
        new_kind = checks.one_of(fields, "kind", KINDS, kind)
        if new_kind != kind:
            _clear(found, parameter_id)
        found.parameters[parameter_id] = (title, new_kind)
        return Answer({"id": parameter_id, "title": title, "kind": new_kind})

    async def _delete_parameter(self, request: Request) -> Answer:
        found, parameter_id = self._parameter(request)
        del found.parameters[parameter_id]
        _clear(found, parameter_id)
        return Answer(None, 204)

    def _parameter(self, request: Request) -> tuple[MailingList, int]:
        found, parameter_id = self.of(request), request.path_params["id"]
        if parameter_id not in found.parameters:
            raise checks.not_found()
        return found, parameter_id


def _clear(found: MailingList, parameter_id: int) -> None:
    """Stored values go with the parameter's kind, and with the parameter (B.6)."""
    for subscriber in found.subscribers.values():
        subscriber.values.pop(parameter_id, None)


def _as_json(found: MailingList) -> dict[str, Any]:
    return {"id": found.id, "title": found.title}
