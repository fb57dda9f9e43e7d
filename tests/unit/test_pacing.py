"""The pace of an account: never above its rate, and held off when the provider asks."""

from __future__ import annotations

from datetime import timedelta

import pytest
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


def _taken_within(bucket: TokenBucket, begin: float, seconds: float) -> int:
    """How many calls somebody gets through who asks again whenever he is told to."""
    now, taken = begin, 0
    while now < begin + seconds:
        wait = bucket.take(now)
        taken += wait == 0.0
        now += wait or 1e-4
    return taken


def test_a_refusal_slows_and_calm_brings_the_speed_back() -> None:
    """A provider that says no to its own published rate gets a slower one, then step by step it."""
    bucket = TokenBucket(Rate(10))
    bucket.take(0.0)
    bucket.hold_off(0.1, 0.0)
    assert bucket.per_second == pytest.approx(10 / 1.5)
    assert _taken_within(bucket, 1.0, 3.0) <= 21
    assert bucket.per_second == pytest.approx(10 / 1.5), "calm has only begun"
    _taken_within(bucket, 4.0, 8.0)
    assert 10 / 1.5 < (bucket.per_second or 0) < 10, "one small step"
    _taken_within(bucket, 12.0, 60.0)
    assert bucket.per_second == pytest.approx(10), "and never beyond what is published"


def test_answers_to_calls_made_together_are_one_refusal() -> None:
    """Eight calls under way that all come back with 429 slow the account once, not eightfold."""
    bucket = TokenBucket(Rate(10))
    for step in range(8):
        bucket.hold_off(50.0 + step / 100, 0.5)
    assert bucket.per_second == pytest.approx(10 / 1.5)


def test_slowness_has_an_end() -> None:
    """Refused for an hour, it still asks now and then, or nobody would learn that it is over."""
    bucket = TokenBucket(Rate(10))
    for minute in range(60):
        bucket.hold_off(60.0 * minute, 1.0)
    assert bucket.per_second == pytest.approx(10 / 32)


def test_a_limit_that_nobody_publishes_is_found() -> None:
    """Where no rate is known, the first refusal makes one of the speed at which it came."""
    bucket = TokenBucket(None)
    assert _taken_within(bucket, 0.0, 0.009) > 80
    bucket.hold_off(0.01, 0.0)
    found = bucket.per_second
    assert found is not None
    assert 50 < found < 90
    moment = 20.0
    while bucket.per_second is not None:
        bucket.take(moment)
        moment += 11.0
        assert moment < 3600, "calm lifts it again"


@given(
    refusals=st.lists(st.tuples(st.floats(0, 100), st.floats(0, 30)), max_size=20),
    rate=st.sampled_from([None, Rate(1), Rate(5), Rate(300, timedelta(minutes=1))]),
)
def test_whatever_is_refused_a_place_comes(
    refusals: list[tuple[float, float]], rate: Rate | None
) -> None:
    """No order of refusals stops an account for good: after the last wait a place is free."""
    bucket = TokenBucket(rate)
    for at, seconds in sorted(refusals):
        bucket.take(at)
        bucket.hold_off(at, seconds)
    assert bucket.take(100.0 + 30.0 + 10.0 * 32) == 0.0
