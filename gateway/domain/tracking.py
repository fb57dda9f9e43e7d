"""
What tracking events make of a letter: which of them are new, and how it stands by all of them.

Pure. Providers tell the same several times, late and in any order; a status that was asked for
bears the moment of asking, not that of the happening. Whatever the order, the same events stay.
Source: provider reference, B.12 (what makes an event the same) and D 11, 12 (rank, and facts of
their own).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from providers.contract.tracking import EventType, TrackingEvent


class Source(StrEnum):
    """How a provider told."""

    WEBHOOK = "webhook"  # it called us
    STATUS = "status"  # it was asked


@dataclass(frozen=True, slots=True)
class Told:
    """An event, and how it was told: one from a status does not know its own moment."""

    event: TrackingEvent
    source: Source

    @property
    def is_exact(self) -> bool:
        """Whether its time is that of the happening."""
        return self.source is Source.WEBHOOK


class Merge(StrEnum):
    """What an event is beside those that are known."""

    NEW = "new"
    BETTER = "better"  # the same happening, and closer to its moment
    KNOWN = "known"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event belongs: `of` is the known one that it stands for, where there is one."""

    merge: Merge
    of: int = -1


@dataclass(frozen=True, slots=True)
class Standing:
    """
    How a letter stands: the furthest step of its way, and what else is true of it.

    `facts` are in the order of `EventType`; its text is both, fit for a person.
    """

    progress: EventType | None = None
    facts: tuple[EventType, ...] = ()

    @property
    def is_sealed(self) -> bool:
        """Whether the letter's own fate is known: it arrived, or it never will."""
        return self.progress in _ARRIVED or any(fact in _LOST for fact in self.facts)

    def __str__(self) -> str:
        """As `clicked, complained`; a letter that never arrived is that alone, as `bounced`."""
        lost = any(fact in _LOST for fact in self.facts) and self.progress not in _ARRIVED
        way = () if self.progress is None or lost else (self.progress,)
        return ", ".join(event.value for event in (*way, *self.facts))


_WAY = (
    EventType.QUEUED,
    EventType.SENT,
    EventType.DEFERRED,  # a soft bounce: may still be delivered
    EventType.DELIVERED,
    EventType.OPENED,
    EventType.CLICKED,
)
_RANK = {event: rank for rank, event in enumerate(_WAY)}
_ARRIVED = frozenset({EventType.DELIVERED, EventType.OPENED, EventType.CLICKED})
_LOST = frozenset({EventType.BOUNCED, EventType.REJECTED, EventType.FAILED})
# The others happen to a letter once, whatever the moments they are told with.
_AGAIN = frozenset(
    {
        EventType.DEFERRED,
        EventType.OPENED,
        EventType.CLICKED,
        EventType.AUTORESPONDED,
        EventType.UNKNOWN,
    }
)


def place(known: Sequence[Told], told: Told) -> Place:
    """
    Where an event belongs among those known of the same letter and recipient.

    What can happen again is the same when it was told with the same second; told without a moment,
    it adds nothing to one that has it. Else the earliest moment that was told stays.
    """
    alike = [n for n, one in enumerate(known) if _kind(one.event) == _kind(told.event)]
    if not alike:
        return Place(Merge.NEW)
    if told.event.event_type not in _AGAIN:
        return _better(known, alike[0], told)
    if not told.is_exact:
        return Place(Merge.KNOWN, alike[0])
    for n in alike:
        if known[n].is_exact and _second(known[n]) == _second(told):
            return Place(Merge.KNOWN, n)
    without_moment = next((n for n in alike if not known[n].is_exact), None)
    if without_moment is not None:
        return Place(Merge.BETTER, without_moment)
    return Place(Merge.NEW)


def standing(events: Iterable[EventType]) -> Standing:
    """How a letter stands by all that was told of it, in any order."""
    found = frozenset(events)
    on_the_way = [event for event in found if event in _RANK]
    progress = max(on_the_way, key=_RANK.__getitem__, default=None)
    facts = tuple(event for event in EventType if event in found and event not in _RANK)
    return Standing(progress, facts)


def _better(known: Sequence[Told], n: int, told: Told) -> Place:
    one = known[n]
    if told.is_exact != one.is_exact:
        better = told.is_exact
    else:
        better = told.event.timestamp < one.event.timestamp
    return Place(Merge.BETTER if better else Merge.KNOWN, n)


def _kind(event: TrackingEvent) -> tuple[EventType, str, str]:
    """What must agree for two events to be of the same kind; a word nobody knows counts as such."""
    word = event.raw if event.event_type is EventType.UNKNOWN else ""
    return event.event_type, event.click_url, word


def _second(told: Told) -> int:
    return int(told.event.timestamp.timestamp())
