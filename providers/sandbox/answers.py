"""
How a fault looks over HTTP where both imitated APIs fail alike, and the error both raise inside.

Hanging and broken connections need the hand on the connection that `listener` puts into the scope.
It must not know error bodies: each provider words its own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from email.utils import formatdate

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from providers.sandbox.faults import Fault, FaultKind

RESET = "sandbox.reset"  # key of the ASGI scope's extensions: a function that breaks the connection


class ApiError(Exception):
    """An answer other than success: its HTTP status and the text of the error."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = dict(headers or {})


class Silence(Response):
    """No answer at all; the connection stays open until the client closes it."""

    async def __call__(self, _scope: Scope, receive: Receive, _send: Send) -> None:
        """Wait for the client to leave."""
        while (await receive())["type"] != "http.disconnect":
            pass


class BrokenConnection(Silence):
    """The connection is reset instead of an answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reset it, and let the server notice."""
        scope["extensions"][RESET]()
        await super().__call__(scope, receive, send)


def is_accepted_despite(fault: Fault) -> bool:
    """Whether the provider keeps the letter and only its answer fails."""
    return fault.kind in (FaultKind.DROP_AFTER, FaultKind.GARBAGE) or (
        fault.kind is FaultKind.HANG and fault.style == "after"
    )


def answer_from_fault(
    fault: Fault, *, success: int, throttle_style: str, refusal: int, account: str
) -> Response:
    """
    The answer, or what takes its place, when this fault strikes.

    Args:
        fault: What goes wrong. Styles of `throttle`: `header` (Retry-After in seconds), `date`
            (Retry-After as an HTTP date), `text` (only the words "N seconds"). Styles of `error`:
            a status code, 500 if none.
        success: The status of an answer that is garbage otherwise.
        throttle_style: This provider's own way to throttle.
        refusal: The status of a refusal.
        account: The words for a bad credential.

    Raises:
        ApiError: The fault is an error that the provider words itself.
    """
    match fault.kind:
        case FaultKind.REFUSE:
            raise ApiError(refusal, "Recipient refused")
        case FaultKind.DEFER:
            raise ApiError(503, "Service unavailable")
        case FaultKind.UNAUTHORISED:
            raise ApiError(401, account)
        case FaultKind.THROTTLE:
            raise _throttled(fault, fault.style or throttle_style)
        case FaultKind.ERROR:
            status = int(fault.style) if fault.style.isdigit() else 500
            return Response(f"<html><title>{status}</title></html>", status, media_type="text/html")
        case FaultKind.GARBAGE:
            return Response('{"id": 1', success, media_type="application/json")
        case FaultKind.HANG:
            return Silence()
        case FaultKind.DROP_BEFORE | FaultKind.DROP_AFTER:
            return BrokenConnection()


def _throttled(fault: Fault, style: str) -> ApiError:
    seconds = math.ceil(fault.retry_after_s)
    match style:
        case "header":
            return ApiError(429, "Too many requests", {"Retry-After": str(seconds)})
        case "date":
            now = time.time()
            dates = {"Date": formatdate(now, usegmt=True)}
            dates["Retry-After"] = formatdate(now + seconds, usegmt=True)
            return ApiError(429, "Too many requests", dates)
        case _:
            return ApiError(429, f"Limit exceeded, retry in {seconds} seconds")
