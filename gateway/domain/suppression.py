"""
Addresses that are sent nothing: why one is on the list, and a quick look whether it may be.

Pure. The list itself is the spool's; addresses stand in it in folded form (`Address.folded`), for
providers change their case.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from providers.contract.tracking import EventType


class SuppressionReason(StrEnum):
    """Why an address is sent nothing; the gravest first."""

    COMPLAINED = "complained"  # its reader called a letter spam
    UNSUBSCRIBED = "unsubscribed"
    BOUNCED = "bounced"  # its server refused it for good
    MANUAL = "manual"  # a person says so


SUPPRESSING = {
    EventType.BOUNCED: SuppressionReason.BOUNCED,
    EventType.COMPLAINED: SuppressionReason.COMPLAINED,
    EventType.UNSUBSCRIBED: SuppressionReason.UNSUBSCRIBED,
}
"""What a provider tells of a letter that puts its recipient on the list."""


class Answer(StrEnum):
    """How the client learns that a recipient is suppressed."""

    DSN = "dsn"  # the letter is taken, and a report tells of the recipient
    RCPT = "rcpt"  # the recipient is refused in the session


@dataclass(frozen=True, slots=True)
class Suppression:
    """
    One reason for one address.

    Attributes:
        address: In folded form.
        reason: An address may be there for several.
        since: When it was put there.
        source: Who did: an account, or how a person did.
        comment: One line; empty without one.
    """

    address: str
    reason: SuppressionReason
    since: datetime
    source: str
    comment: str = ""


STATUS = "5.7.1"
"""RFC 3463 X.7.1: delivery not authorized, message refused."""


def told(reason: SuppressionReason) -> str:
    """Why nothing is sent, in a line for the sender."""
    return f"the address is on the suppression list: {reason.value}"


def gravest(found: Iterable[Suppression]) -> Suppression:
    """The one to tell of; a `ValueError` where there is none."""
    order = list(SuppressionReason)
    return min(found, key=lambda one: order.index(one.reason))


class Sieve:
    """
    Whether an address may be on the list: a Bloom filter that never overlooks one.

    It may name one that is not there, which then costs a look at the list: 1 in 5,000 where that
    holds a million. What is taken off the list stays in here until the next start, and costs the
    same. Its memory is bounded whatever the list, and untouched for the most part while the list
    is short.
    """

    __slots__ = ("_bits", "_empty", "_mask")

    def __init__(self, bits: int = 1 << 25) -> None:
        """Of so many bits, a power of two; at most 4 MiB of memory by default."""
        # Zeros of the kernel, which are none of ours until they are written to; a bytearray's are.
        self._bits = mmap.mmap(-1, bits >> 3, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._mask = bits - 1
        self._empty = True

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever put in."""
        return self._empty

    def add(self, address: str) -> None:
        """Put an address in, in folded form."""
        mask, bits = self._mask, self._bits
        place, step = _start(address)
        for _ in range(_PROBES):
            bits[(place & mask) >> 3] |= 1 << (place & 7)
            place += step
        self._empty = False

    def may_hold(self, address: str) -> bool:
        """Whether it may have been put in; False is sure."""
        if self._empty:
            return False
        mask, bits = self._mask, self._bits
        place, step = _start(address)
        for _ in range(_PROBES):
            if not bits[(place & mask) >> 3] & (1 << (place & 7)):
                return False
            place += step
        return True


_PROBES = 4


def _start(address: str) -> tuple[int, int]:
    number = hash(address) & 0xFFFF_FFFF_FFFF_FFFF
    return number & 0xFFFF_FFFF, (number >> 32) | 1
