"""
The v1 JSON REST API imitated (provider reference, part B): single messages and what a probe asks.

Strict where the reference says what is demanded, silent where the platform is: an unknown form part
is ignored, and the answer names the files that arrived. Knows the common letterbox and fault plan,
never the adapter.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from providers.contract.address import InvalidAddress, parse_address
from providers.contract.capabilities import Rate
from providers.sandbox.answers import ApiError, answer_from_fault, is_accepted_despite
from providers.sandbox.faults import Fault, FaultKind, FaultPlan
from providers.sandbox.forms import FormFile, UnreadableRequest, media_type, read_form, read_json
from providers.sandbox.letterbox import Letterbox, ReceivedAttachment, ReceivedLetter

PROVIDER = "rest_v1"
MAX_ATTACHMENT_OCTETS = 5_000_000
FIRST_ID = 5_000_000_001  # ids may exceed 32 bits (B.1)

_FIELDS = ("from_email", "from_name", "to", "subject", "text", "html", "payment")
_PAYMENTS = ("subscriber_priority", "credit_priority", "subscriber", "credit")
_HEADER_PART = re.compile(r"smtp_headers\[([^\[\]]+)\]\Z")
_FIELD_NAME = re.compile(r"[!-9;-~]+\Z")  # RFC 5322 2.2
_FIELD_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*\Z")
# The platform writes these itself (B.3: unsafe to override).
_OWN_FIELDS = re.compile(
    r"(from|to|cc|bcc|subject|date|message-id|mime-version|received|return-path|content-.*)\Z"
)

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class _Submission:
    """A request to create a message, JSON and multipart made alike."""

    fields: Mapping[str, Any]
    smtp_headers: Mapping[str, Any]
    files: tuple[FormFile, ...] = ()


@dataclass(slots=True)
class SandboxRestV1:
    """
    One account of the v1 platform.

    Attributes:
        letterbox: Where accepted letters go.
        faults: What goes wrong.
        api_key: The one key it takes.
        rate: The limit of calls that are not GET; `None`: no limit. Counted in whole periods of
            the clock, as Rack's throttles do.
        balance: What GET /email/balance tells; `None`: this installation has no such method.
        messages: The platform's own record of each message, by id.
    """

    letterbox: Letterbox
    faults: FaultPlan
    api_key: str = field(repr=False)
    rate: Rate | None = None
    balance: int | None = None
    messages: dict[int, dict[str, Any]] = field(default_factory=dict)
    monotonic: Callable[[], float] = time.monotonic
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(FIRST_ID))
    _window: tuple[int, int] = (0, 0)  # which period, and the calls in it

    def routes(self) -> list[Route]:
        """The methods, relative to the base URL."""
        methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        return [
            Route("/email/messages", self._method(self._create_message), methods=["POST"]),
            Route("/email/messages/{id:int}", self._query(self._message), methods=["GET"]),
            Route("/email/balance", self._query(self._balance), methods=["GET"]),
            Route("/email/lists", self._query(self._lists), methods=["GET"]),
            Route("/{path:path}", self._method(self._unknown), methods=methods),
        ]

    def _method(self, handler: Handler) -> Handler:
        async def endpoint(request: Request) -> Response:
            self.letterbox.count_call(PROVIDER)
            try:
                self._check(request)
                return await handler(request)
            except ApiError as error:
                return _error_answer(error)
            except UnreadableRequest as error:
                return _error_answer(ApiError(400, str(error)))

        return endpoint

    def _query(self, handler: Handler) -> Handler:
        """A method that concerns no recipient: whatever fault is planned for all strikes it."""

        async def struck(request: Request) -> Response:
            fault = self.faults.strike(PROVIDER, "", *FaultKind)
            if fault is not None:
                return _faulty_answer(fault, success=200)
            return await handler(request)

        return self._method(struck)

    def _check(self, request: Request) -> None:
        if request.headers.get("authorization") != f"Bearer {self.api_key}":
            raise ApiError(401, "Invalid token")
        multipart = request.method != "GET" and media_type(request) == "multipart/form-data"
        if media_type(request) != "application/json" and not multipart:
            raise ApiError(415, "Unsupported media type")
        if request.method != "GET" and self.rate is not None:
            self._count_against(self.rate)

    def _count_against(self, rate: Rate) -> None:
        now, period = self.monotonic(), rate.period.total_seconds()
        window, calls = self._window
        current = int(now // period)
        self._window = (current, calls + 1 if window == current else 1)
        if self._window[1] > rate.count:
            raise ApiError(429, f"Limit exceeded, retry in {int(period) or 1} seconds")

    async def _create_message(self, request: Request) -> Response:
        submission = await _read_submission(request)
        _validate(submission)
        fault = self.faults.strike(PROVIDER, submission.fields["to"], *FaultKind)
        if fault is None:
            return JSONResponse(self._accept(submission), 201)
        if is_accepted_despite(fault):
            self._accept(submission)
        return _faulty_answer(fault, success=201)

    def _accept(self, submission: _Submission) -> dict[str, Any]:
        values = submission.fields
        message_id = next(self._ids)
        message: dict[str, Any] = {
            "id": message_id,
            **{
                name: values.get(name, "")
                for name in ("from_email", "from_name", "to", "subject", "text", "html")
            },
            "attachments": [file.filename for file in submission.files],
            "status": "queued",
            "events": {"open": 0, "redirect": {}, "spam": 0, "unsubscribe": 0},
        }
        self.messages[message_id] = message
        self.letterbox.put(
            ReceivedLetter(
                provider=PROVIDER,
                provider_message_id=str(message_id),
                recipient=values["to"],
                from_email=values["from_email"],
                from_name=values.get("from_name", ""),
                subject=values["subject"],
                text=values.get("text", ""),
                html=values.get("html", ""),
                header_fields=dict(submission.smtp_headers),
                attachments=tuple(
                    ReceivedAttachment(file.filename, file.content_type, file.content)
                    for file in submission.files
                ),
                parameters={"payment": values.get("payment", "subscriber_priority")},
            )
        )
        return message

    async def _message(self, request: Request) -> Response:
        message = self.messages.get(request.path_params["id"])
        if message is None:
            raise ApiError(404, "Not found")
        return JSONResponse(message)

    async def _balance(self, _request: Request) -> Response:
        if self.balance is None:
            raise ApiError(404, "Not found")
        tariff = {"credits": 0, "subscribers": {"available": 0, "total": 0}}
        return JSONResponse({"balance": self.balance, "tariff": tariff})

    async def _lists(self, request: Request) -> Response:
        number, size = _page(request, largest=100)
        page = {"page_number": number, "page_size": size, "collection": []}
        return JSONResponse({"total_count": 0, "total_pages": 0, **page})

    async def _unknown(self, _request: Request) -> Response:
        raise ApiError(404, "Not found")


def _error_answer(error: ApiError) -> Response:
    body = {"errors": [{"code": error.status, "detail": error.text}]}
    return JSONResponse(body, error.status, error.headers)


def _faulty_answer(fault: Fault, *, success: int) -> Response:
    return answer_from_fault(
        fault, success=success, throttle_style="text", refusal=422, account="Invalid token"
    )


async def _read_submission(request: Request) -> _Submission:
    if media_type(request) == "application/json":
        fields = await read_json(request)
        headers = fields.pop("smtp_headers", {})
        if not isinstance(headers, dict):
            raise ApiError(422, "smtp_headers is invalid")
        return _Submission(_known(fields), headers)
    form = await read_form(request)
    headers = {}
    for name, value in form.fields:
        if part := _HEADER_PART.match(name):
            headers[part[1]] = value
    # Parts of other names are ignored without a word, files among them (B.3).
    files = tuple(file for file in form.files if file.name == "attachments[]" and file.filename)
    return _Submission(_known(dict(form.fields)), headers, files)


def _known(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: fields[name] for name in _FIELDS if name in fields}


def _validate(submission: _Submission) -> None:
    fields = submission.fields
    for name, value in fields.items():
        if not isinstance(value, str):
            raise ApiError(422, f"{name} is invalid")
    for name in ("from_email", "to", "subject"):
        if not fields.get(name, "").strip():
            raise ApiError(422, f"{name} can't be blank")
    if not (fields.get("text", "").strip() or fields.get("html", "").strip()):
        raise ApiError(422, "text can't be blank")
    for name in ("from_email", "to"):
        if not _is_one_address(fields[name]):
            raise ApiError(422, f"{name} is invalid")
    if fields.get("payment", _PAYMENTS[0]) not in _PAYMENTS:
        raise ApiError(422, "payment is not included in the list")
    for name, value in submission.smtp_headers.items():
        if not _is_extra_header(name, value):
            raise ApiError(422, f"smtp_headers {name} is invalid")
    if sum(len(file.content) for file in submission.files) > MAX_ATTACHMENT_OCTETS:
        raise ApiError(422, "attachments are too big")


def _is_one_address(text: str) -> bool:
    try:
        parse_address(text)
    except InvalidAddress:
        return False
    return True


def _is_extra_header(name: str, value: object) -> bool:
    return (
        isinstance(value, str)
        and _FIELD_NAME.match(name) is not None
        and _FIELD_VALUE.match(value) is not None
        and not _OWN_FIELDS.match(name.lower())
    )


def _page(request: Request, *, largest: int) -> tuple[int, int]:
    numbers = []
    for name, default in (("page_number", "1"), ("page_size", "25")):
        text = request.query_params.get(name, default)
        if not (text.isascii() and text.isdigit() and int(text) > 0):
            raise ApiError(400, f"{name} is invalid")
        numbers.append(int(text))
    if numbers[1] > largest:
        raise ApiError(412, f"Page size is too big. Max value is {largest}")
    return numbers[0], numbers[1]
