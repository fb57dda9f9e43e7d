"""
An attempt as values: what is asked of a provider, what the spool writes, what the events tell.

Makes nothing happen. Between `lane`, whose jobs become attempts, and `attempt`, which makes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway.delivery.lane import Job
from gateway.domain.disposition import Disposition
from gateway.domain.events import AttemptEnded, AttemptLost, RecipientSuppressed
from gateway.domain.lifecycle import State
from gateway.domain.suppression import SuppressionReason
from gateway.spool.values import AttemptEnd, AttemptStart, Change, QueuedMessage, QueuedRecipient
from providers.contract.capabilities import Shortfall
from providers.contract.envelope import Envelope
from providers.contract.message import Message
from providers.contract.options import NO_OPTIONS, SendOptions
from providers.contract.outcome import DeliveryOutcome, DeliveryRequest


@dataclass(frozen=True, slots=True)
class Ending:
    """
    How an attempt ended for one recipient, what follows, and what of the letter was lost.

    With `suppressed`, none was made, and the outcome is ours.
    """

    queued: QueuedRecipient
    outcome: DeliveryOutcome
    disposition: Disposition
    losses: tuple[Shortfall, ...] = ()
    suppressed: SuppressionReason | None = None

    @property
    def key(self) -> int:
        """The recipient's."""
        return self.queued.recipient.key


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt: which recipients of which letter, by whom, since when, with which wishes."""

    job: Job
    provider: str
    message: Message
    recipients: list[QueuedRecipient]
    started_at: datetime
    options: SendOptions = NO_OPTIONS

    @property
    def letter(self) -> QueuedMessage:
        """The letter whose recipients these are."""
        return self.job.in_hand.letter

    def starts(self) -> list[AttemptStart]:
        """What to record before it is made."""
        return [
            AttemptStart(
                queue_id=self.letter.queue_id,
                key=queued.recipient.key,
                attempt=queued.attempts + 1,
                before=queued.state,
                provider=self.provider,
                started_at=self.started_at,
            )
            for queued in self.recipients
        ]

    def envelope(self) -> Envelope:
        """The envelope of this attempt."""
        return envelope_of(self.letter, self.recipients)

    def request(self) -> DeliveryRequest:
        """What the provider gets."""
        return DeliveryRequest(
            queue_id=self.letter.queue_id,
            envelope=self.envelope(),
            message=self.message,
            attempt=max(queued.attempts for queued in self.recipients) + 1,
            options=self.options,
        )

    def change(
        self, ending: Ending, ended_at: datetime, *, note: str = "", warned: bool = False
    ) -> Change:
        """
        What to record of one recipient at its end.

        Args:
            ending: The recipient's.
            ended_at: When.
            note: A further line for the story.
            warned: Whether to warn of its delay was decided now.
        """
        queued, suppressed = ending.queued, ending.suppressed is not None
        ended = AttemptEnd(self.provider, self.started_at, ended_at, ending.outcome)
        first = (ending.outcome.diagnostic,) if suppressed else ()
        notes = (*first, *_ledger(self.provider, ending.losses), *((note,) if note else ()))
        return change_of(
            self.letter.queue_id,
            queued,
            ending.disposition,
            before=queued.state if suppressed else State.SENDING,
            ended=None if suppressed else ended,
            diagnostic=ending.outcome.diagnostic,
            notes=notes,
            warned=warned or queued.warned,
        )

    def event(self, ending: Ending, ended_at: datetime) -> AttemptEnded | RecipientSuppressed:
        """What to tell of one recipient once it is recorded."""
        if ending.suppressed is not None:
            return RecipientSuppressed(
                at=ended_at,
                queue_id=self.letter.queue_id,
                forward_path=ending.queued.recipient.forward_path.addr_spec,
                provider=self.provider,
                reason=ending.suppressed,
                message_id=self.letter.message_id,
                trace=self.letter.trace,
            )
        return AttemptEnded(
            queue_id=self.letter.queue_id,
            forward_path=ending.queued.recipient.forward_path.addr_spec,
            provider=self.provider,
            attempt=ending.queued.attempts + 1,
            # A letter with a time of its own is not late before it.
            arrival=min(self.letter.wanted_at, self.job.in_hand.claimed_at),
            claimed_at=self.job.in_hand.claimed_at,
            started_at=self.started_at,
            ended_at=ended_at,
            outcome=ending.outcome,
            state=ending.disposition.state,
            due_at=ending.disposition.due_at,
            expired=ending.disposition.expired,
            losses=ending.losses,
            message_id=self.letter.message_id,
            trace=self.letter.trace,
        )

    def lost_event(self, ending: Ending, ended_at: datetime) -> AttemptLost:
        """What to tell of one that was not ours any more."""
        return AttemptLost(
            at=ended_at,
            queue_id=self.letter.queue_id,
            recipient_key=ending.key,
            provider=self.provider,
            outcome=ending.outcome,
            message_id=self.letter.message_id,
            trace=self.letter.trace,
        )


def change_of(
    queue_id: str,
    queued: QueuedRecipient,
    disposition: Disposition,
    *,
    before: State,
    ended: AttemptEnd | None = None,
    diagnostic: str = "",
    notes: tuple[str, ...] = (),
    warned: bool = False,
) -> Change:
    """What to record of a recipient, whether an attempt was made, which tells its own, or not."""
    return Change(
        queue_id=queue_id,
        key=queued.recipient.key,
        attempts=queued.attempts + (ended is not None),
        before=before,
        after=disposition.state,
        due_at=disposition.due_at,
        provider=disposition.provider,
        excluded=disposition.excluded,
        status=disposition.status,
        diagnostic=ended.outcome.diagnostic if ended else diagnostic,
        provider_message_id=ended.outcome.provider_message_id if ended else "",
        ended=ended,
        notes=notes,
        warned=warned,
    )


def envelope_of(letter: QueuedMessage, recipients: Sequence[QueuedRecipient]) -> Envelope:
    """A letter's envelope with some of its recipients."""
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
