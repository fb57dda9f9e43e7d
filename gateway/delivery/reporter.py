"""
Telling senders: of which recipients of an ended attempt, by whom, and whether at all.

Asked by `attempt` before an outcome is recorded, and by `aftermath` when a provider tells more of a
letter that it took; what it answers goes into the same record. Who is told what stands in
`domain.notification`, the words in `domain.dsn`; `report_writer` makes letters of reports. It
records nothing itself and waits for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from gateway.delivery.record import Attempt, Ending
from gateway.delivery.report_rules import ReportRules
from gateway.delivery.report_writer import ReportWriter
from gateway.domain.allowance import Allowance
from gateway.domain.dsn import Fate, Original
from gateway.domain.events import SenderTold
from gateway.domain.later import client_address, complaint_fate, later_fate
from gateway.domain.notification import Action, Result, action_for, why_not_answered
from gateway.planner import Planner
from gateway.spool.values import NewLetter, QueuedMessage, QueuedRecipient
from providers.contract.address import Address
from providers.contract.clock import Clock
from providers.contract.envelope import Notify, Ret
from providers.contract.outcome import Kind
from providers.contract.tracking import EventType, TrackingEvent
from providers.mime import decode_field, find_field, header_block

_FAILURE = frozenset({Notify.FAILURE})
_NOT_DELIVERED = frozenset({EventType.BOUNCED, EventType.REJECTED, EventType.FAILED})
REPORTED_LATER = _NOT_DELIVERED | {EventType.COMPLAINED}
"""What a provider tells of a letter that it took, and its sender is to know."""
_SMTP_REPLY = re.compile(r"[2-5]\d\d[ -]")
_MAX_SUBJECT = 200  # characters of an original's subject that are shown


@dataclass(frozen=True, slots=True)
class Notice:
    """
    What is done about telling a sender.

    Attributes:
        letters: Reports to admit with the outcome.
        note: For the story of each recipient that is spoken of.
        event: To emit once it is recorded.
        actions: By key, the recipients that call for a report, whether there is one or not.
    """

    letters: tuple[NewLetter, ...]
    note: str
    event: SenderTold
    actions: Mapping[int, Action]

    def warns_of(self, key: int) -> bool:
        """Whether it is now decided if the sender is warned of this recipient's delay."""
        return self.actions.get(key) is Action.DELAYED


@dataclass(frozen=True, slots=True)
class _Occasion:
    """An ended attempt, and the recipients of it that call for a report."""

    attempt: Attempt
    called: tuple[tuple[Ending, Action], ...]
    ended_at: datetime
    give_up_at: datetime

    @property
    def letter(self) -> QueuedMessage:
        return self.attempt.letter

    @property
    def content(self) -> bytes:
        return self.attempt.message.content


class Reporter:
    """
    Makes reports for all attempts; what senders are sent is limited over all of them.

    Args:
        rules: How.
        planner: Tells who can carry a report.
        new_queue_id: Of the spool.
        clock: For the limits, which begin anew with the process.
    """

    def __init__(
        self,
        rules: ReportRules,
        planner: Planner,
        new_queue_id: Callable[[datetime], str],
        clock: Clock,
    ) -> None:
        self._rules = rules
        self._writer = ReportWriter(rules, planner, new_queue_id)
        self._clock = clock
        self._allowance = Allowance(rules.per_sender, rules.total)

    def reconfigure(self, rules: ReportRules) -> None:
        """From now on tell senders by these; limits begin anew only where they have changed."""
        before, self._rules = self._rules, rules
        self._writer.reconfigure(rules)
        if (rules.per_sender, rules.total) != (before.per_sender, before.total):
            self._allowance = Allowance(rules.per_sender, rules.total)

    def is_late(self, letter: QueuedMessage, recipients: Iterable[QueuedRecipient]) -> bool:
        """Whether a sender is to be warned that recipients still wait, and was not yet."""
        warning = self._rules.delay_warning
        if not warning or self._clock.now() - letter.wanted_at < warning:
            return False
        return not all(queued.warned for queued in recipients)

    def notice(
        self,
        attempt: Attempt,
        endings: Iterable[Ending],
        *,
        ended_at: datetime,
        give_up_at: datetime,
    ) -> Notice | None:
        """
        What to do about telling the sender; `None` where nothing calls for a report.

        Args:
            attempt: The attempt.
            endings: Of its recipients.
            ended_at: When.
            give_up_at: Until when what still waits is tried.
        """
        old = bool(self._rules.delay_warning) and (
            ended_at - attempt.letter.wanted_at >= self._rules.delay_warning
        )
        called = tuple(
            (ending, action)
            for ending in endings
            if (action := _action_for(ending, old=old, now=ended_at)) is not None
        )
        if not called:
            return None
        occasion = _Occasion(attempt, called, ended_at, give_up_at)
        made = self._letters(occasion)
        letters, result = ((), made) if isinstance(made, Result) else (made, Result.QUEUED)
        event = _event(occasion, letters, result)
        return Notice(letters, _note(event), event, {e.key: action for e, action in called})

    def later(
        self, letter: QueuedMessage, event: TrackingEvent, now: datetime
    ) -> tuple[tuple[NewLetter, ...], SenderTold] | None:
        """
        What to do about telling the sender of what a provider told after it took a letter.

        Args:
            letter: Its record, with the one recipient that is spoken of.
            event: A bounce or another end without delivery, which becomes an RFC 3464 report, or
                a complaint, which becomes one of RFC 5965.
            now: The moment of the report.

        Returns:
            The report to admit, with the postmaster's copy, and the event to emit then; neither
            letter where there is a reason against it, and `None` where the sender asked not to be
            told, or there is nothing to tell. The letter's content is gone by now: its Message-ID
            is what the report gives back of it.
        """
        (queued,) = letter.recipients
        if not _is_wanted(queued.recipient.notify or _FAILURE, event.event_type):
            return None
        fate_of = later_fate if event.event_type in _NOT_DELIVERED else complaint_fate
        fate = fate_of(queued.recipient, event)
        made = self._later(letter, fate, now)
        letters, result = ((), made) if isinstance(made, Result) else (made, Result.QUEUED)
        sender = letter.reverse_path
        told = SenderTold(
            at=now,
            queue_id=letter.queue_id,
            reverse_path="" if sender is None else sender.addr_spec,
            action=fate.action,
            result=result,
            recipients=1,
            report_id=letters[0].queue_id if letters else "",
            provider=letters[0].providers[0] if letters else "",
            message_id=letter.message_id,
            trace=letter.trace,
        )
        return letters, told

    def _later(
        self, letter: QueuedMessage, fate: Fate, now: datetime
    ) -> tuple[NewLetter, ...] | Result:
        sender = letter.reverse_path
        refusal = why_not_answered(
            sender, auto_submitted="", content_type="", own=self._rules.from_
        )
        if refusal is not None or sender is None:
            return refusal or Result.NULL_REVERSE_PATH
        header = f"Message-ID: {letter.message_id}\r\n".encode() if letter.message_id else b""
        original = _original(letter, sender, header, None)
        return self._within_limits(letter, original, (fate,), at=now, give_up_at=now)

    def _letters(self, occasion: _Occasion) -> tuple[NewLetter, ...] | Result:
        """The report, with its copy where one is wanted; or why there is none."""
        sender = occasion.letter.reverse_path
        header = header_block(occasion.content)
        refusal = why_not_answered(
            sender,
            auto_submitted=_text(header, "Auto-Submitted"),
            content_type=_text(header, "Content-Type"),
            own=self._rules.from_,
        )
        if refusal is not None or sender is None:
            return refusal or Result.NULL_REVERSE_PATH
        return self._within_limits(
            occasion.letter,
            _original(
                occasion.letter,
                sender,
                header,
                occasion.content if self._comes_back(occasion) else None,
            ),
            tuple(self._fate(occasion, ending, action) for ending, action in occasion.called),
            at=occasion.ended_at,
            give_up_at=occasion.give_up_at,
        )

    def _within_limits(
        self,
        letter: QueuedMessage,
        original: Original,
        fates: tuple[Fate, ...],
        *,
        at: datetime,
        give_up_at: datetime,
    ) -> tuple[NewLetter, ...] | Result:
        """The letters, unless the sender or all together have had too many; counted where made."""
        sender, now = original.sender.folded, self._clock.monotonic()
        if not self._allowance.has_room(sender, now):
            return Result.RATE_LIMITED
        letters = self._writer.write(letter, original, fates, at=at, give_up_at=give_up_at)
        if not letters:
            return Result.NO_CARRIER
        self._allowance.take(sender, now)
        return letters

    def _comes_back(self, occasion: _Occasion) -> bool:
        """
        Whether the letter is returned whole.

        RET speaks of failures only (RFC 3461 4.3). What could not be carried for what it is would
        not be carried as a part of the report either.
        """
        return (
            occasion.letter.ret is Ret.FULL
            and len(occasion.content) <= self._rules.return_octets
            and any(action is Action.FAILED for _, action in occasion.called)
            and all(ending.outcome.kind is not Kind.UNSUPPORTED for ending, _ in occasion.called)
        )

    def _fate(self, occasion: _Occasion, ending: Ending, action: Action) -> Fate:
        outcome, status = ending.outcome, ending.disposition.status
        if action is Action.DELAYED:
            status = f"4{status[1:]}"  # where one provider cannot carry it, and another is tried
        by_mta = _SMTP_REPLY.match(outcome.diagnostic)
        return Fate(
            recipient=ending.queued.recipient,
            action=action,
            status=status,
            diagnostic=outcome.diagnostic,
            remote_mta=self._rules.remote_mtas.get(occasion.attempt.provider, "") if by_mta else "",
            attempted_at=occasion.ended_at,
            expired=ending.disposition.expired,
            doubtful=outcome.kind is Kind.UNCERTAIN,
        )


def _action_for(ending: Ending, *, old: bool, now: datetime) -> Action | None:
    return action_for(
        ending.queued.recipient,
        ending.outcome,
        ending.disposition,
        overdue=old and not ending.queued.warned,
        now=now,
    )


def _is_wanted(notify: frozenset[Notify], event: EventType) -> bool:
    """
    Whether NOTIFY has the sender told of what came later.

    It speaks of delivery, which a complaint is not: only NEVER is heard as a word on that.
    """
    if event in _NOT_DELIVERED:
        return Notify.FAILURE in notify
    return event is EventType.COMPLAINED and Notify.NEVER not in notify


def _original(
    letter: QueuedMessage, sender: Address, header: bytes, content: bytes | None
) -> Original:
    return Original(
        queue_id=letter.queue_id,
        sender=sender,
        arrival=letter.arrival,
        subject=decode_field(find_field(header, "Subject") or b"")[:_MAX_SUBJECT],
        message_id=letter.message_id,
        envid=letter.envid,
        smtputf8=letter.smtputf8,
        header=header,
        content=content,
        source_ip=client_address(letter.client, letter.user),
    )


def _event(occasion: _Occasion, letters: tuple[NewLetter, ...], result: Result) -> SenderTold:
    actions = {action for _, action in occasion.called}
    sender = occasion.letter.reverse_path
    return SenderTold(
        at=occasion.ended_at,
        queue_id=occasion.letter.queue_id,
        reverse_path="" if sender is None else sender.addr_spec,
        action=next(action for action in Action if action in actions),
        result=result,
        recipients=len(occasion.called),
        report_id=letters[0].queue_id if letters else "",
        provider=letters[0].providers[0] if letters else "",
        message_id=occasion.letter.message_id,
        trace=occasion.letter.trace,
    )


_WHY_NOT = {
    Result.NULL_REVERSE_PATH: "its reverse-path is <>",
    Result.AUTOMATIC: "it is a report or an automatic answer itself",
    Result.RATE_LIMITED: "the limit of reports is reached",
    Result.NO_CARRIER: "no provider of the route can carry a report",
}


def _note(event: SenderTold) -> str:
    """A line for the story."""
    if event.result is Result.QUEUED:
        return f"report {event.report_id} to {event.reverse_path}: {event.action}"
    return f"no report ({event.action}): {_WHY_NOT[event.result]}"


def _text(header: bytes, name: str) -> str:
    return (find_field(header, name) or b"").decode("latin-1")
