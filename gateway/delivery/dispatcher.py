"""
The dispatcher: keeps every provider's lane supplied with what is due.

A feeder for each lane claims from the spool while its window has room; fresh letters come by hand
from the front door, without a claim. Leases on what is in the windows are renewed. Sits on `lane`
and `attempt`; composition and shutdown are `app`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog

from gateway.delivery.attempt import AttemptMaker
from gateway.delivery.lane import Lane, LetterInHand
from gateway.domain.events import AttemptCutShort, Emit, LetterCorrupt
from gateway.domain.retry import RetrySchedule
from gateway.errors import SpoolError
from gateway.planner import Planner
from gateway.spool.protocol import Claimed, CutShort, QueuedMessage, QueuedRecipient, Spool
from providers.contract.clock import Clock
from providers.contract.message import Message
from providers.contract.provider import Provider

log = structlog.get_logger("gateway.delivery")

_LOOK_AGAIN_S = 1.0  # what other processes change in the spool is seen within this time
_STRAYS_EVERY_S = 30.0
_STRAYS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class DispatcherLimits:
    """
    Bounds of the dispatcher.

    Attributes:
        window: Recipients on their way at once, for each provider.
        hand_off_octets: Content of fresh letters kept in memory, all lanes together.
        renew_every_s: Seconds between renewals of leases, well below the lease.
    """

    window: int = 1000
    hand_off_octets: int = 64 << 20
    renew_every_s: float = 60.0


class Dispatcher:
    """
    Runs the lanes of all providers.

    Args:
        spool: Where due letters are claimed and outcomes recorded.
        providers: By name.
        planner: Routes and capabilities.
        schedule: When to try again.
        timeouts: By provider, seconds that one attempt may take.
        clock: Time.
        chance: Evenly distributed in [0, 1).
        emit: Told of everything that happens.
        throttled: Told how many seconds a provider's next letter waited for the account's pace.
        limits: Bounds.
    """

    def __init__(
        self,
        *,
        spool: Spool,
        providers: Mapping[str, Provider],
        planner: Planner,
        schedule: RetrySchedule,
        timeouts: Mapping[str, float],
        clock: Clock,
        chance: Callable[[], float],
        emit: Emit,
        throttled: Callable[[str, float], None],
        limits: DispatcherLimits,
    ) -> None:
        self._spool = spool
        self._clock = clock
        self._emit = emit
        self._limits = limits
        self._hand_off_octets = 0
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        attempt = AttemptMaker(
            spool=spool,
            planner=planner,
            schedule=schedule,
            timeouts=timeouts,
            clock=clock,
            chance=chance,
            emit=emit,
            expect=self._expect,
        )
        self._lanes = {
            name: Lane(
                provider,
                window=limits.window,
                attempt=attempt,
                closed=self._closed,
                throttled=throttled,
                clock=clock,
            )
            for name, provider in providers.items()
        }

    def reserve(self, providers: Iterable[str], octets: int) -> bool:
        """
        Whether a fresh letter of this size may be handed over without a claim.

        Says no when a lane has no room or the hand-off memory is used up: the letter then waits in
        the spool like any other. On yes the memory is taken, and `hand` or `release` must follow.
        """
        if self._stopping or self._hand_off_octets + octets > self._limits.hand_off_octets:
            return False
        for name in providers:
            lane = self._lanes.get(name)
            if lane is None or lane.room == 0:
                return False
        self._hand_off_octets += octets
        return True

    def release(self, octets: int) -> None:
        """Give back what `reserve` took, when the letter was not admitted."""
        self._hand_off_octets -= octets

    def hand(self, letter: QueuedMessage, message: Message) -> None:
        """Take a fresh letter, leased at admission, into the windows of its providers."""
        in_hand = LetterInHand(letter, self._clock.now(), message, octets=message.size)
        self._add(in_hand)

    async def start(self) -> None:
        """Start the workers, the feeders and the renewal of leases."""
        for lane in self._lanes.values():
            lane.start()
            self._spawn(self._feed(lane), f"feeder {lane.name}")
        self._spawn(self._renew(), "lease renewal")
        self._spawn(self._adopt_strays(), "strays")

    async def drain(self, timeout_s: float) -> None:
        """
        Come to a stop: nothing new starts, what is under way may end within `timeout_s` seconds.

        What then still runs is cancelled and recorded as uncertain; what had not begun is given
        back to the spool.
        """
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        unbegun = [job for lane in self._lanes.values() for job in lane.take_back()]
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*(lane.finished() for lane in self._lanes.values()))
        except TimeoutError:
            log.warning("attempts_cut_short_at_stop")
        await asyncio.gather(*(lane.stop() for lane in self._lanes.values()))
        leases = [lease for job in unbegun for lease in job.leases]
        if leases:
            try:
                await self._spool.give_back(leases)
            except SpoolError as error:
                log.warning("leases_not_given_back", reason=error.reason)

    def _spawn(self, coroutine: Coroutine[None, None, None], name: str) -> None:
        self._tasks.append(asyncio.create_task(coroutine, name=name))

    def _closed(self, in_hand: LetterInHand) -> None:
        self._hand_off_octets -= in_hand.octets

    def _expect(self, provider: str, due_at: datetime) -> None:
        lane = self._lanes.get(provider)
        if lane is not None:
            lane.expect(due_at)

    async def _feed(self, lane: Lane) -> None:
        """Claim whenever there is room for half a window; look again when woken, or in a while."""
        while True:
            claimed = Claimed()
            if lane.room * 2 >= self._limits.window:
                claimed = await self._claim(lane)
                self._tell(claimed)
                for letter in claimed.letters:
                    self._add(LetterInHand(letter, self._clock.now()))
            if not claimed.letters:
                await self._wait(lane)

    async def _claim(self, lane: Lane) -> Claimed:
        try:
            return await self._spool.claim(lane.name, self._clock.now(), lane.room)
        except SpoolError as error:
            log.warning("claim_failed", provider=lane.name, reason=error.reason)
            return Claimed()

    async def _wait(self, lane: Lane) -> None:
        """Until the lane is woken, the next moment that is known, or it is time to look again."""
        seconds = _LOOK_AGAIN_S
        if lane.next_due is not None:
            until_due = (lane.next_due - self._clock.now()).total_seconds()
            seconds = max(0.0, min(seconds, until_due))
        try:
            async with asyncio.timeout(seconds):
                await lane.wake.wait()
        except TimeoutError:
            pass
        lane.wake.clear()
        if lane.next_due is not None and lane.next_due <= self._clock.now():
            lane.next_due = None

    def _add(self, in_hand: LetterInHand) -> None:
        """Put a leased letter's recipients into the lanes of their providers."""
        by_lane: dict[str, list[QueuedRecipient]] = {}
        for queued in in_hand.letter.recipients:
            lane = self._lanes[queued.provider]
            # A lease that lapsed while this process was frozen can be claimed by itself again.
            if not lane.holds(in_hand.letter.queue_id, queued.recipient.key):
                by_lane.setdefault(queued.provider, []).append(queued)
        for name, recipients in by_lane.items():
            self._lanes[name].add(in_hand, tuple(recipients))

    def _tell(self, claimed: Claimed) -> None:
        for cut_short in claimed.cut_short:
            self._emit(cut_short_event(cut_short, self._clock.now()))
        for corrupt in claimed.corrupt:
            self._emit(LetterCorrupt(self._clock.now(), corrupt.queue_id, corrupt.reason))

    async def _renew(self) -> None:
        while True:
            await self._clock.sleep(self._limits.renew_every_s)
            leases = [lease for lane in self._lanes.values() for lease in lane.leases()]
            if leases:
                try:
                    await self._spool.renew(leases, self._clock.now())
                except SpoolError as error:
                    log.warning("leases_not_renewed", reason=error.reason)

    async def _adopt_strays(self) -> None:
        """Letters of a provider that is configured no more are taken over by the first lane."""
        names = frozenset(self._lanes)
        adopter = next(iter(self._lanes.values()))
        while True:
            try:
                claimed = await self._spool.claim_strays(names, self._clock.now(), _STRAYS_AT_ONCE)
            except SpoolError as error:
                log.warning("claim_failed", provider="", reason=error.reason)
                claimed = Claimed()
            self._tell(claimed)
            for letter in claimed.letters:
                adopter.add(LetterInHand(letter, self._clock.now()), letter.recipients)
            await self._clock.sleep(0 if claimed.letters else _STRAYS_EVERY_S)


def cut_short_event(cut_short: CutShort, now: datetime) -> AttemptCutShort:
    """The event for an attempt that was found without an end."""
    return AttemptCutShort(
        at=now,
        queue_id=cut_short.queue_id,
        forward_path=cut_short.forward_path,
        provider=cut_short.provider,
        attempt=cut_short.attempt,
    )
