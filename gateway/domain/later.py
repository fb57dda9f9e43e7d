"""
What a provider tells after it took a letter, as a report's words: status, reason, diagnostic.

Pure. Sits on `dsn`; `delivery.reporter` makes the report.
"""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import ip_address

from gateway.domain.disposition import EXPIRED_STATUS
from gateway.domain.dsn import Fate
from gateway.domain.notification import Action
from providers.contract.address import InvalidAddress, parse_address
from providers.contract.envelope import Recipient
from providers.contract.tracking import RejectReason, TrackingEvent

_STATUS = re.compile(r"(?<![\d.])5\.\d{1,3}\.\d{1,3}(?![\d.])")
# RFC 3463; where the recipient's server said no more than that it failed.
_BY_REASON = {
    RejectReason.INVALID: "5.1.1",
    RejectReason.TIMED_OUT: EXPIRED_STATUS,
    RejectReason.BLOCKED: "5.7.1",
    RejectReason.SPAM: "5.7.1",
    RejectReason.UNSUBSCRIBED: "5.7.1",
}
_ANY = "5.0.0"


def later_fate(recipient: Recipient, event: TrackingEvent) -> Fate:
    """What became of a recipient whose letter was handed over, and did not arrive."""
    said = _STATUS.search(event.mta_response)
    reason = event.reject_reason
    by_reason = _BY_REASON.get(reason, _ANY) if reason is not None else _ANY
    words = event.mta_response or (reason.value if reason is not None else event.event_type.value)
    return Fate(
        recipient=_meant(recipient, event),
        action=Action.FAILED,
        status=said[0] if said else by_reason,
        diagnostic=f"the provider took the letter and told later: {words}",
        remote_mta="",
        attempted_at=event.timestamp,
        expired=reason is RejectReason.TIMED_OUT,
    )


def complaint_fate(recipient: Recipient, event: TrackingEvent) -> Fate:
    """A reader who called a letter spam: it was delivered."""
    words = f": {event.mta_response}" if event.mta_response else ""
    return Fate(
        recipient=_meant(recipient, event),
        action=Action.COMPLAINED,
        status="2.0.0",
        diagnostic=f"the provider told of a complaint{words}",
        remote_mta="",
        attempted_at=event.timestamp,
    )


def client_address(client: str, user: str) -> str:
    """
    The IP address in a letter's note of its client; empty where it came by a socket file or so.

    Args:
        client: As the story has it: `app at 192.0.2.1 (app.example.com)`.
        user: Who logged in; empty for nobody.
    """
    address = client.removeprefix(f"{user} at " if user else "").partition(" ")[0]
    try:
        return str(ip_address(address))
    except ValueError:
        return ""


def _meant(recipient: Recipient, event: TrackingEvent) -> Recipient:
    """The reader that is spoken of, where the letter went to a list; else the recipient."""
    try:
        reader = parse_address(event.recipient or "")
    except InvalidAddress:
        return recipient
    if reader.folded == recipient.forward_path.folded:
        return recipient  # providers change the case
    return replace(recipient, forward_path=reader)
