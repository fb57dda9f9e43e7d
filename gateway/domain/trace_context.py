"""
The trace that a letter belongs to: what W3C Trace Context's `traceparent` says, as a value.

An application names the trace in a header field of the letter; spool, attempts, events and log
lines carry it on. Nothing is made up here: ids come in as arguments. Knows no exporter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TRACEPARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
    r"(?P<more>-.*)?",
    re.ASCII,
)
_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16
_SAMPLED = 0x01


@dataclass(frozen=True, slots=True)
class TraceContext:
    """
    A place in a trace.

    Attributes:
        trace_id: 32 lower-case hexadecimal digits, not all zero.
        span_id: 16 of them; of the span that what follows is part of.
        sampled: Whether who began the trace keeps it.
    """

    trace_id: str
    span_id: str
    sampled: bool

    def __str__(self) -> str:
        """The value of `traceparent`."""
        return f"00-{self.trace_id}-{self.span_id}-{_SAMPLED * self.sampled:02x}"


def parse_traceparent(text: str) -> TraceContext | None:
    """
    Read a `traceparent`; `None` where it is none, which is to be treated as if it were not there.

    Of versions yet to come, what version 00 has is read (W3C Trace Context, 3.2.4).
    """
    found = _TRACEPARENT.fullmatch(text.strip(" \t"))
    if found is None or found["version"] == "ff" or (found["version"] == "00" and found["more"]):
        return None
    if found["trace"] == _NO_TRACE or found["span"] == _NO_SPAN:
        return None
    return TraceContext(found["trace"], found["span"], bool(int(found["flags"], 16) & _SAMPLED))


def letter_ids(queue_id: str, message_id: str, trace: TraceContext | None) -> dict[str, str]:
    """What every line of the log that speaks of a letter names it by."""
    ids = {"queue_id": queue_id, "message_id": message_id}
    if trace is not None:
        ids["trace_id"] = trace.trace_id
    return ids
