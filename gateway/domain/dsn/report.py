"""What a report is made of: its addresses, the letter it speaks of, and the fate of recipients."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gateway.domain.notification import Action
from providers.contract.address import Address
from providers.contract.envelope import Recipient


@dataclass(frozen=True, slots=True)
class Fate:
    """
    What became of one recipient.

    Attributes:
        recipient: Forward-path and ORCPT.
        action: What the report says of it.
        status: Enhanced status code (RFC 3463) whose class fits the action.
        diagnostic: What the provider, or we, said of the last attempt.
        remote_mta: Host name of the SMTP server whose reply that was; empty where it was not one.
        attempted_at: The end of the last attempt.
        expired: It failed by age.
        doubtful: The answer to the last attempt was lost: the letter may have arrived.
    """

    recipient: Recipient
    action: Action
    status: str
    diagnostic: str
    remote_mta: str
    attempted_at: datetime
    expired: bool = False
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Original:
    """
    The letter that a report speaks of.

    Attributes:
        queue_id: Ours.
        sender: Its reverse-path.
        arrival: When it came in.
        subject: Decoded, one line.
        message_id: With angle brackets, as received.
        envid: The ENVID parameter, xtext as received.
        smtputf8: Its header may hold UTF-8.
        header: Its header block, CRLF line ends.
        content: The whole of it, where it is to be returned whole.
        source_ip: Whom it came from; empty where it did not come over IP.
    """

    queue_id: str
    sender: Address
    arrival: datetime
    subject: str
    message_id: str
    envid: str | None
    smtputf8: bool
    header: bytes
    content: bytes | None = None
    source_ip: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """
    One report.

    Attributes:
        queue_id: Of the report as a letter of its own.
        hostname: Ours.
        from_: Who it is from for its reader.
        to: Whom it goes to: the original's sender, or the postmaster who gets a copy.
        now: When it is made.
        original: What it speaks of.
        fates: At least one, each recipient once; complaints come by themselves.
        give_up_at: Until when a delayed letter is tried.
    """

    queue_id: str
    hostname: str
    from_: Address
    to: Address
    now: datetime
    original: Original
    fates: tuple[Fate, ...]
    give_up_at: datetime

    def __post_init__(self) -> None:
        if not self.fates:
            raise ValueError("a report speaks of a recipient")
        if len({fate.action is Action.COMPLAINED for fate in self.fates}) > 1:
            raise ValueError("a report speaks of complaints or of deliveries")

    @property
    def action(self) -> Action:
        """The gravest of its recipients' actions."""
        found = {fate.action for fate in self.fates}
        return next(action for action in Action if action in found)

    @property
    def is_complaint(self) -> bool:
        """Whether it is of RFC 5965 instead of RFC 3464."""
        return self.action is Action.COMPLAINED

    @property
    def message_id(self) -> str:
        """Its own, with angle brackets."""
        return f"<{self.queue_id}@{self.hostname}>"

    @property
    def is_copy(self) -> bool:
        """Whether it goes to somebody else than the original's sender."""
        return self.to != self.original.sender
