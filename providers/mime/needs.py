"""
What a letter needs of whoever carries it, in two depths.

`raw_needs_from` runs for every letter and looks at octets only; `needs_from` reads the whole letter
and is for routes that lead to an API. Sits on `letter`, `header` and `contract`.
"""

from __future__ import annotations

from collections.abc import Iterable

from providers.contract.address import InvalidAddress, parse_address
from providers.contract.envelope import Envelope
from providers.contract.message import Needs
from providers.mime.header import header_block
from providers.mime.letter import ParsedLetter, parse_letter
from providers.mime.mailbox import Mailbox


def needs_from(content: bytes, envelope: Envelope) -> Needs:
    """All needs of a letter, by a full parse. Never raises."""
    return needs_from_parsed(parse_letter(content), content, envelope)


def needs_from_parsed(parsed: ParsedLetter, content: bytes, envelope: Envelope) -> Needs:
    """
    All needs of a letter that was parsed already.

    A body of blanks needs nothing: nobody misses it.
    """
    reply_to = _folded(parsed.reply_to)
    sender = _folded(() if parsed.from_ is None else (parsed.from_,))
    names = frozenset(name.lower() for name, _ in parsed.header_fields)
    return Needs(
        size=len(content),
        null_reverse_path=envelope.reverse_path is None,
        smtputf8=_needs_smtputf8(content, envelope),
        eight_bit=not content.isascii(),
        text=bool(parsed.text and not parsed.text.isspace()),
        html=bool(parsed.html and not parsed.html.isspace()),
        attachments=len(parsed.attachments),
        attachment_octets=sum(len(file.content) for file in parsed.attachments),
        inline_parts=len(parsed.inline_parts),
        calendar=parsed.calendar is not None,
        sealed=parsed.sealed,
        other_parts=parsed.other_parts,
        senders=1 + len(parsed.other_senders),
        subject=bool(parsed.subject.strip()),
        reply_to=bool(reply_to) and reply_to != sender,
        list_unsubscribe="list-unsubscribe" in names,
        other_recipients=_shows_others(parsed, envelope),
        header_fields=names - {"list-unsubscribe"},
    )


def raw_needs_from(content: bytes, envelope: Envelope) -> Needs:
    """
    What a carrier of raw MIME must know; `complete` is false.

    Looks through the octets once and copies nothing but the header block, and that only where
    SMTPUTF8 was declared. Never raises.
    """
    return Needs(
        size=len(content),
        null_reverse_path=envelope.reverse_path is None,
        smtputf8=_needs_smtputf8(content, envelope),
        eight_bit=not content.isascii(),
        complete=False,
    )


def _needs_smtputf8(content: bytes, envelope: Envelope) -> bool:
    reverse_path = envelope.reverse_path
    if reverse_path is not None and reverse_path.needs_smtputf8:
        return True
    if any(recipient.forward_path.needs_smtputf8 for recipient in envelope.recipients):
        return True
    return envelope.smtputf8 and not header_block(content).isascii()


def _shows_others(parsed: ParsedLetter, envelope: Envelope) -> bool:
    """
    Whether To and Cc show anything but each recipient's own address, be it a name.

    A letter that shows nobody (`undisclosed-recipients:;`) may well show its recipient instead.
    """
    mailboxes = (*parsed.to, *parsed.cc)
    if any(mailbox.display_name for mailbox in mailboxes):
        return True
    shown = _folded(mailboxes)
    own = {recipient.forward_path.folded for recipient in envelope.recipients}
    return bool(shown) and (len(shown) > 1 or shown != own)


def _folded(mailboxes: Iterable[Mailbox]) -> set[str]:
    """The addresses, so that spellings of one are one; names do not count."""
    return {_fold(mailbox.address) for mailbox in mailboxes if mailbox.address}


def _fold(address: str) -> str:
    try:
        return parse_address(address).folded
    except InvalidAddress:
        return address.lower()
