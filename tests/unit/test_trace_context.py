"""W3C Trace Context's `traceparent`: read as the recommendation has it, written as it was read."""

from __future__ import annotations

import pytest

from gateway.domain.trace_context import TraceContext, letter_ids, parse_traceparent

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
VALUE = f"00-{TRACE}-{SPAN}-01"


def test_what_is_read_is_written_again() -> None:
    """The ids pass through untouched; of the flags, the one that version 00 knows."""
    assert parse_traceparent(VALUE) == TraceContext(TRACE, SPAN, sampled=True)
    assert str(parse_traceparent(VALUE)) == VALUE
    assert str(parse_traceparent(f" 00-{TRACE}-{SPAN}-00\t")) == f"00-{TRACE}-{SPAN}-00"
    assert str(parse_traceparent(f"00-{TRACE}-{SPAN}-fe")) == f"00-{TRACE}-{SPAN}-00"


def test_versions_to_come_are_read_as_far_as_they_are_known() -> None:
    """W3C Trace Context 3.2.4: more may follow behind a hyphen, and is not passed on."""
    assert str(parse_traceparent(f"cc-{TRACE}-{SPAN}-01-what-else")) == VALUE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"cc-{TRACE}-{SPAN}-01more",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"{VALUE}\r\nBcc: eve@example.org",
        f"00-{'٤' * 32}-{SPAN}-01",
    ],
)
def test_what_is_none_is_as_if_it_were_not_there(text: str) -> None:
    """W3C Trace Context 4.3: a traceparent that cannot be read is not used, nor part of it."""
    assert parse_traceparent(text) is None


def test_a_letter_without_a_trace_has_no_trace_id() -> None:
    """Nothing is told where there is nothing to tell."""
    assert letter_ids("Q", "<m>", None) == {"queue_id": "Q", "message_id": "<m>"}
    named = letter_ids("Q", "<m>", TraceContext(TRACE, SPAN, sampled=False))
    assert named == {"queue_id": "Q", "message_id": "<m>", "trace_id": TRACE}
