"""
Queue ids: they sort by time, contain it, and are short enough to read out.

A number of 63 bits: microseconds since 1970, then 11 bits that tell gateways on one spool apart.
Written as 13 characters of base 32. The spool keeps the number, everything else the text.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUV"  # those of int(text, 32), so that reading is one call
_PAIRS = tuple(a + b for a in _DIGITS for b in _DIGITS)
_LENGTH = 13
_GATEWAY_BITS = 11
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class QueueIdSource:
    """
    Gives out queue ids, each greater than the one before, even when the wall clock steps back.

    Args:
        gateway: A number of this process, by chance; two that share one spool and by ill luck the
            number collide only on the same microsecond, which the spool's key then refuses.
    """

    def __init__(self, gateway: int) -> None:
        self._gateway = gateway % (1 << _GATEWAY_BITS)
        self._last = 0

    def next(self, now: datetime) -> str:
        """A fresh queue id for a letter that arrives now."""
        microseconds = (now - _EPOCH) // timedelta(microseconds=1)
        number = (microseconds << _GATEWAY_BITS) | self._gateway
        if number <= self._last:
            number = self._last + (1 << _GATEWAY_BITS)
        self._last = number
        return queue_id_from_number(number)


def queue_id_from_number(number: int) -> str:
    """The text of a queue id."""
    pairs = _PAIRS
    return (
        _DIGITS[number >> 60 & 31]
        + pairs[number >> 50 & 1023]
        + pairs[number >> 40 & 1023]
        + pairs[number >> 30 & 1023]
        + pairs[number >> 20 & 1023]
        + pairs[number >> 10 & 1023]
        + pairs[number & 1023]
    )


def number_from_queue_id(queue_id: str) -> int | None:
    """The number of a queue id; `None` when the text is none, whatever its case."""
    if len(queue_id) != _LENGTH or not queue_id.isalnum() or not queue_id.isascii():
        return None
    try:
        number = int(queue_id, 32)
    except ValueError:
        return None
    return number if number < 1 << 63 else None


def first_number_at(moment: datetime) -> int:
    """The lowest number that an id of this moment can have: all lower ones arrived before it."""
    return ((moment - _EPOCH) // timedelta(microseconds=1)) << _GATEWAY_BITS


def moment_of_number(number: int) -> datetime:
    """When the letter of this number arrived."""
    return _EPOCH + timedelta(microseconds=number >> _GATEWAY_BITS)
