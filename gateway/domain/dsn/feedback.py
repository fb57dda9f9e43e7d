"""
The part for machines of a complaint: message/feedback-report (RFC 5965 3), one group of fields.

ASCII throughout, as `status` is, whose field lines these are. Sits on `report` and `status`.
"""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import format_datetime

from gateway.domain.dsn.report import Report
from gateway.domain.dsn.status import ascii_address, field_line, from_xtext

_FEEDBACK_TYPE = "abuse"  # RFC 5965 3.5: spam, or what its reader takes for spam
_USER_AGENT = "Mailquay"
_VERSION = "1"  # of the format


def build_feedback(report: Report) -> bytes:
    """The body of message/feedback-report, CRLF line ends."""
    return "".join(field_line(name, value) for name, value in _fields(report)).encode("ascii")


def _fields(report: Report) -> Iterator[tuple[str, str]]:
    original = report.original
    yield "Feedback-Type", _FEEDBACK_TYPE
    yield "User-Agent", _USER_AGENT
    yield "Version", _VERSION
    if original.envid is not None:
        yield "Original-Envelope-Id", from_xtext(original.envid)
    yield "Original-Mail-From", f"<{ascii_address(original.sender)}>"
    for fate in report.fates:
        yield "Original-Rcpt-To", f"<{ascii_address(fate.recipient.forward_path)}>"
    yield "Arrival-Date", format_datetime(original.arrival)
    yield "Reporting-MTA", f"dns; {report.hostname}"
    if original.source_ip:
        yield "Source-IP", original.source_ip
    if not original.sender.domain.startswith("["):
        yield "Reported-Domain", original.sender.domain
    yield "X-Mailquay-Queue-ID", original.queue_id
