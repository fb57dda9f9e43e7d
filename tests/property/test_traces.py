"""Traces in headers: whatever a client writes is read, taken out, or left alone; nothing raises."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.domain.trace_context import TraceContext, parse_traceparent
from gateway.ingress.instruction_fields import take_trace
from providers.mime.header import fields, header_block

HEX = "0123456789abcdef"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


def ids(digits: int) -> st.SearchStrategy[str]:
    return st.text(HEX, min_size=digits, max_size=digits).filter(lambda text: set(text) != {"0"})


almost = st.lists(
    st.sampled_from(["00", "01", "ff", "-", TRACE, SPAN, "0" * 16, " ", "\r\n", "é", "g"]),
    max_size=9,
).map("".join)

lines = st.lists(
    st.one_of(
        st.sampled_from(
            [
                b"Subject: a",
                b" folded",
                b"",
                b"no field",
                b"Traceparent: 00-%s-%s-01" % (TRACE.encode(), SPAN.encode()),
                b"tracestate : a=1,",
                b"TRACEPARENT:",
                b"X-Traceparent: 1",
                b"traceparents: 1",
            ]
        ),
        st.binary(max_size=20).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b"")),
    ),
    max_size=12,
)


@given(st.builds(TraceContext, ids(32), ids(16), st.booleans()))
def test_what_is_written_is_read(trace: TraceContext) -> None:
    """The spool and the next application find the same place in the same trace."""
    assert parse_traceparent(str(trace)) == trace


@given(st.one_of(st.text(max_size=80), almost))
def test_any_text_is_a_trace_or_none(text: str) -> None:
    """Nothing raises, and what is passed on is fit for a header field, whatever came."""
    found = parse_traceparent(text)
    if found is not None:
        assert set(str(found)) <= set(HEX) | {"-"}
        assert parse_traceparent(str(found)) == found


@given(lines)
@example([b"traceparent: 1", b"", b"traceparent: 1"])
def test_no_reader_finds_a_trace_and_the_rest_stays(given_lines: list[bytes]) -> None:
    """Providers learn nothing of it; the body is not touched, nor is a letter without one."""
    content = b"".join(line + b"\r\n" for line in given_lines)
    found, trace = take_trace(content)
    body = content[len(header_block(content)) :]
    assert found.endswith(body)
    if found is content:
        assert trace is None
    else:
        left, _ = fields(found, 0, len(found) - len(body))
        assert not {name.lower() for name, _ in left} & {b"traceparent", b"tracestate"}
