"""
The v2 formData API imitated (provider reference, part C): sendEmail and what a probe asks.

Strict about what the reference demands, with PHP's habits behind it: fields past `max_input_vars`
are dropped without a word. Errors come in the dresses that part C.1 expects, chosen by the style of
a fault. Knows the common letterbox and fault plan, never the adapter.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from providers.contract.address import InvalidAddress, parse_address
from providers.sandbox.answers import ApiError, answer_from_fault, is_accepted_despite
from providers.sandbox.faults import Fault, FaultKind, FaultPlan
from providers.sandbox.forms import FormFile, UnreadableRequest, read_form
from providers.sandbox.letterbox import Letterbox, ReceivedAttachment, ReceivedLetter

PROVIDER = "form_v2"
MAX_INPUT_VARS = 1000  # PHP's default
MAX_ATTACHMENT_OCTETS = 2 << 20  # PHP's default of upload_max_filesize
FIRST_ID = 1234

_SCHEDULE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d\Z", re.ASCII)

Fields = Mapping[str, str]
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(slots=True)
class SandboxFormV2:
    """
    One account of the v2 service.

    Attributes:
        letterbox: Where accepted letters go.
        faults: What goes wrong. Styles of `refuse`: `200` (an error body with HTTP 200), `laravel`
            (422 with Laravel's validation body), `302` (a redirect to a page); else HTTP 400.
        token: The one token it takes.
        token_in_form: Whether getEmailTemplates takes the token in the form too.
    """

    letterbox: Letterbox
    faults: FaultPlan
    token: str = field(repr=False)
    token_in_form: bool = False
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(FIRST_ID))

    def routes(self) -> list[Route]:
        """The methods, relative to the base URL."""
        methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        return [
            Route("/sendEmail", self._method(self._send_email), methods=["POST"]),
            Route("/getEmailTemplates", self._method(self._templates), methods=["POST"]),
            Route("/{path:path}", self._method(self._unknown), methods=methods),
        ]

    def _method(self, handler: Handler) -> Handler:
        async def endpoint(request: Request) -> Response:
            self.letterbox.count_call(PROVIDER)
            try:
                return await handler(request)
            except ApiError as error:
                return _error_answer(error)
            except UnreadableRequest as error:
                return _error_answer(ApiError(400, str(error)))

        return endpoint

    async def _send_email(self, request: Request) -> Response:
        form = await read_form(request)
        fields = dict(form.fields[:MAX_INPUT_VARS])
        self._check_token(fields)
        _validate(fields, form.files)
        fault = self.faults.strike(PROVIDER, fields["email"], *FaultKind)
        if fault is None:
            return _success({"email_id": self._accept(fields, form.files)})
        if is_accepted_despite(fault):
            self._accept(fields, form.files)
        return _faulty_answer(fault)

    def _accept(self, fields: Fields, files: Iterable[FormFile]) -> int:
        email_id = next(self._ids)
        attachments = (
            ReceivedAttachment(file.filename, file.content_type, file.content) for file in files
        )
        self.letterbox.put(
            ReceivedLetter(
                provider=PROVIDER,
                provider_message_id=str(email_id),
                recipient=fields["email"],
                from_email=fields["sender_email"],
                from_name=fields.get("sender_name", ""),
                subject=fields["subject"],
                html=fields["message"],
                attachments=tuple(attachments),
                parameters={
                    name: fields[name]
                    for name in ("track_open", "track_click", "d_schedule")
                    if name in fields
                },
            )
        )
        return email_id

    async def _templates(self, request: Request) -> Response:
        token = {"token": request.query_params.get("token", "")}
        if self.token_in_form and not token["token"]:
            token = dict((await read_form(request)).fields)
        self._check_token(token)
        fault = self.faults.strike(PROVIDER, "", *FaultKind)
        if fault is not None:
            return _faulty_answer(fault)
        return _success([{"id": 11, "title": "Welcome"}])

    async def _unknown(self, _request: Request) -> Response:
        raise ApiError(404, "Page not found")

    def _check_token(self, fields: Fields) -> None:
        if fields.get("token") != self.token:
            raise ApiError(401, "Invalid token")


def _success(result: object) -> Response:
    return JSONResponse({"status": "OK", "result": result})


def _error_answer(error: ApiError) -> Response:
    body = {"status": "ERROR", "error": error.text}
    return JSONResponse(body, error.status, error.headers)


def _faulty_answer(fault: Fault) -> Response:
    if fault.kind is FaultKind.REFUSE:
        refusal = "The recipient's email address is incorrect"
        match fault.style:
            case "200":
                return _error_answer(ApiError(200, refusal))
            case "laravel":
                body = {"message": "The given data was invalid.", "errors": {"email": [refusal]}}
                return JSONResponse(body, 422)
            case "302":
                return RedirectResponse("/", 302)
    return answer_from_fault(
        fault, success=200, throttle_style="header", refusal=400, account="Invalid token"
    )


def _validate(fields: Fields, files: tuple[FormFile, ...]) -> None:
    for name in ("sender_email", "subject", "message", "email"):
        if not fields.get(name, "").strip():
            raise ApiError(400, f"The {name} field is required")
    for name in ("sender_email", "email"):
        try:
            parse_address(fields[name])
        except InvalidAddress:
            raise ApiError(400, f"The {name} must be a valid email address") from None
    for name in ("track_open", "track_click"):
        if fields.get(name, "1") not in ("0", "1"):
            raise ApiError(400, f"The {name} field must be 1 or 0")
    if "d_schedule" in fields and not _is_schedule(fields["d_schedule"]):
        raise ApiError(400, "The d_schedule does not match the format Y-m-d H:i")
    if "attachment" in fields or any(file.name != "attachment" for file in files):
        raise ApiError(400, "The attachment must be a file")
    if len(files) > 1:
        raise ApiError(400, "The attachment must be one file")
    if files and (not files[0].filename or len(files[0].content) > MAX_ATTACHMENT_OCTETS):
        raise ApiError(400, "The attachment failed to upload")


def _is_schedule(text: str) -> bool:
    if not _SCHEDULE.match(text):
        return False
    try:
        datetime.strptime(text, "%Y-%m-%d %H:%M")  # noqa: DTZ007 - the service's minutes know no zone
    except ValueError:
        return False
    return True
