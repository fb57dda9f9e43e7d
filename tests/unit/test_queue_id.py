"""Queue ids: rising, telling the time, and read back in any case."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.domain.queue_id import (
    QueueIdSource,
    first_number_at,
    number_from_queue_id,
    queue_id_from_number,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BITS = 11


def test_ids_rise_within_one_microsecond_and_when_the_clock_falls_back() -> None:
    """No queue id is given twice, and text order is time order."""
    source = QueueIdSource(7)
    ids = [source.next(NOW) for _ in range(100)]
    ids += [source.next(NOW - timedelta(hours=1)) for _ in range(100)]
    ids += [source.next(NOW + timedelta(hours=1))]
    assert sorted(set(ids)) == ids
    assert {len(queue_id) for queue_id in ids} == {13}


def test_gateways_on_one_spool_do_not_meet() -> None:
    """At the same microsecond the gateway's number makes the difference, however it counts on."""
    one, other = QueueIdSource(3), QueueIdSource(4 + (1 << BITS))
    assert not {one.next(NOW) for _ in range(500)} & {other.next(NOW) for _ in range(500)}


def test_an_id_contains_its_moment() -> None:
    """What arrived before a moment has a lower number, without a look at the letter."""
    queue_id = QueueIdSource(2047).next(NOW)
    number = number_from_queue_id(queue_id)
    assert number is not None
    assert first_number_at(NOW) <= number < first_number_at(NOW + timedelta(microseconds=1))
    assert number >> BITS == NOW.timestamp() * 1_000_000


@pytest.mark.parametrize("number", [0, 1, 31, 32, 1 << 40, (1 << 63) - 1])
def test_number_and_text_are_one(number: int) -> None:
    """The spool keeps the number, everything else the text; a person may type it small."""
    text = queue_id_from_number(number)
    assert number_from_queue_id(text) == number_from_queue_id(text.lower()) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0" * 12,
        "0" * 14,
        "W" * 13,
        "8" + "0" * 12,
        "V" * 13,
        "+" + "1" * 12,
        "0_0" * 5,
        " " + "1" * 12,
        "\u0661" * 13,
        "\u00e9" * 13,
        "-" + "1" * 12,
    ],
)
def test_what_is_no_queue_id(text: str) -> None:
    """Other lengths, letters, signs and scripts are told apart, and no number passes 63 bits."""
    assert number_from_queue_id(text) is None
