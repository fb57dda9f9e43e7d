"""
The part of the spool that tracking uses: what providers told, and what they are to be asked.

Shares the batcher and the readers of the spool it belongs to, and so its promise: what returns has
reached the disk. Calls may run at once from many tasks; cancelling one does not say whether it was
done. Sits on `tracking` and `inquiries`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from gateway.domain.events import LetterTracked
from gateway.domain.tracking import Told
from gateway.spool.batcher import Batcher
from gateway.spool.inquiries import (
    Answer,
    Inquiry,
    Taken,
    Taking,
    answer,
    ask,
    forget,
    not_asked_about,
    take,
)
from gateway.spool.reading import AT_ONCE
from gateway.spool.rows import micros_from_moment
from gateway.spool.told_events import events_after
from gateway.spool.tracking import Adoption, adopt, tidings, track
from gateway.spool.transaction import Transaction

R = TypeVar("R")


class Reading(Protocol):
    """Asks the store something, in a reader's thread."""

    def __call__(self, ask: Callable[[Connection], R], /) -> Awaitable[R]:
        """The answer."""
        ...


class TrackingRecords:
    """
    Tracking events and inquiries of one spool.

    Every method raises `SpoolFull` or `SpoolUnavailable` when it has changed nothing.
    """

    def __init__(self, batcher: Batcher[Transaction], read: Reading) -> None:
        self._batcher = batcher
        self._read = read

    async def track(
        self,
        told_by: str,
        carriers: frozenset[str],
        told: Iterable[Told],
        *,
        at: datetime,
        look_up_at: datetime | None,
    ) -> tuple[LetterTracked, ...]:
        """
        Store what an account told.

        Args:
            told_by: The account.
            carriers: The providers whose letters its ids name.
            told: Of letters known, not known yet, or never to be known: those wait for `adopt`.
            at: Now.
            look_up_at: When to ask about ids that no letter has; `None`: never.

        Returns:
            What was new of letters that are known.
        """
        given = tidings(told_by, carriers, told, at=at, look_up_at=look_up_at)
        return await self._batcher.submit(track, given)

    async def adopt(
        self,
        carriers: Mapping[str, frozenset[str]],
        at: datetime,
        *,
        within: timedelta = timedelta(days=10_000),
    ) -> tuple[LetterTracked, ...]:
        """
        Give events to letters whose record came after them.

        Args:
            carriers: Whose letters the ids of each account name.
            at: Now.
            within: Of events that were told so long ago at most.

        Returns:
            What was new of these letters.
        """
        adopted: list[LetterTracked] = []
        since = micros_from_moment(at - within)
        given = Adoption(carriers, micros_from_moment(at), since, AT_ONCE)
        while some := await self._batcher.submit(adopt, given):
            adopted += some
        return tuple(adopted)

    async def ask(self, inquiries: Sequence[Inquiry]) -> None:
        """Have ids asked about; one that is there already stays as it is."""
        await self._batcher.submit(ask, inquiries)

    async def take(
        self, providers: Collection[str], now: datetime, lease: timedelta, limit: int
    ) -> Taken:
        """What is due of these providers; nobody else gets it for the length of the lease."""
        until = micros_from_moment(now + lease)
        given = Taking(frozenset(providers), micros_from_moment(now), until, limit)
        return await self._batcher.submit(take, given)

    async def answer(self, answers: Sequence[Answer]) -> tuple[LetterTracked, ...]:
        """Store what was told and when to ask again, in one step; what was new."""
        return await self._batcher.submit(answer, answers)

    async def catch_up(self, providers: Collection[str], since: datetime) -> int:
        """
        Have ids asked about that a former life did not come to; of how many.

        Walks the letters that arrived since then: fit for a start.
        """
        found, after = 0, 1
        while after:
            look = partial(
                not_asked_about, providers=providers, since=since, after=after, limit=AT_ONCE
            )
            after, inquiries = await self._read(look)
            if inquiries:
                await self.ask(inquiries)
            found += len(inquiries)
        return found

    async def forget(self, before: datetime) -> int:
        """Forget inquiries and events without a letter that are older; how many."""
        return await self._batcher.submit(forget, micros_from_moment(before))

    async def after(self, number: int, limit: int) -> tuple[LetterTracked, ...]:
        """The next stored events past a number; see `told_events.events_after`."""
        return await self._read(partial(events_after, number=number, limit=limit))
