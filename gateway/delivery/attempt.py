"""
One attempt: recorded before it starts, made, judged; and its end given to the recorder.

What follows from an outcome is `domain.disposition`'s to say. Sits between `preparation`, which
says what is to be tried, and `recorder`. A bug in an adapter loses nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from gateway.delivery.preparation import Preparation
from gateway.delivery.record import Attempt, Ending
from gateway.delivery.recorder import AGAIN_S, Recorder
from gateway.domain.disposition import AttemptFacts, Disposition, dispose
from gateway.domain.events import Emit
from gateway.domain.retry import RetrySchedule
from gateway.domain.routing import Plan
from gateway.errors import SpoolError
from gateway.planner import parsed_message
from gateway.spool.protocol import Spool
from gateway.spool.values import QueuedRecipient
from providers.contract.clock import Clock
from providers.contract.outcome import (
    DeliveryOutcome,
    DeliveryReport,
    Kind,
    Scope,
    all_same,
)
from providers.contract.provider import Provider

log = structlog.get_logger("gateway.delivery")

_LAST_ATTEMPT_S = 30.0
UNFORESEEN = DeliveryOutcome(
    Kind.UNCERTAIN, Scope.MESSAGE, "4.3.0", "the adapter failed in a way it was not made for"
)
NOT_SENT = DeliveryOutcome(
    Kind.DEFERRED, Scope.MESSAGE, "4.3.2", "the gateway was stopped before it was sent"
)
CUT_SHORT = DeliveryOutcome(
    Kind.UNCERTAIN, Scope.MESSAGE, "4.3.2", "the gateway was stopped before the answer"
)

_NONE_LOST: frozenset[int] = frozenset()


@dataclass(slots=True)
class AttemptMaker:
    """
    Makes attempts for all lanes.

    Attributes:
        spool: Where they are recorded before they are made.
        preparation: What there is to try.
        recorder: Where their ends go.
        schedule: When to try again.
        timeouts: By provider, seconds that one attempt may take.
        clock: For records and deadlines.
        chance: Evenly distributed in [0, 1), for the spread of waits.
        emit: Told of calls that carry several letters.
        sure_for_s: Seconds after its record within which the lease under an attempt is surely ours.
    """

    spool: Spool
    preparation: Preparation
    recorder: Recorder
    schedule: RetrySchedule
    timeouts: Mapping[str, float]
    clock: Clock
    chance: Callable[[], float]
    emit: Emit
    sure_for_s: float

    def reconfigure(self, schedule: RetrySchedule, timeouts: Mapping[str, float]) -> None:
        """From now on judge and time attempts by these."""
        self.schedule = schedule
        self.recorder.schedule = schedule
        self.timeouts = timeouts

    async def begin(self, attempt: Attempt) -> Attempt | None:
        """
        Record the start, without which nothing is sent, unless it was recorded with the letter.

        Returns:
            The attempt for the recipients that are still ours, begun now; `None` when none is.
        """
        if attempt.job.begun_at is not None:
            return attempt
        attempt = replace(attempt, started_at=self.clock.now())
        lost = await self._start(attempt)
        if not lost:
            return attempt
        kept = [r for r in attempt.recipients if r.recipient.key not in lost]
        return replace(attempt, recipients=kept) if kept else None

    async def make(
        self, attempt: Attempt, provider: Provider, connections: asyncio.Semaphore
    ) -> DeliveryReport | None:
        """
        Make an attempt that has begun, with a connection of the provider's.

        Returns:
            What the provider reported; `None` when all recipients were lost before it was asked.

        When cancelled, what was under way is recorded as uncertain.
        """
        so_far = NOT_SENT
        try:
            async with connections:
                ours = await self.confirmed(attempt)
                if ours is None:
                    return None
                attempt, so_far = ours, CUT_SHORT
                report = await self._deliver(provider, attempt)
        except asyncio.CancelledError:
            # What may have reached the provider is recorded before the stop goes on.
            ending = self.end(attempt, all_same(attempt.request(), so_far))
            await asyncio.shield(asyncio.ensure_future(ending))
            raise
        await self.end(attempt, report)
        return report

    async def confirmed(self, attempt: Attempt) -> Attempt | None:
        """
        An attempt that has begun, for the recipients that are ours still; `None` when none is.

        To be asked right before it is sent. Of the others it is told that they were lost.
        """
        lost = await self._lost_meanwhile(attempt)
        if not lost:
            return attempt
        gone = [r for r in attempt.recipients if r.recipient.key in lost]
        theirs = replace(attempt, recipients=gone)
        await self.end(theirs, all_same(theirs.request(), NOT_SENT))
        kept = [r for r in attempt.recipients if r.recipient.key not in lost]
        return replace(attempt, recipients=kept) if kept else None

    def deadline(self, provider: str) -> float:
        """Monotonic seconds until which an attempt that begins now may take."""
        # A provider that a reload took away may still have an attempt to make.
        return self.clock.monotonic() + self.timeouts.get(provider, _LAST_ATTEMPT_S)

    async def end(self, attempt: Attempt, report: DeliveryReport) -> None:
        """Judge what a provider reported, record it and tell."""
        for remark in report.remarks:
            log.warning(
                "remark", **attempt.letter.ids, provider=attempt.provider, diagnostic=remark
            )
        report = _completed(attempt, report)
        ended_at = self.clock.now()
        message = attempt.message
        if not message.needs.complete and any(
            outcome.kind is not Kind.ACCEPTED for outcome in report.outcomes.values()
        ):
            # Who comes next depends on needs that the scan of the header did not tell.
            message = parsed_message(message.content, attempt.envelope())
        endings: list[Ending] = []
        for queued in attempt.recipients:
            outcome = report.outcomes[queued.recipient.key]
            known = (
                self.preparation.planned if message is attempt.message else self.preparation.plan
            )
            plan = known(attempt.job, message, queued)
            disposition = self._dispose(attempt, queued, outcome, plan, ended_at)
            losses = outcome.losses
            if outcome.kind is Kind.ACCEPTED and plan is not None:
                losses = (*plan.losses.get(attempt.provider, ()), *losses)
            endings.append(Ending(queued, outcome, disposition, losses))
        await self.recorder.settle(attempt, endings, ended_at)

    async def _start(self, attempt: Attempt) -> frozenset[int]:
        """
        Record the start until it is recorded; nothing is sent before.

        Giving up would leave the letter leased, and so untouched long after the disk is well again.
        """
        while True:
            try:
                return await self.spool.start(attempt.starts())
            except SpoolError as error:
                log.warning("attempt_not_started_yet", **attempt.letter.ids, reason=error.reason)
                await self.clock.sleep(AGAIN_S)

    async def _lost_meanwhile(self, attempt: Attempt) -> frozenset[int]:
        """
        Of an attempt that has begun long ago, the keys that are not ours any more.

        Leases lapse while this process stands still, or cannot reach its spool: then another
        gateway has long sent the letter.
        """
        now = self.clock.now()
        if (now - attempt.started_at).total_seconds() < self.sure_for_s:
            return _NONE_LOST
        while True:
            try:
                return await self.spool.confirm(attempt.starts(), self.clock.now())
            except SpoolError as error:
                log.warning("lease_not_confirmed_yet", **attempt.letter.ids, reason=error.reason)
                await self.clock.sleep(AGAIN_S)

    async def _deliver(self, provider: Provider, attempt: Attempt) -> DeliveryReport:
        began, deadline = self.clock.monotonic(), self.deadline(provider.name)
        request = attempt.request()
        try:
            report = await provider.deliver(request, deadline=deadline)
        except Exception:
            log.exception("adapter_bug", **attempt.letter.ids, provider=provider.name)
            return all_same(request, UNFORESEEN)
        return replace(report, took_s=self.clock.monotonic() - began)

    def _dispose(
        self,
        attempt: Attempt,
        queued: QueuedRecipient,
        outcome: DeliveryOutcome,
        plan: Plan | None,
        now: datetime,
    ) -> Disposition:
        if plan is None:
            # The configuration lost the route while the letter was on its way: it stays put.
            plan = Plan(self.preparation.planner.routes[0], (attempt.provider,), {}, {})
        since = attempt.letter.wanted_at
        facts = AttemptFacts(attempt.provider, queued.attempts + 1, queued.excluded, since)
        return dispose(outcome, facts, plan, self.schedule, now=now, chance=self.chance())


def _completed(attempt: Attempt, report: DeliveryReport) -> DeliveryReport:
    """With an outcome for those recipients that an adapter forgot."""
    missing = {queued.recipient.key for queued in attempt.recipients} - set(report.outcomes)
    if not missing:
        return report
    log.error("adapter_bug", **attempt.letter.ids, provider=attempt.provider)
    return DeliveryReport({**report.outcomes, **dict.fromkeys(missing, UNFORESEEN)})
