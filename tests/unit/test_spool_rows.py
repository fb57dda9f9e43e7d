"""Values to rows and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.lifecycle import State
from gateway.errors import UnknownQueueId
from gateway.spool.rows import (
    joined,
    micros_from_moment,
    moment_from_micros,
    number_of,
    state_from_text,
)


@given(st.datetimes(timezones=st.just(UTC)))
def test_moments_come_back_to_the_microsecond(moment: datetime) -> None:
    """What is due at a moment is due at that moment, before 1970 and after 2038 too."""
    assert moment_from_micros(micros_from_moment(moment)) == moment


def test_moments_of_another_zone_are_the_same_moments() -> None:
    """Only the moment counts; it comes back in UTC."""
    minsk = datetime(2026, 1, 1, 15, tzinfo=timezone(timedelta(hours=3)))
    back = moment_from_micros(micros_from_moment(minsk))
    assert (back, back.tzinfo) == (minsk, UTC)


def test_a_moment_without_a_zone_is_refused() -> None:
    """Nobody's local time gets into the spool."""
    with pytest.raises(TypeError):
        micros_from_moment(datetime(2026, 1, 1))  # noqa: DTZ001 (the mistake under test)


def test_names_are_joined_without_doubt() -> None:
    """A name that would come back as two is refused."""
    assert (joined(()), joined(("a",)), joined(("a", "b"))) == ("", "a", "a,b")
    with pytest.raises(ValueError, match="comma"):
        joined(("a", "b,c"))


def test_a_text_that_is_no_queue_id() -> None:
    """Told as unknown, and quoted, so that control characters do no harm in a terminal."""
    with pytest.raises(UnknownQueueId) as raised:
        number_of("\x1b[2J")
    assert "\x1b" not in raised.value.reason


def test_a_damaged_state_is_shown_as_what_it_will_be() -> None:
    """A list still shows a row that the next claim is going to hold."""
    assert state_from_text("waiting") is State.WAITING
    assert state_from_text("banana") is State.HELD
