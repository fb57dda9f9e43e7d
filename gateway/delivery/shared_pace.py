"""
The pace of an account that several gateways use: its places come from the spool they share.

`Pace` for a lane. A few places are taken ahead of their time, so that none goes by while the spool
is asked; one that was not used in time is let go rather than used too near the next. Where the
account has no limit, nobody is asked. Sits beside `lane`; the account's own pace says how far
places are apart.
"""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import timedelta

import structlog

from gateway.errors import SpoolError
from gateway.spool.protocol import Spool
from providers.contract.clock import Clock
from providers.pacing import TokenBucket

log = structlog.get_logger("gateway.delivery")

_AHEAD_S = 0.3
_MARGIN = 1.01  # gateways' clocks and the ways to the provider are not the same
_ASK_AGAIN_S = 0.02
_TROUBLE_S = 1.0


class SharedPace:
    """
    `Pace` over a spool's places.

    Args:
        provider: Whose account.
        own: What this process knows of its speed.
        spool: Where all gateways take places.
        clock: For moments that gateways agree on.
    """

    def __init__(self, provider: str, own: TokenBucket, spool: Spool, clock: Clock) -> None:
        self._provider = provider
        self._own = own
        self._spool = spool
        self._clock = clock
        self._taken: deque[float] = deque()  # monotonic seconds
        self._asking: asyncio.Task[None] | None = None
        self._not_before = float("-inf")

    @property
    def per_second(self) -> float | None:
        """Calls a second, all gateways together; `None`: no limit is known."""
        return self._own.per_second

    def take(self, now: float) -> float:
        """Take a place if one is free: 0.0; else the seconds until one may be."""
        speed = self._own.per_second
        if speed is None:
            return self._own.take(now)
        if now < self._not_before:
            return self._not_before - now
        interval = 1.0 / speed
        while self._taken and now - self._taken[0] > interval / 2:
            self._taken.popleft()
        self._look_ahead(now, interval)
        if not self._taken:
            return min(_ASK_AGAIN_S, interval)
        if (wait := self._taken[0] - now) > 0:
            return wait
        self._taken.popleft()
        self._own.take(now)
        return 0.0

    def hold_off(self, now: float, seconds: float) -> None:
        """No place for `seconds`, for all gateways, and slower after that for this one."""
        self._own.hold_off(now, seconds)
        self._not_before = max(self._not_before, now + seconds)
        self._taken.clear()
        if self._asking is not None:
            self._asking.cancel()
        self._ask(timedelta(seconds=seconds), 1.0 / (self._own.per_second or 1.0), 1)

    def _look_ahead(self, now: float, interval: float) -> None:
        if self._asking is None and (not self._taken or self._taken[-1] < now + interval):
            self._ask(timedelta(0), interval, max(1, round(_AHEAD_S / interval)))

    def _ask(self, after: timedelta, interval: float, count: int) -> None:
        asking = self._reserve(after, timedelta(seconds=interval * _MARGIN), count)
        self._asking = asyncio.create_task(asking, name=f"places of {self._provider}")

    async def _reserve(self, after: timedelta, interval: timedelta, count: int) -> None:
        try:
            asked_at = self._clock.now()
            first = await self._spool.reserve_places(
                self._provider, asked_at + after, interval, count
            )
            begin = self._clock.monotonic() + (first - self._clock.now()).total_seconds()
            self._taken.extend(begin + place * interval.total_seconds() for place in range(count))
        except SpoolError as error:
            log.warning("no_places", provider=self._provider, reason=error.reason)
            self._not_before = self._clock.monotonic() + _TROUBLE_S
        finally:
            if self._asking is asyncio.current_task():
                self._asking = None
