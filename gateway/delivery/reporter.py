"""
Telling senders: of which recipients of an ended attempt, by whom, and whether at all.

Asked by `attempt` before an outcome is recorded; what it answers goes into the same record. Who is
told what stands in `domain.notification`, the words in `domain.dsn`; here a report becomes a letter
with a provider that can carry it. It writes nothing itself and waits for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog

from gateway.delivery.record import Attempt, Ending
from gateway.delivery.report_rules import ReportRules
from gateway.domain.allowance import Allowance
from gateway.domain.dsn import Fate, Original, Report, build_plain_report, build_report
from gateway.domain.events import SenderTold
from gateway.domain.later import later_fate
from gateway.domain.notification import Action, Result, action_for, why_not_answered
from gateway.planner import Planner
from gateway.spool.protocol import NewLetter, QueuedMessage, QueuedRecipient
from providers.contract.address import Address
from providers.contract.clock import Clock
from providers.contract.envelope import BodyType, Envelope, Notify, Recipient, Ret
from providers.contract.outcome import Kind
from providers.contract.tracking import EventType, TrackingEvent
from providers.mime import decode_field, find_field, header_block

log = structlog.get_logger("gateway.delivery")

_NEVER = frozenset({Notify.NEVER})
_FAILURE = frozenset({Notify.FAILURE})
NOT_DELIVERED = frozenset({EventType.BOUNCED, EventType.REJECTED, EventType.FAILED})
"""What a provider tells of a letter that it took, and that never arrives."""
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
        self._planner = planner
        self._new_queue_id = new_queue_id
        self._clock = clock
        self._allowance = Allowance(rules.per_sender, rules.total)

    def reconfigure(self, rules: ReportRules) -> None:
        """From now on tell senders by these; limits begin anew only where they have changed."""
        before, self._rules = self._rules, rules
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
            event: A bounce, or another end without delivery.
            now: The moment of the report.

        Returns:
            The report to admit, if there is one, and the event to emit then; `None` where the
            sender asked not to be told, or nothing has failed. The letter's content is gone by
            now: its Message-ID is what the report gives back of it.
        """
        (queued,) = letter.recipients
        wanted = queued.recipient.notify or _FAILURE
        if event.event_type not in NOT_DELIVERED or Notify.FAILURE not in wanted:
            return None
        made = self._later(letter, later_fate(queued.recipient, event), now)
        letters, result = ((), made) if isinstance(made, Result) else (made, Result.QUEUED)
        sender = letter.reverse_path
        told = SenderTold(
            at=now,
            queue_id=letter.queue_id,
            reverse_path="" if sender is None else sender.addr_spec,
            action=Action.FAILED,
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
        monotonic = self._clock.monotonic()
        if not self._allowance.has_room(sender.folded, monotonic):
            return Result.RATE_LIMITED
        header = f"Message-ID: {letter.message_id}\r\n".encode() if letter.message_id else b""
        original = _original(letter, sender, header, None)
        report = self._letter(letter, sender, original, (fate,), at=now, give_up_at=now)
        if report is None:
            return Result.NO_CARRIER
        self._allowance.take(sender.folded, monotonic)
        return (report,)

    def _letters(self, occasion: _Occasion) -> tuple[NewLetter, ...] | Result:
        """The report, with its copy where one is wanted; or why there is none."""
        rules, sender = self._rules, occasion.letter.reverse_path
        header = header_block(occasion.content)
        refusal = why_not_answered(
            sender,
            auto_submitted=_text(header, "Auto-Submitted"),
            content_type=_text(header, "Content-Type"),
            own=rules.from_,
        )
        if refusal is not None or sender is None:
            return refusal or Result.NULL_REVERSE_PATH
        now = self._clock.monotonic()
        if not self._allowance.has_room(sender.folded, now):
            return Result.RATE_LIMITED
        fates = tuple(self._fate(occasion, ending, action) for ending, action in occasion.called)
        whole = occasion.content if self._comes_back(occasion) else None
        report = self._letter(
            occasion.letter,
            sender,
            _original(occasion.letter, sender, header, whole),
            fates,
            at=occasion.ended_at,
            give_up_at=occasion.give_up_at,
        )
        if report is None:
            return Result.NO_CARRIER
        self._allowance.take(sender.folded, now)
        copy = self._copy(occasion, sender, header, fates)
        return (report,) if copy is None else (report, copy)

    def _copy(
        self, occasion: _Occasion, sender: Address, header: bytes, fates: tuple[Fate, ...]
    ) -> NewLetter | None:
        """The postmaster's copy: of failures, and without the letter, which is not theirs."""
        postmaster = self._rules.postmaster
        failed = tuple(fate for fate in fates if fate.action is Action.FAILED)
        if postmaster is None or postmaster == sender or not failed:
            return None
        original = _original(occasion.letter, sender, header, None)
        copy = self._letter(
            occasion.letter,
            postmaster,
            original,
            failed,
            at=occasion.ended_at,
            give_up_at=occasion.give_up_at,
        )
        if copy is None:
            log.warning("postmaster_not_told", **occasion.letter.ids)
        return copy

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

    def _letter(
        self,
        letter: QueuedMessage,
        to: Address,
        original: Original,
        fates: tuple[Fate, ...],
        *,
        at: datetime,
        give_up_at: datetime,
    ) -> NewLetter | None:
        """
        A report as a letter for the first who can carry it; `None` where nobody can.

        It leaves by the routes of the listener that gave us the cause, and in its letter's trace.
        """
        report = Report(
            queue_id=self._new_queue_id(at),
            hostname=self._rules.hostname,
            from_=self._rules.author,
            to=to,
            now=at,
            original=original,
            fates=fates,
            give_up_at=give_up_at,
        )
        for reverse_path, content in self._forms(report):
            envelope = _envelope(reverse_path, to, content)
            plan = self._planner.plan(
                self._planner.message(content, envelope),
                reverse_path=reverse_path,
                forward_path=to,
                listener=letter.listener,
            )
            if plan is not None and plan.candidates:
                return NewLetter(
                    queue_id=report.queue_id,
                    envelope=envelope,
                    content=content,
                    arrival=at,
                    listener=letter.listener,
                    client=f"this gateway, reporting on {original.queue_id}",
                    message_id=report.message_id,
                    providers=plan.candidates[:1],
                    leased=False,
                    trace=letter.trace,
                )
        return None

    def _forms(self, report: Report) -> Iterator[tuple[Address | None, bytes]]:
        """
        The ways to put a report, the best first: reverse-path and content.

        As RFC 3461 6.1 wants it; from an address of ours, for SMTP servers that take confirmed
        senders only; as one text from that address, for APIs, which take no multipart/report.
        """
        content = build_report(report)
        yield None, content
        if self._rules.from_ is not None:
            yield self._rules.from_, content
            yield self._rules.from_, build_plain_report(report)


def _action_for(ending: Ending, *, old: bool, now: datetime) -> Action | None:
    return action_for(
        ending.queued.recipient,
        ending.outcome,
        ending.disposition,
        overdue=old and not ending.queued.warned,
        now=now,
    )


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
    )


def _envelope(reverse_path: Address | None, to: Address, content: bytes) -> Envelope:
    """NOTIFY=NEVER: nobody reports on a report."""
    return Envelope(
        reverse_path=reverse_path,
        recipients=(Recipient(0, to, notify=_NEVER),),
        body=BodyType.SEVEN_BIT if content.isascii() else BodyType.EIGHT_BIT_MIME,
        smtputf8=to.needs_smtputf8,
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
