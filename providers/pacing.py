"""
The pace of one provider account: a token bucket that knows no clock.

Pure: the caller brings the time. One value per account, shared by every call to it, so that the
published limit holds from the first second after a start (trap T24). A provider that says no to
that speed slows it; calm lets it come back in small steps. Sits on `contract`.
"""

from __future__ import annotations

from providers.contract.capabilities import Rate

_SLOWER = 1.5  # the interval grows by so much each time the provider says that it is too fast
_SLOWEST = 32.0  # times the published interval
_SLOWEST_S = 10.0  # where none is published
_FASTER = 1.1
_CALM_S = 10.0  # without a refusal, before each step back
_ONE_REFUSAL_S = 1.0  # answers to calls that were under way together are one refusal
_UNLIMITED_S = 0.001  # an interval below this is none


class TokenBucket:
    """
    Places in time for calls, at most `rate.count` within any `rate.period`.

    Places are spaced evenly: a provider that counts in windows of its own never sees more than its
    limit, whichever way its windows lie, which a bucket that allows bursts cannot promise. Where no
    rate is published, the first refusal makes one, from how fast the last second was.
    """

    def __init__(self, rate: Rate | None) -> None:
        self._published = 0.0 if rate is None else 1.0 / rate.per_second
        self._interval = self._published
        self._next_free = float("-inf")
        self._stepped_at = float("-inf")
        self._second = _SecondCount()

    @property
    def per_second(self) -> float | None:
        """The pace of the moment, in calls a second; `None`: no limit is known."""
        return 1.0 / self._interval if self._interval else None

    def take(self, now: float) -> float:
        """Take a place if one is free: 0.0; else the seconds until one may be."""
        if now < self._next_free:
            return self._next_free - now
        if self._interval > self._published:
            self._ease(now)
        if not self._published:
            self._second.add(now)
        self._next_free = now + self._interval
        return 0.0

    def hold_off(self, now: float, seconds: float) -> None:
        """The provider said that it is too fast: no place for `seconds`, and slower after that."""
        if now - self._stepped_at >= _ONE_REFUSAL_S:
            known = self._interval or self._second.interval(now)
            slowest = self._published * _SLOWEST or _SLOWEST_S
            self._interval = min(known * _SLOWER, slowest)
        self._next_free = max(self._next_free, now + seconds)
        self._stepped_at = max(now, self._next_free)

    def _ease(self, now: float) -> None:
        if now - self._stepped_at < _CALM_S:
            return
        self._stepped_at = now
        interval = max(self._interval / _FASTER, self._published)
        self._interval = interval if interval >= _UNLIMITED_S else self._published

    def __repr__(self) -> str:
        return f"<TokenBucket interval={self._interval:.3f}s>"


class _SecondCount:
    """How many calls the last second or two saw."""

    __slots__ = ("_before", "_began", "_count")

    def __init__(self) -> None:
        self._began = float("-inf")
        self._count = 0
        self._before = 0

    def add(self, now: float) -> None:
        if now - self._began >= 1.0:
            self._before = self._count if now - self._began < 2.0 else 0
            self._began, self._count = now, 0
        self._count += 1

    def interval(self, now: float) -> float:
        recent = max(self._count, self._before) if now - self._began < 2.0 else 0
        return 1.0 / max(recent, 1)
