"""
From what a program writes to standard input to a letter: envelope, header completed, Bcc gone.

Pure: octets and facts in, a letter out. What else an old program gets wrong is mended by the
gateway, as for every client. Sits on `options`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime, formataddr, make_msgid

from gateway.cli.sendmail.options import SendmailOptions
from gateway.ingress.dropped import whole_line_ends
from providers.contract.address import Address, InvalidAddress, parse_address
from providers.contract.envelope import BodyType, Envelope, Recipient
from providers.mime.header import fields
from providers.mime.mailbox import parse_mailboxes

_RECIPIENTS = (b"to", b"cc", b"bcc")
_RESENT = tuple(b"resent-" + name for name in _RECIPIENTS)
_NEVER_SENT = frozenset({b"bcc", b"resent-bcc", b"return-path"})


class NoRecipients(Exception):
    """Neither the command line nor the header names one."""


class BadAddress(Exception):
    """An address cannot be understood; the text names it."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the login name, the full name that the machine knows, and the machine's name."""

    user: str
    full_name: str
    hostname: str


@dataclass(frozen=True, slots=True)
class Letter:
    """An envelope and a content with CRLF line ends."""

    envelope: Envelope
    content: bytes


def compose(written: bytes, options: SendmailOptions, caller: Caller, now: datetime) -> Letter:
    """
    Make a letter.

    Args:
        written: What was on standard input, with any line ends.
        options: Of the command line.
        caller: For a sender that is not given, and addresses without a domain.
        now: For a Date that is not there, aware.

    Raises:
        NoRecipients: There is none.
        BadAddress: One of them, or the sender, is none.
    """
    content = whole_line_ends(written)
    found, body_at = fields(content, 0, len(content))
    body = content[body_at:] if body_at is not None else b""
    header = [(name, value) for name, value in found if name.lower() not in _NEVER_SENT]
    names = {name.lower() for name, _ in found}
    recipients = list(options.recipients)
    if options.from_header:
        wanted = _RESENT if names & set(_RESENT) else _RECIPIENTS
        recipients += _addresses(value for name, value in found if name.lower() in wanted)
    if not recipients:
        raise NoRecipients
    sender = _address(options.sender or caller.user, caller)
    added = list(_missing(names, sender, options.full_name or caller.full_name, caller, now))
    lines = [b"%s:%s\n" % field for field in header]
    whole = b"".join((*added, *lines, b"\r\n", body))
    envelope = _envelope(None if options.sender == "" else sender, recipients, options, caller)
    return Letter(_with_body_type(envelope, whole, options), whole)


def _missing(
    names: set[bytes], sender: Address, full_name: str, caller: Caller, now: datetime
) -> Iterable[bytes]:
    """The fields that every letter has (RFC 5322 3.6), and this one has not."""
    if b"from" not in names:
        one_line = " ".join(full_name.split())
        named = sender.addr_spec.isascii()  # the library writes no other address
        written = formataddr((one_line, sender.addr_spec)) if named else f"<{sender.addr_spec}>"
        yield f"From: {written}\r\n".encode()
    if b"date" not in names:
        yield f"Date: {format_datetime(now)}\r\n".encode()
    if b"message-id" not in names:
        # From here on the letter is known again, whichever way it takes.
        yield f"Message-ID: {make_msgid(domain=caller.hostname)}\r\n".encode()


def _addresses(values: Iterable[bytes]) -> Iterable[str]:
    for value in values:
        for mailbox in parse_mailboxes(value):
            if mailbox.address:
                yield mailbox.address


def _address(text: str, caller: Caller) -> Address:
    """An address of the command line or the header; a word alone is a user of this machine."""
    text = text.strip().removeprefix("<").removesuffix(">")
    try:
        return parse_address(text if "@" in text else f"{text}@{caller.hostname}")
    except InvalidAddress:
        shown = "".join(c if c.isprintable() else "?" for c in text[:100])
        raise BadAddress(f"{shown!r} is no address") from None


def _envelope(
    reverse_path: Address | None,
    recipients: Iterable[str],
    options: SendmailOptions,
    caller: Caller,
) -> Envelope:
    distinct = dict.fromkeys(_address(text, caller) for text in recipients)
    addresses = (*distinct, *((reverse_path,) if reverse_path else ()))
    return Envelope(
        reverse_path,
        tuple(Recipient(key, a, None, options.notify) for key, a in enumerate(distinct)),
        smtputf8=any(address.needs_smtputf8 for address in addresses),
        ret=options.ret,
        envid=options.envid,
    )


def _with_body_type(envelope: Envelope, content: bytes, options: SendmailOptions) -> Envelope:
    if content.isascii() and not options.eight_bit:
        return envelope
    return Envelope(
        envelope.reverse_path,
        envelope.recipients,
        BodyType.EIGHT_BIT_MIME,
        envelope.smtputf8,
        envelope.ret,
        envelope.envid,
    )
