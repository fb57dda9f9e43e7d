"""
A letter as a provider's API wants it: one text, one HTML body, files.

`role` says what each part of the tree is for; here everything becomes text and values. Knows no
provider. Sits on `structure`, `role`, `attachment`, `text`, `header` and `mailbox`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from providers.mime.attachment import Attachment, attachments_from
from providers.mime.header import decode_field
from providers.mime.mailbox import Mailbox, parse_mailboxes
from providers.mime.role import roles_of
from providers.mime.structure import Part, read_structure
from providers.mime.text import text_of

# Fields that have an attribute of their own, or that whoever writes the letter anew writes anew.
_OWN_FIELDS = frozenset(("from", "to", "cc", "bcc", "subject", "reply-to", "mime-version"))
_MESSAGE_ID = re.compile(r"<[^<>\s]+>")


@dataclass(frozen=True, slots=True)
class ParsedLetter:
    """
    All that an API can be told of a letter.

    Attributes:
        subject: One line, decoded; empty without one.
        from_: The first mailbox of From; without one that of Sender; `None` without both.
        other_senders: The further mailboxes of From.
        reply_to: The mailboxes of all Reply-To fields, decoded; `to` and `cc` likewise.
        text: The text/plain body with LF line ends; `None` when there is no such part.
        html: The text/html body, likewise.
        attachments: Files that the HTML body does not show.
        inline_parts: Files that it shows by Content-ID.
        calendar: The octets of an invitation (RFC 6047), not of an attached calendar file.
        sealed: Signed or encrypted by S/MIME or PGP/MIME. PGP within a text is that text.
        other_parts: Content types that none of the above carries, sorted, each once. A multipart
            here was too deep or too long to be taken apart whole.
        message_id: Message-ID with its angle brackets, empty without one.
        header_fields: Name as written and decoded value of all further fields, in order: all but
            From, To, Cc, Bcc, Subject, Reply-To and those of MIME. Sender is among them, for no
            API takes it beside From.
    """

    subject: str
    from_: Mailbox | None
    reply_to: tuple[Mailbox, ...]
    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...]
    text: str | None
    html: str | None
    attachments: tuple[Attachment, ...]
    inline_parts: tuple[Attachment, ...]
    calendar: bytes | None
    sealed: bool
    other_parts: tuple[str, ...]
    message_id: str
    header_fields: tuple[tuple[str, str], ...]
    other_senders: tuple[Mailbox, ...] = ()


def parse_letter(content: bytes) -> ParsedLetter:
    """
    Read a letter, however broken.

    Never raises: octets that make no sense become the best value there is. Time and memory are
    linear in the size of `content`.
    """
    fields, root = read_structure(content)
    raw: dict[str, list[bytes]] = {}
    further: list[tuple[str, str]] = []
    for octets, value in fields:
        name = octets.decode("ascii")
        key = name.lower()
        raw.setdefault(key, []).append(value)
        if key not in _OWN_FIELDS and not key.startswith("content-"):
            further.append((name, decode_field(value)))
    roles = roles_of(root)
    html = _joined(roles.htmls)
    attachments, inline_parts = attachments_from(roles.files, html)
    return ParsedLetter(
        subject=decode_field(raw.get("subject", [b""])[0]),
        from_=next(iter(_mailboxes(raw, "from") or _mailboxes(raw, "sender")), None),
        reply_to=_mailboxes(raw, "reply-to"),
        to=_mailboxes(raw, "to"),
        cc=_mailboxes(raw, "cc"),
        text=_joined(roles.texts),
        html=html,
        attachments=attachments,
        inline_parts=inline_parts,
        calendar=None if roles.calendar is None else roles.calendar.content,
        sealed=roles.sealed,
        other_parts=tuple(sorted(roles.other_parts)),
        message_id=_message_id(raw.get("message-id", [b""])[0]),
        header_fields=tuple(further),
        other_senders=_mailboxes(raw, "from")[1:],
    )


def _mailboxes(raw: dict[str, list[bytes]], name: str) -> tuple[Mailbox, ...]:
    """Of all fields of that name, as if they were one."""
    return parse_mailboxes(b",".join(raw[name])) if name in raw else ()


def _joined(parts: list[Part]) -> str | None:
    """
    The text of a body; `None` without one.

    Browsers read several HTML documents in one as one, so a line between them is enough.
    """
    return "\n".join(map(text_of, parts)) if parts else None


def _message_id(raw: bytes) -> str:
    written = decode_field(raw)
    if match := _MESSAGE_ID.search(written):
        return match[0]
    return f"<{written}>" if written and " " not in written else written
