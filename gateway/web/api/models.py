"""
The shapes of the API, in and out: checked by pydantic, shown on the OpenAPI page.

Moments are RFC 3339 in UTC. Cursors are opaque: they come from `next` of a page and mean nothing
else.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal, cast

from pydantic import (
    AfterValidator,
    Base64Bytes,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    model_validator,
)

from gateway.domain.lifecycle import State
from gateway.domain.suppression import SuppressionReason
from providers.contract.address import InvalidAddress, parse_address

_FIELD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,75}\Z")
_ENVELOPE_FIELDS = ("from", "to", "cc", "bcc", "sender", "reply-to", "return-path")
_OURS = frozenset({*_ENVELOPE_FIELDS, "subject", "date", "message-id", "received"})
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9.+-]{1,60}/[A-Za-z0-9.+-]{1,60}\Z")


def _checked_address(text: str) -> str:
    try:
        parse_address(text)
    except InvalidAddress as error:
        raise ValueError(str(error)) from None
    return text


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("control characters and line ends are not allowed here")
    return text


def _mailbox(value: object) -> object:
    return {"address": value} if isinstance(value, str) else value


AddressText = Annotated[
    str,
    Field(max_length=320, json_schema_extra={"format": "idn-email"}),
    AfterValidator(_checked_address),
]
Line = Annotated[
    str,
    # The pattern is what a schema can say of it: `_one_line` knows more of Unicode.
    Field(max_length=900, json_schema_extra={"pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$"}),
    AfterValidator(_one_line),
]
Limit = Annotated[int, Field(ge=1, le=500)]


class Model(BaseModel):
    """Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MailboxIn(Model):
    """An address, with the name that readers see."""

    address: AddressText
    name: Line = ""


Mailbox = Annotated[
    MailboxIn, BeforeValidator(_mailbox, json_schema_input_type=MailboxIn | AddressText)
]


def _some(*names: str, **like: object) -> dict[str, JsonValue]:
    """JSON Schema: at least one of these members is there, and is like that."""
    one_of = [{"required": [name], "properties": {name: like}} for name in names]
    return {"anyOf": cast("list[JsonValue]", one_of)}


class AttachmentIn(Model):
    """A file; with `content_id` it stands within the HTML body as `cid:`."""

    name: Line = Field(min_length=1)
    content: Base64Bytes
    content_type: str = Field(default="application/octet-stream", pattern=_MEDIA_TYPE.pattern[:-2])
    content_id: str = Field(default="", max_length=200, pattern=r"^[A-Za-z0-9._@+-]*$")


class LetterIn(Model):
    """A letter to send; each of `to`, `cc` and `bcc` gets one."""

    # What the validator below asks for, so that the page tells it too.
    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [_some("to", "cc", "bcc", minItems=1), _some("text", "html", type="string")]
        }
    )

    sender: Mailbox = Field(alias="from")
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    bcc: tuple[Mailbox, ...] = ()
    reply_to: tuple[Mailbox, ...] = ()
    subject: Line = ""
    text: str | None = None
    html: str | None = None
    attachments: tuple[AttachmentIn, ...] = Field(default=(), max_length=100)
    headers: dict[str, Line] = Field(
        default={}, description="Further fields, instructions (X-Mailquay-…) among them."
    )
    return_path: AddressText | None = Field(
        default=None, description="Who gets reports; `from` where it is missing."
    )

    @model_validator(mode="after")
    def _is_a_letter(self) -> LetterIn:
        if not (self.to or self.cc or self.bcc):
            raise ValueError("a letter needs a recipient")
        if self.text is None and self.html is None:
            raise ValueError("a letter needs text or html")
        for name in self.headers:
            if not _FIELD_NAME.match(name):
                raise ValueError("the name of a header field is letters, digits and hyphens")
            lowered = name.lower()
            if lowered in _OURS or lowered.startswith(("content-", "mime-")):
                raise ValueError(f"{name} has a member of its own, or is not to be given")
        return self


class Taken(Model):
    """A letter that is durable; `reply` is what an SMTP client would have been told."""

    queue_id: str
    reply: str


class RecipientOut(Model):
    """One recipient of one letter."""

    queue_id: str
    key: int
    arrival: datetime
    size: int
    reverse_path: str
    forward_path: str
    state: State
    provider: str
    attempts: int
    due_at: datetime | None
    status: str
    diagnostic: str
    provider_message_id: str
    message_id: str


class TrackedRecipientOut(RecipientOut):
    """The same; `tracked` is how it stands by what was told after the hand-over, as `opened`."""

    tracked: str


class RecipientPage(Model):
    """Some recipients; `next` is the cursor of those that follow, `null` at the end."""

    recipients: tuple[RecipientOut, ...]
    next: str | None


class LetterOut(Model):
    """A letter as the spool has it; `trace_id` is `null` where it belongs to no trace."""

    queue_id: str
    arrival: datetime
    listener: str
    client: str
    reverse_path: str
    message_id: str
    trace_id: str | None
    size: int
    content_kept: bool
    recipients: tuple[TrackedRecipientOut, ...]


class LettersOut(Model):
    """Queue ids of the letters that a text names, the newest first; `next` as everywhere."""

    queue_ids: tuple[str, ...]
    next: str | None


class StoryLineOut(Model):
    """One thing that happened to a letter; `key` is the recipient's, `null` of the whole letter."""

    at: datetime
    key: int | None
    what: str
    provider: str
    attempt: int
    kind: str
    status: str
    text: str
    provider_message_id: str


class StoryOut(Model):
    """What happened to a letter, in order."""

    lines: tuple[StoryLineOut, ...]


class EventOut(Model):
    """Something that a provider told of a letter after it took it."""

    number: int
    at: datetime
    happened_at: datetime
    queue_id: str
    key: int
    recipient: str
    provider: str
    event: str
    reason: str
    mta_response: str
    click_url: str


class EventPage(Model):
    """Some events, the oldest first; ask with `next` for those that come after, now or later."""

    events: tuple[EventOut, ...]
    next: str


class SuppressionIn(Model):
    """An address that is to be sent nothing."""

    address: AddressText
    reason: SuppressionReason = SuppressionReason.MANUAL
    comment: Line = Field(default="", max_length=200)


class SuppressionOut(Model):
    """Why an address is sent nothing."""

    address: str
    reason: SuppressionReason
    since: datetime
    source: str
    comment: str


class SuppressionPage(Model):
    """Some of the list; `next` is the cursor of what follows, `null` at the end."""

    suppressions: tuple[SuppressionOut, ...]
    next: str | None


class Count(Model):
    """How many were changed."""

    changed: int


class ProblemOut(BaseModel):
    """Why a request was not done (RFC 9457)."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str


class SearchQuery(Model):
    """A queue id, Message-ID, provider's id or address."""

    search: Line = Field(min_length=1)
    cursor: Line = ""
    limit: Limit = 100


class RecipientQuery(Model):
    """Which recipients; settled ones only where a state says so."""

    queue_id: Line = ""
    provider: Line = ""
    state: State | None = None
    address: Line = ""
    cursor: Line = ""
    limit: Limit = 100


class EventQuery(Model):
    """From where on."""

    cursor: str = Field(default="0", pattern=r"^[0-9]{1,18}$")
    limit: Limit = 100


class SuppressionQuery(Model):
    """Which entries."""

    reason: SuppressionReason | None = None
    address: Line = ""
    cursor: Line = ""
    limit: Limit = 100


class RemovalQuery(Model):
    """Which reason is lifted; all without one."""

    reason: SuppressionReason | None = None


class NoQuery(Model):
    """None is taken."""


class EnvelopeQuery(Model):
    """The envelope of a raw letter; `from` may be empty, `to` stands once for each recipient."""

    sender: Literal[""] | AddressText = Field(default="", alias="from")
    to: tuple[AddressText, ...] = Field(min_length=1)
