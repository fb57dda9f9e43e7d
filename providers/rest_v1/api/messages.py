"""
Single and template letters by hand, and what became of them (provider reference, B.3 and B.4).

Pure: each function makes one operation. Letters of the gateway go by `wire`, which translates MIME.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from providers.http.exchange import HttpRequest
from providers.http.forms import FormFile, build_multipart
from providers.rest_v1.api.operation import (
    Collection,
    Operation,
    get,
    given,
    patch,
    path_of,
    post,
)
from providers.rest_v1.api.record import Record

_MESSAGES = "/email/messages"
_TEMPLATES = "/email/templates"


@dataclass(frozen=True, slots=True)
class File:
    """A file to send along."""

    filename: str
    content: bytes = field(repr=False)
    content_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Events:
    """How often what happened to a letter; `redirect` by the URL that was followed."""

    opened: int = 0
    spam: int = 0
    unsubscribed: int = 0
    redirect: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MessageInfo:
    """A letter as the platform tells of it; `status` in its own word."""

    id: str
    status: str
    to: str
    from_email: str
    from_name: str
    subject: str
    text: str
    html: str
    attachments: tuple[str, ...]
    events: Events


@dataclass(frozen=True, slots=True)
class Template:
    """A template; `preset_params` are the names that it fills in."""

    id: str
    name: str
    from_email: str
    from_name: str
    subject: str
    text: str
    html: str
    preset_params: tuple[str, ...]
    state: str


def send(
    *,
    from_email: str,
    to: str,
    subject: str,
    text: str | None = None,
    html: str | None = None,
    from_name: str | None = None,
    payment: str | None = None,
    smtp_headers: Mapping[str, str] | None = None,
    files: Sequence[File] = (),
) -> Operation[MessageInfo]:
    """
    Send a letter to one address.

    Compare `attachments` of the result with the names sent: a platform that does not like a part
    drops it without a word (D 17).
    """
    fields = given(from_email=from_email, from_name=from_name, to=to, subject=subject)
    fields |= given(text=text, html=html, payment=payment)
    if not files:
        return post(_MESSAGES, fields | given(smtp_headers=smtp_headers or None), _message)
    headers = {f"smtp_headers[{name}]": value for name, value in (smtp_headers or {}).items()}
    return Operation(form_request(_MESSAGES, [*fields.items(), *headers.items()], files), _message)


def send_template(
    template_id: str,
    to: str,
    params: Mapping[str, str | int | float | bool] | None = None,
    *,
    payment: str | None = None,
) -> Operation[MessageInfo]:
    """Send a letter made of a template to one address."""
    path = path_of(_TEMPLATES + "/{}/messages", template_id)
    fields = given(to=to, params=dict(params) if params else None, payment=payment)
    return post(path, fields, _message)


def message(message_id: str) -> Operation[MessageInfo]:
    """What became of a letter."""
    return get(path_of(_MESSAGES + "/{}", message_id), _message)


def all_templates() -> Collection[Template]:
    """All templates of the account."""
    return Collection(_TEMPLATES, _template, extra=True)


def one_template(template_id: str) -> Operation[Template]:
    """One template."""
    return get(path_of(_TEMPLATES + "/{}", template_id), _template)


def create_template(
    *,
    name: str,
    from_email: str,
    subject: str,
    html: str,
    from_name: str | None = None,
    text: str | None = None,
) -> Operation[Template]:
    """Make a template; it is a draft until it is submitted."""
    fields = given(name=name, from_email=from_email, from_name=from_name, subject=subject)
    return post(_TEMPLATES, fields | given(html=html, text=text), _template, extra=True)


def submit_template(template_id: str) -> Operation[Template]:
    """Hand a template to the platform's moderation."""
    return patch(path_of(_TEMPLATES + "/{}/to_pending", template_id), {}, _template)


def form_request(
    path: str, fields: Sequence[tuple[str, str]], files: Sequence[File]
) -> HttpRequest:
    """A request with files: their parts are called `attachments[]` (B.3)."""
    parts = [
        FormFile(
            "attachments[]",
            PurePath(file.filename).name or "attachment",
            file.content_type,
            file.content,
        )
        for file in files
    ]
    content_type, body = build_multipart(fields, parts)
    return HttpRequest("POST", path, (("Content-Type", content_type),), body)


def _message(record: Record) -> MessageInfo:
    events = record.record("events")
    return MessageInfo(
        record.id(),
        record.text("status"),
        record.text("to"),
        record.text("from_email"),
        record.text("from_name"),
        record.text("subject"),
        record.text("text"),
        record.text("html"),
        record.texts("attachments"),
        Events(
            events.number("open") or 0,
            events.number("spam") or 0,
            events.number("unsubscribe") or 0,
            events.counts("redirect"),
        ),
    )


def _template(record: Record) -> Template:
    return Template(
        record.id(),
        record.text("name"),
        record.text("from_email"),
        record.text("from_name"),
        record.text("subject"),
        record.text("text"),
        record.text("html"),
        record.texts("preset_params"),
        record.text("state"),
    )
