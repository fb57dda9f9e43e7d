"""
Instructions in a letter's header, and the trace it belongs to: found, and taken out.

So no provider ever sees one. Pure, octets in and out. A letter without them costs one search of its
header for each. What instructions mean is `domain.instructions`'s to say; letters within the letter
keep theirs. `intake` calls it, before `trace` puts anything in front.
"""

from __future__ import annotations

import re

from gateway.domain.instructions import PREFIX
from gateway.domain.trace_context import TraceContext, parse_traceparent
from providers.mime.header import decode_field


def _field(name: bytes) -> re.Pattern[bytes]:
    """
    A field whose name fits the pattern, with its folds, wherever a line begins.

    Also below a line that is no field, where readers differ on whether the header has ended. Blanks
    before the colon are RFC 5322 4.5's.
    """
    return re.compile(
        rb"^(" + name + rb")[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)(?:\n|\Z)",
        re.IGNORECASE | re.MULTILINE,
    )


_INSTRUCTION = PREFIX.lower().encode()
_INSTRUCTION_FIELD = _field(re.escape(_INSTRUCTION) + rb"[!-9;-~]*+")
# `tracestate` is nothing without the other, and only that is kept.
_TRACE = b"trace"
_TRACE_FIELD = _field(rb"trace(?:parent|state)")
# A header begins with a field, or with the line that mbox files put before it.
_HEADER = re.compile(rb"(?:>?From [^\n]{0,998}+\n)?[!-9;-~]{1,998}+[ \t]*+:")


def take_out(content: bytes) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """
    Take the instructions out of a letter's header.

    Args:
        content: With CRLF line ends. A body without a header has none.

    Returns:
        The content without them (the same object where there are none), and their names and
        values in order: unfolded, and decoded where they are encoded words (RFC 2047).
    """
    return _take_out(content, _INSTRUCTION, _INSTRUCTION_FIELD)


def take_trace(content: bytes) -> tuple[bytes, TraceContext | None]:
    """
    Take `traceparent` and `tracestate` (W3C Trace Context) out of a letter's header.

    What an application watches itself with is nobody else's business.

    Args:
        content: With CRLF line ends.

    Returns:
        The content without them (the same object where there are none), and the trace that the
        first readable `traceparent` names.
    """
    content, fields = _take_out(content, _TRACE, _TRACE_FIELD)
    named = (parse_traceparent(value) for name, value in fields if name.lower() == "traceparent")
    return content, next(filter(None, named), None)


def _take_out(
    content: bytes, beginning: bytes, field: re.Pattern[bytes]
) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    if content.startswith(b"\r\n"):
        return content, ()
    # All line ends are CRLF here: one search, where `header_block` makes one for each kind.
    end = content.find(b"\r\n\r\n") + len(b"\r\n")
    header = content[:end] if end > 1 else content
    lowered = header.lower()
    if b"\n" + beginning not in lowered and not lowered.startswith(beginning):
        return content, ()
    if not _HEADER.match(header):
        return content, ()
    fields = tuple(
        (name.decode("ascii"), decode_field(value)) for name, value in field.findall(header)
    )
    if not fields:
        return content, ()
    return field.sub(b"", header) + content[len(header) :], fields
