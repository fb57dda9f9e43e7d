"""
Asks providers what became of letters, at growing intervals, and stores what they tell.

One task per account. It learns of letters from the events of delivery, and writes down what is to
be asked, so that a later life goes on; what a crash took from it is found again at the start. The
account's pace is the provider's business (`StatusSource`); besides, a round is followed by a pause
of its own length, so that mail always has half of an account. Ids that no letter has go to
`lookup`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from gateway.domain.events import AttemptEnded, Emit, Event, StatusAsked
from gateway.domain.tracking import Source, Told
from gateway.errors import SpoolError
from gateway.spool.inquiries import Answer, Inquiry
from gateway.spool.tracking import tidings
from gateway.spool.tracking_records import TrackingRecords
from gateway.tracking.accounts import Account
from gateway.tracking.lookup import Lookup
from gateway.tracking.schedule import PollSchedule
from providers.contract.clock import Clock
from providers.contract.outcome import Kind
from providers.contract.tracking import LetterStatus, StatusSource

log = structlog.get_logger("gateway")

_AT_ONCE = 20  # ids in one round, asked about
_SIDE_BY_SIDE = 4  # in so many parts, where a provider is asked id by id
_TOLD_AT_ONCE = 200  # events in one commit: letters coming in wait some milliseconds for it
_ROUND_S = 30.0
_LEASE = timedelta(minutes=2)  # a round and its record are over long before
_GATHER_S = 0.5  # letters handed over meanwhile are written down together
_LONGEST_S = 5.0  # then it is looked for what others wrote down: webhooks, other gateways
_UNKNOWN_AGAIN = timedelta(minutes=1)  # a letter may become uncertain after it was told of
_AFTER_TROUBLE_S = 5.0
_MOST_FRESH = 10_000  # ids not written down yet; beyond them the spool is searched


class Poller:
    """
    Asks one account.

    Args:
        account: Whom.
        records: Where inquiries and events are kept.
        lookup: Whom to give ids that no letter has.
        schedule: When to ask again.
        clock: Time.
        emit: Told of what was new.
    """

    def __init__(
        self,
        account: Account,
        *,
        records: TrackingRecords,
        lookup: Lookup,
        schedule: PollSchedule,
        clock: Clock,
        emit: Emit,
    ) -> None:
        self._account = account
        self._records = records
        self._lookup = lookup
        self._schedule = schedule
        self._clock = clock
        self._emit = emit
        self._fresh: dict[tuple[str, str], Inquiry] = {}
        self._must_catch_up = True
        self._wake = asyncio.Event()

    def see(self, event: Event) -> None:
        """Learn of a letter that was handed over; waits for nothing."""
        if not isinstance(event, AttemptEnded) or event.outcome.kind is not Kind.ACCEPTED:
            return
        name = event.provider, event.outcome.provider_message_id
        first = self._account.asks.get(event.provider)
        if first is None or not name[1] or name in self._fresh:
            return
        if len(self._fresh) >= _MOST_FRESH:
            self._must_catch_up = True
            return
        self._fresh[name] = Inquiry(*name, since=event.ended_at, due_at=event.ended_at + first)
        self._wake.set()

    async def run(self) -> None:
        """Ask, until cancelled: then what is not written down is found at the next start."""
        while True:
            started = self._clock.monotonic()
            try:
                wait_s = await self._round()
            except SpoolError as error:
                log.warning("not_tracked", provider=self._account.name, reason=error.reason)
                wait_s = _AFTER_TROUBLE_S
            await self._clock.sleep(max(_GATHER_S, self._clock.monotonic() - started))
            await self._sleep(wait_s)

    async def _round(self) -> float:
        """Write down what is new, ask what is due; the seconds until there may be more."""
        account, now = self._account, self._clock.now()
        if self._must_catch_up:
            await self._records.catch_up(account.asks, now - self._schedule.lasting)
            self._must_catch_up = False
        if fresh := list(self._fresh.values()):
            await self._records.ask(fresh)
            for one in fresh:
                del self._fresh[one.provider, one.provider_message_id]
        taken = await self._records.take({*account.asks, account.name}, now, _LEASE, _AT_ONCE)
        if taken.inquiries:
            await self._ask(taken.inquiries)
            return 0.0  # what was asked may be due again, and more may be due now
        if taken.next_at is None:
            return _LONGEST_S
        return min(_LONGEST_S, max(0.0, (taken.next_at - self._clock.now()).total_seconds()))

    async def _ask(self, inquiries: Sequence[Inquiry]) -> None:
        deadline = self._clock.monotonic() + _ROUND_S
        known = [one for one in inquiries if not one.is_unknown]
        answers = [await self._looked_up(one, deadline) for one in inquiries if one.is_unknown]
        source = self._account.statuses
        if known and source is not None:
            ids = list(dict.fromkeys(one.provider_message_id for one in known))
            told = await _statuses(source, ids, deadline)
            now = self._clock.now()
            for one in known:
                status = told.get(one.provider_message_id)
                if status is not None:
                    status = await self._ahead(one, status, now)
                answers.append(self._answer(one, status, now))
            self._emit(StatusAsked(now, self._account.name, len(ids), len(told)))
        for event in await self._records.answer(answers):
            self._emit(event)

    async def _ahead(self, inquiry: Inquiry, status: LetterStatus, now: datetime) -> LetterStatus:
        """Store what is too much for one commit, as of a long list; what is left of it."""
        events = status.events
        while len(events) > _TOLD_AT_ONCE:
            some, events = events[:_TOLD_AT_ONCE], events[_TOLD_AT_ONCE:]
            news = await self._records.track(
                self._account.name,
                frozenset({inquiry.provider}),
                [Told(event, Source.STATUS) for event in some],
                at=now,
                look_up_at=None,
            )
            for event in news:
                self._emit(event)
        return LetterStatus(events, status.final)

    def _answer(self, inquiry: Inquiry, status: LetterStatus | None, now: datetime) -> Answer:
        account = self._account
        given = None
        if status is not None:
            told = [Told(event, Source.STATUS) for event in status.events]
            # What was asked about is a letter of its carrier's, whatever else has the same id.
            carriers = frozenset({inquiry.provider})
            given = tidings(account.name, carriers, told, at=now, look_up_at=None)
        return Answer(
            inquiry,
            given,
            is_final=status is not None and status.final,
            open_at=self._next(inquiry, now, sealed=False),
            sealed_at=self._next(inquiry, now, sealed=True),
        )

    async def _looked_up(self, inquiry: Inquiry, deadline: float) -> Answer:
        carrier = await self._lookup.look_up(self._account, inquiry, deadline=deadline)
        now, name = self._clock.now(), inquiry.provider_message_id
        if (first := self._account.asks.get(carrier)) is not None:
            await self._records.ask([Inquiry(carrier, name, since=now, due_at=now + first)])
        again = self._next(inquiry, now, sealed=False)
        return Answer(inquiry, None, is_final=False, open_at=again, sealed_at=None)

    def _next(self, inquiry: Inquiry, now: datetime, *, sealed: bool) -> datetime | None:
        first = self._account.asks.get(inquiry.provider, _UNKNOWN_AGAIN)
        return self._schedule.next(
            since=inquiry.since, first=first, asked=inquiry.asked + 1, now=now, sealed=sealed
        )

    async def _sleep(self, seconds: float) -> None:
        """Until then, or until a letter is handed over."""
        woken = asyncio.ensure_future(self._wake.wait())
        slept = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait((woken, slept), return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
            slept.cancel()
            self._wake.clear()


async def _statuses(
    source: StatusSource, ids: Sequence[str], deadline: float
) -> dict[str, LetterStatus]:
    """What a provider tells of these ids, in whatever order."""
    parts = [ids[start::_SIDE_BY_SIDE] for start in range(_SIDE_BY_SIDE)]
    told = await asyncio.gather(
        *(source.statuses(part, deadline=deadline) for part in parts if part)
    )
    return {name: status for some in told for name, status in some.items()}
