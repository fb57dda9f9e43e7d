"""
The lane of one provider: a bounded window of letters on their way, at the provider's pace.

Time and capacity never mix: what is not due waits in the spool; what is due and has a place in the
window waits here for a free connection and the account's pace. The window bounds memory whatever
the backlog; whose turn it is within it is `domain.window`'s to say. Knows no routes and no
outcomes: `attempt` is given as a coroutine.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from gateway.delivery.health import ProviderHealth
from gateway.domain.health import CircuitState
from gateway.domain.window import FairQueue, Priority
from gateway.planner import Planned
from gateway.spool.values import QueuedMessage, QueuedRecipient
from providers.contract.batch import Gathering
from providers.contract.clock import Clock
from providers.contract.message import Message
from providers.contract.provider import BulkProvider, Pace, Provider


@dataclass(eq=False, slots=True)
class LetterInHand:
    """
    A leased letter while jobs of it are open.

    `message` is there from the start for a fresh letter, else from the first job that loads it;
    it goes with the last job. `planned` is what a fresh letter was planned by. `octets` is what it
    holds of the hand-off memory.
    """

    letter: QueuedMessage
    claimed_at: datetime
    message: Message | None = None
    planned: Planned | None = None
    octets: int = 0
    open_jobs: int = 0
    loading: asyncio.Lock = field(default_factory=asyncio.Lock)


def sender_of(letter: QueuedMessage) -> str:
    """Whose mail it is: the reverse-path as received; empty for the null one."""
    return "" if letter.reverse_path is None else letter.reverse_path.text


@dataclass(frozen=True, slots=True)
class Job:
    """
    One attempt to be made: recipients of one letter that fit into one request.

    With `begun_at`, it is on record since then that the attempt is under way.
    """

    in_hand: LetterInHand
    recipients: tuple[QueuedRecipient, ...]
    begun_at: datetime | None = None

    @property
    def queue_id(self) -> str:
        """Of the letter."""
        return self.in_hand.letter.queue_id

    @property
    def sender(self) -> str:
        """The letter's reverse-path as received; empty for the null one."""
        return sender_of(self.in_hand.letter)

    @property
    def domain(self) -> str:
        """Where it goes: the domain of its first recipient."""
        return self.recipients[0].recipient.forward_path.domain

    @property
    def leases(self) -> tuple[tuple[str, int], ...]:
        """Queue id and key of each recipient."""
        queue_id = self.queue_id
        return tuple((queue_id, r.recipient.key) for r in self.recipients)


@dataclass(frozen=True, slots=True)
class Access:
    """How attempts reach a provider: a place for each of its connections, if it is well."""

    connections: asyncio.Semaphore
    health: ProviderHealth


AttemptMany = Callable[
    [Sequence[Job], BulkProvider, Access, Callable[[], Awaitable[None]]],
    Awaitable[None],
]
"""Makes the attempts of several jobs, given how to take places in the pace for further calls."""

_BEYOND = 4  # a quarter of the window is added for what is urgent, or another sender's
_ATTEMPTS_PER_CONNECTION = 4
"""
While one letter is on a connection, others are recorded before it and after it: with fewer
attempts the connection waits for the disk, with more only more letters would be found `sending`
after a crash.
"""


class Lane:
    """
    The window and the workers of one provider.

    Args:
        provider: Whose lane it is.
        window: Recipients on their way at once.
        pace: The account's, taken before each call.
        health: Whether it is given letters.
        attempt: Makes one attempt, with a connection while it has the provider's attention; must
            not raise, but for cancellation.
        attempt_many: Makes those of several jobs at once, for a provider that takes several letters
            in one call; under the same conditions.
        closed: Told when the last job of a letter is over.
        throttled: Told how many seconds a letter waited for the account's pace.
        clock: For the pace.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        pace: Pace,
        health: ProviderHealth,
        window: int,
        attempt: Callable[[Job, Provider, Access], Awaitable[None]],
        attempt_many: AttemptMany,
        closed: Callable[[LetterInHand], None],
        throttled: Callable[[str, float], None],
        clock: Clock,
    ) -> None:
        self.provider = provider
        self.name = provider.name
        self.wake = asyncio.Event()
        self.next_due: datetime | None = None
        self.more_waits = True  # whether the spool may have more that is due
        self.health = health
        self._gathers = isinstance(provider, BulkProvider) and provider.gathering.size > 1
        self._pace = pace
        takes = provider.capabilities
        self._at_once = takes.letters_at_once or takes.connections
        self._access = Access(asyncio.Semaphore(self._at_once), health)
        self._ended = asyncio.Event()
        self._window = window
        self._attempt = attempt
        self._attempt_many = attempt_many
        self._closed = closed
        self._throttled = throttled
        self._clock = clock
        self._jobs: FairQueue[Job] = FairQueue()
        self._held_of: Counter[str] = Counter()  # recipients in the window, by sender
        self._came = asyncio.Event()  # a job, since somebody last looked
        self._gate = asyncio.Lock()  # for the worker whose turn is next
        self._held: set[tuple[str, int]] = set()
        self._running: set[Job] = set()
        self._promised = 0  # jobs that will be run past the window
        self._workers: list[asyncio.Task[None]] = []
        self._passing: set[asyncio.Task[None]] = set()

    @property
    def room(self) -> int:
        """How many more recipients fit into the window."""
        return max(0, self._window - len(self._held))

    @property
    def urgent_room(self) -> int:
        """How many urgent ones fit in beside those: they find room when the window is full."""
        beyond = max(0, len(self._held) - self._window)
        return max(0, self._window // _BEYOND - beyond)

    @property
    def has_room(self) -> bool:
        """Whether a claim is worth its cost: half of the window is free."""
        return self.room * 2 >= self._window

    @property
    def crowd(self) -> frozenset[str]:
        """Senders that fill more than half of the window: others get in beside them."""
        most = self._held_of.most_common(1)
        if not most or most[0][1] * 2 <= self._window:
            return frozenset()
        return frozenset((most[0][0],))

    def takes_fresh(self, priority: Priority, sender: str) -> bool:
        """
        Whether a fresh letter may come in by hand.

        What waits in the spool goes first, or it would wait for as long as more comes than leaves;
        but an urgent letter waits for no other, and one of a sender with little in the window not
        for the flood of another.
        """
        if priority is Priority.HIGH or (self.more_waits and self._is_small(sender)):
            return self.room + self.urgent_room > 0
        return self.room > 0 and not self.more_waits

    def _is_small(self, sender: str) -> bool:
        crowd = self.crowd
        return bool(crowd) and sender not in crowd

    def leases(self) -> tuple[tuple[str, int], ...]:
        """Queue id and key of every recipient in the window."""
        return tuple(self._held)

    def holds(self, queue_id: str, key: int) -> bool:
        """Whether this recipient is in the window."""
        return (queue_id, key) in self._held

    def add(self, in_hand: LetterInHand, recipients: tuple[QueuedRecipient, ...]) -> None:
        """Put leased recipients into the window, cut into requests the provider takes."""
        most = self.provider.capabilities.max_recipients
        # What is gathered is put together by recipients (`BulkProvider.batches`).
        step = 1 if self._gathers else most or len(recipients)
        for start in range(0, len(recipients), step):
            job = Job(in_hand, recipients[start : start + step])
            self._hold(job)
            self._jobs.put(
                job, priority=in_hand.letter.priority, sender=job.sender, domain=job.domain
            )
        self._came.set()

    def promise(self, recipients: int) -> bool:
        """
        Whether an attempt for a fresh letter may begin at once, before the letter is admitted.

        It may where it would have a connection straight away: nothing waits for a turn, the
        provider is well, its account knows no limit, and so many recipients fit into one request.
        On yes `run` or `forgo` must follow.
        """
        # A place in a pace would be lost with each letter that is not admitted, and a commit more
        # is nothing to an account that is kept to a few calls a second.
        most = self.provider.capabilities.max_recipients
        if (
            self._gathers
            or self._jobs
            or self._pace.per_second is not None
            or len(self._running) + self._promised >= self._at_once
            or (most and recipients > most)
            or not self.health.enter_now()
        ):
            return False
        if self._pace.take(self._clock.monotonic()) > 0:
            self.health.leave(None)
            return False
        self._promised += 1
        return True

    def forgo(self) -> None:
        """What was promised will not be run: the letter was not admitted."""
        self._promised -= 1
        self.health.leave(None)
        self._ended.set()

    def run(self, in_hand: LetterInHand) -> None:
        """Make the attempt that was promised; it is on record since the letter's arrival."""
        job = Job(in_hand, in_hand.letter.recipients, in_hand.letter.arrival)
        self._hold(job)
        self._jobs.pass_by(job.domain)
        self._promised -= 1
        self._running.add(job)
        task = asyncio.create_task(self._carry_out(job), name=f"lane {self.name}")
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)

    def start(self) -> None:
        """Start the workers: some for each connection; one for each where letters are gathered."""
        provider, count = self.provider, self.provider.capabilities.connections
        if self._gathers:  # more workers than connections would gather less each
            bulk = cast("BulkProvider", provider)
            workers = [self._work_on_batches(bulk) for _ in range(count)]
        else:
            workers = [self._work() for _ in range(count * _ATTEMPTS_PER_CONNECTION)]
        self._workers = [asyncio.create_task(work, name=f"lane {self.name}") for work in workers]

    def take_back(self) -> list[Job]:
        """Take out what no worker has begun; the leases are the caller's to give back."""
        jobs = self._jobs.take_all()
        for job in jobs:
            self._close(job)
        return jobs

    async def stop(self) -> None:
        """Cancel the workers and wait for them; an attempt under way is recorded as uncertain."""
        tasks = [*self._workers, *self._passing]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._workers.clear()
        await self.health.stop()

    def expect(self, due_at: datetime) -> None:
        """Something is due for this provider at that moment: have the feeder look then."""
        if self.next_due is None or due_at < self.next_due:
            self.next_due = due_at
            self.wake.set()

    def expect_more(self) -> None:
        """A due letter had to stay in the spool: have the feeder look when there is room."""
        self.more_waits = True
        if self.has_room:
            self.wake.set()

    async def finished(self) -> None:
        """Wait until no attempt is under way, or promised."""
        while self._running or self._promised:
            self._ended.clear()
            await self._ended.wait()

    async def _work(self) -> None:
        while True:
            async with self._gate:
                await self._arrival()
                await self._take_place()
                if not self._jobs:  # taken back meanwhile
                    continue
                job = self._jobs.pop()
            self._running.add(job)
            await self._carry_out(job)

    async def _carry_out(self, job: Job) -> None:
        try:
            await self._attempt(job, self.provider, self._access)
        finally:
            self._end((job,))

    async def _work_on_batches(self, provider: BulkProvider) -> None:
        while True:
            async with self._gate:
                await self._arrival()
                came_at = self._clock.monotonic()
                await self._take_place()
                jobs = await self._gather(provider.gathering, came_at)
            if not jobs:
                continue
            try:
                await self._attempt_many(jobs, provider, self._access, self._take_place)
            finally:
                self._end(jobs)

    async def _arrival(self) -> None:
        """Until a job waits."""
        while not self._jobs:
            self._came.clear()
            await self._came.wait()

    async def _gather(self, gathering: Gathering, since: float) -> list[Job]:
        """
        The jobs for one attempt: the first that waits, and those that can go along.

        A letter that waits alone goes at once. Where more are waiting, here or in the spool, what
        comes within the window, counted from when the first one had its turn, goes along.
        """
        more = len(self._jobs) > 1 or self.more_waits
        left = since + gathering.window.total_seconds() - self._clock.monotonic()
        if more and left > 0 and self._jobs:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._crowd(gathering.size)
        jobs = [self._jobs.pop() for _ in range(min(gathering.size, len(self._jobs)))]
        self._running.update(jobs)
        return jobs

    async def _crowd(self, size: int) -> None:
        """Until so many jobs wait."""
        while len(self._jobs) < size:
            self._came.clear()
            await self._came.wait()

    def _end(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._running.discard(job)
            self._jobs.done(job.domain)
            self._close(job)
        self._ended.set()
        if self.more_waits and self.has_room:
            self.wake.set()

    async def _take_place(self) -> None:
        """A place in the account's pace; none is needed where no letter is sent."""
        if self.health.state is CircuitState.OPEN:
            return
        while (wait := self._pace.take(self._clock.monotonic())) > 0:
            await self._clock.sleep(wait)
            self._throttled(self.name, wait)

    def _hold(self, job: Job) -> None:
        job.in_hand.open_jobs += 1
        self._held.update(job.leases)
        self._held_of[job.sender] += len(job.recipients)

    def _close(self, job: Job) -> None:
        self._held.difference_update(job.leases)
        self._held_of[job.sender] -= len(job.recipients)
        if not self._held_of[job.sender]:
            del self._held_of[job.sender]
        job.in_hand.open_jobs -= 1
        if job.in_hand.open_jobs == 0:
            job.in_hand.message = None
            self._closed(job.in_hand)
