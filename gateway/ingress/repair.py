"""
What a letter lacks or has wrong is mended before it is stored: what goes on is in order, always.

Pure: octets in, octets out, and the list of what was done. A sound letter costs one look at its
header fields and scans of its octets that C makes; it stays octet for octet. Field by field the
header is mended by `repair_fields`, what stands inside of lines and parts by `providers.mime`.
`trace` calls it, before our own fields go on top.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from gateway.domain.repair import Repair
from gateway.ingress.repair_fields import Context, Fields, mend_fields
from providers.contract.envelope import Envelope
from providers.mime.header import fields, whole_header
from providers.mime.rewrite import has_long_line, rewrite

# RFC 5322 2.2, with the blanks before the colon of 4.5. A name is no longer than a line may be, so
# that a body of one endless word is not looked through twice.
_FIELD = rb"[!-9;-~]{1,998}+[ \t]*+:"
_FIRST_FIELD = re.compile(_FIELD)
# What mbox files and some pipes put before the first field. Below our Received it would end the
# header, so it becomes a field, the one that Postfix makes of it too.
_FROM_LINE = re.compile(rb">?From [^\r\n]{0,998}+\r\n(?=" + _FIELD + rb")")
_MOST_PASSES = 4  # a NUL that goes may have hidden a part or a field
_FROM_LINE_FIELD = b"X-Mailbox-Line: "
# Header fields of parts are these nearly always, at the beginning of a line.
_PART_FIELD = re.compile(rb"\n[Cc][Oo][Nn][Tt][Ee][Nn][Tt]-[^\n]*+(?:\n[ \t][^\n]*+)*+")


@dataclass(frozen=True, slots=True)
class Mended:
    """
    A letter in order.

    Attributes:
        added: Header fields that were missing, to be put before the content.
        content: The letter; the same object where nothing had to be changed.
        message_id: The value of its Message-ID.
        repairs: What was done.
    """

    added: bytes
    content: bytes
    message_id: str
    repairs: tuple[Repair, ...]


def mend(
    content: bytes, envelope: Envelope, *, queue_id: str, hostname: str, now: datetime
) -> Mended:
    """
    Make a letter valid by RFC 5322 and RFC 2045, and fit for SMTP: lines of at most 998 octets.

    Args:
        content: As the client sent it, with CRLF line ends.
        envelope: Its reverse-path stands in for a missing From.
        queue_id: Makes a Message-ID, with `hostname`.
        hostname: Ours.
        now: Makes a Date; aware.

    Raises:
        SealedPart: A signed part holds a line over 998 octets or NUL: it must not be changed, and
            cannot be carried as it is.
    """
    repairs: dict[Repair, None] = {}
    content = _with_header(content, repairs)
    body: int | None
    if whole := whole_header(content):
        found, body = whole
    else:
        found, body = fields(content, 0, len(content))
    end = len(content) if body is None else body
    if body is not None and found and not content.startswith(b"\r\n\r\n", body - 4):
        repairs[Repair.HEADER_END] = None
        content = content[:body] + b"\r\n" + content[body:]
        end += 2
    header = Fields(found, content, end)
    context = Context(envelope, queue_id, hostname, now)
    message_id = mend_fields(header, context, repairs)
    if header.changed is not None:
        content = b"".join((header.changed, b"\r\n" if body is not None else b"", content[end:]))
    passes = _MOST_PASSES if _needs_rewriting(content, header) else 0
    for _ in range(passes):
        rewritten = rewrite(b"".join((*header.added, content)), utf8=envelope.smtputf8)
        done = {
            Repair.LONG_LINE: rewritten.long_lines,
            Repair.LONG_HEADER_LINE: rewritten.long_header_lines,
            Repair.NUL: rewritten.nuls,
            Repair.EIGHT_BIT_HEADER: rewritten.eight_bit_fields,
        }
        if not any(done.values()):
            break  # at once, where the scan was more careful than it had to be
        header.added.clear()
        content = rewritten.content
        repairs.update((repair, None) for repair, was_done in done.items() if was_done)
    return Mended(b"".join(header.added), content, message_id, tuple(repairs))


def _with_header(content: bytes, repairs: dict[Repair, None]) -> bytes:
    """The content with a header before its body, be it an empty one."""
    if _FIRST_FIELD.match(content):
        return content
    if _FROM_LINE.match(content):
        return _FROM_LINE_FIELD + content
    repairs[Repair.HEADER_MISSING] = None
    return content if content.startswith(b"\r\n") else b"\r\n" + content


def _needs_rewriting(content: bytes, header: Fields) -> bool:
    if has_long_line(content) or b"\0" in content:
        return True
    if header.content_is_ascii:
        return False
    if not header.is_ascii:
        return True
    if not header.content_type.startswith((b"multipart/", b"message/")):
        return False
    return b"message/" in content or any(
        not field[0].isascii() for field in _PART_FIELD.finditer(content)
    )
