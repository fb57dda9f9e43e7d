"""
When a provider is asked about a letter, and when next. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

_SEALED = 4  # a letter that arrived has openings and complaints to tell at most


@dataclass(frozen=True, slots=True)
class PollSchedule:
    """Each wait is twice the last, none longer than `longest`; none past the age of `lasting`."""

    longest: timedelta
    lasting: timedelta

    def next(
        self, *, since: datetime, first: timedelta, asked: int, now: datetime, sealed: bool
    ) -> datetime | None:
        """
        When to ask again.

        Args:
            since: When the letter was handed over.
            first: The wait before the first question.
            asked: Questions so far, the one just answered counted.
            now: The present.
            sealed: Whether its fate is known.

        Returns:
            The moment, the last one when the letter reaches its age; `None` after that.
        """
        end = since + self.lasting
        if now >= end:
            return None
        longest = self.longest * (_SEALED if sealed else 1)
        # Far beyond so many doublings, the longest stands anyway.
        wait = first * 2 ** min(asked, 20) * (_SEALED if sealed else 1) if first else longest
        return min(now + min(wait, longest), end)
