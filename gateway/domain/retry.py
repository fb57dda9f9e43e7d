"""When to try again, and when to give up: pure arithmetic over durations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

_SPREAD = 0.2  # a fifth either way keeps letters of one outage from coming back as one wave


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """
    The waits after failed attempts: `first`, then `factor` times the one before, up to `longest`.

    `give_up_after` counts from the moment a letter is to be sent, which is mostly its arrival.
    `uncertain_after` is the wait before a letter whose answer was lost is sent again; it is long
    enough for a sign of the provider to come in.
    """

    first: timedelta = timedelta(seconds=30)
    factor: float = 2.0
    longest: timedelta = timedelta(hours=1)
    give_up_after: timedelta = timedelta(days=2)
    uncertain_after: timedelta = timedelta(minutes=5)

    def __post_init__(self) -> None:
        if self.first <= timedelta(0) or self.uncertain_after <= timedelta(0):
            raise ValueError("a wait is longer than nothing")
        if self.factor < 1.0:
            raise ValueError("waits do not shrink: the factor is 1 or more")
        if self.longest < self.first:
            raise ValueError("the longest wait is not shorter than the first")

    def delay_after(self, attempts: int, chance: float) -> timedelta:
        """
        The wait after so many failed attempts.

        Args:
            attempts: How many were made, at least 1.
            chance: Evenly distributed in [0, 1): spreads the wait by a fifth either way.
        """
        steps, limit = attempts - 1, self.longest / self.first
        # Compared as logarithms: the power itself overflows with a great factor or many attempts.
        passed = steps > 0 and steps * math.log(self.factor) >= math.log(limit)
        growth = limit if passed else min(self.factor**steps, limit)
        return self.first * growth * (1.0 - _SPREAD + 2.0 * _SPREAD * chance)

    def expires_at(self, since: datetime) -> datetime:
        """From when on the letter is not tried any more."""
        return since + self.give_up_after
