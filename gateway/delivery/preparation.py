"""
What there is to try of a job: its letter at hand, each recipient planned as things stand now.

Recipients who are suppressed, or whose plan leads elsewhere, end here; `domain.disposition` says
where to. Sits between `lane`, whose jobs these are, and `attempt`, which makes what is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog

from gateway.delivery.lane import Job, LetterInHand
from gateway.delivery.record import Attempt, Ending, change_of, envelope_of
from gateway.delivery.recorder import AGAIN_S, Recorder
from gateway.domain.disposition import Disposition, redirect
from gateway.domain.instructions import passed_options
from gateway.domain.lifecycle import State
from gateway.domain.routing import Plan, Suppression
from gateway.domain.suppression import STATUS, told
from gateway.domain.suppression import Suppression as SuppressedEntry
from gateway.errors import SpoolError, UnknownQueueId
from gateway.planner import Planner, parsed_message
from gateway.spool.protocol import Spool
from gateway.spool.values import Change, QueuedMessage, QueuedRecipient
from gateway.suppression import SuppressionList
from providers.contract.address import Address
from providers.contract.clock import Clock
from providers.contract.message import Message
from providers.contract.options import SendOptions
from providers.contract.outcome import DeliveryOutcome, Kind, Scope
from providers.contract.provider import Provider

log = structlog.get_logger("gateway.delivery")

_NONE_SUPPRESSED: Mapping[str, SuppressedEntry] = {}


@dataclass(frozen=True, slots=True)
class Preparation:
    """
    Prepares attempts for all lanes.

    Attributes:
        spool: Where contents are.
        planner: Who else could carry the letter.
        recorder: Told of those who get no attempt.
        clock: The moment of asking.
        suppressions: Who is sent nothing; `None`: there is no such list.
    """

    spool: Spool
    planner: Planner
    recorder: Recorder
    clock: Clock
    suppressions: SuppressionList | None = None

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

    def may_be_suppressed(self, forward_paths: Iterable[Address]) -> bool:
        """Whether one of these may be on the suppression list; False is sure."""
        suppressions = self.suppressions
        if suppressions is None or suppressions.is_empty:
            return False
        return any(suppressions.may_hold(path) for path in forward_paths)

    def planned(self, job: Job, message: Message, queued: QueuedRecipient) -> Plan | None:
        """The plan made at its arrival where nothing has changed since, else a new one."""
        planned, letter = job.in_hand.planned, job.in_hand.letter
        if (
            planned is None
            or planned.edition is not self.planner.edition
            or letter.instructions.send_at is not None
            or queued.excluded
        ):
            return self.plan(job, message, queued)
        return planned.plans[queued.recipient.key]

    def plan(self, job: Job, message: Message, queued: QueuedRecipient) -> Plan | None:
        """Who may have a recipient as things stand now; `None`: no route's condition holds."""
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

    def _begun(self, job: Job, begun_at: datetime, provider: Provider) -> Attempt:
        """The attempt of a fresh letter that was planned and recorded with its admission."""
        in_hand = job.in_hand
        message = in_hand.message
        assert message is not None  # noqa: S101 - a fresh letter comes with it
        message = self._with_needs(message, in_hand.letter, provider)
        options = passed_options(in_hand.letter.instructions.options, provider.capabilities)
        return Attempt(job, provider.name, message, list(job.recipients), begun_at, options)

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
        waiting = self.recorder.verdicts.of(job.queue_id)
        suspects = await self._suspects(job)
        suppressed: list[Ending] = []
        ready: dict[datetime | None, tuple[SendOptions, list[QueuedRecipient]]] = {}
        redirected: list[Change] = []
        send_at = job.in_hand.letter.instructions.send_at
        for queued in job.recipients:
            plan = self.planned(job, message, queued)
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
            await self.recorder.record(job.in_hand.letter, redirected)
        if suppressed:
            now = self.clock.now()
            recipients = [ending.queued for ending in suppressed]
            unmade = Attempt(job, recipients[0].provider, message, recipients, now)
            await self.recorder.settle(unmade, suppressed, now)
        return ready.values()

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
                await self.clock.sleep(AGAIN_S)
        return _NONE_SUPPRESSED


def _suppressed(queued: QueuedRecipient, entry: SuppressedEntry) -> Ending:
    """The end of a recipient that is sent nothing."""
    outcome = DeliveryOutcome(Kind.REJECTED, Scope.RECIPIENT, STATUS, told(entry.reason))
    following = Disposition(State.SUPPRESSED, None, queued.provider, queued.excluded, STATUS)
    return Ending(queued, outcome, following, suppressed=entry.reason)
