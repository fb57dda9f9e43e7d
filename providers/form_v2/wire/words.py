"""
The service's words for what became of a letter, in the words of the contract. Pure.

The full list is unpublished (C.7): what no row knows becomes `unknown`, and the word travels along
(D 31).
"""

from __future__ import annotations

from providers.contract.tracking import EventType

_BY_WORD = {
    "NEW": EventType.QUEUED,
    "SENT": EventType.SENT,
    "DELIVERED": EventType.DELIVERED,
    "UNDELIVERED": EventType.BOUNCED,
}
# Known by their beginning only: CLICK may be CLICKED, SPAM may be SPAM_COMPLAINT.
_BY_BEGINNING = (
    ("OPEN", EventType.OPENED),
    ("CLICK", EventType.CLICKED),
    ("UNSUBSCRIBE", EventType.UNSUBSCRIBED),
    ("SPAM", EventType.COMPLAINED),
)


def event_type_from(status: str) -> EventType:
    """What a status says, in any case and with blanks around it."""
    word = status.strip().upper()
    known = _BY_WORD.get(word)
    if known is not None:
        return known
    return next(
        (event for beginning, event in _BY_BEGINNING if word.startswith(beginning)),
        EventType.UNKNOWN,
    )
