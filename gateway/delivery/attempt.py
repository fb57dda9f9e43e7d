"""
One attempt: recorded before it starts, made, judged, recorded, told.

The steps stand in `AttemptMaker.__call__`; what follows from an outcome is `domain.disposition`'s
to say. Sits between `lane`, which gives it jobs, and the spool. A bug in an adapter, a lost lease
or a spool that is down for a while never loses what a provider said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from gateway.delivery.lane import Job, LetterInHand
from gateway.domain.disposition import AttemptFacts, Disposition, dispose, redirect
from gateway.domain.events import AttemptEnded, AttemptLost, Emit
from gateway.domain.lifecycle import State
from gateway.domain.retry import RetrySchedule
from gateway.domain.routing import Plan
from gateway.errors import SpoolError, UnknownQueueId
from gateway.planner import Planner, parsed_message
from gateway.spool.protocol import (
    AttemptEnd,
    AttemptStart,
    Change,
    QueuedMessage,
    QueuedRecipient,
    Spool,
)
from providers.contract.capabilities import Shortfall
from providers.contract.clock import Clock
from providers.contract.envelope import Envelope
from providers.contract.message import Message
from providers.contract.outcome import (
    DeliveryOutcome,
    DeliveryReport,
    DeliveryRequest,
    Kind,
    Scope,
    all_same,
)
from providers.contract.provider import Provider

log = structlog.get_logger("gateway.delivery")

_RECORD_AGAIN_S = 1.0
_LAST_ATTEMPT_S = 30.0
_UNFORESEEN = DeliveryOutcome(
    Kind.UNCERTAIN, Scope.MESSAGE, "4.3.0", "the adapter failed in a way it was not made for"
)
_NOT_SENT = DeliveryOutcome(
    Kind.DEFERRED, Scope.MESSAGE, "4.3.2", "the gateway was stopped before it was sent"
)
_CUT_SHORT = DeliveryOutcome(
    Kind.UNCERTAIN, Scope.MESSAGE, "4.3.2", "the gateway was stopped before the answer"
)


@dataclass(slots=True)
class AttemptMaker:
    """
    Makes attempts for all lanes.

    Attributes:
        spool: Where they are recorded.
        planner: Who else could carry the letter.
        schedule: When to try again.
        timeouts: By provider, seconds that one attempt may take.
        clock: For records and deadlines.
        chance: Evenly distributed in [0, 1), for the spread of waits.
        emit: Told of every end.
        expect: Told who has a letter due next, and when.
    """

    spool: Spool
    planner: Planner
    schedule: RetrySchedule
    timeouts: Mapping[str, float]
    clock: Clock
    chance: Callable[[], float]
    emit: Emit
    expect: Callable[[str, datetime], None]

    def reconfigure(self, schedule: RetrySchedule, timeouts: Mapping[str, float]) -> None:
        """From now on judge and time attempts by these."""
        self.schedule = schedule
        self.timeouts = timeouts

    async def __call__(self, job: Job, provider: Provider, connections: asyncio.Semaphore) -> None:
        """
        Make the attempt of a job; `connections` is held while the provider has it.

        Never raises but for cancellation, and then what was under way is recorded as uncertain.
        """
        try:
            message = await self._message(job.in_hand, provider)
        except UnknownQueueId:
            return  # removed by hand while it waited here
        except SpoolError as error:
            # The leases lapse by themselves and the letter is claimed again.
            log.warning("content_unreadable", queue_id=_id(job), reason=error.reason)
            return
        ready = await self._sort_out(job, message)
        if not ready:
            return
        attempt = _Attempt(job, provider.name, message, ready, self.clock.now())
        try:
            lost = await self.spool.start(attempt.starts())
        except SpoolError as error:
            log.warning("attempt_not_started", queue_id=_id(job), reason=error.reason)
            return
        if lost:
            kept = [r for r in ready if r.recipient.key not in lost]
            if not kept:
                return
            attempt = replace(attempt, recipients=kept)
        await self._make(attempt, provider, connections)

    async def _message(self, in_hand: LetterInHand, provider: Provider) -> Message:
        """The letter, loaded once for all its jobs, with as many of its needs as this one takes."""
        async with in_hand.loading:
            message = in_hand.message
            envelope = _envelope(in_hand.letter, in_hand.letter.recipients)
            if message is None:
                content = await self.spool.content(in_hand.letter.queue_id)
                message = self.planner.message(content, envelope)
            if not message.needs.complete and not provider.capabilities.raw_mime:
                message = parsed_message(message.content, envelope)
            in_hand.message = message
            return message

    async def _sort_out(self, job: Job, message: Message) -> list[QueuedRecipient]:
        """The recipients to try now; the others are sent where their plan says."""
        ready: list[QueuedRecipient] = []
        redirected: list[Change] = []
        for queued in job.recipients:
            plan = self._plan(job, message, queued)
            now = self.clock.now()
            instead = redirect(queued.state, queued.provider, queued.excluded, plan, now)
            if instead is None:
                ready.append(queued)
                continue
            disposition, note = instead
            redirected.append(_change(job, queued, disposition, before=queued.state, notes=(note,)))
        if redirected:
            await self._record(redirected)
        return ready

    async def _make(
        self, attempt: _Attempt, provider: Provider, connections: asyncio.Semaphore
    ) -> None:
        request = attempt.request()
        so_far = _NOT_SENT
        try:
            async with connections:
                so_far = _CUT_SHORT
                report = await self._deliver(provider, request)
        except asyncio.CancelledError:
            # What may have reached the provider is recorded before the stop goes on.
            ending = self._end(attempt, all_same(request, so_far))
            await asyncio.shield(asyncio.ensure_future(ending))
            raise
        await self._end(attempt, report)

    async def _deliver(self, provider: Provider, request: DeliveryRequest) -> DeliveryReport:
        # A provider that a reload took away may still have an attempt to make.
        timeout_s = self.timeouts.get(provider.name, _LAST_ATTEMPT_S)
        deadline = self.clock.monotonic() + timeout_s
        try:
            report = await provider.deliver(request, deadline=deadline)
        except Exception:
            log.exception("adapter_bug", queue_id=request.queue_id, provider=provider.name)
            return all_same(request, _UNFORESEEN)
        missing = {r.key for r in request.envelope.recipients} - set(report.outcomes)
        if missing:
            log.error("adapter_bug", queue_id=request.queue_id, provider=provider.name)
            return DeliveryReport({**report.outcomes, **dict.fromkeys(missing, _UNFORESEEN)})
        return report

    async def _end(self, attempt: _Attempt, report: DeliveryReport) -> None:
        """Judge, record and tell."""
        ended_at = self.clock.now()
        message = attempt.message
        if not message.needs.complete and any(
            outcome.kind is not Kind.ACCEPTED for outcome in report.outcomes.values()
        ):
            # Who comes next depends on needs that the scan of the header did not tell.
            message = parsed_message(message.content, attempt.envelope())
        changes: list[Change] = []
        told: list[AttemptEnded] = []
        for queued in attempt.recipients:
            outcome = report.outcomes[queued.recipient.key]
            plan = self._plan(attempt.job, message, queued)
            disposition = self._dispose(attempt, queued, outcome, plan, ended_at)
            losses = outcome.losses
            if outcome.kind is Kind.ACCEPTED and plan is not None:
                losses = (*plan.losses.get(attempt.provider, ()), *losses)
            change, event = attempt.ended(queued, outcome, disposition, losses, ended_at)
            changes.append(change)
            told.append(event)
        lost = await self._record(changes)
        for queued, event in zip(attempt.recipients, told, strict=True):
            key = queued.recipient.key
            self.emit(_lost(key, event) if key in lost else event)

    def _dispose(
        self,
        attempt: _Attempt,
        queued: QueuedRecipient,
        outcome: DeliveryOutcome,
        plan: Plan | None,
        now: datetime,
    ) -> Disposition:
        if plan is None:
            # The configuration lost the route while the letter was on its way: it stays put.
            plan = Plan(self.planner.routes[0], (attempt.provider,), {}, {})
        arrival = attempt.job.in_hand.letter.arrival
        facts = AttemptFacts(attempt.provider, queued.attempts + 1, queued.excluded, arrival)
        return dispose(outcome, facts, plan, self.schedule, now=now, chance=self.chance())

    def _plan(self, job: Job, message: Message, queued: QueuedRecipient) -> Plan | None:
        letter = job.in_hand.letter
        return self.planner.plan(
            message,
            reverse_path=letter.reverse_path,
            forward_path=queued.recipient.forward_path,
            listener=letter.listener,
            excluded=queued.excluded,
        )

    async def _record(self, changes: list[Change]) -> frozenset[int]:
        """Record until it is recorded: what a provider said is not lost to a full disk."""
        while True:
            try:
                lost = await self.spool.record(changes)
                break
            except SpoolError as error:
                queue_id = changes[0].queue_id
                log.warning("outcome_not_recorded_yet", queue_id=queue_id, reason=error.reason)
                await self.clock.sleep(_RECORD_AGAIN_S)
        for change in changes:
            if change.due_at is not None:
                self.expect(change.provider, change.due_at)
        return lost


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One attempt under way: which recipients of which letter, by whom, since when."""

    job: Job
    provider: str
    message: Message
    recipients: list[QueuedRecipient]
    started_at: datetime

    def starts(self) -> list[AttemptStart]:
        return [
            AttemptStart(
                queue_id=_id(self.job),
                key=queued.recipient.key,
                attempt=queued.attempts + 1,
                before=queued.state,
                provider=self.provider,
                started_at=self.started_at,
            )
            for queued in self.recipients
        ]

    def envelope(self) -> Envelope:
        return _envelope(self.job.in_hand.letter, self.recipients)

    def request(self) -> DeliveryRequest:
        return DeliveryRequest(
            queue_id=_id(self.job),
            envelope=self.envelope(),
            message=self.message,
            attempt=max(queued.attempts for queued in self.recipients) + 1,
        )

    def ended(
        self,
        queued: QueuedRecipient,
        outcome: DeliveryOutcome,
        disposition: Disposition,
        losses: tuple[Shortfall, ...],
        ended_at: datetime,
    ) -> tuple[Change, AttemptEnded]:
        """What to record and what to tell of one recipient."""
        change = _change(
            self.job,
            queued,
            disposition,
            before=State.SENDING,
            ended=AttemptEnd(self.provider, self.started_at, ended_at, outcome),
            notes=_ledger(self.provider, losses),
        )
        event = AttemptEnded(
            queue_id=_id(self.job),
            forward_path=queued.recipient.forward_path.addr_spec,
            provider=self.provider,
            attempt=queued.attempts + 1,
            arrival=self.job.in_hand.letter.arrival,
            claimed_at=self.job.in_hand.claimed_at,
            started_at=self.started_at,
            ended_at=ended_at,
            outcome=outcome,
            state=disposition.state,
            due_at=disposition.due_at,
            expired=disposition.expired,
            losses=losses,
        )
        return change, event


def _change(
    job: Job,
    queued: QueuedRecipient,
    disposition: Disposition,
    *,
    before: State,
    ended: AttemptEnd | None = None,
    notes: tuple[str, ...] = (),
) -> Change:
    return Change(
        queue_id=_id(job),
        key=queued.recipient.key,
        attempts=queued.attempts + (ended is not None),
        before=before,
        after=disposition.state,
        due_at=disposition.due_at,
        provider=disposition.provider,
        excluded=disposition.excluded,
        status=disposition.status,
        diagnostic=ended.outcome.diagnostic if ended else "",
        provider_message_id=ended.outcome.provider_message_id if ended else "",
        ended=ended,
        notes=notes,
    )


def _envelope(letter: QueuedMessage, recipients: Sequence[QueuedRecipient]) -> Envelope:
    return Envelope(
        reverse_path=letter.reverse_path,
        recipients=tuple(queued.recipient for queued in recipients),
        body=letter.body,
        smtputf8=letter.smtputf8,
        ret=letter.ret,
        envid=letter.envid,
    )


def _ledger(provider: str, losses: tuple[Shortfall, ...]) -> tuple[str, ...]:
    """One line for the story, that names each loss and why it was."""
    told = "; ".join(f"{loss.part} ({loss.reason})" for loss in losses)
    return (f"{provider} lost {told}",) if told else ()


def _lost(key: int, event: AttemptEnded) -> AttemptLost:
    return AttemptLost(
        at=event.ended_at,
        queue_id=event.queue_id,
        recipient_key=key,
        provider=event.provider,
        outcome=event.outcome,
    )


def _id(job: Job) -> str:
    return job.in_hand.letter.queue_id
