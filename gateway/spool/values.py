"""
What goes into a spool and comes out of it: letters, attempts, changes, filters, stories.

Plain values, the same for every engine. Times are aware and in UTC; queue ids are their text. Sits
under `protocol`, which says what is done with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from gateway.domain.duplicates import Mark
from gateway.domain.instructions import NO_INSTRUCTIONS, Instructions
from gateway.domain.lifecycle import State
from gateway.domain.pauses import Pause
from gateway.domain.repair import Repair
from gateway.domain.trace_context import TraceContext, letter_ids
from gateway.domain.window import Priority
from providers.contract.address import Address
from providers.contract.envelope import BodyType, Envelope, Recipient, Ret
from providers.contract.outcome import DeliveryOutcome


@dataclass(frozen=True, slots=True)
class NewLetter:
    """
    A letter to admit.

    Attributes:
        queue_id: From `Spool.new_queue_id`; the content's Received field tells it already.
        envelope: As the client gave it, all recipients.
        content: CRLF line ends, trace header fields added.
        arrival: When the end of its data was seen.
        listener: Name of the listener it came by.
        client: Who sent it, for the story: address, user name.
        message_id: Value of its Message-ID field, with angle brackets.
        providers: For each recipient in order, who shall have it first.
        leased: The caller delivers it at once; else it waits for `claim`.
        begun_at: When a first attempt for all its recipients begins, recorded with the letter:
            the caller makes it as soon as the letter is admitted. `None`: none does; else `leased`.
        repairs: What its client needed, for the story.
        instructions: The client's; kept with the letter as far as delivery needs them.
        due_at: For each recipient in order, when it is due; empty: all at once.
        user: The name that the client logged in with; empty without.
        priority: How urgent it is.
        mark: What it is known by when it comes again; `None`: it is a letter of its own each time.
        trace: The trace that it belongs to.
    """

    queue_id: str
    envelope: Envelope
    content: bytes
    arrival: datetime
    listener: str
    client: str
    message_id: str
    providers: tuple[str, ...]
    leased: bool
    repairs: tuple[Repair, ...] = ()
    instructions: Instructions = NO_INSTRUCTIONS
    due_at: tuple[datetime, ...] = ()
    user: str = ""
    priority: Priority = Priority.NORMAL
    mark: Mark | None = None
    trace: TraceContext | None = None
    begun_at: datetime | None = None

    @property
    def ids(self) -> dict[str, str]:
        """What log lines name it by."""
        return letter_ids(self.queue_id, self.message_id, self.trace)


@dataclass(frozen=True, slots=True)
class QueuedRecipient:
    """
    One recipient as the spool has it.

    `state` is what it was before it was claimed (`waiting`, `uncertain`); `attempts` counts those
    made; `excluded` names providers that found out that they cannot carry the letter; `warned` says
    that it was decided before whether to warn the sender of the delay.
    """

    recipient: Recipient
    state: State
    provider: str
    attempts: int
    excluded: tuple[str, ...] = ()
    warned: bool = False


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """
    A letter without its content, and those of its recipients that the caller has leased.

    `client` is who sent it, as its story has it; empty where nobody asked for it.
    """

    queue_id: str
    arrival: datetime
    reverse_path: Address | None
    body: BodyType
    smtputf8: bool
    ret: Ret | None
    envid: str | None
    listener: str
    size: int
    message_id: str
    recipients: tuple[QueuedRecipient, ...]
    instructions: Instructions = NO_INSTRUCTIONS
    user: str = ""
    priority: Priority = Priority.NORMAL
    trace: TraceContext | None = None
    client: str = ""

    @property
    def ids(self) -> dict[str, str]:
        """What log lines name it by."""
        return letter_ids(self.queue_id, self.message_id, self.trace)

    @property
    def wanted_at(self) -> datetime:
        """Since when it is to be sent: its arrival, or the later moment that its client named."""
        send_at = self.instructions.send_at
        return self.arrival if send_at is None else max(self.arrival, send_at)


@dataclass(frozen=True, slots=True)
class AttemptStart:
    """An attempt about to be made; `attempt` counts from 1, `before` is the state it starts in."""

    queue_id: str
    key: int
    attempt: int
    before: State
    provider: str
    started_at: datetime


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """What an attempt was and how it ended, for the story of the letter."""

    provider: str
    started_at: datetime
    ended_at: datetime
    outcome: DeliveryOutcome


@dataclass(frozen=True, slots=True)
class Change:
    """
    A recipient's next state.

    Attributes:
        queue_id: Of the letter.
        key: Of the recipient.
        attempts: How many were made, the ended one counted: the fence against an older holder.
        before: The state it leaves.
        after: The state it reaches, one that the transition table allows.
        due_at: When it needs attention next; `None` where it needs none, or a person's, or when
            it waits for the end of a pause.
        provider: Who has it next, or had it last.
        excluded: Who cannot carry it.
        status: Enhanced status code, empty when there is none yet.
        diagnostic: One line.
        provider_message_id: Empty when unknown.
        ended: The attempt that led here, where one did.
        notes: Lines for the story: losses, reasons.
        warned: Whether to warn the sender of the delay is decided, now or before.
    """

    queue_id: str
    key: int
    attempts: int
    before: State
    after: State
    due_at: datetime | None
    provider: str
    excluded: tuple[str, ...] = ()
    status: str = ""
    diagnostic: str = ""
    provider_message_id: str = ""
    ended: AttemptEnd | None = None
    notes: tuple[str, ...] = ()
    warned: bool = False


@dataclass(frozen=True, slots=True)
class Corrupt:
    """
    A stored letter that cannot be read; its recipients are held, the others flow.

    `message_id` is empty where that is gone too.
    """

    queue_id: str
    reason: str
    message_id: str = ""
    trace: TraceContext | None = None


@dataclass(frozen=True, slots=True)
class CutShort:
    """An attempt that nobody ended: its gateway died or lost its lease. Now `uncertain`."""

    queue_id: str
    key: int
    forward_path: str
    provider: str
    attempt: int
    message_id: str = ""
    trace: TraceContext | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim leased, and what it found cut short or broken."""

    letters: tuple[QueuedMessage, ...] = ()
    cut_short: tuple[CutShort, ...] = ()
    corrupt: tuple[Corrupt, ...] = ()


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was found at start: leases of a former life let go, and attempts cut short."""

    released: int
    cut_short: tuple[CutShort, ...] = ()


@dataclass(frozen=True, slots=True)
class SpoolStats:
    """
    The spool at a moment.

    Attributes:
        accepted: Recipients ever admitted to this spool, purged ones too.
        settled: Recipients ever settled, by state, purged ones too.
        active: Recipients not settled, by provider and state.
        oldest_due: By provider, the moment since when something due has waited untouched.
        ages: By provider and state, unsettled recipients by age since arrival, in the steps of
            `AGE_STEPS_S`.
        octets: What the store takes on disk, free pages left out.
        pauses: By kind and name.
    """

    accepted: int
    settled: Mapping[State, int]
    active: Mapping[tuple[str, State], int]
    oldest_due: Mapping[str, datetime]
    ages: Mapping[tuple[str, State], tuple[int, ...]]
    octets: int
    pauses: tuple[Pause, ...] = ()


@dataclass(frozen=True, slots=True)
class Erasure:
    """
    What an erasure came to.

    Attributes:
        letters: That had the address.
        removed: Recipients that waited and are removed.
        left: Places that keep the address for now: what is being sent, and the reverse-path of
            what has recipients to be settled. Erase again later.
    """

    letters: int = 0
    removed: int = 0
    left: int = 0

    def __add__(self, other: Erasure) -> Erasure:
        """Both together."""
        return Erasure(
            self.letters + other.letters, self.removed + other.removed, self.left + other.left
        )


AGE_STEPS_S = tuple(300 << step for step in range(9))
"""Upper bounds of the age steps, in seconds, as qshape's; the last step is all that is older."""


@dataclass(frozen=True, slots=True)
class Filter:
    """
    Which recipients a command speaks of: every condition given must hold.

    `address` is a part of the forward-path or the reverse-path, in any case. `older_than` compares
    arrivals.
    """

    queue_id: str = ""
    provider: str = ""
    states: frozenset[State] = frozenset()
    address: str = ""
    older_than: datetime | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """
    One recipient of one letter, as `queue list` shows it.

    `tracked` is how it stands by what was told after the hand-over (`domain.tracking`); only a
    story tells it.
    """

    queue_id: str
    key: int
    arrival: datetime
    size: int
    reverse_path: str
    forward_path: str
    state: State
    provider: str
    attempts: int
    due_at: datetime | None
    status: str
    diagnostic: str
    provider_message_id: str
    message_id: str
    tracked: str = ""
    trace: TraceContext | None = None

    @property
    def ids(self) -> dict[str, str]:
        """What log lines name its letter by."""
        return letter_ids(self.queue_id, self.message_id, self.trace)


@dataclass(frozen=True, slots=True)
class StoryLine:
    """
    One thing that happened to a letter.

    `key` is the recipient's, `None` where it concerns the whole letter; `what` is a word of
    `received`, `attempt`, `note`, `event`. Of an attempt, `queued_s` tells the seconds that the
    recipient waited before it, since the letter came or since the attempt before; `took_s` how long
    the provider had it. Of an event, told after the hand-over, `kind` is the word of `EventType`
    and `provider` who told it.
    """

    at: datetime
    key: int | None
    what: str
    provider: str = ""
    attempt: int = 0
    ended_at: datetime | None = None
    kind: str = ""
    scope: str = ""
    status: str = ""
    text: str = ""
    provider_message_id: str = ""
    queued_s: float | None = None
    took_s: float | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """All that the spool knows of one letter, in the order it happened."""

    queue_id: str
    arrival: datetime
    listener: str
    client: str
    reverse_path: str
    message_id: str
    size: int
    content_kept: bool
    recipients: tuple[Listed, ...]
    lines: tuple[StoryLine, ...]
    trace: TraceContext | None = None
