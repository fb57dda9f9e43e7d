"""
The pace of one provider account: a token bucket that knows no clock.

Pure: the caller brings the time. One value per account, shared by every call to it, so that the
published limit holds from the first second after a start (trap T24). Sits on `contract`.
"""

from __future__ import annotations

from providers.contract.capabilities import Rate


class TokenBucket:
    """
    Places in time for calls, at most `rate.count` within any `rate.period`.

    Places are spaced evenly: a provider that counts in windows of its own never sees more than its
    limit, whichever way its windows lie, which a bucket that allows bursts cannot promise.
    """

    def __init__(self, rate: Rate | None) -> None:
        self._interval = 0.0 if rate is None else 1.0 / rate.per_second
        self._next_free = float("-inf")

    def take(self, now: float) -> float:
        """Take a place if one is free: 0.0; else the seconds until one may be."""
        if now < self._next_free:
            return self._next_free - now
        self._next_free = now + self._interval
        return 0.0

    def hold_off(self, now: float, seconds: float) -> None:
        """No place is free for `seconds`."""
        self._next_free = max(self._next_free, now + seconds)

    def __repr__(self) -> str:
        return f"<TokenBucket interval={self._interval:.3f}s>"
