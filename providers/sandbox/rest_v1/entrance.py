"""
What every call to the imitated v1 passes: the key, the media type, the limit, the planned faults.

Also how answers and errors look there. Knows the dialect and the fault plan; what the methods do is
their own.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from providers.contract.capabilities import Rate
from providers.sandbox.answers import ApiError, answer_from_fault, is_accepted_despite
from providers.sandbox.faults import Fault, FaultKind, FaultPlan
from providers.sandbox.forms import UnreadableRequest, media_type
from providers.sandbox.letterbox import Letterbox
from providers.sandbox.rest_v1.dialect import Dialect

PROVIDER = "rest_v1"

_PLACE = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class Answer:
    """A success: its body, `None` for an empty one, and its status."""

    body: Mapping[str, Any] | None
    status: int = 200


Handler = Callable[[Request], Awaitable[Answer | Response]]


@dataclass(slots=True)
class Entrance:
    """
    The door that all methods of one account share.

    Attributes:
        letterbox: Counts the calls.
        faults: What goes wrong; methods are named as `call_name` does. Beside the styles that all
            providers know, `garbage` has `no_id`, `errors` (a success code with errors: nothing
            was done), `list` and `empty`; `error` has a status with a body's shape (`503 errors`,
            as the dialect names them) and `after` (`504 after`: done despite the answer); `refuse`
            a status; `unauthorised` 402 and 403; `throttle` `none`, which names no wait.
        api_key: The one key it takes.
        rate: The limit of calls that are not GET; `None`: no limit. Counted in whole periods of
            the clock, as Rack's throttles do.
        dialect: How answers look.
        monotonic: The clock of the limit, in seconds.
    """

    letterbox: Letterbox
    faults: FaultPlan
    api_key: str = field(repr=False)
    rate: Rate | None = None
    dialect: Dialect = field(default_factory=Dialect)
    monotonic: Callable[[], float] = time.monotonic
    _window: tuple[int, int] = (0, 0)  # which period, and the calls in it

    def route(
        self, method: str, path: str, handler: Handler, *, strikes: bool = True, extra: bool = False
    ) -> Route:
        """
        One method of the API.

        Args:
            method: Of HTTP.
            path: Relative to the base URL.
            handler: Carries it out.
            strikes: Whether a fault that is planned for all strikes it here. Otherwise the handler
                asks for faults itself, once it knows the recipient (`carry_out`).
            extra: Only newer installations have it (B.13).
        """
        call = call_name(method, path)

        async def endpoint(request: Request) -> Response:
            self.letterbox.count_call(PROVIDER)
            try:
                self._check(request, extra=extra)
                if strikes:
                    return await self.carry_out(call, "", lambda: handler(request))
                return self._response(await handler(request))
            except ApiError as error:
                if error.status == 429:
                    self.letterbox.count_throttled(PROVIDER)
                return self._error_answer(error)
            except UnreadableRequest as error:
                return self._error_answer(ApiError(400, str(error)))

        return Route(path, endpoint, methods=[method])

    async def carry_out(
        self, call: str, recipient: str, act: Callable[[], Awaitable[Answer | Response]]
    ) -> Response:
        """
        Carry something out, unless a fault strikes that keeps it from being done.

        Args:
            call: What is asked, as `call_name` writes it.
            recipient: For whom; empty for nobody.
            act: Does it.

        Raises:
            ApiError: It is refused, by the method or by the fault.
        """
        fault = self.faults.strike(PROVIDER, recipient, *FaultKind, method=call)
        if fault is None:
            return self._response(await act())
        done = None
        if _is_done_despite(fault):
            with contextlib.suppress(ApiError):  # refused, and the answer fails all the same
                done = self._response(await act())
        return self._faulty(fault, done)

    def _check(self, request: Request, *, extra: bool) -> None:
        if request.headers.get("authorization") != f"Bearer {self.api_key}":
            raise ApiError(401, "Invalid token")
        multipart = request.method != "GET" and media_type(request) == "multipart/form-data"
        if media_type(request) != "application/json" and not multipart:
            raise ApiError(415, "Unsupported media type")
        if request.method != "GET" and self.rate is not None:
            self._count_against(self.rate)
        if extra and not self.dialect.extras:
            raise ApiError(404, "Not found")

    def _count_against(self, rate: Rate) -> None:
        now, period = self.monotonic(), rate.period.total_seconds()
        window, calls = self._window
        current = int(now // period)
        self._window = (current, calls + 1 if window == current else 1)
        if self._window[1] > rate.count:
            raise ApiError(429, f"Limit exceeded, retry in {int(period) or 1} seconds")

    def _response(self, answer: Answer | Response) -> Response:
        if isinstance(answer, Response):
            return answer
        if answer.body is None:
            return Response(status_code=answer.status)
        status = self.dialect.created if answer.status == 201 else answer.status
        return JSONResponse(self.dialect.spell(answer.body), status)

    def _faulty(self, fault: Fault, done: Response | None) -> Response:
        match fault.kind:
            case FaultKind.GARBAGE if fault.style:
                return _garbage(fault.style, done)
            case FaultKind.ERROR if " " in fault.style:
                status, _, shape = fault.style.partition(" ")
                shape = "html" if shape == "after" else shape
                return _shaped(shape, ApiError(int(status), "Something went wrong"))
            case FaultKind.REFUSE if fault.style:
                raise ApiError(int(fault.style), "Recipient refused")
            case FaultKind.UNAUTHORISED if fault.style:
                texts = {"402": "Not enough funds", "403": "Forbidden"}
                raise ApiError(int(fault.style), texts[fault.style])
            case FaultKind.THROTTLE if fault.style == "none":
                raise ApiError(429, "Too many requests")
        success = 200 if done is None else done.status_code
        return answer_from_fault(
            fault, success=success, throttle_style="text", refusal=422, account="Invalid token"
        )

    def _error_answer(self, error: ApiError) -> Response:
        return _shaped(self.dialect.errors, error)


def call_name(method: str, path: str) -> str:
    """A call as a fault names it: `PATCH /email/campaigns/*/deliver`."""
    return f"{method} {_PLACE.sub('*', path)}"


def _is_done_despite(fault: Fault) -> bool:
    if fault.kind is FaultKind.ERROR:
        return fault.style.endswith(" after")
    return is_accepted_despite(fault) and fault.style != "errors"


def _garbage(style: str, done: Response | None) -> Response:
    """A success code with something in it that no document tells of (D 9)."""
    if style == "errors" or done is None:
        return JSONResponse({"errors": [{"code": 422, "detail": "to is invalid"}]}, 200)
    match style:
        case "no_id":
            body = json.loads(bytes(done.body))
            body.pop("id", None)
            return JSONResponse(body, done.status_code)
        case "list":
            return Response(f"[{bytes(done.body).decode()}]", done.status_code)
        case _:
            return Response(status_code=done.status_code)


def _shaped(shape: str, error: ApiError) -> Response:
    """An error in one of the dresses that clients have met (D 15)."""
    status, headers = error.status, error.headers
    match shape:
        case "errors":
            body = {"errors": [{"code": status, "detail": error.text}]}
            return JSONResponse(body, status, headers)
        case "message" | "error":
            return JSONResponse({shape: error.text}, status, headers)
        case "text":
            return Response(error.text, status, headers, "text/plain")
        case "html":
            page = f"<html><title>{status}</title></html>"
            return Response(page, status, headers, "text/html")
        case _:
            return Response(status_code=status, headers=headers)
