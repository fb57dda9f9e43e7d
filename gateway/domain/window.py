"""
Whose turn it is among what waits in a provider's active window: priority first, then fairness.

Pure and without time. A flow is a sender's mail to one recipient domain; within a priority the
flows take turns, those that have least under way first, so that neither one flood nor one domain
that answers slowly keeps the others. Sits beside `routing`; `delivery.lane` takes its turns here.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator
from enum import IntEnum
from typing import Generic, TypeVar


class Priority(IntEnum):
    """How urgent a letter is; the lower the number, the sooner its turn."""

    HIGH = 0  # somebody waits for it: a password reset
    NORMAL = 1
    BULK = 2  # newsletters and lists

    @classmethod
    def from_word(cls, word: str) -> Priority:
        """
        By its name, in any case.

        Raises:
            ValueError: No such priority; the message names those there are.
        """
        try:
            return cls[word.strip().upper()]
        except KeyError:
            known = ", ".join(priority.name.lower() for priority in cls)
            raise ValueError(f"a priority is one of {known}") from None


T = TypeVar("T")
_LOOK_AT = 16  # flows compared for a turn; the longest without one are the first
_LEAST_SHARE = 8  # of so many turns one goes to the least urgent that waits


class _Flow(Generic[T]):
    __slots__ = ("domain", "jobs", "key")

    def __init__(self, key: Hashable, domain: str) -> None:
        self.key = key
        self.domain = domain
        self.jobs: deque[T] = deque()


class FairQueue(Generic[T]):
    """
    What waits, in the order of its turns.

    Whoever takes a job with `pop`, or passes by, says `done` with the same domain when it is over.
    """

    def __init__(self) -> None:
        self._flows: tuple[OrderedDict[Hashable, _Flow[T]], ...] = tuple(
            OrderedDict() for _ in Priority
        )
        self._under_way: dict[str, int] = {}
        self._turns = 0
        self._waiting = 0

    def __len__(self) -> int:
        """How many wait."""
        return self._waiting

    def __iter__(self) -> Iterator[T]:
        """All that waits, in no particular order."""
        for flows in self._flows:
            for flow in flows.values():
                yield from flow.jobs

    def put(self, job: T, *, priority: Priority, sender: str, domain: str) -> None:
        """
        Have a job wait for its turn.

        Args:
            job: Anything.
            priority: Its urgency.
            sender: Whose mail it is, compared as it is.
            domain: Where it goes, likewise.
        """
        flows = self._flows[priority]
        key = (sender, domain)
        flow = flows.get(key)
        if flow is None:
            flow = flows[key] = _Flow(key, domain)
        flow.jobs.append(job)
        self._waiting += 1

    def pop(self) -> T:
        """
        The job whose turn it is; it counts as under way from now on.

        Raises:
            LookupError: None waits.
        """
        flows = self._urgent()
        flow = self._next(flows)
        job = flow.jobs.popleft()
        if flow.jobs:
            flows.move_to_end(flow.key)
        else:
            del flows[flow.key]
        self._waiting -= 1
        self.pass_by(flow.domain)
        return job

    def pass_by(self, domain: str) -> None:
        """A job for this domain is under way that did not wait for a turn."""
        self._under_way[domain] = self._under_way.get(domain, 0) + 1

    def done(self, domain: str) -> None:
        """A job for this domain is over."""
        left = self._under_way[domain] - 1
        if left:
            self._under_way[domain] = left
        else:
            del self._under_way[domain]

    def take_all(self) -> list[T]:
        """Take out all that waits, without counting it as under way."""
        jobs = list(self)
        for flows in self._flows:
            flows.clear()
        self._waiting = 0
        return jobs

    def _urgent(self) -> OrderedDict[Hashable, _Flow[T]]:
        waiting = [flows for flows in self._flows if flows]
        if not waiting:
            raise LookupError("nothing waits")
        if len(waiting) == 1:
            return waiting[0]
        self._turns += 1
        return waiting[-1] if self._turns % _LEAST_SHARE == 0 else waiting[0]

    def _next(self, flows: OrderedDict[Hashable, _Flow[T]]) -> _Flow[T]:
        """Of the flows that waited longest for a turn, one whose domain has least under way."""
        best, least = None, -1
        for place, flow in enumerate(flows.values()):
            under_way = self._under_way.get(flow.domain, 0)
            if not under_way:
                return flow
            if best is None or under_way < least:
                best, least = flow, under_way
            if place + 1 >= _LOOK_AT:
                break
        assert best is not None  # noqa: S101 - there is a flow, or `_urgent` had raised
        return best
