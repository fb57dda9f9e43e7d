"""
Which routes letters can ever take: conditions compared with each other and with the ways in.

For those who write routes, not for those who send: what is told here is a mistake in a
configuration, found before the first letter. Pure, and cautious: a route is called unreachable only
where that is certain. Sits beside `routing`; `app.route_gaps` puts it into words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial

from gateway.domain.routing import Condition, Route

_MOST_PIECES = 4096  # of a condition; one with more is compared as a whole
_TAKEN_OUT = "x-mailquay-"


@dataclass(frozen=True, slots=True)
class Entrance:
    """
    A way in for letters.

    Attributes:
        name: What the condition `listener` calls it.
        users: Who can log in there; empty where nobody can.
        max_octets: Of the largest letter that it takes.
    """

    name: str
    users: frozenset[str]
    max_octets: int


def entrances_of(condition: Condition, entrances: Iterable[Entrance]) -> tuple[Entrance, ...]:
    """By which of them letters come that a condition can hold for."""
    return tuple(
        entrance
        for entrance in entrances
        if (not condition.listeners or entrance.name in condition.listeners)
        and (not condition.users or entrance.users & condition.users)
    )


def contradiction(condition: Condition, entrances: Sequence[Entrance]) -> str:
    """Why a condition holds for no letter at all, in words; empty where it may hold for some."""
    by_name = [e for e in entrances if not condition.listeners or e.name in condition.listeners]
    if not by_name:
        return f"nothing comes in by {_listed(condition.listeners)}"
    if condition.users and not any(entrance.users for entrance in by_name):
        return "it is for users, and nobody can log in where its letters come in"
    ways_in = entrances_of(condition, entrances)
    if not ways_in:
        return f"no user is called {_listed(condition.users)}"
    if condition.senders and not _senders(condition):
        return "none of its senders is in one of its sender domains"
    largest = max(entrance.max_octets for entrance in ways_in)
    if condition.size_over is not None and condition.size_over >= largest:
        return f"it is for letters over {condition.size_over} octets, and {largest} are the most"
    for name, _ in condition.header:
        if name.startswith(_TAKEN_OUT):
            return f"{name} is taken out of a letter before routes are looked at"
    return ""


def covered_by(
    condition: Condition, earlier: Sequence[Route], entrances: Sequence[Entrance]
) -> tuple[str, ...]:
    """
    The routes that together take every letter a condition holds for; empty where one is left.

    Args:
        condition: Of a route.
        earlier: The routes before it, in order.
        entrances: All ways in.
    """
    for route in earlier:
        if _covers(route.condition, condition):
            return (route.name,)
    found: dict[str, None] = {}
    for piece in _pieces(condition, [route.condition for route in earlier], entrances):
        taker = next((route for route in earlier if _covers(route.condition, piece)), None)
        if taker is None:
            return ()
        found[taker.name] = None
    return tuple(found)


def _covers(wider: Condition, narrower: Condition) -> bool:
    """Whether the one surely holds wherever the other does."""
    return (
        _covers_senders(wider, narrower)
        and _covers_words(wider.recipient_domains, narrower.recipient_domains)
        and _covers_words(wider.listeners, narrower.listeners)
        and _covers_words(wider.users, narrower.users)
        and all(_covers_field(name, among, narrower) for name, among in wider.header)
        # Every letter has octets: our Received is in each.
        and (wider.size_over is None or (narrower.size_over or 0) >= wider.size_over)
        and wider.has_attachments in {None, narrower.has_attachments}
    )


def _covers_words(wider: frozenset[str], narrower: frozenset[str]) -> bool:
    return not wider or (bool(narrower) and narrower <= wider)


def _covers_senders(wider: Condition, narrower: Condition) -> bool:
    if narrower.senders:
        return all(
            (not wider.senders or sender in wider.senders)
            and (not wider.sender_domains or _domain(sender) in wider.sender_domains)
            for sender in _senders(narrower)
        )
    return not wider.senders and _covers_words(wider.sender_domains, narrower.sender_domains)


def _covers_field(name: str, among: tuple[str, ...], narrower: Condition) -> bool:
    """Whether each pattern that the narrower one has for a header field fits one of these."""
    asked = dict(narrower.header).get(name)
    return asked is not None and all(any(_fits(p, wide) for wide in among) for p in asked)


def _fits(pattern: str, wider: str) -> bool:
    """Whether whatever fits a pattern surely fits a wider one."""
    pattern, wider = pattern.lower(), wider.lower()
    if wider in {pattern, "*"}:
        return True
    # With `*` alone in the wider one, its other characters stand for themselves, and so can only
    # have met characters of the narrower one that do. Brackets end that certainty.
    return not ("?" in wider or "[" in wider + pattern) and fnmatchcase(pattern, wider)


def _pieces(
    condition: Condition, others: Sequence[Condition], entrances: Sequence[Entrance]
) -> Sequence[Condition]:
    """
    The same condition in pieces that others may cover one by one; as a whole where they are many.

    Divided only by what others ask for; a piece that holds for no letter is left out.
    """
    pieces = [condition]
    for divided in _divisions(others, entrances):
        pieces = [piece for whole in pieces for piece in divided(whole)]
        if len(pieces) > _MOST_PIECES:
            return (condition,)
    return tuple(piece for piece in pieces if not contradiction(piece, entrances))


def _divisions(
    others: Sequence[Condition], entrances: Sequence[Entrance]
) -> Iterator[Callable[[Condition], list[Condition]]]:
    if any(other.senders or other.sender_domains for other in others):
        yield _by_sender
    if any(other.recipient_domains for other in others):
        yield (
            lambda whole: (
                [
                    replace(whole, recipient_domains=frozenset({domain}))
                    for domain in sorted(whole.recipient_domains)
                ]
                or [whole]
            )
        )
    if any(other.listeners for other in others):
        names = frozenset(entrance.name for entrance in entrances)
        yield lambda whole: [
            replace(whole, listeners=frozenset({name})) for name in sorted(whole.listeners or names)
        ]
    if any(other.users for other in others):
        yield (
            lambda whole: (
                [replace(whole, users=frozenset({user})) for user in sorted(whole.users)] or [whole]
            )
        )
    if any(other.has_attachments is not None for other in others):
        yield _by_attachments
    for name in sorted({name for other in others for name, _ in other.header}):
        yield partial(_by_field, name)


def _by_sender(whole: Condition) -> list[Condition]:
    if whole.senders:
        return [replace(whole, senders=frozenset({sender})) for sender in sorted(whole.senders)]
    return [
        replace(whole, sender_domains=frozenset({domain}))
        for domain in sorted(whole.sender_domains)
    ] or [whole]


def _by_attachments(whole: Condition) -> list[Condition]:
    if whole.has_attachments is not None:
        return [whole]
    return [replace(whole, has_attachments=there) for there in (False, True)]


def _by_field(name: str, whole: Condition) -> list[Condition]:
    fields = dict(whole.header)
    return [
        replace(whole, header=tuple((fields | {name: (pattern,)}).items()))
        for pattern in fields.get(name, ())
    ] or [whole]


def _senders(condition: Condition) -> frozenset[str]:
    """The senders named that are in one of the sender domains, where there are any."""
    domains = condition.sender_domains
    return frozenset(s for s in condition.senders if not domains or _domain(s) in domains)


def _domain(address: str) -> str:
    return address.rpartition("@")[2]


def _listed(names: Iterable[str]) -> str:
    return " or ".join(sorted(names))
