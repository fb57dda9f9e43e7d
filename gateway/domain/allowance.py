"""
How many of something may be done in a time: a bucket for all, and one for each key.

Pure: the caller brings the time. Unlike `providers.pacing` it never makes anybody wait, and lets a
burst through while there is some left.
"""

from __future__ import annotations

from collections import OrderedDict

from providers.contract.capabilities import Rate

_LONG_AGO = float("-inf")
_MOST_KEYS = 10_000  # the one used longest ago is forgotten first, and then has its all again


class Allowance:
    """
    Room for `count` at once, which comes back evenly over `period`.

    Args:
        each: For one key.
        total: For all keys together.
    """

    def __init__(self, each: Rate, total: Rate) -> None:
        self._each = each
        self._total = total
        self._keys: OrderedDict[str, float] = OrderedDict()
        self._all = _LONG_AGO

    def has_room(self, key: str, now: float) -> bool:
        """
        Whether one may be taken for this key now: its own bucket and that of all have one left.

        Args:
            key: Whose.
            now: Monotonic seconds.
        """
        own = _after_one(self._each, self._keys.get(key, _LONG_AGO), now)
        together = _after_one(self._total, self._all, now)
        return _is_bearable(self._each, own, now) and _is_bearable(self._total, together, now)

    def take(self, key: str, now: float) -> None:
        """Take one; whether there is one left was asked before."""
        self._keys[key] = _after_one(self._each, self._keys.get(key, _LONG_AGO), now)
        self._keys.move_to_end(key)
        self._all = _after_one(self._total, self._all, now)
        if len(self._keys) > _MOST_KEYS:
            self._keys.popitem(last=False)


def _after_one(rate: Rate, full_again_at: float, now: float) -> float:
    """When a bucket is full again after one more was taken."""
    return max(full_again_at, now) + 1.0 / rate.per_second


def _is_bearable(rate: Rate, full_again_at: float, now: float) -> bool:
    """Whether that bucket had one; a thousandth of one makes up for sums that are not even."""
    return full_again_at - now <= rate.period.total_seconds() + 0.001 / rate.per_second
