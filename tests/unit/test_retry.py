"""The schedule of waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.domain.retry import RetrySchedule

MIDDLE = 0.5  # of the spread: the wait itself


def waits(schedule: RetrySchedule, attempts: int) -> list[float]:
    return [schedule.delay_after(n, MIDDLE).total_seconds() for n in range(1, attempts + 1)]


def test_waits_grow_up_to_the_longest() -> None:
    """30s, doubling, at most an hour: what the documentation promises."""
    assert waits(RetrySchedule(), 9) == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]


def test_a_factor_of_one_keeps_the_wait() -> None:
    """A steady schedule is a schedule."""
    assert waits(RetrySchedule(factor=1.0), 5) == [30] * 5


def test_first_may_be_the_longest() -> None:
    """No growth at all where there is no room for it."""
    hour = timedelta(hours=1)
    assert waits(RetrySchedule(first=hour, longest=hour, factor=5.0), 3) == [3600] * 3


@pytest.mark.parametrize("factor", [1.0000001, 2.0, 1e10, 1e300, float("inf")])
def test_neither_many_attempts_nor_a_great_factor_overflows(factor: float) -> None:
    """A letter put off for weeks, or a strange configuration, is still only put off."""
    schedule = RetrySchedule(factor=factor)
    for attempts in (1, 2, 65, 1000, 10**9):
        assert 30 <= schedule.delay_after(attempts, MIDDLE).total_seconds() <= 3600


def test_waits_are_spread_by_a_fifth_either_way() -> None:
    """Letters of one outage do not come back as one wave."""
    schedule = RetrySchedule()
    assert schedule.delay_after(1, 0.0) == timedelta(seconds=24)
    assert timedelta(seconds=35.9) < schedule.delay_after(1, 0.999) < timedelta(seconds=36)


def test_age_counts_from_arrival() -> None:
    """`give_up_after` is the age of the letter, not of its last attempt."""
    arrival = datetime(2026, 1, 1, tzinfo=UTC)
    assert RetrySchedule().expires_at(arrival) == arrival + timedelta(days=2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"first": timedelta(0)},
        {"first": timedelta(seconds=-1)},
        {"uncertain_after": timedelta(0)},
        {"factor": 0.99},
        {"longest": timedelta(seconds=29)},
    ],
)
def test_schedules_that_make_no_sense(wrong: dict[str, timedelta]) -> None:
    """A wait of nothing would be a loop; a shrinking one a flood."""
    with pytest.raises(ValueError, match=r"wait|factor"):
        RetrySchedule(**wrong)
