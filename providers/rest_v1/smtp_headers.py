"""
What of a letter's header goes along with a v1 letter, in `smtp_headers` (provider reference, B.3).

Pure. Nothing here can break out of its field: names are plain, values are single lines by what
`providers.mime` promises, and what is not ASCII becomes encoded words.
"""

from __future__ import annotations

import re
from email.header import Header
from email.utils import formataddr

from providers.contract.address import InvalidAddress, parse_address
from providers.contract.capabilities import Part, Shortfall
from providers.http.verdict import one_line
from providers.mime import Mailbox, ParsedLetter

# Header fields the platform writes itself, or that are false once it does (D 18). In lower case.
NOT_GIVEN = frozenset(
    (
        *("from", "sender", "to", "cc", "bcc", "subject", "date", "message-id", "mime-version"),
        *("received", "return-path", "delivered-to"),
        *("resent-from", "resent-sender", "resent-to", "resent-cc", "resent-bcc"),
        *("resent-date", "resent-message-id"),
        *("dkim-signature", "domainkey-signature", "authentication-results", "received-spf"),
        *("arc-seal", "arc-message-signature", "arc-authentication-results"),
    )
)
CLIENT_ID = "Client-Id"  # our trace; some clients of the platform use this name, too (D 7)

# RFC 5322 2.2 allows more; what nobody uses could only confuse a reader of `smtp_headers[Name]`.
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}\Z")
_PARTS = {
    "list-unsubscribe": Part.LIST_UNSUBSCRIBE,
    "references": Part.THREADING,
    "in-reply-to": Part.THREADING,
}


def smtp_headers_from(
    letter: ParsedLetter, client_id: str
) -> tuple[dict[str, str], tuple[Shortfall, ...]]:
    """
    What of the header goes along, by name as written, and what is lost of it.

    Of a repeated field the first goes.

    Args:
        letter: The letter.
        client_id: Our own name for this letter and recipient, for tracing (D 7).
    """
    found: dict[str, str] = {}
    losses: list[Shortfall] = []
    if letter.reply_to:
        written = [text for text in map(_mailbox_text, letter.reply_to) if text]
        if written:
            found["Reply-To"] = ", ".join(written)
        if len(written) < len(letter.reply_to):
            reason = "Reply-To holds an address that cannot be given"
            losses.append(Shortfall(Part.REPLY_TO, reason))
    seen = {"reply-to"}
    for name, value in letter.header_fields:
        lower = name.lower()
        if lower in NOT_GIVEN or lower == "reply-to":
            continue
        if why := _why_not(name, value, seen):
            losses.append(Shortfall(Part.HEADER_FIELD, one_line(f"header field {name} {why}")))
            continue
        seen.add(lower)
        found[name] = _ascii(value)
    if CLIENT_ID.lower() not in seen:
        found[CLIENT_ID] = client_id
    return found, tuple(losses)


def _why_not(name: str, value: str, seen: set[str]) -> str:
    """Why a field cannot go along; empty when it can."""
    if name.lower() in seen:
        return "stands there once more"
    if not _NAME.match(name):
        return "has a name that cannot be given"
    return "" if value else "is empty"


def _mailbox_text(mailbox: Mailbox) -> str:
    """A mailbox as a header field writes it (RFC 5322 3.4, RFC 2047); empty without an address."""
    try:
        address = parse_address(mailbox.address)
    except InvalidAddress:
        return ""
    if address.needs_smtputf8:
        return ""
    return formataddr((mailbox.display_name, address.addr_spec))


def _ascii(value: str) -> str:
    """
    An unstructured value in ASCII: encoded words (RFC 2047) where it needs them.

    Whether the platform encodes what it is given is not known, and this is right in either case.
    """
    return value if value.isascii() else Header(value, "utf-8").encode(linesep="")


def not_carried_from(letter: ParsedLetter) -> tuple[Shortfall, ...]:
    """The losses where no header field can be given along at all."""
    losses = []
    if letter.reply_to:
        losses.append(Shortfall(Part.REPLY_TO, "Reply-To cannot be given here"))
    for name, _ in letter.header_fields:
        if name.lower() in NOT_GIVEN:
            continue
        part = _PARTS.get(name.lower(), Part.HEADER_FIELD)
        losses.append(Shortfall(part, one_line(f"header field {name} cannot be given here")))
    return tuple(losses)
