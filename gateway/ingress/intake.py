"""
Taking a letter: planned, stored, handed on, told. The 250 is given here and nowhere else.

Between the SMTP session, which brings a submission, and spool and dispatcher. Nothing here waits
for a provider.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from gateway.domain.duplicates import Mark, Repeat, mark_of_key, mark_of_letter
from gateway.domain.events import Emit, LetterReceived, LetterRepeated
from gateway.domain.instructions import (
    NO_INSTRUCTIONS,
    PREFIX,
    BadInstruction,
    Instructions,
    parse_instructions,
)
from gateway.domain.lifecycle import State
from gateway.domain.routing import Mode, Plan
from gateway.domain.trace_context import TraceContext
from gateway.domain.window import Priority
from gateway.errors import SpoolError, SpoolFull
from gateway.ingress import replies, trace
from gateway.ingress.direct import Awaited, DirectVerdict
from gateway.ingress.instruction_fields import take_out, take_trace
from gateway.ingress.submission import Reply, Submission, Verdict
from gateway.ingress.urgency import priority_from
from gateway.planner import Planned, Planner
from gateway.spool.protocol import Spool
from gateway.spool.values import NewLetter, QueuedMessage, QueuedRecipient
from providers.contract.address import Address
from providers.contract.clock import Clock
from providers.contract.message import Message
from providers.mime.rewrite import SealedPart

log = structlog.get_logger("gateway.ingress")


def as_named(named: TraceContext | None) -> TraceContext | None:
    """Nothing is traced here: what the application named is passed on as it is."""
    return named


class Room(Protocol):
    """Room for a fresh letter past the spool's claim; `hand` or `release` must follow."""

    @property
    def begun(self) -> bool:
        """Whether a first attempt for all recipients is to be recorded with the letter."""
        ...

    def hand(self, letter: QueuedMessage, message: Message, planned: Planned) -> None:
        """Deliver this letter, which is leased, as it was planned."""
        ...

    def release(self) -> None:
        """Give it back: the letter was not admitted."""
        ...


class HandOff(Protocol):
    """The way past the spool's claim for a fresh letter; the dispatcher."""

    def reserve(
        self,
        providers: Collection[str],
        forward_paths: Sequence[Address],
        *,
        octets: int,
        priority: Priority,
        sender: str,
        at_once: bool,
    ) -> Room | None:
        """Room for a letter of this size and sender for these providers; `None`: not now."""
        ...

    def verdict(self, queue_id: str, keys: Iterable[int]) -> Awaited | None:
        """Listen to what becomes of a letter, from before its admission; `None`: not now."""
        ...

    def expect(self, provider: str, due_at: datetime) -> None:
        """A letter that was admitted is due for this provider at that moment."""
        ...


@dataclass(frozen=True, slots=True)
class SpoolingIntake:
    """
    `Intake` before a spool.

    Attributes:
        spool: Where letters become durable.
        planner: Tells whether somebody can carry a letter, and who first.
        hand_off: The dispatcher.
        hostname: For Received and Message-ID.
        clock: Arrival times.
        emit: Told of every letter taken.
        schedule_ahead: How far ahead a client may have a letter sent.
        duplicates_window: For how long a letter that comes again is known; zero: never.
        begin_trace: The trace of a letter whose application names this one, or none.
    """

    spool: Spool
    planner: Planner
    hand_off: HandOff
    hostname: str
    clock: Clock
    emit: Emit
    schedule_ahead: timedelta = timedelta(days=30)
    duplicates_window: timedelta = timedelta(0)
    begin_trace: Callable[[TraceContext | None], TraceContext | None] = as_named

    def refusal(self) -> Reply | None:
        """The reply to MAIL while the spool takes no letters."""
        trouble = self.spool.trouble()
        if trouble is None:
            return None
        return replies.spool_unhealthy(trouble.reason, full=isinstance(trouble, SpoolFull))

    async def take(self, submission: Submission) -> Reply | Verdict:
        """Make the letter durable and say 250, or what there is to wait for, or why not."""
        submission, named = _traced(submission)
        prepared = self._prepare(submission, self.begin_trace(named))
        del submission  # its content was copied, and shall not be kept while we wait for the disk
        if isinstance(prepared, Reply):
            return prepared
        letter, message, planned, room, direct = prepared
        recipients = letter.envelope.recipients
        awaited = None
        if direct is not None:
            awaited = self.hand_off.verdict(letter.queue_id, [r.key for r in recipients])
        admitted_at = self.clock.now()
        try:
            repeat = await self.spool.admit(letter)
        except BaseException as error:
            _let_go(room, awaited)
            if isinstance(error, SpoolError):
                log.warning("letter_not_admitted", **letter.ids, reason=error.reason)
                full = isinstance(error, SpoolFull)
                return replies.SPOOL_FULL if full else replies.spool_unavailable(letter.queue_id)
            raise
        if repeat is not None:
            self.emit(_repeated(letter, repeat, named))
            if len(repeat.keys) == len(recipients):
                _let_go(room, awaited)
                return replies.queued_as(repeat.queue_id)
            letter = _without(letter, repeat.keys)
            if awaited is not None:
                awaited.leave_out(repeat.keys)
        if room is not None:
            room.hand(_queued(letter), message, planned)
        for provider, due_at in zip(letter.providers, letter.due_at, strict=False):
            self.hand_off.expect(provider, due_at)
        self.emit(_received(letter, named, admitted_at, self.clock.now()))
        if awaited is None or direct is None:
            return replies.queued_as(letter.queue_id)
        timeout_s = direct.total_seconds()
        return DirectVerdict(
            letter.queue_id, recipients, awaited, timeout_s, self.spool, letter.ids
        )

    def _prepare(
        self, submission: Submission, trace_context: TraceContext | None
    ) -> tuple[NewLetter, Message, Planned, Room | None, timedelta | None] | Reply:
        """The letter to admit, its header complete, and how long to wait; or the refusal."""
        arrival = self.clock.now()
        instructed = self._instructed(submission, arrival)
        if isinstance(instructed, Reply):
            return instructed
        as_it_came, (submission, instructions) = submission, instructed
        queue_id = self.spool.new_queue_id(arrival)
        try:
            completed = trace.complete(
                submission, queue_id=queue_id, hostname=self.hostname, now=arrival
            )
        except SealedPart:
            return replies.SEALED
        message = self.planner.message(completed.content, submission.envelope, instructions)
        plans = self._plans(submission, message, instructions, queue_id)
        if isinstance(plans, Reply):
            return plans
        providers = tuple(plan.candidates[0] for plan in plans)
        due_at = _due_at(plans, instructions, arrival)
        priority = instructions.priority
        if priority is None:
            priority = priority_from(completed.content)
        mark = self._mark(as_it_came, completed.message_id, queue_id, instructions)
        room = None
        if not due_at:
            reverse_path = submission.envelope.reverse_path
            room = self.hand_off.reserve(
                set(providers),
                [recipient.forward_path for recipient in submission.envelope.recipients],
                octets=message.size,
                priority=priority,
                sender="" if reverse_path is None else reverse_path.text,
                at_once=instructions.send_at is None,
            )
        letter = NewLetter(
            queue_id=queue_id,
            envelope=submission.envelope,
            content=completed.content,
            arrival=arrival,
            listener=submission.listener,
            client=str(submission.client),
            message_id=completed.message_id,
            repairs=completed.repairs,
            providers=providers,
            leased=room is not None,
            instructions=instructions,
            due_at=due_at,
            mark=mark,
            user=submission.client.user,
            priority=priority,
            trace=trace_context,
            begun_at=arrival if room is not None and room.begun else None,
        )
        keys = (recipient.key for recipient in submission.envelope.recipients)
        planned = Planned(self.planner.edition, dict(zip(keys, plans, strict=True)))
        return letter, message, planned, room, _direct_timeout(plans, instructions)

    def _mark(
        self, as_it_came: Submission, message_id: str, queue_id: str, instructions: Instructions
    ) -> Mark | None:
        """What the letter is known by when it comes again; `None` where it cannot be told."""
        if not self.duplicates_window:
            return None
        client = as_it_came.client.user or _elsewhere(as_it_came.client.address)
        since = self.clock.now() - self.duplicates_window
        if instructions.idempotency_key:
            return mark_of_key(client, instructions.idempotency_key, since)
        if not message_id or queue_id in message_id:
            return None  # the Message-ID is ours: devices send equal letters that are not the same
        return mark_of_letter(client, message_id, as_it_came.content, since)

    def _instructed(
        self, submission: Submission, now: datetime
    ) -> tuple[Submission, Instructions] | Reply:
        """The letter without its instructions, and what they are; or why they cannot be obeyed."""
        content, fields = take_out(submission.content)
        if not fields:
            return submission, NO_INSTRUCTIONS
        instructions = parse_instructions(fields, self.planner.vocabulary(self.schedule_ahead), now)
        if isinstance(instructions, BadInstruction):
            return replies.bad_instruction(instructions.name, instructions.reason)
        if instructions.options.mailing_list and len(submission.envelope.recipients) > 1:
            # Whoever carries it one recipient at a time would send it to the whole list each time.
            return replies.bad_instruction(f"{PREFIX}List", "allows one recipient, not several")
        return replace(submission, content=content), instructions

    def _plans(
        self, submission: Submission, message: Message, instructions: Instructions, queue_id: str
    ) -> list[Plan] | Reply:
        """A plan for each recipient, or the refusal when one has nobody to carry its letter."""
        plans: list[Plan] = []
        for recipient in submission.envelope.recipients:
            plan = self.planner.plan(
                message,
                reverse_path=submission.envelope.reverse_path,
                forward_path=recipient.forward_path,
                listener=submission.listener,
                user=submission.client.user,
                instructions=instructions,
                queue_id=queue_id,
            )
            if plan is None:
                return replies.NO_ROUTE
            if not plan.candidates:
                return replies.cannot_be_carried(_reason(plan))
            plans.append(plan)
        return plans


def _let_go(room: Room | None, awaited: Awaited | None) -> None:
    """Undo what was made ready for a letter that is not in the spool after all."""
    if room is not None:
        room.release()
    if awaited is not None:
        awaited.forget()


def _traced(submission: Submission) -> tuple[Submission, TraceContext | None]:
    """The letter without the fields that name its trace, and the trace."""
    content, named = take_trace(submission.content)
    if content is submission.content:
        return submission, None
    return replace(submission, content=content), named


def _due_at(
    plans: Iterable[Plan], instructions: Instructions, arrival: datetime
) -> tuple[datetime, ...]:
    """When each recipient is due; empty where all are at once, or their providers keep the time."""
    send_at = instructions.send_at
    if send_at is None:
        return ()
    due_at = tuple(arrival if plan.options.send_at else send_at for plan in plans)
    return () if all(moment == arrival for moment in due_at) else due_at


def _direct_timeout(plans: Sequence[Plan], instructions: Instructions) -> timedelta | None:
    """How long the client of a letter waits for a verdict; `None` in queue mode."""
    modes = (
        {plan.route.mode for plan in plans} if instructions.mode is None else {instructions.mode}
    )
    if modes != {Mode.DIRECT} or instructions.send_at is not None:
        return None
    return min(plan.route.direct_timeout for plan in plans)


def _reason(plan: Plan) -> str:
    """Why no provider of a route can carry a letter, fit for the wire."""
    return "; ".join(
        f"{provider}: {shortfalls[0].reason}"
        for provider, shortfalls in plan.passed_over.items()
        if shortfalls
    )


def _queued(letter: NewLetter) -> QueuedMessage:
    envelope = letter.envelope
    return QueuedMessage(
        queue_id=letter.queue_id,
        arrival=letter.arrival,
        reverse_path=envelope.reverse_path,
        body=envelope.body,
        smtputf8=envelope.smtputf8,
        ret=envelope.ret,
        envid=envelope.envid,
        listener=letter.listener,
        size=len(letter.content),
        message_id=letter.message_id,
        recipients=tuple(
            QueuedRecipient(recipient, State.WAITING, provider, attempts=0)
            for recipient, provider in zip(envelope.recipients, letter.providers, strict=True)
        ),
        instructions=letter.instructions,
        user=letter.user,
        priority=letter.priority,
        trace=letter.trace,
    )


def _elsewhere(address: str) -> str:
    """A client's address; that of this machine is empty, as it is for a socket or the maildrop."""
    return "" if address.startswith("127.") or address == "::1" else address


def _without(letter: NewLetter, keys: frozenset[int]) -> NewLetter:
    """The letter for the others alone."""
    envelope = letter.envelope
    kept = [place for place, r in enumerate(envelope.recipients) if r.key not in keys]
    return replace(
        letter,
        envelope=replace(envelope, recipients=tuple(envelope.recipients[p] for p in kept)),
        providers=tuple(letter.providers[p] for p in kept),
        due_at=tuple(letter.due_at[p] for p in kept) if letter.due_at else (),
    )


def _repeated(letter: NewLetter, repeat: Repeat, named: TraceContext | None) -> LetterRepeated:
    return LetterRepeated(
        at=letter.arrival,
        queue_id=repeat.queue_id,
        listener=letter.listener,
        client=letter.client,
        recipients=len(repeat.keys),
        message_id=letter.message_id,
        trace=letter.trace,
        parent=named,
    )


def _received(
    letter: NewLetter,
    named: TraceContext | None,
    admitted_at: datetime,
    stored_at: datetime,
) -> LetterReceived:
    reverse_path = letter.envelope.reverse_path
    return LetterReceived(
        at=letter.arrival,
        queue_id=letter.queue_id,
        listener=letter.listener,
        client=letter.client,
        reverse_path=reverse_path.addr_spec if reverse_path else "",
        recipients=len(letter.envelope.recipients),
        size=len(letter.content),
        message_id=letter.message_id,
        repairs=letter.repairs,
        trace=letter.trace,
        parent=named,
        admitted_at=admitted_at,
        stored_at=stored_at,
    )
