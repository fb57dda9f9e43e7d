"""How a letter stands by what was told of it."""

from __future__ import annotations

import pytest

from gateway.domain.tracking import standing
from providers.contract.tracking import EventType as E


@pytest.mark.parametrize(
    ("events", "text", "sealed"),
    [
        ((), "", False),
        ((E.SENT, E.QUEUED), "sent", False),
        ((E.DEFERRED, E.SENT), "deferred", False),
        ((E.DELIVERED, E.DEFERRED), "delivered", True),
        ((E.OPENED, E.DELIVERED), "opened", True),
        ((E.OPENED,), "opened", True),
        ((E.CLICKED, E.OPENED), "clicked", True),
        ((E.SENT, E.BOUNCED), "bounced", True),
        ((E.QUEUED, E.REJECTED), "rejected", True),
        ((E.DELIVERED, E.BOUNCED), "delivered, bounced", True),
        ((E.COMPLAINED, E.CLICKED, E.UNSUBSCRIBED), "clicked, complained, unsubscribed", True),
        ((E.UNKNOWN,), "unknown", False),
        ((E.SENT, E.UNKNOWN), "sent, unknown", False),
    ],
)
def test_standing(events: tuple[E, ...], text: str, sealed: bool) -> None:
    """D 12: rank on the way, and facts of their own; a soft bounce may still be delivered."""
    found = standing(events)
    assert (str(found), found.is_sealed) == (text, sealed)
