"""
The feeder: claims from the spool what is due, for lanes that have room.

A look when a lane has room, when the next moment that is known has come, when somebody wakes it, or
in a while. Knows neither attempts nor fresh letters, which come by hand. Sits on `lane`; the
dispatcher starts it for each lane and says where letters go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from gateway.delivery.lane import Lane, LetterInHand
from gateway.delivery.pause_watch import LOOK_EVERY_S
from gateway.domain.events import AttemptCutShort, Emit, LetterCorrupt
from gateway.errors import SpoolError
from gateway.planner import Planner
from gateway.spool.protocol import Spool
from gateway.spool.values import Claimed, CutShort, QueuedMessage, QueuedRecipient
from providers.contract.clock import Clock

log = structlog.get_logger("gateway.delivery")

_STRAYS_EVERY_S = 5.0
_STRAYS_AT_ONCE = 100


@dataclass(slots=True)
class Feeder:
    """
    Supplies lanes from the spool.

    Attributes:
        spool: Where due letters are claimed.
        planner: Knows pauses.
        put_off: Puts to sleep what a pause keeps back of a letter; the recipients that may leave.
        add: Puts a claimed letter into the windows of its providers.
        clock: Time.
        emit: Told of attempts found without an end, and of letters that cannot be read.
    """

    spool: Spool
    planner: Planner
    put_off: Callable[[QueuedMessage], Awaitable[tuple[QueuedRecipient, ...]]]
    add: Callable[[LetterInHand], None]
    clock: Clock
    emit: Emit
    _look_for_strays: asyncio.Event = field(default_factory=asyncio.Event)

    async def feed(self, lane: Lane) -> None:
        """Claim while there is more and room for it, until cancelled."""
        while True:
            if lane.has_room:
                await self.fill(lane)
            elif lane.more_waits:
                # What is urgent, and what a flood of one sender would keep out.
                await self._claim(lane, 0, urgent=lane.urgent_room)
                if crowd := lane.crowd:
                    await self._claim(lane, lane.urgent_room, besides=crowd)
            if not (lane.more_waits and lane.has_room):
                await self._wait(lane)

    async def fill(self, lane: Lane) -> None:
        """Claim as much as there is room for."""
        room = lane.room
        claimed = await self._claim(lane, room, urgent=lane.urgent_room)
        lane.more_waits = _may_be_more(claimed, room)

    async def adopt_strays(
        self, configured: Callable[[], frozenset[str]], adopt: Callable[[LetterInHand], None]
    ) -> None:
        """Have letters of a provider that is configured no more taken over, until cancelled."""
        while True:
            try:
                claimed = await self.spool.claim_strays(
                    configured(), self.clock.now(), _STRAYS_AT_ONCE
                )
            except SpoolError as error:
                log.warning("claim_failed", provider="", reason=error.reason)
                claimed = Claimed()
            self._tell(claimed)
            for letter in claimed.letters:
                adopt(LetterInHand(letter, self.clock.now()))
            if not claimed.letters:
                await _event_or_time(self._look_for_strays, _STRAYS_EVERY_S)

    def expect_strays(self) -> None:
        """A provider may have gone: have `adopt_strays` look now."""
        self._look_for_strays.set()

    async def _claim(
        self, lane: Lane, limit: int, *, urgent: int = 0, besides: frozenset[str] = frozenset()
    ) -> Claimed:
        """Claim and put into the window."""
        try:
            claimed = await self.spool.claim(
                lane.name, self.clock.now(), limit, urgent=urgent, besides=besides
            )
        except SpoolError as error:
            log.warning("claim_failed", provider=lane.name, reason=error.reason)
            return Claimed()
        self._tell(claimed)
        for letter in claimed.letters:
            await self._take(lane, letter)
        return claimed

    async def _take(self, lane: Lane, letter: QueuedMessage) -> None:
        """Put a claimed letter into the window, but for what a pause keeps back."""
        # Here and not in the lane: what waits for a pause to end must not use up the account's
        # pace.
        if self.planner.pauses.concern(lane.name):
            letter = replace(letter, recipients=await self.put_off(letter))
        if letter.recipients:
            self.add(LetterInHand(letter, self.clock.now()))

    async def _wait(self, lane: Lane) -> None:
        """Until the lane is woken, the next moment that is known, or it is time to look again."""
        seconds = LOOK_EVERY_S
        if lane.next_due is not None:
            until_due = (lane.next_due - self.clock.now()).total_seconds()
            seconds = max(0.0, min(seconds, until_due))
        await _event_or_time(lane.wake, seconds)
        if lane.next_due is not None and lane.next_due <= self.clock.now():
            lane.next_due = None
            lane.more_waits = True

    def _tell(self, claimed: Claimed) -> None:
        for cut_short in claimed.cut_short:
            self.emit(cut_short_event(cut_short, self.clock.now()))
        for corrupt in claimed.corrupt:
            self.emit(
                LetterCorrupt(
                    self.clock.now(),
                    corrupt.queue_id,
                    corrupt.reason,
                    corrupt.message_id,
                    corrupt.trace,
                )
            )


def cut_short_event(cut_short: CutShort, now: datetime) -> AttemptCutShort:
    """The event for an attempt that was found without an end."""
    return AttemptCutShort(
        at=now,
        queue_id=cut_short.queue_id,
        forward_path=cut_short.forward_path,
        provider=cut_short.provider,
        attempt=cut_short.attempt,
        message_id=cut_short.message_id,
        trace=cut_short.trace,
    )


def _may_be_more(claimed: Claimed, limit: int) -> bool:
    """Whether a claim may have left something that is due."""
    found = sum(len(letter.recipients) for letter in claimed.letters) + len(claimed.cut_short)
    return found >= limit or bool(claimed.corrupt)


async def _event_or_time(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, or so long; the event is unset after it."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
    event.clear()
