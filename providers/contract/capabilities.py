"""
What a provider can carry, as data, and where it falls short of a letter.

Router, start-up report, tests and the table in providers/README.md all read this one value. It
declares what can be *accurately communicated*; the provider's policies are left to the provider.
Sits on `message`. Which shortfalls matter is the gateway's to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from providers.contract.message import Needs
from providers.contract.options import NO_OPTIONS, SendOptions


class Part(StrEnum):
    """What of a letter can be lost or stand in the way; the label of `losses_total`."""

    SIZE = "size"
    SMTPUTF8 = "smtputf8"
    NULL_REVERSE_PATH = "null_reverse_path"
    SEAL = "seal"  # signature or encryption
    TEXT = "text"
    TEXT_ALTERNATIVE = "text_alternative"  # the text beside an HTML body
    HTML = "html"
    ATTACHMENT = "attachment"
    INLINE_PART = "inline_part"
    CALENDAR = "calendar"
    OTHER_PART = "other_part"
    FROM = "from"  # of several senders all but one
    SUBJECT = "subject"  # an empty one, where a platform demands some
    REPLY_TO = "reply_to"
    LIST_UNSUBSCRIBE = "list_unsubscribe"
    OTHER_RECIPIENTS = "other_recipients"
    THREADING = "threading"  # References, In-Reply-To
    MESSAGE_ID = "message_id"
    DATE = "date"
    TRACE = "trace"  # Received, Return-Path
    HEADER_FIELD = "header_field"  # anything else
    TEMPLATE = "template"
    MAILING_LIST = "mailing_list"
    SCHEDULE = "schedule"
    TRACKING_SWITCH = "tracking_switch"  # whether openings and clicks are tracked
    PAYMENT = "payment"
    TAG = "tag"


_PART_OF_FIELD = {
    "references": Part.THREADING,
    "in-reply-to": Part.THREADING,
    "message-id": Part.MESSAGE_ID,
    "date": Part.DATE,
    "received": Part.TRACE,
    "return-path": Part.TRACE,
}


@dataclass(frozen=True, slots=True)
class Shortfall:
    """One thing that a provider cannot carry: which part, and why in words for the operator."""

    part: Part
    reason: str


class Bulk(StrEnum):
    """Whether one request can hold several letters."""

    NONE = "none"
    SAME_LETTER = "same letter"
    PERSONAL = "same letter, personal letters"


class Tracking(StrEnum):
    """How the provider tells what became of a letter."""

    NONE = "none"
    POLL = "poll"
    WEBHOOK_AND_POLL = "webhook, poll"


class MessageIds(StrEnum):
    """For what the provider gives an id."""

    NONE = "none"
    RECIPIENT = "each recipient"
    BATCH = "each batch"


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` requests within `period`."""

    count: int
    period: timedelta = timedelta(seconds=1)

    def __post_init__(self) -> None:
        if self.count < 1 or self.period <= timedelta(0):
            raise ValueError("a rate needs a positive count and period")

    @property
    def per_second(self) -> float:
        """Requests a second."""
        return self.count / self.period.total_seconds()


@dataclass(frozen=True, slots=True)
class ProviderCapabilities:
    """
    Limits and abilities of one configured provider; `None` for a limit means none is known.

    `letters_at_once` is how many calls of `deliver` are worth making at the same time, where that
    is more than it has connections.

    `raw_mime` says that the content travels octet for octet, and all abilities about parts and
    header fields follow from it. `passed_header_fields` says that further header fields can be
    given along; `dropped_header_fields` names those that cannot even then. `templates` to `tags`
    say which of a client's wishes (`SendOptions`) the provider knows. `assumed` names attributes
    that no document of the provider backs.
    """

    max_recipients: int | None = None
    max_message_octets: int | None = None
    max_attachments: int | None = None
    max_attachment_octets: int | None = None
    connections: int = 4
    letters_at_once: int | None = None
    rate: Rate | None = None
    raw_mime: bool = False
    null_reverse_path: bool = False
    smtputf8: bool = False
    text: bool = True
    html: bool = True
    text_beside_html: bool = False
    inline_parts: bool = False
    calendar: bool = False
    reply_to: bool = False
    list_unsubscribe: bool = False
    other_recipients: bool = False
    passed_header_fields: bool = False
    dropped_header_fields: frozenset[str] = frozenset()
    templates: bool = False
    mailing_lists: bool = False
    schedules: bool = False
    tracking_switches: bool = False
    payments: bool = False
    tags: bool = False
    bulk: Bulk = Bulk.NONE
    tracking: Tracking = Tracking.NONE
    message_ids: MessageIds = MessageIds.NONE
    assumed: frozenset[str] = field(default_factory=frozenset)

    def shortfalls(self, needs: Needs, options: SendOptions = NO_OPTIONS) -> tuple[Shortfall, ...]:
        """All that would be lost of a letter, or that stands in its way; empty: it is carried."""
        found = list(self._limits(needs))
        if not self.raw_mime:
            found += self._parts(needs)
            found += self._fields(needs)
        if options is not NO_OPTIONS:
            found += self._wishes(options)
        return tuple(found)

    def _limits(self, needs: Needs) -> Iterator[Shortfall]:
        if self.max_message_octets is not None and needs.size > self.max_message_octets:
            yield Shortfall(
                Part.SIZE, f"{needs.size} octets, at most {self.max_message_octets} can be taken"
            )
        if needs.smtputf8 and not self.smtputf8:
            yield Shortfall(Part.SMTPUTF8, "an address needs SMTPUTF8")
        if needs.null_reverse_path and not self.null_reverse_path:
            yield Shortfall(Part.NULL_REVERSE_PATH, "the null reverse-path cannot be expressed")

    def _parts(self, needs: Needs) -> Iterator[Shortfall]:
        if needs.sealed:
            yield Shortfall(Part.SEAL, "a signed or encrypted letter does not survive translation")
        if needs.html and not self.html:
            yield Shortfall(Part.HTML, "no HTML body is taken")
        if needs.text and not needs.html and not self.text:
            yield Shortfall(Part.TEXT, "no text body is taken")
        if needs.text and needs.html and not self.text_beside_html:
            yield Shortfall(Part.TEXT_ALTERNATIVE, "one body only is taken")
        if self.max_attachments is not None and needs.attachments > self.max_attachments:
            yield Shortfall(
                Part.ATTACHMENT,
                f"{needs.attachments} attachments, at most {self.max_attachments} can be taken",
            )
        if (
            self.max_attachment_octets is not None
            and needs.attachment_octets > self.max_attachment_octets
        ):
            yield Shortfall(
                Part.ATTACHMENT,
                f"{needs.attachment_octets} octets of attachments, at most "
                f"{self.max_attachment_octets} can be taken",
            )
        if needs.inline_parts and not self.inline_parts:
            yield Shortfall(Part.INLINE_PART, "inline images cannot be shown")
        if needs.calendar and not self.calendar:
            yield Shortfall(Part.CALENDAR, "a calendar invitation cannot be carried")
        for content_type in needs.other_parts:
            yield Shortfall(Part.OTHER_PART, f"a part {content_type} cannot be carried")

    def _fields(self, needs: Needs) -> Iterator[Shortfall]:
        if needs.senders > 1:
            yield Shortfall(Part.FROM, f"From names {needs.senders} senders, and one can be given")
        if not needs.subject:
            yield Shortfall(Part.SUBJECT, "a letter without a subject cannot be sent")
        if needs.reply_to and not self.reply_to:
            yield Shortfall(Part.REPLY_TO, "Reply-To cannot be given")
        if needs.list_unsubscribe and not self.list_unsubscribe:
            yield Shortfall(Part.LIST_UNSUBSCRIBE, "the platform manages unsubscription itself")
        if needs.other_recipients and not self.other_recipients:
            yield Shortfall(
                Part.OTHER_RECIPIENTS, "each letter shows its own recipient's address only"
            )
        for name in sorted(needs.header_fields):
            if not self.passed_header_fields or name in self.dropped_header_fields:
                part = _PART_OF_FIELD.get(name, Part.HEADER_FIELD)
                yield Shortfall(part, f"header field {name} cannot be given")

    def _wishes(self, options: SendOptions) -> Iterator[Shortfall]:
        if options.template is not None and not self.templates:
            yield Shortfall(Part.TEMPLATE, "there are no templates")
        if options.mailing_list is not None and not self.mailing_lists:
            yield Shortfall(Part.MAILING_LIST, "there are no mailing lists")
        if options.send_at is not None and not self.schedules:
            yield Shortfall(Part.SCHEDULE, "letters cannot be sent at a later time")
        switched = (options.track_opens, options.track_clicks) != (None, None)
        if switched and not self.tracking_switches:
            yield Shortfall(Part.TRACKING_SWITCH, "tracking cannot be switched for one letter")
        if options.payment is not None and not self.payments:
            yield Shortfall(Part.PAYMENT, "the way of payment cannot be chosen")
        if options.tag is not None and not self.tags:
            yield Shortfall(Part.TAG, "there are no tags")
