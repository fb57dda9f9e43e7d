"""The smarthost's protocol without I/O, on whatever may come."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from providers.contract.outcome import DeliveryOutcome
from providers.sandbox.smarthost_syntax import check_content, unstuff
from providers.smarthost.commands import build_content
from providers.smarthost.reader import ReplyReader, UnreadableReply
from providers.smarthost.replies import (
    MAX_DIAGNOSTIC,
    Phase,
    Reply,
    name_letters,
    one_line,
    outcome_from_reply,
    parse_pairs,
)
from tests.support.builders import an_envelope

texts = st.text(max_size=200) | st.text(alphabet="ab@.:<>,; 19-_[]", max_size=200)
local_parts = st.text(alphabet="abcXYZ019.+-_", min_size=1, max_size=20)
addresses = st.builds("{}@{}.example".format, local_parts, st.sampled_from(["a", "b-c", "x.y"]))
ids = st.text(alphabet="abcXYZ019_-", min_size=1, max_size=12)
lines = st.text(alphabet="abc .é", max_size=20)
replies = st.builds(
    Reply, st.integers(200, 599), st.lists(lines, min_size=1, max_size=4).map(tuple)
)
FORMS = [
    lambda pairs: "Ok " + ",".join(f"<{a}:{i}>" for a, i in pairs),
    lambda pairs: "2.0.0 Ok " + ", ".join(f"<{a}:{i}>" for a, i in pairs),
    lambda pairs: ",".join(f"{a}:{i}" for a, i in pairs),
    lambda pairs: "Message accepted " + ",".join(f"<{a}:{i}>" for a, i in pairs),
    lambda pairs: "accepted: " + "; ".join(f'"{a}:{i}"' for a, i in pairs),
]


@given(texts)
def test_pairs_of_any_text(text: str):
    """The parser never raises, and what it finds stands in the text."""
    for address, provider_message_id in parse_pairs(text):
        assert f"{address}:{provider_message_id}" in text
        assert "@" in address


@given(st.lists(st.tuples(addresses, ids), max_size=6), st.sampled_from(FORMS))
def test_pairs_are_found_in_every_form(pairs: list[tuple[str, str]], form):
    """Written in any form, the same pairs come back in the same order."""
    assert parse_pairs(form(pairs)) == tuple(pairs)


@given(st.lists(addresses, min_size=1, max_size=6), texts)
def test_names_belong_to_recipients(recipients: list[str], text: str):
    """Whatever the reply says, ids go to keys of the letter and no pair is lost or doubled."""
    envelope = an_envelope(*recipients)
    named = name_letters(envelope.recipients, text)
    assert set(named.ids) <= {recipient.key for recipient in envelope.recipients}
    assert len(named.ids) + len(named.leftovers) == len(parse_pairs(text))


@given(st.sampled_from(list(Phase)), st.integers(100, 999), st.lists(texts, min_size=1, max_size=3))
def test_every_reply_has_an_outcome(phase: Phase, code: int, text: list[str]):
    """The table is total, and status, kind and diagnostic agree as the constructor demands."""
    outcome = outcome_from_reply(phase, Reply(code, tuple(text)))
    assert isinstance(outcome, DeliveryOutcome)
    assert len(outcome.diagnostic) <= MAX_DIAGNOSTIC


@given(st.text(max_size=1000))
def test_one_line_is_one_printable_line(text: str):
    """Any text can stand in a log."""
    line = one_line(text)
    assert line.isprintable()
    assert len(line) <= MAX_DIAGNOSTIC


@given(st.lists(replies, max_size=5), st.lists(st.integers(1, 9), min_size=1, max_size=20))
def test_replies_survive_any_cutting(sent: list[Reply], sizes: list[int]):
    """Whole, byte by byte or in any pieces: the same replies."""
    wire = b"".join(
        f"{reply.code}{' ' if n == len(reply.lines) else '-'}{line}\r\n".encode()
        for reply in sent
        for n, line in enumerate(reply.lines, 1)
    )
    whole, pieces, cut = ReplyReader(), ReplyReader(), []
    at = 0
    for n in range(len(wire)):
        size = sizes[n % len(sizes)]
        cut += pieces.feed(wire[at : at + size])
        at += size
    assert list(whole.feed(wire)) == cut == sent


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_any_octets_are_replies_or_refused(chunks: list[bytes]):
    """Trailing rubbish, NUL, half a line: replies or one exception, never another."""
    reader = ReplyReader()
    with suppress(UnreadableReply):
        for chunk in chunks:
            assert all(200 <= reply.code <= 599 for reply in reader.feed(chunk))


def arrives_octet_for_octet(lines: list[bytes]) -> None:
    content = b"".join(line + b"\r\n" for line in lines)
    wire = build_content(content)
    check_content(wire, eight_bit_declared=True)
    assert b"\r\n.\r\n" not in b"\r\n" + wire
    assert unstuff(wire) == content


@given(st.lists(st.binary(max_size=20).map(lambda b: b.translate(None, b"\r\n")), max_size=10))
def test_content_arrives_octet_for_octet(lines: list[bytes]):
    """What is stuffed here the strict server unstuffs, and it has nothing to object (T18)."""
    arrives_octet_for_octet(lines)


@given(st.lists(st.sampled_from([b".", b"..", b"a", b".a", b""]), max_size=8))
def test_dots_everywhere(lines: list[bytes]):
    """The same where nearly every line starts with a dot."""
    arrives_octet_for_octet(lines)
