"""
Reports to senders as letters: what happened to recipients (RFC 3464), or a complaint (RFC 5965).

Pure: values in, octets out. Who is told is `notification`'s to say, how the letter travels
`delivery.reporter`'s. Every line built here is shorter than 998 octets, and whatever an address, a
provider or the letter itself says can end no header field and no body part.

    report (values) → status, feedback (for machines), prose (for people) → letter (both, as MIME)
"""

from gateway.domain.dsn.letter import build_plain_report, build_report
from gateway.domain.dsn.report import Fate, Original, Report

__all__ = ["Fate", "Original", "Report", "build_plain_report", "build_report"]
