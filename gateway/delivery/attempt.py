"""
One attempt: recorded before it starts, made, judged, recorded, told.

The steps stand in `AttemptMaker.__call__`; what follows from an outcome is `domain.disposition`'s
to say. Sits between `lane`, which gives it jobs, and the spool. A bug in an adapter, a lost lease
or a spool that is down for a while never loses what a provider said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TypeVar

import structlog

from gateway.delivery.lane import Job, LetterInHand
from gateway.delivery.record import Attempt, Ending, change_of, envelope_of
from gateway.delivery.reporter import Notice, Reporter
from gateway.delivery.verdicts import Owed, Verdicts
from gateway.domain.disposition import AttemptFacts, Disposition, dispose, redirect
from gateway.domain.events import Emit
from gateway.domain.instructions import passed_options
from gateway.domain.lifecycle import State
from gateway.domain.retry import RetrySchedule
from gateway.domain.routing import Plan, Suppression
from gateway.domain.suppression import STATUS, told
from gateway.domain.suppression import Suppression as SuppressedEntry
from gateway.errors import SpoolError, UnknownQueueId
from gateway.planner import Planner, parsed_message
from gateway.spool.protocol import Spool
from gateway.spool.values import Change, NewLetter, QueuedMessage, QueuedRecipient
from gateway.suppression import SuppressionList
from providers.contract.address import Address
from providers.contract.clock import Clock
from providers.contract.message import Message
from providers.contract.options import SendOptions
from providers.contract.outcome import (
    DeliveryOutcome,
    DeliveryReport,
    Kind,
    Scope,
    all_same,
)
from providers.contract.provider import Provider

log = structlog.get_logger("gateway.delivery")

T = TypeVar("T")

_RECORD_AGAIN_S = 1.0
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
_NONE_SUPPRESSED: Mapping[str, SuppressedEntry] = {}
_NEVER_SENT = frozenset({State.FAILED, State.SUPPRESSED})


@dataclass(slots=True)
class AttemptMaker:
    """
    Makes attempts for all lanes.

    Attributes:
        spool: Where they are recorded.
        planner: Who else could carry the letter.
        reporter: What the sender is told.
        schedule: When to try again.
        timeouts: By provider, seconds that one attempt may take.
        clock: For records and deadlines.
        chance: Evenly distributed in [0, 1), for the spread of waits.
        emit: Told of every end.
        expect: Told who has a letter due next, and when.
        sure_for_s: Seconds after its record within which the lease under an attempt is surely ours.
        most_verdicts: How many clients may wait for a verdict at once.
        suppressions: Who is sent nothing; `None`: there is no such list.
    """

    spool: Spool
    planner: Planner
    reporter: Reporter
    schedule: RetrySchedule
    timeouts: Mapping[str, float]
    clock: Clock
    chance: Callable[[], float]
    emit: Emit
    expect: Callable[[str, datetime], None]
    sure_for_s: float
    most_verdicts: InitVar[int]
    suppressions: SuppressionList | None = None
    verdicts: Verdicts = field(init=False)

    def __post_init__(self, most_verdicts: int) -> None:
        self.verdicts = Verdicts(most_verdicts, self._tell_owed)

    def reconfigure(self, schedule: RetrySchedule, timeouts: Mapping[str, float]) -> None:
        """From now on judge and time attempts by these."""
        self.schedule = schedule
        self.timeouts = timeouts

    async def attempts(self, job: Job, provider: Provider) -> list[Attempt]:
        """
        The attempts that a job comes to, not begun: none where there is nothing to send.

        Recipients whose plan leads elsewhere are sent there; never raises for trouble.
        """
        if job.begun_at is not None:
            return [self._begun(job, job.begun_at, provider)]
        try:
            message = await self._message(job.in_hand, provider)
        except UnknownQueueId:
            return []  # removed by hand while it waited here
        except SpoolError as error:
            # The leases lapse by themselves and the letter is claimed again.
            log.warning("content_unreadable", **job.in_hand.letter.ids, reason=error.reason)
            return []
        now = self.clock.now()
        return [
            Attempt(
                job,
                provider.name,
                message,
                ready,
                now,
                passed_options(options, provider.capabilities),
            )
            for options, ready in await self._sort_out(job, message)
        ]

    def _begun(self, job: Job, begun_at: datetime, provider: Provider) -> Attempt:
        """The attempt of a fresh letter that was planned and recorded with its admission."""
        in_hand = job.in_hand
        message = in_hand.message
        assert message is not None  # noqa: S101 - a fresh letter comes with it
        message = self._with_needs(message, in_hand.letter, provider)
        options = passed_options(in_hand.letter.instructions.options, provider.capabilities)
        return Attempt(job, provider.name, message, list(job.recipients), begun_at, options)

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
                await self.clock.sleep(_RECORD_AGAIN_S)

    def deadline(self, provider: str) -> float:
        """Monotonic seconds until which an attempt that begins now may take."""
        # A provider that a reload took away may still have an attempt to make.
        return self.clock.monotonic() + self.timeouts.get(provider, _LAST_ATTEMPT_S)

    async def put_off(self, letter: QueuedMessage) -> tuple[QueuedRecipient, ...]:
        """
        Record what a pause, or a change of configuration, makes of leased recipients.

        Returns:
            Those that are to be tried all the same. The content is not kept in memory.
        """
        job = Job(LetterInHand(letter, self.clock.now()), letter.recipients)
        try:
            content = await self.spool.content(letter.queue_id)
        except UnknownQueueId:
            return ()  # removed by hand
        except SpoolError as error:
            log.warning("content_unreadable", **letter.ids, reason=error.reason)
            return ()  # as in an attempt: the leases lapse by themselves
        message = parsed_message(content, envelope_of(letter, letter.recipients))
        ready = await self._sort_out(job, message)
        return tuple(queued for _, recipients in ready for queued in recipients)

    async def _message(self, in_hand: LetterInHand, provider: Provider) -> Message:
        """The letter, loaded once for all its jobs, with as many of its needs as this one takes."""
        async with in_hand.loading:
            letter, message = in_hand.letter, in_hand.message
            if message is None:
                content = await self.spool.content(letter.queue_id)
                envelope = envelope_of(letter, letter.recipients)
                message = self.planner.message(content, envelope, letter.instructions)
            in_hand.message = self._with_needs(message, letter, provider)
            return in_hand.message

    @staticmethod
    def _with_needs(message: Message, letter: QueuedMessage, provider: Provider) -> Message:
        """The letter with as many of its needs as this provider takes."""
        if message.needs.complete or provider.capabilities.raw_mime:
            return message
        return parsed_message(message.content, envelope_of(letter, letter.recipients))

    async def _sort_out(
        self, job: Job, message: Message
    ) -> Iterable[tuple[SendOptions, list[QueuedRecipient]]]:
        """
        The recipients to try now, together where the provider is asked the same for them.

        The others are sent where their plan says.
        """
        # Of one letter's wishes only the time can differ: it is the recipient's route that says who
        # keeps the letter until then.
        waiting = self.verdicts.of(job.queue_id)
        suspects = await self._suspects(job)
        suppressed: list[Ending] = []
        ready: dict[datetime | None, tuple[SendOptions, list[QueuedRecipient]]] = {}
        redirected: list[Change] = []
        send_at = job.in_hand.letter.instructions.send_at
        for queued in job.recipients:
            plan = self._planned(job, message, queued)
            now = self.clock.now()
            entry = suspects.get(queued.recipient.forward_path.folded) if suspects else None
            if entry and not (plan and plan.route.suppression is Suppression.IGNORE):
                suppressed.append(_suppressed(queued, entry))
                continue
            instead = redirect(
                queued.state, queued.provider, queued.excluded, plan, now, send_at=send_at
            )
            if instead is None:
                assert plan is not None  # noqa: S101 - without a plan there is something instead
                ready.setdefault(plan.options.send_at, (plan.options, []))[1].append(queued)
                continue
            disposition, note = instead
            change = change_of(
                job.queue_id,
                queued,
                disposition,
                before=queued.state,
                notes=(note,),
                warned=queued.warned,
            )
            redirected.append(change)
            if waiting is not None and disposition.provider == queued.provider:
                waiting.leave_out((queued.recipient.key,))
        if redirected:
            await self.record(job.in_hand.letter, redirected)
        if suppressed:
            now = self.clock.now()
            recipients = [ending.queued for ending in suppressed]
            unmade = Attempt(job, recipients[0].provider, message, recipients, now)
            await self._settle(unmade, suppressed, now)
        return ready.values()

    def may_be_suppressed(self, forward_paths: Iterable[Address]) -> bool:
        """Whether one of these may be on the suppression list; False is sure."""
        suppressions = self.suppressions
        if suppressions is None or suppressions.is_empty:
            return False
        return any(suppressions.may_hold(path) for path in forward_paths)

    async def _suspects(self, job: Job) -> Mapping[str, SuppressedEntry]:
        """Those of a job's recipients that are on the suppression list, by folded address."""
        suppressions = self.suppressions
        if suppressions is None or suppressions.is_empty:
            return _NONE_SUPPRESSED
        paths = [queued.recipient.forward_path for queued in job.recipients]
        suspects = [path for path in paths if suppressions.may_hold(path)]
        while suspects:
            try:
                return await suppressions.of(suspects)
            except SpoolError as error:
                log.warning("suppressions_unknown", **job.in_hand.letter.ids, reason=error.reason)
                await self.clock.sleep(_RECORD_AGAIN_S)
        return _NONE_SUPPRESSED

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
                await self.clock.sleep(_RECORD_AGAIN_S)

    async def _deliver(self, provider: Provider, attempt: Attempt) -> DeliveryReport:
        began, deadline = self.clock.monotonic(), self.deadline(provider.name)
        request = attempt.request()
        try:
            report = await provider.deliver(request, deadline=deadline)
        except Exception:
            log.exception("adapter_bug", **attempt.letter.ids, provider=provider.name)
            return all_same(request, UNFORESEEN)
        return replace(report, took_s=self.clock.monotonic() - began)

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
            known = self._planned if message is attempt.message else self._plan
            plan = known(attempt.job, message, queued)
            disposition = self._dispose(attempt, queued, outcome, plan, ended_at)
            losses = outcome.losses
            if outcome.kind is Kind.ACCEPTED and plan is not None:
                losses = (*plan.losses.get(attempt.provider, ()), *losses)
            endings.append(Ending(queued, outcome, disposition, losses))
        await self._settle(attempt, endings, ended_at)

    async def _settle(
        self, attempt: Attempt, endings: Sequence[Ending], ended_at: datetime
    ) -> None:
        """Record what became of recipients, with the report that it calls for, and tell of it."""
        waiting = self.verdicts.of(attempt.letter.queue_id)
        called = endings
        if waiting is not None:
            # Whether failures are told in the session is known when all recipients are.
            failed = [ending for ending in endings if ending.disposition.state in _NEVER_SENT]
            called = [ending for ending in endings if ending not in failed]
            waiting.owe(attempt, failed, ended_at)
        notice = self._notice(attempt, called, ended_at)
        letters = () if notice is None else notice.letters
        changes = [_change(attempt, ending, notice, ended_at) for ending in endings]
        lost = await self.record(attempt.letter, changes, letters)
        if lost and letters:
            # Nothing was written, for the report speaks of recipients that are not ours any more.
            # Their end is told all the same, and the others get a report of their own.
            late = [ending for ending in endings if ending.key in lost]
            await self.record(attempt.letter, [attempt.change(ending, ended_at) for ending in late])
            self._tell(attempt, late, lost, ended_at)
            if waiting is not None:
                waiting.hear(late, lost, ended_at)
            if kept := [ending for ending in endings if ending.key not in lost]:
                await self._settle(attempt, kept, ended_at)
            return
        self._tell(attempt, endings, lost, ended_at)
        if waiting is not None:
            waiting.hear(endings, lost, ended_at)
        if notice is not None and len(lost) < len(endings):
            self.emit(notice.event)

    def _tell(
        self,
        attempt: Attempt,
        endings: Sequence[Ending],
        lost: frozenset[int],
        ended_at: datetime,
    ) -> None:
        for ending in endings:
            if ending.key not in lost:
                self.emit(attempt.event(ending, ended_at))
            elif ending.suppressed is None:
                self.emit(attempt.lost_event(ending, ended_at))

    async def _tell_owed(self, owed: Sequence[Owed]) -> None:
        """Tell senders of failures that were recorded while somebody waited for the verdict."""
        for debt in owed:
            notice = self._notice(debt.attempt, debt.endings, debt.ended_at)
            if notice is None:
                continue
            notes = [(ending.key, notice.note) for ending in debt.endings]
            letter = debt.attempt.letter
            write = partial(self.spool.note, letter.queue_id, notes, notice.letters)
            await self._until_written(write, letter)
            self._expect_all(notice.letters)
            self.emit(notice.event)

    def _notice(
        self, attempt: Attempt, endings: Sequence[Ending], ended_at: datetime
    ) -> Notice | None:
        try:
            give_up_at = self.schedule.expires_at(attempt.letter.wanted_at)
            return self.reporter.notice(attempt, endings, ended_at=ended_at, give_up_at=give_up_at)
        except Exception:
            # What the provider said counts for more than the sender's hearing of it.
            log.exception("report_bug", **attempt.letter.ids)
            return None

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
            plan = Plan(self.planner.routes[0], (attempt.provider,), {}, {})
        since = attempt.letter.wanted_at
        facts = AttemptFacts(attempt.provider, queued.attempts + 1, queued.excluded, since)
        return dispose(outcome, facts, plan, self.schedule, now=now, chance=self.chance())

    def _planned(self, job: Job, message: Message, queued: QueuedRecipient) -> Plan | None:
        """The plan made at its arrival where nothing has changed since, else a new one."""
        planned, letter = job.in_hand.planned, job.in_hand.letter
        if (
            planned is None
            or planned.edition is not self.planner.edition
            or letter.instructions.send_at is not None
            or queued.excluded
        ):
            return self._plan(job, message, queued)
        return planned.plans[queued.recipient.key]

    def _plan(self, job: Job, message: Message, queued: QueuedRecipient) -> Plan | None:
        letter = job.in_hand.letter
        return self.planner.plan(
            message,
            reverse_path=letter.reverse_path,
            forward_path=queued.recipient.forward_path,
            listener=letter.listener,
            user=letter.user,
            excluded=queued.excluded,
            instructions=letter.instructions.as_of(self.clock.now()),
            queue_id=letter.queue_id,
        )

    async def record(
        self,
        letter: QueuedMessage,
        changes: list[Change],
        letters: Sequence[NewLetter] = (),
    ) -> frozenset[int]:
        """Record changes of one letter until they are recorded; the keys that are not ours."""
        write = partial(self.spool.record, changes, letters)
        lost = await self._until_written(write, letter)
        for change in changes:
            if change.due_at is not None:
                self.expect(change.provider, change.due_at)
        self._expect_all(letters)
        return lost

    async def _until_written(self, write: Callable[[], Awaitable[T]], letter: QueuedMessage) -> T:
        """Write until it is written: what a provider said is not lost to a full disk."""
        while True:
            try:
                return await write()
            except SpoolError as error:
                log.warning("outcome_not_recorded_yet", **letter.ids, reason=error.reason)
                await self.clock.sleep(_RECORD_AGAIN_S)

    def _expect_all(self, letters: Sequence[NewLetter]) -> None:
        for letter in letters:
            self.expect(letter.providers[0], letter.arrival)


def _suppressed(queued: QueuedRecipient, entry: SuppressedEntry) -> Ending:
    """The end of a recipient that is sent nothing."""
    outcome = DeliveryOutcome(Kind.REJECTED, Scope.RECIPIENT, STATUS, told(entry.reason))
    following = Disposition(State.SUPPRESSED, None, queued.provider, queued.excluded, STATUS)
    return Ending(queued, outcome, following, suppressed=entry.reason)


def _completed(attempt: Attempt, report: DeliveryReport) -> DeliveryReport:
    """With an outcome for those recipients that an adapter forgot."""
    missing = {queued.recipient.key for queued in attempt.recipients} - set(report.outcomes)
    if not missing:
        return report
    log.error("adapter_bug", **attempt.letter.ids, provider=attempt.provider)
    return DeliveryReport({**report.outcomes, **dict.fromkeys(missing, UNFORESEEN)})


def _change(attempt: Attempt, ending: Ending, notice: Notice | None, ended_at: datetime) -> Change:
    if notice is None or ending.key not in notice.actions:
        return attempt.change(ending, ended_at)
    warned = notice.warns_of(ending.key)
    return attempt.change(ending, ended_at, note=notice.note, warned=warned)
