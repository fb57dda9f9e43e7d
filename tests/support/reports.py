"""
Reports for tests: built from what a test cares about, and read back as a mail program would.

Reading is the standard library's, so that our own idea of MIME is not what judges it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage, Message
from email.policy import default

from gateway.domain.dsn import Fate, Original, Report
from gateway.domain.notification import Action
from providers.contract.address import parse_address
from providers.contract.envelope import Recipient

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ARRIVAL = NOW - timedelta(hours=5)
GIVE_UP_AT = NOW + timedelta(days=2)
HEADER = b"From: news@example.com\r\nSubject: Order 77\r\nX-Campaign: 9\r\n"


def a_fate(
    to: str = "bob@example.org",
    action: Action = Action.FAILED,
    status: str = "5.1.1",
    diagnostic: str = "550 5.1.1 no such user",
    *,
    remote_mta: str = "smtp.example.net",
    orcpt: str | None = None,
    expired: bool = False,
    doubtful: bool = False,
) -> Fate:
    """A recipient that was refused."""
    recipient = Recipient(0, parse_address(to), orcpt)
    return Fate(recipient, action, status, diagnostic, remote_mta, NOW, expired, doubtful)


def a_complaint(to: str = "bob@example.org", diagnostic: str = "a complaint") -> Fate:
    """A reader who called a letter spam."""
    return a_fate(to, Action.COMPLAINED, "2.0.0", diagnostic, remote_mta="")


def an_original(
    *,
    sender: str = "news@example.com",
    subject: str = "Order 77",
    message_id: str = "<order-77@example.com>",
    envid: str | None = None,
    smtputf8: bool = False,
    header: bytes = HEADER,
    content: bytes | None = None,
    source_ip: str = "",
) -> Original:
    """The letter that was refused."""
    return Original(
        "1K7QH3M2V0C01",
        parse_address(sender),
        ARRIVAL,
        subject,
        message_id,
        envid,
        smtputf8,
        header,
        content,
        source_ip,
    )


def a_report(
    *fates: Fate,
    original: Original | None = None,
    from_: str = "MAILER-DAEMON@gateway.example.com",
    to: str | None = None,
) -> Report:
    """A report of these recipients to the sender."""
    original = original or an_original()
    return Report(
        "1K7QH3M2V0C0A",
        "gateway.example.com",
        parse_address(from_),
        original.sender if to is None else parse_address(to),
        NOW,
        original,
        fates or (a_fate(),),
        GIVE_UP_AT,
    )


@dataclass(frozen=True, slots=True)
class ReadReport:
    """
    A multipart/report taken apart.

    `status` holds the fields of the letter, `recipients` those of each recipient, `returned` the
    third part.
    """

    letter: EmailMessage
    prose: str
    status: Message
    recipients: Sequence[Message]
    returned: EmailMessage

    @property
    def returned_header(self) -> bytes:
        """The original's header, where only that came back."""
        assert self.returned.get_content_type() == "text/rfc822-headers"
        octets = self.returned.get_payload(decode=True)
        assert isinstance(octets, bytes)
        return octets


def read_report(content: bytes) -> ReadReport:
    """Take a report of RFC 3464 apart; fails unless it is one, without a defect."""
    return _read(content, "delivery-status")


def read_feedback(content: bytes) -> ReadReport:
    """Take a report of RFC 5965 apart, its fields as `status`; fails unless it is one."""
    report = _read(content, "feedback-report")
    assert not report.recipients
    assert not report.status.get_payload()
    return report


def _read(content: bytes, report_type: str) -> ReadReport:
    letter = message_from_bytes(content, policy=default)
    assert isinstance(letter, EmailMessage)
    assert letter.get_content_type() == "multipart/report"
    assert letter.get_param("report-type") == report_type
    parts = list(letter.iter_parts())
    assert [part.get_content_type() for part in parts[:2]] == [
        "text/plain",
        f"message/{report_type}",
    ]
    assert len(parts) == 3
    assert not letter.defects
    assert not any(part.defects for part in parts)
    groups = parts[1].get_payload()
    assert isinstance(groups, list)
    status, *recipients = groups
    return ReadReport(letter, parts[0].get_content(), status, recipients, parts[2])


def check_wire(content: bytes) -> None:
    """What every letter of ours is on the wire: CRLF lines of 998 octets at most, no NUL."""
    assert content.endswith(b"\r\n")
    assert b"\0" not in content
    for line in content[:-2].split(b"\r\n"):
        assert len(line) <= 998
        assert b"\r" not in line
        assert b"\n" not in line
