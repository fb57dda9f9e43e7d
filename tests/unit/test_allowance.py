"""How many reports there may be: bursts up to the limit, then as they come back; keys apart."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.domain import allowance
from gateway.domain.allowance import Allowance
from providers.contract.capabilities import Rate

HOUR = timedelta(hours=1)


def taken(room: Allowance, key: str, now: float, most: int = 1000) -> int:
    """How many can be had at this moment."""
    for count in range(most):
        if not room.has_room(key, now):
            return count
        room.take(key, now)
    return most


def test_a_burst_of_the_whole_limit_and_no_more() -> None:
    """Two hundred refusals of one newsletter are not two hundred reports."""
    room = Allowance(Rate(100, HOUR), Rate(1000, HOUR))
    assert taken(room, "a", 0.0) == 100
    assert taken(room, "a", 0.0) == 0


@pytest.mark.parametrize(("seconds", "back"), [(35.9, 0), (36.1, 1), (1800.1, 50), (9000.0, 100)])
def test_room_comes_back_evenly_and_never_beyond_the_limit(seconds: float, back: int) -> None:
    """Who was silent for a day has saved up nothing more."""
    room = Allowance(Rate(100, HOUR), Rate(1000, HOUR))
    taken(room, "a", 50.0)
    assert taken(room, "a", 50.0 + seconds) == back


def test_each_sender_has_its_own_and_all_share_the_total() -> None:
    """One noisy sender takes nothing from the others, until all together are too many."""
    room = Allowance(Rate(10, HOUR), Rate(25, HOUR))
    assert [taken(room, key, 7.0) for key in "abcd"] == [10, 10, 5, 0]
    assert taken(room, "e", 7.0 + 3600.0) == 10


@pytest.mark.parametrize("count", [1, 3, 7, 100, 12345])
def test_sums_that_do_not_come_out_even_cost_nobody_his_last_one(count: int) -> None:
    """A limit of seven in an hour is seven."""
    room = Allowance(Rate(count, HOUR), Rate(10**6, HOUR))
    assert taken(room, "a", 1e6 / 3, most=20_000) == count


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reverse-path of its own for each letter (VERP) does not grow the process."""
    monkeypatch.setattr(allowance, "_MOST_KEYS", 3)
    room = Allowance(Rate(1, HOUR), Rate(10**6, HOUR))
    for key in "abc":
        room.take(key, 0.0)
    assert not room.has_room("a", 0.0)
    room.take("a", 0.0)  # used again, and so not the oldest
    room.take("d", 0.0)
    assert len(room._keys) == 3
    assert room.has_room("b", 0.0), "the one used longest ago is forgotten"
    assert not room.has_room("a", 0.0)
