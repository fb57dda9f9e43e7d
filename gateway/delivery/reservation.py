"""
Room for one fresh letter, taken before the letter is admitted to the spool.

What the front door holds between the question whether a letter may be handed over and its
admission. Sits on `lane`; the dispatcher gives them out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gateway.delivery.lane import Lane, LetterInHand
from gateway.planner import Planned
from gateway.spool.values import QueuedMessage
from providers.contract.clock import Clock
from providers.contract.message import Message


class Windows(Protocol):
    """The windows of all providers and their memory; the dispatcher."""

    def add(self, in_hand: LetterInHand) -> None:
        """Put a leased letter's recipients into the windows of their providers."""
        ...

    def free(self, octets: int) -> None:
        """Content of a fresh letter is not kept any more."""
        ...


@dataclass(frozen=True, slots=True)
class Reservation:
    """
    Room for a fresh letter; `hand` or `release` must follow.

    Attributes:
        windows: Where the room is.
        octets: What it takes of the hand-off memory.
        promised_by: The lane that makes a first attempt for all recipients at once, if one does.
        clock: Time.
    """

    windows: Windows
    octets: int
    promised_by: Lane | None
    clock: Clock

    @property
    def begun(self) -> bool:
        """Whether the first attempt is to be recorded, as under way, with the letter."""
        return self.promised_by is not None

    def hand(self, letter: QueuedMessage, message: Message, planned: Planned) -> None:
        """Deliver the letter, which was leased at admission, and begun then if `begun`."""
        lane = self.promised_by
        since = letter.arrival if lane is not None else self.clock.now()
        in_hand = LetterInHand(letter, since, message, planned, self.octets)
        if lane is None:
            self.windows.add(in_hand)
        else:
            lane.run(in_hand)

    def release(self) -> None:
        """Give the room back: the letter was not admitted."""
        self.windows.free(self.octets)
        if self.promised_by is not None:
            self.promised_by.forgo()
