"""
The imitated v1's organizations (provider reference, B.10); the first one becomes the default.
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

_FIELDS = ("name", "address", "country", "city", "phone", "zip")


@dataclass(slots=True)
class Organizations:
    """The organizations of one account, by id."""

    entrance: Entrance
    found: dict[int, dict[str, Any]] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def routes(self) -> list[Route]:
        """The methods, relative to the base URL; `current` before any id."""
        route, one = self.entrance.route, "/email/organizations/{id:int}"
        return [
            route("POST", "/email/organizations", self._create),
            route("GET", "/email/organizations", self._list),
            route("GET", "/email/organizations/current", self._current),
            route("GET", one, self._show),
            route("PATCH", f"{one}/current", self._make_current),
            route("PATCH", one, self._change),
            route("DELETE", one, self._delete),
        ]

    async def _create(self, request: Request) -> Answer:
        fields = await read_json(request)
        created: dict[str, Any] = {"id": next(self._ids)}
        created |= {name: checks.required(fields, name) for name in _FIELDS}
        created["current"] = not self.found
        self.found[created["id"]] = created
        return Answer(created, 201)

    async def _list(self, request: Request) -> Answer:
        found = list(self.found.values())
        return Answer(checks.page_of(request, found, self.entrance.dialect))

    async def _current(self, _request: Request) -> Answer:
        current = next((one for one in self.found.values() if one["current"]), None)
        if current is None:
            raise checks.not_found()
        return Answer(current)

    async def _show(self, request: Request) -> Answer:
        return Answer(self._of(request))

    async def _make_current(self, request: Request) -> Answer:
        chosen = self._of(request)
        for one in self.found.values():
            one["current"] = one is chosen
        return Answer(chosen)

    async def _change(self, request: Request) -> Answer:
        found, fields = self._of(request), await read_json(request)
        found |= {name: checks.required(fields, name) for name in _FIELDS if name in fields}
        return Answer(found)

    async def _delete(self, request: Request) -> Answer:
        del self.found[self._of(request)["id"]]
        return Answer(None, 204)

    def _of(self, request: Request) -> dict[str, Any]:
        found = self.found.get(request.path_params["id"])
        if found is None:
            raise checks.not_found()
        return found
