"""The quick look at the suppression list, and which of several reasons is told."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.suppression import Sieve, Suppression, SuppressionReason, gravest

NOW = datetime(2026, 1, 5, tzinfo=UTC)


@given(st.lists(st.text(max_size=30), max_size=200))
def test_the_sieve_overlooks_nobody(addresses: list[str]) -> None:
    """What was put in is found, whatever else is, in a sieve that is far too small."""
    sieve = Sieve(1 << 10)
    for address in addresses:
        sieve.add(address)
    assert all(map(sieve.may_hold, addresses))
    assert sieve.is_empty == (not addresses)


def test_the_sieve_lets_nearly_all_others_pass() -> None:
    """Else each letter would cost a look at the spool: 20,000 there, 20,000 asked for."""
    sieve = Sieve(1 << 20)
    for n in range(20_000):
        sieve.add(f"there{n}@example.org")
    stopped = sum(sieve.may_hold(f"other{n}@example.org") for n in range(20_000))
    assert stopped < 200


def test_an_empty_sieve_stops_nobody() -> None:
    """The common case costs one look at a flag."""
    assert not Sieve().may_hold("bob@example.org")


def test_the_gravest_reason_is_told() -> None:
    """A complaint counts for more than a bounce."""
    reasons = (SuppressionReason.MANUAL, SuppressionReason.COMPLAINED, SuppressionReason.BOUNCED)
    found = [Suppression("bob@example.org", reason, NOW, "main") for reason in reasons]
    assert gravest(found).reason is SuppressionReason.COMPLAINED
