"""The real hands of the clock; lies under everything in `gateway`."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime


class SystemClock:
    """`Clock` on the machine's own clocks."""

    def now(self) -> datetime:
        """The wall clock, aware and in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds of the monotonic clock, the one asyncio's loops use too."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait; zero or less still lets others run."""
        await asyncio.sleep(max(0.0, seconds))
