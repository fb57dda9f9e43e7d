"""
A clock whose hands a test turns.

Implements `providers.contract.clock.Clock`. Both its clocks advance together and only by `advance`;
whoever sleeps wakes when its time has come, in the order of the times.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta


class ManualClock:
    """Time stands still until `advance`."""

    def __init__(
        self, now: datetime = datetime(2026, 1, 1, 12, tzinfo=UTC), monotonic: float = 1000.0
    ) -> None:
        self._now = now
        self._monotonic = monotonic
        self._order = itertools.count()  # sleepers of the same moment wake in the order they came
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._slept = asyncio.Event()

    def now(self) -> datetime:
        """The wall clock, aware and in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds of the monotonic clock."""
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock was advanced that far; zero or less still lets others run."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        sleeper = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._order), sleeper))
        self._slept.set()
        await sleeper

    def advance(self, seconds: float) -> None:
        """Turn both hands forward and wake whoever slept until then."""
        self._monotonic += seconds
        self._now += timedelta(seconds=seconds)
        while self._sleepers and self._sleepers[0][0] <= self._monotonic:
            _, _, sleeper = heapq.heappop(self._sleepers)
            if not sleeper.done():  # cancelled meanwhile
                sleeper.set_result(None)

    @property
    def sleepers(self) -> int:
        """How many sleep now."""
        return sum(not sleeper.done() for _, _, sleeper in self._sleepers)

    async def someone_sleeps(self, timeout_s: float = 60.0) -> None:
        """Wait, in real time, until somebody sleeps."""
        async with asyncio.timeout(timeout_s):
            while not self.sleepers:
                self._slept.clear()
                await self._slept.wait()
