"""The pace of an account: never above its rate, and held off when the provider asks."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from providers.contract.capabilities import Rate
from providers.pacing import TokenBucket


def test_without_a_rate_every_place_is_free() -> None:
    """No limit is known, none is made up."""
    bucket = TokenBucket(None)
    assert [bucket.take(5.0) for _ in range(100)] == [0.0] * 100


def test_places_are_spaced_evenly_from_the_first_second() -> None:
    """T24: no burst after a start."""
    bucket = TokenBucket(Rate(5))
    assert bucket.take(100.0) == 0.0
    wait = bucket.take(100.0)
    assert abs(wait - 0.2) < 1e-9
    assert bucket.take(100.0) == wait, "asking takes nothing"
    assert bucket.take(100.21) == 0.0


def test_hold_off_bars_everybody() -> None:
    """A 429 with a wait speaks for the whole account."""
    bucket = TokenBucket(None)
    bucket.hold_off(10.0, 3.0)
    assert bucket.take(11.0) == 2.0
    bucket.hold_off(10.0, 1.0)
    assert bucket.take(11.0) == 2.0, "a shorter wait does not undo a longer one"
    assert bucket.take(13.0) == 0.0


@given(
    count=st.integers(1, 50),
    period=st.floats(0.1, 60),
    gaps=st.lists(st.floats(0, 1), min_size=1, max_size=200),
)
def test_no_window_holds_more_than_the_rate(count: int, period: float, gaps: list[float]) -> None:
    """Whichever way the provider's counting windows lie, its limit is not passed."""
    rate = Rate(count, timedelta(seconds=period))
    bucket, now, taken = TokenBucket(rate), 0.0, []
    for gap in gaps:
        now += gap
        if bucket.take(now) == 0.0:
            taken.append(now)
    length = rate.period.total_seconds()
    for begin in taken:
        within = [moment for moment in taken if begin <= moment < begin + length * (1 - 1e-9)]
        assert len(within) <= count
