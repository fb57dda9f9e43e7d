"""
The states of a recipient and the moves between them: the one table.

Everything that changes a state asks here; gateway/README.md draws the same picture.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where one recipient's copy of a letter stands."""

    WAITING = "waiting"  # to be tried when due
    SENDING = "sending"  # leased, the attempt recorded, the answer not yet
    UNCERTAIN = "uncertain"  # an attempt was made and its answer is lost
    HELD = "held"  # set aside by hand or rule until released
    HANDED_OVER = "handed_over"  # the provider took responsibility
    FAILED = "failed"  # given up: refused for good, or too old
    REMOVED = "removed"  # taken out by hand
    SUPPRESSED = "suppressed"  # never sent: the address is on the suppression list


SETTLED = frozenset({State.HANDED_OVER, State.FAILED, State.REMOVED, State.SUPPRESSED})
"""States that nothing follows; the content goes when all recipients have reached one."""

TRANSITIONS: dict[State, frozenset[State]] = {
    State.WAITING: frozenset(
        # failed: too old, or the last provider that could carry it is gone from the route
        {State.SENDING, State.WAITING, State.HELD, State.FAILED, State.REMOVED, State.SUPPRESSED}
    ),
    State.SENDING: frozenset({State.HANDED_OVER, State.WAITING, State.FAILED, State.UNCERTAIN}),
    State.UNCERTAIN: frozenset(
        # waiting: a person says "try again"; handed over: a sign of the provider settles it;
        # uncertain: the wait is over and the route says to leave it to a person
        {
            State.SENDING,
            State.WAITING,
            State.UNCERTAIN,
            State.HANDED_OVER,
            State.FAILED,
            State.REMOVED,
            State.HELD,
            State.SUPPRESSED,
        }
    ),
    State.HELD: frozenset({State.WAITING, State.REMOVED}),
    State.HANDED_OVER: frozenset(),
    State.FAILED: frozenset(),
    State.REMOVED: frozenset(),
    State.SUPPRESSED: frozenset(),
}


def may_follow(before: State, after: State) -> bool:
    """Whether the table allows the move."""
    return after in TRANSITIONS[before]
