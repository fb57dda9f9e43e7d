"""
What of a letter arrived, and what did not: the letter as it was meant against what a platform got.

The judge of the corpus. It reads what the sandbox received with the standard library alone, and
names every difference as the ledger names losses, so that the two can be held to be equal.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.utils import getaddresses
from html.parser import HTMLParser

from providers.contract.capabilities import Part, Shortfall
from providers.mime import Mailbox, ParsedLetter
from providers.sandbox.letterbox import ReceivedLetter

Difference = tuple[Part, str]
"""What is not the same, and of header fields which one, in lower case."""

OURS = frozenset({"client-id"})  # header fields that an adapter adds for tracing
_FIELD_NAMED = re.compile(r"header field (\S+)")
_PART_OF_FIELD = {
    "references": Part.THREADING,
    "in-reply-to": Part.THREADING,
    "message-id": Part.MESSAGE_ID,
    "date": Part.DATE,
    "received": Part.TRACE,
    "return-path": Part.TRACE,
    "list-unsubscribe": Part.LIST_UNSUBSCRIBE,
}


def differences_over_an_api(truth: ParsedLetter, got: ReceivedLetter) -> set[Difference]:
    """All that a reader of the platform's letter would find changed."""
    found = {
        *_sender(truth, got),
        *_bodies(truth, got),
        *_files(truth, got),
        *_header_fields(truth, got),
    }
    if truth.subject != got.subject:
        found.add((Part.SUBJECT, ""))
    shown = [(m.display_name, _folded(m.address)) for m in (*truth.to, *truth.cc)]
    if shown and set(shown) != {("", got.recipient.lower())}:
        found.add((Part.OTHER_RECIPIENTS, ""))
    return found


def ledger(losses: Iterable[Shortfall]) -> set[Difference]:
    """The same of what was told."""
    named = ((loss, _FIELD_NAMED.search(loss.reason)) for loss in losses)
    return {(loss.part, match[1].lower() if match else "") for loss, match in named}


def leaves(content: bytes) -> list[tuple[str, bytes | None]]:
    """Type and octets of each leaf, as the standard library reads a letter."""
    read = message_from_bytes(content, policy=policy.default)
    return [
        (part.get_content_type(), part.get_payload(decode=True))
        for part in read.walk()
        if not part.is_multipart()
    ]


def _sender(truth: ParsedLetter, got: ReceivedLetter) -> Iterator[Difference]:
    meant = truth.from_ or Mailbox("", "")
    same = (meant.display_name, _folded(meant.address)) == (got.from_name, got.from_email.lower())
    if truth.other_senders or not same:
        yield Part.FROM, ""


def _bodies(truth: ParsedLetter, got: ReceivedLetter) -> Iterator[Difference]:
    text, html = truth.text or "", truth.html or ""
    if html.strip():
        if got.html != html:
            yield Part.HTML, ""
        if text.strip() and got.text != text:
            yield Part.TEXT_ALTERNATIVE, ""
    elif text.strip():
        # Where HTML is all that is taken, it must show the same words.
        shown = got.text or _shown(got.html)
        if shown.strip("\n") != text.strip("\n"):
            yield Part.TEXT, ""
    elif got.text.strip() or _shown(got.html).strip():
        yield Part.TEXT, ""


def _files(truth: ParsedLetter, got: ReceivedLetter) -> Iterator[Difference]:
    meant = Counter((f.filename, f.content_type, f.content) for f in truth.attachments)
    if meant != Counter((f.filename, f.content_type, f.content) for f in got.attachments):
        yield Part.ATTACHMENT, ""
    if truth.inline_parts:
        yield Part.INLINE_PART, ""
    if truth.calendar is not None:
        yield Part.CALENDAR, ""
    if truth.other_parts:
        yield Part.OTHER_PART, ""


def _header_fields(truth: ParsedLetter, got: ReceivedLetter) -> Iterator[Difference]:
    arrived = {name.lower(): _decoded(value) for name, value in got.header_fields.items()}
    sender = [] if truth.from_ is None else [truth.from_]
    if truth.reply_to and _addresses(truth.reply_to) != _addresses(sender):
        given = getaddresses([arrived.get("reply-to", "")])
        meant = [(m.display_name, _folded(m.address)) for m in truth.reply_to]
        if [(name, address.lower()) for name, address in given] != meant:
            yield Part.REPLY_TO, ""
    meant_fields = Counter((name.lower(), value) for name, value in truth.header_fields)
    for (name, value), count in meant_fields.items():
        if count > 1 or arrived.get(name) != value:
            part = _PART_OF_FIELD.get(name, Part.HEADER_FIELD)
            yield part, "" if part is Part.LIST_UNSUBSCRIBE else name
    meant_names = {name for name, _ in meant_fields} | OURS | {"reply-to"}
    for name in arrived.keys() - meant_names:
        yield Part.HEADER_FIELD, f"{name} was added"


def _addresses(mailboxes: Iterable[Mailbox]) -> set[str]:
    return {_folded(mailbox.address) for mailbox in mailboxes}


def _folded(address: str) -> str:
    """An address with its domain as A-labels, in lower case."""
    local_part, at, domain = address.rpartition("@")
    return f"{local_part}{at}{domain.encode('idna').decode()}".lower() if at else address.lower()


def _decoded(value: str) -> str:
    return str(make_header(decode_header(value)))


class _Shown(HTMLParser):
    """The words of an HTML document, a line for each line."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data.replace("\n", "").replace("\xa0", " "))

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "br":
            self.words.append("\n")


def _shown(html: str) -> str:
    parser = _Shown()
    parser.feed(html)
    return "".join(parser.words)
