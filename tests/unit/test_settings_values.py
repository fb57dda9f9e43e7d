"""Durations, sizes and rates as people write them, and secrets from files."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.contract.capabilities import Rate
from providers.settings import (
    parse_duration,
    parse_rate,
    parse_size,
    render_duration,
    render_rate,
    render_size,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("200ms", timedelta(milliseconds=200)),
        ("30s", timedelta(seconds=30)),
        ("1.5h", timedelta(minutes=90)),
        ("7d", timedelta(days=7)),
    ],
)
def test_durations(text: str, value: timedelta) -> None:
    """As the design page writes them."""
    assert parse_duration(text) == value


@pytest.mark.parametrize("text", ["30", 30, "", "s", "-1s", "5 weeks", None, True])
def test_a_bare_number_is_no_duration(text: object) -> None:
    """Seconds or minutes? Nobody should have to guess."""
    with pytest.raises(ValueError, match="written like"):
        parse_duration(text)


def test_sizes_and_rates() -> None:
    """Powers of 1024, and counts by period."""
    assert parse_size("25MiB") == 25 * 1024 * 1024
    assert parse_size(4096) == 4096
    assert parse_rate("300/m") == Rate(300, timedelta(minutes=1))
    for wrong in ("25MB", "-1", "", True, 1.5):
        with pytest.raises(ValueError, match="written like"):
            parse_size(wrong)
    for wrong in ("5", "0/s", "5/week", 5):
        with pytest.raises(ValueError, match="written like"):
            parse_rate(wrong)


@given(st.integers(0, 10**9))
def test_what_is_rendered_reads_back(number: int) -> None:
    """`check` prints values that can be pasted into a configuration."""
    assert parse_size(render_size(number)) == number
    duration = timedelta(milliseconds=number)
    assert parse_duration(render_duration(duration)) == duration
    rate = Rate(number + 1, timedelta(minutes=1))
    assert parse_rate(render_rate(rate)) == rate
