"""Time as everything but the domain asks for it, so that tests can turn the hands."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """
    Two clocks that are never mixed.

    `now` is for records: aware, UTC, may jump. `monotonic` is for durations and deadlines:
    seconds, never goes back, its zero means nothing.
    """

    def now(self) -> datetime:
        """The wall clock, aware and in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds of the monotonic clock."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; zero or less still lets others run. Cancellation passes through."""
        ...
