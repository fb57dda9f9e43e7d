"""No header makes the search for instructions fail, slow, or leave one behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.domain.instructions import (
    BadInstruction,
    Instructions,
    Vocabulary,
    parse_instructions,
)
from gateway.ingress.instruction_fields import take_out
from gateway.ingress.replies import bad_instruction
from gateway.spool.instructions import instructions_from_text, text_from_instructions
from providers.mime.header import fields, header_block

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
WORDS = Vocabulary(providers={"main"}, routes={"default"}, ahead=timedelta(days=30))
NAMES = ("Provider", "Route", "Mode", "Send-At", "Track-Opens", "Track-Clicks", "Payment")
MORE = ("Template", "Params", "List", "Tag", "Priority", "Idempotency-Key", "Nonsense")

lines = st.lists(
    st.one_of(
        st.sampled_from(
            [
                b"Subject: a",
                b" folded",
                b"\t",
                b"broken",
                b"X-Mailquay-Tag: a",
                b"x-MAILQUAY-mode :",
                b"X-Mailquay-",
                b"From a@b",
                b"",
            ]
        ),
        st.binary(max_size=20).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b"")),
    ),
    max_size=12,
)


@given(lines)
@example([b"X-Mailquay-Tag: a", b"", b"X-Mailquay-Tag: a"])
def test_nothing_is_left_and_nothing_else_is_gone(given_lines: list[bytes]) -> None:
    """Whatever the header, no reader of it finds an instruction afterwards; the body stays."""
    content = b"".join(line + b"\r\n" for line in given_lines)
    found, taken = take_out(content)
    body = content[len(header_block(content)) :]
    assert found.endswith(body)
    if taken:
        assert len(found) < len(content)
        left, _ = fields(found, 0, len(found) - len(body))
        assert not [name for name, _ in left if name.lower().startswith(b"x-mailquay-")]
    else:
        assert found is content


@given(st.sampled_from(NAMES + MORE), st.text(max_size=60))
def test_any_value_is_good_or_named(name: str, value: str) -> None:
    """Nothing raises; a refusal fits into a reply, and what is taken survives the disk."""
    found = parse_instructions([(f"X-Mailquay-{name}", value)], WORDS, NOW)
    if isinstance(found, BadInstruction):
        reply = bad_instruction(found.name, found.reason)
        assert reply.line().startswith(b"554 5.6.0 X-Mailquay-")
    else:
        assert isinstance(found, Instructions)
        kept = instructions_from_text(text_from_instructions(found))
        assert kept.options == found.options
        assert kept.send_at == found.send_at


@given(st.datetimes(NOW.replace(tzinfo=None), timezones=st.just(UTC)), st.integers(-14 * 60, 840))
def test_a_moment_is_the_same_in_every_zone(moment: datetime, minutes: int) -> None:
    """Written for any zone, it is that moment, or it is too far ahead."""
    moment = moment.replace(microsecond=0)
    sign, ahead = ("-" if minutes < 0 else "+"), abs(minutes)
    try:
        local = moment + timedelta(minutes=minutes)
    except OverflowError:
        return
    text = f"{local:%Y-%m-%dT%H:%M:%S}{sign}{ahead // 60:02}:{ahead % 60:02}"
    found = parse_instructions([("X-Mailquay-Send-At", text)], WORDS, NOW)
    if moment > NOW + WORDS.ahead:
        assert isinstance(found, BadInstruction)
    else:
        assert found == Instructions(send_at=moment if moment > NOW else None)
