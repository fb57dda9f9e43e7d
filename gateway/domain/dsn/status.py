"""
The part for machines: message/delivery-status, fields for the letter and for each recipient.

ASCII throughout. Addresses that are not ASCII are written in the 7-bit form of RFC 6533 3, so that
the report needs no SMTPUTF8 for their sake. Sits on `report`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.utils import format_datetime

from gateway.domain.dsn.report import Fate, Report
from gateway.domain.notification import Action
from providers.contract.address import Address

_XTEXT = re.compile(r"\+([0-9A-Fa-f]{2})")
_NOT_PRINTABLE = re.compile(r"[^\x20-\x7e]")
# RFC 6533 3, `QCHAR`: what stands for itself. In an ORCPT the backslash begins what is encoded
# already.
_ENCODED_IN_ADDRESS = re.compile(r"[^!-*,-<>-\[\]-~]")
_ENCODED_IN_ORCPT = re.compile(r"[^\x20-\x7e]")
_WIDTH = 78
_LONGEST_WORD = 900  # of what no blank divides; 998 octets are the end of any line


def build_status(report: Report) -> bytes:
    """The body of message/delivery-status (RFC 3464 2.1): groups of fields, CRLF line ends."""
    groups = [_letter_fields(report)]
    groups += (_recipient_fields(report, fate) for fate in report.fates)
    lines = ("".join(field_line(name, value) for name, value in group) for group in groups)
    return "\r\n".join(lines).encode("ascii")


def ascii_address(address: Address) -> str:
    """An addr-spec as it is, or in the 7-bit form of RFC 6533 3."""
    text = address.addr_spec
    return text if text.isascii() else _ENCODED_IN_ADDRESS.sub(_embedded, text)


def from_xtext(text: str) -> str:
    """What a DSN parameter means (RFC 3461 4)."""
    return _XTEXT.sub(lambda code: chr(int(code[1], 16)), text)


def field_line(name: str, value: str) -> str:
    """A field with its line end, folded where blanks allow it, and where a line would burst."""
    line, lines = f"{name}:", []
    for word in _NOT_PRINTABLE.sub("?", value).strip().split(" "):
        for at in range(0, len(word) or 1, _LONGEST_WORD):
            piece = word[at : at + _LONGEST_WORD]
            # A line begins with a word, so that none is blank; the first holds one in any case.
            if piece and len(line) + 1 + len(piece) > _WIDTH and len(line) > len(name) + 1:
                lines.append(line)
                line = ""
            line += f" {piece}"
    return "\r\n".join((*lines, line)) + "\r\n"


def _letter_fields(report: Report) -> Iterator[tuple[str, str]]:
    original = report.original
    if original.envid is not None:
        yield "Original-Envelope-Id", from_xtext(original.envid)
    yield "Reporting-MTA", f"dns; {report.hostname}"
    yield "X-Mailquay-Queue-ID", original.queue_id
    yield "Arrival-Date", format_datetime(original.arrival)


def _recipient_fields(report: Report, fate: Fate) -> Iterator[tuple[str, str]]:
    if fate.recipient.orcpt is not None:
        yield "Original-Recipient", _original_recipient(fate.recipient.orcpt)
    yield "Final-Recipient", _typed_address(fate.recipient.forward_path)
    yield "Action", fate.action
    yield "Status", fate.status
    if fate.remote_mta:
        yield "Remote-MTA", f"dns; {fate.remote_mta}"
    if fate.diagnostic:
        # RFC 3464 2.3.6: the type says whose words they are.
        diagnostic_type = "smtp" if fate.remote_mta else "X-Mailquay"
        yield "Diagnostic-Code", f"{diagnostic_type}; {fate.diagnostic}"
    yield "Last-Attempt-Date", format_datetime(fate.attempted_at)
    if fate.action is Action.DELAYED:
        yield "Will-Retry-Until", format_datetime(report.give_up_at)


def _typed_address(address: Address) -> str:
    kind = "rfc822" if address.addr_spec.isascii() else "utf-8"
    return f"{kind}; {ascii_address(address)}"


def _original_recipient(orcpt: str) -> str:
    """ORCPT as the sender meant it (RFC 3461 4.2): xtext is only for the way."""
    address_type, _, address = orcpt.partition(";")
    address = _ENCODED_IN_ORCPT.sub(_embedded, from_xtext(address))
    return f"{address_type}; {address}"


def _embedded(character: re.Match[str]) -> str:
    return f"\\x{{{ord(character[0]):02X}}}"
