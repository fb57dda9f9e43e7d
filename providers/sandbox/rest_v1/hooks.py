"""
The imitated v1's settings of webhooks (provider reference, B.12 and B.13), and what an event says.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.routing import Route

from providers.sandbox.answers import ApiError
from providers.sandbox.forms import read_json
from providers.sandbox.rest_v1 import checks
from providers.sandbox.rest_v1.entrance import Answer, Entrance
from providers.sandbox.rest_v1.webhooks import WebhookSender

EVENTS = (
    *("delivered", "opened", "clicked", "unsubscribed", "complined"),
    *("skipped", "soft_bounced", "hard_bounced"),
)
KINDS = ("smtp", "api", "template")

_EVENTS = "/email/messages_webhooks"


@dataclass(slots=True)
class Hooks:
    """
    The webhooks of one account.

    `urls` is what POST /email/webhook set; `several` are those of newer installations, by id.
    """

    entrance: Entrance
    sender: WebhookSender
    urls: list[str] = field(default_factory=list)
    several: dict[int, dict[str, Any]] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def routes(self) -> list[Route]:
        """The methods, relative to the base URL."""
        route, path = self.entrance.route, "/email/webhook"
        return [
            route("POST", path, self._set),
            route("GET", path, self._show),
            route("DELETE", path, self._remove),
            route("GET", f"{_EVENTS}/events", self._events, extra=True),
            route("GET", f"{_EVENTS}/kinds", self._kinds, extra=True),
            route("POST", _EVENTS, self._add, extra=True),
            route("GET", _EVENTS, self._list, extra=True),
            route("GET", f"{_EVENTS}/{{id:int}}", self._one, extra=True),
            route("PATCH", f"{_EVENTS}/{{id:int}}", self._change, extra=True),
            route("DELETE", f"{_EVENTS}/{{id:int}}", self._delete, extra=True),
        ]

    def tell(self, message_id: int, name: str, url: str = "") -> None:
        """Send an event of a letter to every webhook that wants it."""
        dialect = self.entrance.dialect
        if name == "complined":
            name = dialect.complaint
        body: dict[str, Any] = {
            "message": {"id": message_id},
            "event": {"name": name, "timestamp": int(time.time())},
        }
        if url:
            body["event"]["data"] = {"url": url}
        if dialect.webhook_style == "flat":
            body = {"message_id": message_id, "event": name, "timestamp": int(time.time())}
            body |= {"url": url} if url else {}
        wanted = [hook["url"] for hook in self.several.values() if name in hook["events"]]
        for target in (*self.urls, *wanted):
            self.sender.put(target, dialect.spell(body))

    async def _set(self, request: Request) -> Answer:
        url = _url(await read_json(request))
        if self.entrance.dialect.webhooks == "replace":
            self.urls.clear()
        if url not in self.urls:
            self.urls.append(url)
        return Answer({"url": url}, 201)

    async def _show(self, _request: Request) -> Answer:
        if self.urls:
            return Answer({"url": self.urls[-1]})
        if self.entrance.dialect.unset_webhook == "404":
            raise checks.not_found()
        return Answer({"url": None})

    async def _remove(self, request: Request) -> Answer:
        """With a URL that one; without a body, which its document does not rule out, all."""
        url = _url(await read_json(request)) if await request.body() else ""
        if url not in (*self.urls, ""):
            raise checks.not_found()
        self.urls = [kept for kept in self.urls if url not in (kept, "")]
        return Answer(None, 204)

    async def _events(self, _request: Request) -> Answer:
        return Answer({"events": list(EVENTS)})

    async def _kinds(self, _request: Request) -> Answer:
        return Answer({"kinds": list(KINDS)})

    async def _add(self, request: Request) -> Answer:
        fields = await read_json(request)
        hook: dict[str, Any] = {
            "id": next(self._ids),
            "title": checks.required(fields, "title"),
            "url": _url(fields),
            "kinds": _words(fields, "kinds", KINDS),
            "events": _words(fields, "events", EVENTS),
            "status": "active",
        }
        self.several[hook["id"]] = hook
        return Answer(hook, 201)

    async def _list(self, request: Request) -> Answer:
        hooks = list(self.several.values())
        return Answer(checks.page_of(request, hooks, self.entrance.dialect))

    async def _one(self, request: Request) -> Answer:
        return Answer(self._found(request))

    async def _change(self, request: Request) -> Answer:
        hook, fields = self._found(request), await read_json(request)
        if "title" in fields:
            hook["title"] = checks.required(fields, "title")
        if "url" in fields:
            hook["url"] = _url(fields)
        for name, allowed in (("kinds", KINDS), ("events", EVENTS)):
            if name in fields:
                hook[name] = _words(fields, name, allowed)
        return Answer(hook)

    async def _delete(self, request: Request) -> Answer:
        del self.several[self._found(request)["id"]]
        return Answer(None, 204)

    def _found(self, request: Request) -> dict[str, Any]:
        hook = self.several.get(request.path_params["id"])
        if hook is None:
            raise checks.not_found()
        return hook


def _url(fields: dict[str, Any]) -> str:
    url = checks.required(fields, "url")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ApiError(422, "url is invalid")
    return url


def _words(fields: dict[str, Any], name: str, allowed: tuple[str, ...]) -> list[str]:
    words = fields.get(name, list(allowed))
    if not isinstance(words, list) or not words or any(word not in allowed for word in words):
        raise ApiError(422, f"{name} is not included in the list")
    return list(words)
