"""Instructions leave the header, all of them and nothing else."""

from __future__ import annotations

import pytest

from gateway.domain.trace_context import TraceContext
from gateway.ingress.instruction_fields import take_out, take_trace

BODY = b"\r\nX-Mailquay-Tag: in the body\r\n"


@pytest.mark.parametrize(
    "field",
    [
        b"X-Mailquay-Tag: autumn\r\n",
        b"x-mailquay-tag:autumn\r\n",
        b"X-MAILQUAY-TAG :  autumn  \r\n",
        b"X-Mailquay-Tag:\r\n autumn\r\n",
        b"X-Mailquay-Tag: \r\n\t\r\n \tautumn\r\n",
        b"X-Mailquay-Tag: =?utf-8?B?YXV0dW1u?=\r\n",
    ],
)
@pytest.mark.parametrize("before", [b"", b"Subject: a\r\n folded\r\n", b"Subject: a\r\nbroken\r\n"])
@pytest.mark.parametrize("after", [b"", b"To: b@example.org\r\n"])
def test_a_field_goes_however_it_is_written(field: bytes, before: bytes, after: bytes) -> None:
    """Folded, in odd case, blanks before the colon, encoded, first, last, below a broken line."""
    content, fields = take_out(before + field + after + BODY)
    assert content == before + after + BODY
    ((name, value),) = fields
    assert (name.lower(), value) == ("x-mailquay-tag", "autumn")


def test_several_fields_go_in_their_order() -> None:
    """Neighbours and others, one of them empty."""
    content, fields = take_out(
        b"X-Mailquay-Mode: direct\r\nX-Mailquay-Tag:\r\nSubject: a\r\nx-mailquay-list: 7\r\n" + BODY
    )
    assert content == b"Subject: a\r\n" + BODY
    assert fields == (
        ("X-Mailquay-Mode", "direct"),
        ("X-Mailquay-Tag", ""),
        ("x-mailquay-list", "7"),
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\n",
        b"Subject: a\r\n" + BODY,
        b"Subject: X-Mailquay-Tag: a\r\n" + BODY,
        b"Subject: a\r\n X-Mailquay-Tag: b\r\n" + BODY,
        b"X-Mailquay: 1\r\nX-Mailquayed-Tag: 1\r\n" + BODY,
        b"Subject: a\r\nX-Mailquay-Tag\r\n" + BODY,
        b"no header at all\r\nX-Mailquay-Tag: a\r\n",
        BODY,
    ],
)
def test_a_letter_without_instructions_is_not_touched(content: bytes) -> None:
    """Not even copied: most letters have none."""
    found, fields = take_out(content)
    assert found is content
    assert fields == ()


def test_letters_within_the_letter_keep_theirs() -> None:
    """What was forwarded or returned is content, whatever it says."""
    part = b"--b\r\nContent-Type: message/rfc822\r\n\r\nX-Mailquay-Tag: a\r\n\r\nhi\r\n--b--\r\n"
    header = b"Content-Type: multipart/mixed; boundary=b\r\n"
    content, fields = take_out(header + b"X-Mailquay-List: 7\r\n\r\n" + part)
    assert content == header + b"\r\n" + part
    assert fields == (("X-Mailquay-List", "7"),)


def test_an_mbox_line_hides_nothing() -> None:
    """It is put before the header by pipes, and `trace` makes a field of it."""
    content, fields = take_out(b"From a@b Mon\r\nX-Mailquay-Tag: a\r\nTo: b@c\r\n\r\nhi\r\n")
    assert content == b"From a@b Mon\r\nTo: b@c\r\n\r\nhi\r\n"
    assert fields == (("X-Mailquay-Tag", "a"),)


def test_a_header_that_is_all_there_is() -> None:
    """No empty line, no body."""
    assert take_out(b"To: b@c\r\nX-Mailquay-Tag: a\r\n") == (
        b"To: b@c\r\n",
        (("X-Mailquay-Tag", "a"),),
    )


TRACE = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True)


@pytest.mark.parametrize(
    ("fields", "trace"),
    [
        (f"traceparent: {TRACE}\r\n", TRACE),
        (f"Traceparent : {TRACE}\r\nTracestate: vendor=1,\r\n other=2\r\n", TRACE),
        (f"TRACEPARENT:\r\n {TRACE}\r\n", TRACE),
        (f"traceparent: 00-rubbish\r\ntraceparent: {TRACE}\r\n", TRACE),
        ("traceparent: 00-rubbish\r\n", None),
        ("tracestate: vendor=1\r\n", None),
    ],
)
def test_the_trace_is_read_and_leaves_the_header(fields: str, trace: TraceContext | None) -> None:
    """Readable or not: an application's own affairs reach no provider."""
    content = b"Subject: a\r\n" + fields.encode() + b"To: b@example.org\r\n" + BODY
    assert take_trace(content) == (b"Subject: a\r\nTo: b@example.org\r\n" + BODY, trace)


@pytest.mark.parametrize(
    "content",
    [
        b"Subject: a\r\n\r\ntraceparent: 1\r\n",
        b"Trace-Id: 1\r\nTraceparents: 2\r\nX-Traceparent: 3\r\n\r\n",
        b"Subject: a\r\n traceparent: 1\r\n\r\n",
    ],
)
def test_what_only_looks_like_a_trace_stays(content: bytes) -> None:
    """Bodies, folds and other fields are not touched: the same object comes back."""
    same, trace = take_trace(content)
    assert same is content
    assert trace is None
