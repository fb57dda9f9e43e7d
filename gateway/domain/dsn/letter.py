"""
A report as a letter: multipart/report (RFC 6522), or one text where a carrier takes no such thing.

Built by hand, for the original must come back octet for octet and the standard library would write
it anew. 7-bit, but for two things that cannot be told in ASCII: an original that is returned whole
as it was, and a sender whose own address needs SMTPUTF8. Sits on `status`, `feedback` and `prose`.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from email.utils import format_datetime

from gateway.domain.dsn.feedback import build_feedback
from gateway.domain.dsn.prose import build_prose, subject_of
from gateway.domain.dsn.report import Original, Report
from gateway.domain.dsn.status import build_status

_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,900}>\Z")
_MAX_HEADER = 32 << 10  # octets of an original's header; what is longer is cut at a line
_PLAIN_LINES = re.compile(rb"(?:[\t\x20-\x7e]{0,998}\r\n)*+\Z")
# RFC 2045 2.8: what 8bit may be; nothing else can be told of a message/rfc822 (RFC 2046 5.2.1).
_EIGHT_BIT_LINES = re.compile(rb"(?:[^\0\r\n]{0,998}\r\n)*+\Z")

_WHOLE = "The letter itself comes with this report."
_HEADER_ONLY = "The header of the letter comes with this report."


@dataclass(frozen=True, slots=True)
class _Part:
    """A body part; `body` ends with CRLF and is encoded already."""

    content_type: str
    encoding: str
    body: bytes

    def octets(self, description: str) -> bytes:
        header = (
            f"Content-Description: {description}\r\n"
            f"Content-Type: {self.content_type}\r\n"
            f"Content-Transfer-Encoding: {self.encoding}\r\n\r\n"
        )
        return header.encode("ascii") + self.body


def build_report(report: Report) -> bytes:
    """
    The report as a multipart/report: prose, status or feedback, and the original or its header.

    The original comes back whole where its content is given and can be told as MIME: lines of 998
    octets at most and no NUL. CRLF line ends.
    """
    kind = "feedback-report" if report.is_complaint else "delivery-status"
    whole = _whole(report.original)
    returned = _header_part(report.original) if whole is None else whole
    parts = (
        _prose_part(report, _HEADER_ONLY if whole is None else _WHOLE).octets("Notification"),
        _Part(f"message/{kind}", "7bit", _for_machines(report)).octets(_title(report)),
        returned.octets("Undelivered letter" if whole else "Header of the letter"),
    )
    boundary = _boundary(report.queue_id, parts)
    delimiter = f"--{boundary}".encode("ascii")
    content_type = f'multipart/report; report-type={kind};\r\n\tboundary="{boundary}"'
    # RFC 2045 6.4: a multipart says of itself what the worst of its parts is.
    encoding = "7bit" if returned.encoding != "8bit" else "8bit"
    body = b"".join(delimiter + b"\r\n" + part + b"\r\n" for part in parts)
    return _header(report, content_type, encoding) + body + delimiter + b"--\r\n"


def build_plain_report(report: Report) -> bytes:
    """
    The report as one text: the same three things, one below the other.

    For carriers that take texts and files. What a multipart/report is made of would reach nobody
    by them: programs could not find the status, and the header would come as a nameless file.
    """
    prose = build_prose(report, returned="Details for programs and postmasters are below.")
    status = _for_machines(report).decode("ascii")
    header = _cut(report.original.header).decode("utf-8", "replace")
    text = "\n".join((prose, _rule(_title(report)), status, _rule("Header"), header))
    part = _text_part(text)
    return _header(report, part.content_type, part.encoding) + part.body


def _header(report: Report, content_type: str, encoding: str) -> bytes:
    """The header with the empty line behind it."""
    date = format_datetime(report.now)
    fields = [
        f"Received: by {report.hostname} (Mailquay) id {report.queue_id};\r\n\t{date}",
        f"From: Mail Delivery System <{report.from_}>",
        f"To: <{report.to}>",
        f"Subject: {subject_of(report)}",
        f"Date: {date}",
        f"Message-ID: {report.message_id}",
    ]
    if _MESSAGE_ID.match(report.original.message_id):
        fields += (
            f"{name}: {report.original.message_id}" for name in ("In-Reply-To", "References")
        )
    fields += (
        "Auto-Submitted: auto-replied",  # RFC 3834 5
        "MIME-Version: 1.0",
        f"Content-Type: {content_type}",
        f"Content-Transfer-Encoding: {encoding}",
    )
    return "".join(f"{line}\r\n" for line in (*fields, "")).encode()


def _for_machines(report: Report) -> bytes:
    return build_feedback(report) if report.is_complaint else build_status(report)


def _title(report: Report) -> str:
    return "Feedback report" if report.is_complaint else "Delivery report"


def _prose_part(report: Report, returned: str) -> _Part:
    return _text_part(build_prose(report, returned=returned))


def _text_part(text: str) -> _Part:
    """A text with LF line ends, whatever else is in it."""
    octets = text.encode("utf-8", "replace").replace(b"\r", b"")
    plain = octets.replace(b"\n", b"\r\n")
    if _PLAIN_LINES.match(plain):
        return _Part("text/plain; charset=us-ascii", "7bit", plain)
    return _Part("text/plain; charset=utf-8", "quoted-printable", _quoted_printable(octets))


def _header_part(original: Original) -> _Part:
    """RFC 6522 4: text/rfc822-headers may be encoded where it is not 7-bit."""
    header = _cut(original.header)
    if _PLAIN_LINES.match(header):
        return _Part("text/rfc822-headers", "7bit", header)
    octets = header.replace(b"\r\n", b"\n").replace(b"\r", b" ")
    return _Part("text/rfc822-headers", "quoted-printable", _quoted_printable(octets))


def _whole(original: Original) -> _Part | None:
    """The original as it was; `None` where it is not to be returned or cannot be told as MIME."""
    content = original.content
    if content is None or not _EIGHT_BIT_LINES.match(content):
        return None
    # RFC 6532 3.7: a letter with UTF-8 in its header is a message/global.
    international = original.smtputf8 and not original.header.isascii()
    content_type = "message/global" if international else "message/rfc822"
    return _Part(content_type, "7bit" if content.isascii() else "8bit", content)


def _cut(header: bytes) -> bytes:
    """A header that ends with a line end, and somewhere."""
    if len(header) > _MAX_HEADER:
        header = header[: header.rfind(b"\n", 0, _MAX_HEADER) + 1] or header[:_MAX_HEADER]
    return header if header.endswith(b"\n") or not header else header + b"\r\n"


def _quoted_printable(octets: bytes) -> bytes:
    """Lines with LF ends, encoded (RFC 2045 6.7), with CRLF ends."""
    encoded = binascii.b2a_qp(octets, istext=True).replace(b"\n", b"\r\n")
    return encoded if encoded.endswith(b"\r\n") or not encoded else encoded + b"=\r\n"


def _boundary(queue_id: str, parts: tuple[bytes, ...]) -> str:
    """A line that none of the parts holds; `=_` cannot stand in quoted-printable."""
    number = 0
    while any(f"=_{queue_id}_{number}".encode("ascii") in part for part in parts):
        number += 1
    return f"=_{queue_id}_{number}"


def _rule(title: str) -> str:
    return f"\n---- {title} ----\n"
