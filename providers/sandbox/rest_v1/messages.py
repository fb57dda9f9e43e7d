"""
Single and template letters of the imitated v1 (provider reference, B.3 and B.4), and their lives.

An unknown form part is ignored without a word, as there; the answer names the files that arrived.
A letter advances on command (`advance`, `happen`): whoever unsubscribed or complained before gets
no more.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from providers.sandbox.answers import ApiError
from providers.sandbox.forms import FormFile, media_type, read_form, read_json
from providers.sandbox.letterbox import ReceivedAttachment, ReceivedLetter
from providers.sandbox.rest_v1 import checks
from providers.sandbox.rest_v1.entrance import PROVIDER, Answer, Entrance
from providers.sandbox.rest_v1.hooks import Hooks
from providers.sandbox.rest_v1.templates import Templates, filled

MAX_ATTACHMENT_OCTETS = 5_000_000
FIRST_ID = 5_000_000_001  # ids may exceed 32 bits (B.1)
CREATE = "POST /email/messages"
CREATE_FROM_TEMPLATE = "POST /email/templates/*/messages"
STATUSES = ("queued", "sent", "delivered", "skipped", "soft_bounced", "hard_bounced")
PAYMENTS = ("subscriber_priority", "credit_priority", "subscriber", "credit")

_FIELDS = ("from_email", "from_name", "to", "subject", "text", "html", "payment")
_HEADER_PART = re.compile(r"smtp_headers\[([^\[\]]+)\]\Z")
_FIELD_NAME = re.compile(r"[!-9;-~]+\Z")  # RFC 5322 2.2
_FIELD_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*\Z")
# The platform writes these itself (B.3: unsafe to override).
_OWN_FIELDS = re.compile(
    r"(from|to|cc|bcc|subject|date|message-id|mime-version|received|return-path|content-.*)\Z"
)
_EMPTY_REDIRECT: dict[str, Any] = {"object": {}, "list": [], "null": None}


@dataclass(frozen=True, slots=True)
class _Submission:
    """A request to create a message, JSON and multipart made alike."""

    fields: Mapping[str, Any]
    smtp_headers: Mapping[str, Any]
    files: tuple[FormFile, ...] = ()


@dataclass(slots=True)
class Messages:
    """
    The letters of one account.

    Attributes:
        found: The platform's own record of each letter, by id.
        unwilling: Addresses, in lower case, that unsubscribed or complained.
    """

    entrance: Entrance
    hooks: Hooks
    templates: Templates
    found: dict[int, dict[str, Any]] = field(default_factory=dict)
    unwilling: set[str] = field(default_factory=set)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(FIRST_ID))

    def routes(self) -> list[Route]:
        """The methods, relative to the base URL."""
        route, template = self.entrance.route, "/email/templates/{id:int}/messages"
        return [
            route("POST", "/email/messages", self._create, strikes=False),
            route("GET", "/email/messages/{id:int}", self._show),
            route("POST", template, self._create_from_template, strikes=False),
        ]

    def advance(self) -> int:
        """Bring each letter that is under way one step further; how many there were."""
        moved = 0
        for message_id, message in self.found.items():
            match message["status"]:
                case "queued" if message["to"].lower() in self.unwilling:
                    self.happen(message_id, "skipped")
                case "queued":
                    message["status"] = "sent"
                case "sent" | "soft_bounced":
                    self.happen(message_id, "delivered")
                case _:
                    continue
            moved += 1
        return moved

    def happen(self, message_id: int, name: str, url: str = "") -> None:
        """
        Let something happen to a letter, known to the documents or not, and tell the webhooks.

        Raises:
            KeyError: There is no such letter.
        """
        message = self.found[message_id]
        if name in STATUSES:
            message["status"] = name
        events = message["events"]
        match name:
            case "opened":
                events["open"] += 1
            case "clicked":
                redirect = events.get("redirect") or {}
                events["redirect"] = {**redirect, url: redirect.get(url, 0) + 1}
            case "unsubscribed" | "complined":
                key = "unsubscribe" if name == "unsubscribed" else "spam"
                events[key] += 1
                self.unwilling.add(message["to"].lower())
        self.hooks.tell(message_id, name, url)

    async def _create(self, request: Request) -> Response:
        submission = await _read_submission(request)
        _validate(submission)

        async def accept() -> Answer:
            return Answer(self._accept(submission), 201)

        return await self.entrance.carry_out(CREATE, submission.fields["to"], accept)

    async def _create_from_template(self, request: Request) -> Response:
        template = self.templates.found.get(request.path_params["id"])
        if template is None:
            raise checks.not_found()
        fields = await read_json(request)
        to = checks.address(fields, "to")
        payment = checks.one_of(fields, "payment", PAYMENTS, PAYMENTS[0])
        params = fields.get("params", {})
        if not isinstance(params, dict) or any(not _is_plain(value) for value in params.values()):
            raise ApiError(422, "params is invalid")
        letter = {"to": to, "payment": payment} | {
            name: filled(template[name], params)
            for name in ("from_email", "from_name", "subject", "text", "html")
        }

        async def accept() -> Answer:
            message = self._accept(_Submission(letter, {}), {"template": str(template["id"])})
            names = ("id", "to", "subject", "text", "html", "status")
            return Answer({name: message[name] for name in names}, 201)

        return await self.entrance.carry_out(CREATE_FROM_TEMPLATE, to, accept)

    def _accept(
        self, submission: _Submission, more: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
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
            "events": self._no_events(),
        }
        self.found[message_id] = message
        payment = values.get("payment", PAYMENTS[0])
        self.entrance.letterbox.put(
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
                parameters={"payment": payment, **(more or {})},
            )
        )
        if self.entrance.dialect.files == "untold":
            return {name: value for name, value in message.items() if name != "attachments"}
        return message

    def _no_events(self) -> dict[str, Any]:
        events: dict[str, Any] = {"open": 0, "redirect": {}, "spam": 0, "unsubscribe": 0}
        shape = self.entrance.dialect.redirect
        if shape == "missing":
            del events["redirect"]
        else:
            events["redirect"] = _EMPTY_REDIRECT[shape]
        return events

    async def _show(self, request: Request) -> Answer:
        message = self.found.get(request.path_params["id"])
        if message is None:
            raise checks.not_found()
        return Answer(message)


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float | bool)


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
        checks.required(fields, name)
    if not (fields.get("text", "").strip() or fields.get("html", "").strip()):
        raise ApiError(422, "text can't be blank")
    for name in ("from_email", "to"):
        checks.address(fields, name)
    if fields.get("payment", PAYMENTS[0]) not in PAYMENTS:
        raise ApiError(422, "payment is not included in the list")
    for name, value in submission.smtp_headers.items():
        if not _is_extra_header(name, value):
            raise ApiError(422, f"smtp_headers {name} is invalid")
    if sum(len(file.content) for file in submission.files) > MAX_ATTACHMENT_OCTETS:
        raise ApiError(422, "attachments are too big")


def _is_extra_header(name: str, value: object) -> bool:
    return (
        isinstance(value, str)
        and _FIELD_NAME.match(name) is not None
        and _FIELD_VALUE.match(value) is not None
        and not _OWN_FIELDS.match(name.lower())
    )
