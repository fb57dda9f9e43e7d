"""What a provider tells later, in a report's words: which recipient, which client."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.domain.later import client_address, complaint_fate, later_fate
from gateway.domain.notification import Action
from providers.contract.address import parse_address
from providers.contract.envelope import Recipient
from providers.contract.tracking import EventType, TrackingEvent

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
TO = Recipient(3, parse_address("Readers@Example.org"), "rfc822;readers@example.org")


@pytest.mark.parametrize(
    ("told", "spoken_of"),
    [
        (None, "Readers@example.org"),
        ("readers@example.org", "Readers@example.org"),
        ("Eve@example.net", "Eve@example.net"),
        ("not an address", "Readers@example.org"),
    ],
)
def test_of_a_letter_to_a_list_the_reader_is_spoken_of(told: str | None, spoken_of: str) -> None:
    """RFC 3464 2.3.2: the final recipient; the one that the client named where that is all."""
    for event_type, fate_of, action in (
        (EventType.BOUNCED, later_fate, Action.FAILED),
        (EventType.COMPLAINED, complaint_fate, Action.COMPLAINED),
    ):
        fate = fate_of(TO, TrackingEvent(event_type, "id-1", NOW, recipient=told))
        assert fate.recipient.forward_path.addr_spec == spoken_of
        assert (fate.recipient.key, fate.recipient.orcpt) == (3, TO.orcpt)
        assert (fate.action, fate.attempted_at) == (action, NOW)


@pytest.mark.parametrize(
    ("client", "user", "address"),
    [
        ("192.0.2.1 (app.example.com)", "", "192.0.2.1"),
        ("app at 2001:db8::1 (app.example.com)", "app", "2001:db8::1"),
        ("a at 192.0.2.9 ( at 192.0.2.1 (x)", "a at 192.0.2.9 (", "192.0.2.1"),
        ("a local socket (app)", "", ""),
        ("this gateway, reporting on 1K7QH3M2V0C01", "", ""),
        ("192.0.2.1\r\nFeedback-Type: other (x)", "", ""),
        ("", "", ""),
    ],
)
def test_a_clients_address_is_told_where_there_is_one(client: str, user: str, address: str) -> None:
    """RFC 5965 3.2: Source-IP is an address or is not there; a user's name is none."""
    assert client_address(client, user) == address
