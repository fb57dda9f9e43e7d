"""
How a letter that comes again is known: a mark made of what stays the same when it does.

Pure. `ingress` makes the mark, the spool keeps it as long as letters with it count as one. Sits on
nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

MOST_MARKS = 500_000
"""How many are kept: on SQLite in memory, 45 octets each."""

_PIECE = 2047
_LARGE = 1 << 16


@dataclass(frozen=True, slots=True)
class Mark:
    """
    What tells one letter from all others, in two numbers of 63 bits.

    `key` finds it, `proof` makes sure: both together agree for two letters by chance once in 10^37.
    Letters that arrived before `since` do not count.
    """

    key: int
    proof: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Repeat:
    """
    A letter is here already, for some of its recipients or for all.

    Attributes:
        queue_id: Of the letter that was first.
        keys: The recipients that had it before; they are not sent it again.
    """

    queue_id: str
    keys: frozenset[int]


def mark_of_letter(client: str, message_id: str, content: bytes, since: datetime) -> Mark:
    """The mark of a letter by its octets as they came; `client` is a user or an address."""
    return _mark(("letter", client, message_id), since, content)


def mark_of_key(client: str, idempotency_key: str, since: datetime) -> Mark:
    """The mark of all letters that a client calls one and the same."""
    return _mark(("key", client, idempotency_key), since)


def _mark(words: tuple[str, ...], since: datetime, content: bytes = b"") -> Mark:
    # SHA-256 is the quickest that processors help with: 5 µs for 4 KiB.
    digest = hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape") + b"\0")
    # The library lets other threads in for 2048 octets and more. To come back costs ten times what
    # a small letter's digest does; a large one's gives them something for it.
    step = _PIECE if len(content) < _LARGE else len(content)
    view = memoryview(content)
    for start in range(0, len(content), step):
        digest.update(view[start : start + step])
    octets = digest.digest()
    return Mark(_number(octets[:8]), _number(octets[8:16]), since)


def _number(octets: bytes) -> int:
    """63 bits: columns hold signed numbers."""
    return int.from_bytes(octets, "big") >> 1
