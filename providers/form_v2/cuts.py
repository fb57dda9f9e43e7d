"""
Long lists cut into calls, in their order: what `batches` does for letters of the queue. Pure.

For those who send a file of addresses or letters and want to know where they stand in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from providers.form_v2.batches import CALL_OCTETS, NAME_OCTETS
from providers.form_v2.wire.forms import folded
from providers.form_v2.wire.values import MAX_ADDRESSES, MAX_LETTERS, Content, PersonalLetter
from providers.http.forms import urlencoded_octets

T = TypeVar("T")


def cut_addresses(
    emails: Iterable[str], content: Content, *, max_octets: int
) -> Iterator[tuple[str, ...]]:
    """
    The addresses of each call that sends them the same letter.

    Args:
        emails: In the order in which they go; one that comes again begins a new call.
        content: The letter.
        max_octets: Of one call.
    """
    begun = CALL_OCTETS + urlencoded_octets(content.subject) + urlencoded_octets(content.message)
    return _cut(
        emails,
        lambda email: email,
        lambda _: 0,
        most=MAX_ADDRESSES,
        begun=begun,
        max_octets=max_octets,
    )


def cut_letters(
    letters: Iterable[PersonalLetter], *, max_octets: int
) -> Iterator[tuple[PersonalLetter, ...]]:
    """The letters of each call; the like."""

    def octets(letter: PersonalLetter) -> int:
        texts = urlencoded_octets(letter.subject) + urlencoded_octets(letter.message)
        return texts + 2 * NAME_OCTETS

    return _cut(
        letters,
        lambda letter: letter.email,
        octets,
        most=MAX_LETTERS,
        begun=CALL_OCTETS,
        max_octets=max_octets,
    )


def _cut(
    items: Iterable[T],
    email_of: Callable[[T], str],
    octets_of: Callable[[T], int],
    *,
    most: int,
    begun: int,
    max_octets: int,
) -> Iterator[tuple[T, ...]]:
    call: list[T] = []
    addresses: set[str] = set()
    octets = begun
    for item in items:
        email = email_of(item)
        address = folded(email)
        more = octets_of(item) + urlencoded_octets(email) + NAME_OCTETS
        if call and (len(call) == most or octets + more > max_octets or address in addresses):
            yield tuple(call)
            call, addresses, octets = [], set(), begun
        call.append(item)
        addresses.add(address)
        octets += more
    if call:
        yield tuple(call)
