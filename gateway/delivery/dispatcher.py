"""
The dispatcher: keeps every provider's lane supplied with what is due.

Each lane is fed from the spool while its window has room (`feeder`); fresh letters come by hand
from the front door, without a claim. Leases on what is in the windows are renewed. Sits on `lane`,
`feeder` and `attempt`; composition and shutdown are `app`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from gateway.delivery.attempt import AttemptMaker
from gateway.delivery.bulk import BatchMaker
from gateway.delivery.feeder import Feeder
from gateway.delivery.health import ProviderHealth
from gateway.delivery.lane import Job, Lane, LetterInHand
from gateway.delivery.pause_watch import PauseWatch
from gateway.delivery.preparation import Preparation
from gateway.delivery.recorder import Recorder
from gateway.delivery.reporter import Reporter
from gateway.delivery.reservation import Reservation
from gateway.delivery.shared_pace import SharedPace
from gateway.delivery.single import LetterMaker
from gateway.delivery.verdicts import Verdict
from gateway.domain.events import CircuitChanged, Emit
from gateway.domain.health import CircuitRules, CircuitState
from gateway.domain.retry import RetrySchedule
from gateway.domain.window import Priority
from gateway.errors import SpoolError
from gateway.planner import Planner
from gateway.spool.protocol import Spool
from gateway.spool.values import QueuedRecipient
from gateway.suppression import SuppressionList
from providers.contract.address import Address
from providers.contract.clock import Clock
from providers.contract.provider import Pace, Provider
from providers.pacing import TokenBucket

log = structlog.get_logger("gateway.delivery")


@dataclass(frozen=True, slots=True)
class DispatcherLimits:
    """
    Bounds of the dispatcher.

    Attributes:
        window: Recipients on their way at once, for each provider.
        hand_off_octets: Content of fresh letters kept in memory, all lanes together.
        renew_every_s: Seconds between renewals of leases, well below the lease.
        verdicts: Clients that may wait for a verdict at once.
    """

    window: int = 1000
    hand_off_octets: int = 64 << 20
    renew_every_s: float = 60.0
    verdicts: int = 250


class Dispatcher:
    """
    Runs the lanes of all providers.

    Args:
        spool: Where due letters are claimed and outcomes recorded.
        providers: By name.
        planner: Routes and capabilities.
        reporter: What senders are told.
        schedule: When to try again.
        timeouts: By provider, seconds that one attempt may take.
        clock: Time.
        chance: Evenly distributed in [0, 1).
        emit: Told of everything that happens.
        throttled: Told how many seconds a provider's next letter waited for the account's pace.
        slow_after: By provider, seconds after which a call counts against its circuit.
        circuit: When a provider is given no letters, and when again.
        limits: Bounds.
        suppressions: Who is sent nothing.
    """

    def __init__(
        self,
        *,
        spool: Spool,
        providers: Mapping[str, Provider],
        planner: Planner,
        reporter: Reporter,
        schedule: RetrySchedule,
        timeouts: Mapping[str, float],
        clock: Clock,
        chance: Callable[[], float],
        emit: Emit,
        throttled: Callable[[str, float], None],
        circuit: CircuitRules,
        slow_after: Mapping[str, float],
        limits: DispatcherLimits,
        suppressions: SuppressionList | None = None,
    ) -> None:
        self._spool = spool
        self._planner = planner
        self._clock = clock
        self._circuit = circuit
        self._slow_after = slow_after
        self._emit = emit
        self._throttled = throttled
        self._limits = limits
        self._hand_off_octets = 0
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        recorder = Recorder(
            spool=spool,
            reporter=reporter,
            schedule=schedule,
            clock=clock,
            emit=emit,
            expect=self.expect,
            most_verdicts=limits.verdicts,
        )
        self._verdicts = recorder.verdicts
        self._preparation = Preparation(spool, planner, recorder, clock, suppressions)
        self._attempt = AttemptMaker(
            spool=spool,
            preparation=self._preparation,
            recorder=recorder,
            schedule=schedule,
            timeouts=timeouts,
            clock=clock,
            chance=chance,
            emit=emit,
            sure_for_s=limits.renew_every_s,
        )
        self._pause_watch = PauseWatch(
            spool, planner, clock, self._hand_back, self._expect_everywhere
        )
        self._feeder = Feeder(
            spool, planner, self._preparation.put_off, self.add, clock=clock, emit=emit
        )
        self._lanes = {name: self._lane(provider) for name, provider in providers.items()}
        self._feeders: dict[str, asyncio.Task[None]] = {}
        self._retiring: dict[Lane, asyncio.Task[None]] = {}

    def reserve(
        self,
        providers: Collection[str],
        forward_paths: Sequence[Address],
        *,
        octets: int,
        priority: Priority,
        sender: str,
        at_once: bool,
    ) -> Reservation | None:
        """
        Whether a fresh letter may be handed over without a claim, and even be under way at once.

        None when a lane has no room, when older letters wait for the room it has, or when the
        hand-off memory is used up: the letter then waits in the spool like any other. Else the
        memory is taken, and `hand` or `release` of what is returned must follow.

        Args:
            providers: Whom its recipients are planned for.
            forward_paths: Its recipients.
            octets: The size of its content.
            priority: How urgent it is.
            sender: Its reverse-path as received; empty for the null one.
            at_once: Whether it has no time of its own to wait for.
        """
        lanes = [self._lanes.get(name) for name in providers]
        if (
            self._stopping
            or self._planner.pauses  # a claimed letter is looked at for them, a fresh one is not
            or self._hand_off_octets + octets > self._limits.hand_off_octets
            or not all(lane is not None and lane.takes_fresh(priority, sender) for lane in lanes)
        ):
            for lane in lanes:
                if lane is not None:
                    lane.expect_more()
            return None
        self._hand_off_octets += octets
        promised = (
            at_once
            and len(lanes) == 1
            and not self._preparation.may_be_suppressed(forward_paths)
            and lanes[0] is not None
            and lanes[0].promise(len(forward_paths))
        )
        return Reservation(self, octets, lanes[0] if promised else None, self._clock)

    def free(self, octets: int) -> None:
        """Content of a fresh letter is not kept any more."""
        self._hand_off_octets -= octets

    def add(self, in_hand: LetterInHand) -> None:
        """Put a leased letter's recipients into the windows of their providers."""
        by_lane: dict[Lane, list[QueuedRecipient]] = {}
        for queued in in_hand.letter.recipients:
            # A reload may have taken the provider away since; any lane finds that out.
            lane = self._lanes.get(queued.provider) or self._first_lane()
            # A lease that lapsed while this process was frozen can be claimed by itself again.
            if not lane.holds(in_hand.letter.queue_id, queued.recipient.key):
                by_lane.setdefault(lane, []).append(queued)
        for lane, recipients in by_lane.items():
            lane.add(in_hand, tuple(recipients))

    def expect(self, provider: str, due_at: datetime) -> None:
        """A letter in the spool is due for this provider at that moment."""
        lane = self._lanes.get(provider)
        if lane is not None:
            lane.expect(due_at)

    def verdict(self, queue_id: str, keys: Iterable[int]) -> Verdict | None:
        """Listen to what becomes of a letter, from before its admission; `None`: not now."""
        return self._verdicts.expect(queue_id, keys)

    def end_waits(self) -> None:
        """Let clients that wait for a verdict have their reply: the gateway comes to a stop."""
        self._verdicts.end()

    async def start(self) -> None:
        """
        Start the workers, the feeders and the renewal of leases.

        When it returns, pauses are known, and so is whether older letters wait before fresh ones.
        """
        await self._pause_watch.look()
        for lane in self._lanes.values():
            if not self._planner.pauses.concern(lane.name):  # else each letter takes its time
                await self._feeder.fill(lane)
            self._open(lane)
        for coroutine, name in (
            (self._renew(), "lease renewal"),
            (self._feeder.adopt_strays(self._configured, self._adopt), "strays"),
            (self._pause_watch.run(), "pauses"),
        ):
            self._tasks.append(asyncio.create_task(coroutine, name=name))

    async def reconfigure(
        self,
        providers: Mapping[str, Provider],
        schedule: RetrySchedule,
        timeouts: Mapping[str, float],
        slow_after: Mapping[str, float],
    ) -> None:
        """
        Go on with these providers; the planner was told before.

        A provider that is the same object as before keeps its lane, its connections and its pace.
        Another's lane takes no more letters: what it had not begun goes back to the spool, what is
        under way ends, and then the provider is closed.
        """
        self._attempt.reconfigure(schedule, timeouts)
        self._slow_after = slow_after
        for name, lane in list(self._lanes.items()):
            if providers.get(name) is not lane.provider:
                self._feeders.pop(name).cancel()
                self._retiring[lane] = asyncio.create_task(
                    self._retire(lane), name=f"retiring {name}"
                )
        lanes = {name: self._lanes.get(name) for name in providers}
        self._lanes = {
            name: lane if lane and lane not in self._retiring else self._lane(providers[name])
            for name, lane in lanes.items()
        }
        for name, lane in self._lanes.items():
            if name not in self._feeders:
                self._open(lane)
                self._emit(CircuitChanged(self._clock.now(), name, lane.health.state, ""))
        self._tell_away()
        self._feeder.expect_strays()

    async def drain(self, timeout_s: float) -> None:
        """
        Come to a stop: nothing new starts, what is under way may end within `timeout_s` seconds.

        What then still runs is cancelled and recorded as uncertain; what had not begun is given
        back to the spool.
        """
        self._stopping = True
        self.end_waits()
        tasks = [*self._tasks, *self._feeders.values(), *self._retiring.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        lanes = [*self._lanes.values(), *self._retiring]
        unbegun = [job for lane in lanes for job in lane.take_back()]
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*(lane.finished() for lane in lanes))
        except TimeoutError:
            log.warning("attempts_cut_short_at_stop")
        await asyncio.gather(*(lane.stop() for lane in lanes))
        await self._give_back(unbegun)

    def _lane(self, provider: Provider) -> Lane:
        pace, slow_after_s = self._pace(provider), self._slow_after.get(provider.name)
        rules = self._circuit
        if slow_after_s is not None:
            rules = replace(rules, slow_after_s=slow_after_s)
        return Lane(
            provider,
            pace=pace,
            window=self._limits.window,
            health=ProviderHealth(provider, pace, self._clock, self._health_changed, rules),
            attempt=LetterMaker(self._attempt),
            attempt_many=BatchMaker(self._attempt),
            closed=self._closed,
            throttled=self._throttled,
            clock=self._clock,
        )

    def _pace(self, provider: Provider) -> Pace:
        """The account's pace, shared with the other gateways where there may be some."""
        own = provider.pace
        if not self._spool.shared or not isinstance(own, TokenBucket):
            return own
        return SharedPace(provider.name, own, self._spool, self._clock)

    def _health_changed(self, health: ProviderHealth) -> None:
        self._tell_away()
        self._emit(CircuitChanged(self._clock.now(), health.name, health.state, health.reason))

    def _tell_away(self) -> None:
        """Have letters planned around providers that are given none."""
        self._planner.avoid(
            frozenset(
                name for name, lane in self._lanes.items() if lane.health.state is CircuitState.OPEN
            )
        )

    def _open(self, lane: Lane) -> None:
        lane.start()
        self._feeders[lane.name] = asyncio.create_task(
            self._feeder.feed(lane), name=f"feeder {lane.name}"
        )

    async def _retire(self, lane: Lane) -> None:
        await self._give_back(lane.take_back())
        await lane.finished()
        await lane.stop()
        await lane.provider.aclose()
        del self._retiring[lane]

    async def _give_back(self, jobs: list[Job]) -> None:
        leases = [lease for job in jobs for lease in job.leases]
        if not leases:
            return
        try:
            await self._spool.give_back(leases)
        except SpoolError as error:
            # They lapse by themselves.
            log.warning("leases_not_given_back", reason=error.reason)

    def _closed(self, in_hand: LetterInHand) -> None:
        self.free(in_hand.octets)

    def _configured(self) -> frozenset[str]:
        return frozenset(self._lanes)

    def _adopt(self, in_hand: LetterInHand) -> None:
        """Have the first lane take over a letter of a provider that is configured no more."""
        self._first_lane().add(in_hand, in_hand.letter.recipients)

    def _first_lane(self) -> Lane:
        return next(iter(self._lanes.values()))

    async def _renew(self) -> None:
        while True:
            await self._clock.sleep(self._limits.renew_every_s)
            lanes = (*self._lanes.values(), *self._retiring)
            leases = [lease for lane in lanes for lease in lane.leases()]
            if leases:
                try:
                    await self._spool.renew(leases, self._clock.now())
                except SpoolError as error:
                    log.warning("leases_not_renewed", reason=error.reason)

    async def _hand_back(self) -> None:
        """Give what no worker has begun back to the spool."""
        await self._give_back([job for lane in self._lanes.values() for job in lane.take_back()])

    def _expect_everywhere(self) -> None:
        now = self._clock.now()
        for lane in self._lanes.values():
            lane.expect(now)
