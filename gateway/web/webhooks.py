"""
`POST /webhooks/<provider>/<secret>`: calls of providers, read and answered.

The body is read only for those who know the secret, up to a size and for a time. What a call means
is `tracking.webhooks`'.
"""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from gateway.domain.events import WebhookResult
from gateway.tracking.webhooks import WebhookDesk

MAX_BODY_OCTETS = 1 << 20
_BODY_WITHIN_S = 10.0

_ANSWERS: dict[WebhookResult, tuple[int, str]] = {
    WebhookResult.ACCEPTED: (200, "stored\n"),
    WebhookResult.FORGED: (404, "not found\n"),
    WebhookResult.TOO_LARGE: (413, "too large\n"),
    WebhookResult.TOO_SLOW: (408, "too slow\n"),
    WebhookResult.MALFORMED: (400, "no event of a letter\n"),
    WebhookResult.UNAVAILABLE: (503, "come again\n"),
}
_AFTER_S = "30"


def webhook_routes(desk: WebhookDesk, *, body_within_s: float = _BODY_WITHIN_S) -> list[BaseRoute]:
    """The routes of webhooks; a body must be there after `body_within_s` seconds."""

    async def receive(request: Request) -> Response:
        name = request.path_params["provider"]
        if not desk.admits(name, request.path_params["secret"]):
            desk.refuse(name, WebhookResult.FORGED)
            return _answer(WebhookResult.FORGED)
        try:
            async with asyncio.timeout(body_within_s):
                body = await _body(request)
        except TimeoutError:
            desk.refuse(name, WebhookResult.TOO_SLOW)
            return _answer(WebhookResult.TOO_SLOW)
        except ClientDisconnect:
            desk.refuse(name, WebhookResult.MALFORMED)
            return _answer(WebhookResult.MALFORMED)
        if body is None:
            desk.refuse(name, WebhookResult.TOO_LARGE)
            return _answer(WebhookResult.TOO_LARGE)
        return _answer(await desk.take(name, request.headers, body))

    return [Route("/webhooks/{provider}/{secret:path}", receive, methods=["POST"])]


async def _body(request: Request) -> bytes | None:
    """All of it; `None` as soon as it is too large."""
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told[:20]) > MAX_BODY_OCTETS:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_OCTETS:
            return None
    return bytes(body)


def _answer(result: WebhookResult) -> Response:
    code, text = _ANSWERS[result]
    headers = {}
    if result in {WebhookResult.TOO_LARGE, WebhookResult.TOO_SLOW, WebhookResult.FORGED}:
        headers["Connection"] = "close"  # what is left of the body is not waited for
    if result is WebhookResult.UNAVAILABLE:
        headers["Retry-After"] = _AFTER_S
    return PlainTextResponse(text, code, headers)
