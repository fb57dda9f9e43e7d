"""
Whose sender is told what of a letter: RFC 3461, RFC 5321 4.5.5 and 6.1 as rules.

Pure. `delivery.reporter` asks, `dsn` writes what is then to be written. Sits on `disposition`.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from gateway.domain.disposition import Disposition
from gateway.domain.lifecycle import State
from providers.contract.address import Address
from providers.contract.envelope import Notify, Recipient
from providers.contract.outcome import DeliveryOutcome


class Action(StrEnum):
    """
    What a report says of a recipient, the gravest first.

    The words are those of RFC 3464 2.3.3; a complaint comes in a report of its own, of RFC 5965.
    """

    FAILED = "failed"
    DELAYED = "delayed"
    RELAYED = "relayed"
    COMPLAINED = "complained"


class Result(StrEnum):
    """What came of telling a sender; a label of `bounces_total`."""

    QUEUED = "queued"  # the report is a letter in the spool
    NULL_REVERSE_PATH = "null_reverse_path"  # there is nobody to tell
    AUTOMATIC = "automatic"  # the letter was a report itself, or a program's answer
    RATE_LIMITED = "rate_limited"
    NO_CARRIER = "no_carrier"  # no provider of the route can carry a report


# RFC 3461 4.1: without NOTIFY it is ours to choose between these two and FAILURE alone.
_BY_DEFAULT = frozenset({Notify.FAILURE, Notify.DELAY})
_STILL_TRIED = frozenset({State.WAITING, State.UNCERTAIN})
# RFC 3834 5. What a program sent of itself (`auto-generated`: orders, passwords, newsletters) has a
# sender that wants to know; what it sent in answer must not be answered again.
_MAY_BE_ANSWERED = frozenset({"", "no", "auto-generated"})


def action_for(
    recipient: Recipient,
    outcome: DeliveryOutcome,
    disposition: Disposition,
    *,
    overdue: bool,
    now: datetime,
) -> Action | None:
    """
    What the sender is to be told of a recipient after an attempt; `None`: nothing.

    Args:
        recipient: Its NOTIFY decides.
        outcome: Of the attempt. Where the provider was given NOTIFY along, it tells of success.
        disposition: What follows.
        overdue: The letter is old enough for a warning, and none was decided upon before.
        now: The end of the attempt. A letter that is due again at once is not told to be late.
    """
    wanted = recipient.notify or _BY_DEFAULT
    state = disposition.state
    if state is State.HANDED_OVER:
        told_by_us = Notify.SUCCESS in wanted and not outcome.notify_passed
        return Action.RELAYED if told_by_us else None
    if state in {State.FAILED, State.SUPPRESSED}:
        return Action.FAILED if Notify.FAILURE in wanted else None
    waits = disposition.due_at is None or disposition.due_at > now
    if state in _STILL_TRIED and overdue and waits and Notify.DELAY in wanted:
        return Action.DELAYED
    return None


def why_not_answered(
    reverse_path: Address | None, *, auto_submitted: str, content_type: str, own: Address | None
) -> Result | None:
    """
    Why a letter gets no report whatever became of it; `None`: it may get one.

    This is what makes loops impossible: a report has the null reverse-path or our own address, is
    a multipart/report, and says so in Auto-Submitted; each of them alone suffices.

    Args:
        reverse_path: Of the letter.
        auto_submitted: Value of its Auto-Submitted field, empty without one.
        content_type: Value of its Content-Type field, empty without one.
        own: The address that our reports leave from where the null reverse-path cannot.
    """
    if reverse_path is None:
        return Result.NULL_REVERSE_PATH
    if own is not None and reverse_path.folded == own.folded:
        return Result.AUTOMATIC
    # RFC 6522: multipart/report is what delivery, disposition and abuse reports come in.
    if _first_word(content_type) == "multipart/report":
        return Result.AUTOMATIC
    return None if _first_word(auto_submitted) in _MAY_BE_ANSWERED else Result.AUTOMATIC


def _first_word(value: str) -> str:
    """A structured value without parameters and trailing comments, in lower case."""
    return value.partition(";")[0].partition("(")[0].strip().lower()
