"""Mended letters at random: always valid, always the same when mended again, and never less."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email import message_from_bytes, policy

from hypothesis import given
from hypothesis import strategies as st

from gateway.ingress.repair import Mended, mend
from providers.contract.address import parse_address
from providers.mime import parse_letter
from providers.mime.rewrite import SealedPart
from tests.support.builders import an_envelope

NOW = datetime(2026, 11, 23, 10, 20, 30, tzinfo=UTC)
NAMES = st.sampled_from(
    [
        *("Date", "From", "from", "Sender", "To", "TO", "Cc", "Reply-To", "Subject", "Message-ID"),
        *("MIME-Version", "Content-Type", "Content-Transfer-Encoding", "References", "X-Any"),
    ]
)
VALUES = st.sampled_from(
    [
        *("", "a", "a@b", "<a@b>", "a@b, c@d", "Jane <a@b>", "Doe, Jane <a@b>", "жук", "Жук <a@b>"),
        *("жук@b", '"', "(", "<", "Sun, 1 Jan 2023 00:00:00 +0100", "today", "text/plain", "text"),
        *("multipart/mixed; boundary=B", "multipart/signed; boundary=B", "text/plain; charset"),
        *("application/pdf; name=жук.pdf", "8bit", "8-bit", "base64", "quoted-printable", "none"),
        *("=?utf-8?q?x?=", "x " * 600, "x" * 1200, "a\0b", "1.0", "<a b>", "a\r\n b", "a;b=c"),
        *("99 Jan 2023 00:00:00 +0000", "undisclosed-recipients:;", "a\r\n \r\n b"),
    ]
) | st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=12)
FIELDS = st.tuples(NAMES, VALUES).map(lambda field: f"{field[0]}: {field[1]}\r\n".encode())
ODD_LINES = st.sampled_from(
    [
        b"From a@b Sun\r\n",
        b"no field\r\n",
        b"nor this: one\r\n",
        b" folded\r\n",
        b"X : y\r\n",
        b"Subject: \xff\r\n",
    ]
)
BODIES = st.sampled_from(
    [
        *(b"", b"\r\n", b"\r\nhi\r\n", b"\r\n\xff\xe4\r\n", "\r\nПривет\r\n".encode("koi8-r")),
        b"\r\n" + b"x" * 2000 + b"\r\n",
        b"\r\n--B\r\nContent-Type: a/b; name=\xd1\x8f\r\n\r\na\0b\r\n--B--\r\n",
    ]
)
LETTERS = st.builds(
    lambda fields, body: b"".join(fields) + body,
    st.lists(FIELDS | FIELDS | FIELDS | ODD_LINES, max_size=12),
    BODIES,
)
FIELD = re.compile(rb"[!-9;-~]+[ \t]*:[^\r\n]*(?:\r\n[ \t][^\r\n]*)*\r\n")
ONCE = ("date", "from", "to", "cc", "reply-to", "subject", "message-id", "content-type")


def mended(content: bytes, *, smtputf8: bool) -> Mended | None:
    envelope = an_envelope(smtputf8=smtputf8)
    try:
        return mend(content, envelope, queue_id="Q1", hostname="gw.example.com", now=NOW)
    except SealedPart:
        return None


@given(LETTERS, st.booleans())
def test_letter_is_always_in_order(content: bytes, smtputf8: bool) -> None:
    """T15, T18, T26: lines, line ends, NUL, fields there and once, and all of it stays so."""
    done = mended(content, smtputf8=smtputf8)
    if done is None:
        return
    whole = done.added + done.content
    assert max(map(len, whole.split(b"\r\n"))) <= 998
    assert whole.count(b"\r") == whole.count(b"\n") == whole.count(b"\r\n")
    assert b"\0" not in whole
    header = whole[: whole.index(b"\r\n\r\n") + 2] if b"\r\n\r\n" in whole else whole
    assert FIELD.sub(b"", header) == b""
    assert smtputf8 or header.isascii()
    names = [name.lower() for name in re.findall(r"(?m)^([!-9;-~]+)[ \t]*:", header.decode())]
    assert all(names.count(name) <= 1 for name in ONCE)
    assert {"date", "from", "message-id"} <= set(names)
    again = mended(whole, smtputf8=smtputf8)
    assert again is not None
    assert (again.added + again.content, again.repairs) == (whole, ())


@given(LETTERS)
def test_strict_reader_has_nothing_to_say(content: bytes) -> None:
    """The standard library's strict parser finds no defect in the fields that we mend."""
    done = mended(content, smtputf8=False)
    if done is None:
        return
    parsed = message_from_bytes(done.added + done.content, policy=policy.SMTP)
    assert parsed["Date"].datetime is not None
    assert not parsed["Content-Type"] or not parsed["Content-Type"].defects
    assert done.message_id in str(parsed["Message-ID"])
    for mailbox in (parse_letter(done.added + done.content).from_,):
        assert mailbox is not None
        assert mailbox.address == "" or parse_address(mailbox.address)


@given(LETTERS)
def test_what_a_reader_sees_stays(content: bytes) -> None:
    """Subject, bodies and files are what they were: mending takes nothing away."""
    done = mended(content, smtputf8=False)
    if done is None:
        return
    before, after = parse_letter(content), parse_letter(done.added + done.content)
    if "\0" not in before.subject:
        assert after.subject.split() == before.subject.split()
    readable = {m.address for m in before.to if m.address.isascii() and 0 < len(m.address) < 500}
    assert readable <= {m.address for m in after.to}
