"""What is put before a letter, and that nothing else of it changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes
from email.policy import SMTP

import pytest

from gateway.domain.repair import Repair
from gateway.ingress import trace
from gateway.ingress.submission import Client, Submission
from tests.support.builders import an_envelope

NOW = datetime(2026, 11, 23, 10, 20, 30, 400, tzinfo=UTC)
CLIENT = Client("192.0.2.7", "app.example.com", esmtp=True)


def a_submission(
    content: bytes = b"",
    *recipients: str,
    client: Client = CLIENT,
    smtputf8: bool = False,
) -> Submission:
    return Submission(an_envelope(*recipients, smtputf8=smtputf8), content, "app", client)


def completed(content: bytes) -> tuple[bytes, str]:
    done = trace.complete(
        a_submission(content), queue_id="0123456789ABC", hostname="gw.example.com", now=NOW
    )
    return done.content, done.message_id


def received(submission: Submission, now: datetime = NOW) -> str:
    field = trace.received_field(
        submission, queue_id="0123456789ABC", hostname="gw.example.com", now=now
    )
    assert field.endswith(b"\r\n")
    return field.decode("ascii")


RECEIVED = (
    b"Received: from app.example.com ([192.0.2.7])\r\n"
    b"\tby gw.example.com (Mailquay) with ESMTP id 0123456789ABC\r\n"
    b"\tfor <bob@example.org>;\r\n"
    b"\tMon, 23 Nov 2026 10:20:30 +0000\r\n"
)
DATE = b"Date: Mon, 23 Nov 2026 10:20:30 +0000\r\n"
MESSAGE_ID = b"Message-ID: <0123456789ABC@gw.example.com>\r\n"
FROM = b"From: news@example.com\r\n"
ADDED = RECEIVED + DATE + MESSAGE_ID + FROM


def test_whole_letter_gets_a_received_and_nothing_else() -> None:
    """Bytes in = bytes out, but for the trace field before them (RFC 5321 4.4)."""
    letter = (
        b"date: Sun, 1 Jan 2023 00:00:00 +0100\r\nMESSAGE-ID: <a@b>\r\nfrom: a@b\r\n"
        b"Content-type: text/plain; charset=koi8-r\r\nMime-Version: 1.0\r\n\r\nhi \xff\r\n"
    )
    assert completed(letter) == (RECEIVED + letter, "<a@b>")


def test_missing_fields_are_added() -> None:
    """RFC 6409 8.1 to 8.3; words in the body that look like them do not count."""
    letter = b"Subject: a\r\n\r\nDate: tomorrow\r\nMessage-ID: <x@y>\r\n"
    content, message_id = completed(letter)
    assert content == ADDED + letter
    assert message_id == "<0123456789ABC@gw.example.com>"


@pytest.mark.parametrize(
    "body",
    [
        b"Paper jam in tray 2\r\n",
        b" indented\r\n",
        b"From now on, all is well.\r\nRegards\r\n",
        b"http//no colon before a blank: here\r\n",
    ],
)
def test_letter_without_a_header_gets_one(body: bytes) -> None:
    """Old devices send a bare body; below our fields alone it would be taken for a header."""
    content, _ = completed(body)
    assert content == ADDED + b"\r\n" + body
    parsed = message_from_bytes(content, policy=SMTP)
    assert parsed.get_payload(decode=True) == body
    assert parsed["Message-ID"] == "<0123456789ABC@gw.example.com>"


def test_letter_that_begins_with_the_empty_line() -> None:
    """It has no header, but an end of it already."""
    assert completed(b"\r\nhi\r\n")[0] == ADDED + b"\r\nhi\r\n"


def test_letter_of_nothing() -> None:
    """An empty letter is a letter."""
    assert completed(b"")[0] == ADDED + b"\r\n"


def test_header_without_body_or_end() -> None:
    """The content may be a header alone."""
    assert completed(b"Subject: a\r\n")[0] == ADDED + b"Subject: a\r\n"


@pytest.mark.parametrize("line", [b"From a@b Mon Nov 23 2026\r\n", b">From a@b\r\n"])
def test_mbox_line_becomes_a_field(line: bytes) -> None:
    """Below a Received it would end the header, and the true header would turn into body."""
    letter = b"Subject: a\r\nMessage-ID: <a@b>\r\nFrom: a@b\r\n\r\nhi\r\n"
    content, message_id = completed(line + letter)
    assert content == RECEIVED + DATE + b"X-Mailbox-Line: " + line + letter
    assert message_id == "<a@b>"
    assert message_from_bytes(content, policy=SMTP)["Subject"] == "a"


def test_bare_line_ends_are_told_with_the_other_repairs() -> None:
    """The reader mended them already; whoever reads the story hears of all together."""
    submission = replace(a_submission(b"\r\nhi\r\n"), bare_line_ends=3)
    done = trace.complete(submission, queue_id="Q1", hostname="gw.example.com", now=NOW)
    assert done.repairs == (
        Repair.LINE_ENDS,
        Repair.HEADER_MISSING,
        Repair.DATE_MISSING,
        Repair.MESSAGE_ID_MISSING,
        Repair.FROM_MISSING,
    )


def test_several_recipients_are_not_told() -> None:
    """T8: with more than one, `for` would show who was in Bcc."""
    field = received(a_submission(b"", "b@example.org", "hidden@example.org"))
    assert "for" not in field
    assert "example.org" not in field
    assert "id 0123456789ABC;\r\n\tMon, 23" in field


def test_recipient_beyond_ascii_is_not_told() -> None:
    """A header in UTF-8 would make every hop need SMTPUTF8."""
    assert "for" not in received(a_submission(b"", "почта@example.org", smtputf8=True))


@pytest.mark.parametrize(
    ("client", "smtputf8", "with_"),
    [
        (Client("192.0.2.7", "a", esmtp=False), False, "SMTP"),
        (Client("192.0.2.7", "a", esmtp=False, tls=True, user="app"), True, "SMTP"),
        (Client("192.0.2.7", "a", esmtp=True), False, "ESMTP"),
        (Client("192.0.2.7", "a", esmtp=True, tls=True), False, "ESMTPS"),
        (Client("192.0.2.7", "a", esmtp=True, user="app"), False, "ESMTPA"),
        (Client("192.0.2.7", "a", esmtp=True, tls=True, user="app"), False, "ESMTPSA"),
        (Client("192.0.2.7", "a", esmtp=True), True, "UTF8SMTP"),
        (Client("192.0.2.7", "a", esmtp=True, tls=True, user="app"), True, "UTF8SMTPSA"),
    ],
)
def test_how_it_came(client: Client, smtputf8: bool, with_: str) -> None:
    """RFC 3848, RFC 6531 4.3; the user's name is not told."""
    field = received(a_submission(client=client, smtputf8=smtputf8))
    assert f" with {with_} id " in field
    assert "app" not in field


@pytest.mark.parametrize(
    ("client", "from_"),
    [
        (Client("2001:db8::7", "[IPv6:2001:db8::7]", esmtp=True),
         "[IPv6:2001:db8::7] ([IPv6:2001:db8::7])"),
        (Client("192.0.2.7", "a\r\nBcc: x@y (", esmtp=True), "a??Bcc:?x?y?? ([192.0.2.7])"),
        (Client("192.0.2.7", "ü", esmtp=True), "? ([192.0.2.7])"),
        (Client("192.0.2.7", "", esmtp=True), "unknown ([192.0.2.7])"),
        (Client("", "a", esmtp=True), "a"),
    ],
)  # fmt: skip
def test_who_it_came_from(client: Client, from_: str) -> None:
    """The client's own word cannot begin another field, end a comment or be an address."""
    assert received(a_submission(client=client)).startswith(f"Received: from {from_}\r\n\tby ")


def test_date_has_a_zone() -> None:
    """RFC 5322 3.3, whatever the clock's zone."""
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=3)))
    assert received(a_submission(), moment).endswith("\tFri, 02 Jan 2026 03:04:05 +0300\r\n")
