"""How much one client may do, by a clock that the test turns."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.ingress import limits as limits_module
from gateway.ingress import replies
from gateway.ingress.limits import LimitRules, Limits, client_key
from gateway.ingress.submission import Client
from providers.contract.capabilities import Rate

THREE_A_MINUTE = Rate(3, timedelta(minutes=1))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def client(address: str = "192.0.2.1", user: str = "") -> Client:
    return Client(address, "a", esmtp=True, user=user)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_without_limits_nothing_is_limited(clock: Clock) -> None:
    """Nor remembered."""
    limits = Limits(LimitRules(), clock)
    assert [limits.refuse_letter(client()) for _ in range(1000)] == [None] * 1000


def test_letters_of_an_address(clock: Clock) -> None:
    """So many at once, then one for each that the time brings back; others are not touched."""
    limits = Limits(LimitRules(letters_per_address=THREE_A_MINUTE), clock)
    answers = [limits.refuse_letter(client()) for _ in range(5)]
    assert answers == [None] * 3 + [replies.TOO_MANY_LETTERS_OF_ADDRESS] * 2
    assert limits.refuse_letter(client("192.0.2.2")) is None
    clock.now += 20
    assert limits.refuse_letter(client()) is None
    assert limits.refuse_letter(client()) is replies.TOO_MANY_LETTERS_OF_ADDRESS
    clock.now += 60
    assert [limits.refuse_letter(client()) for _ in range(3)] == [None] * 3


def test_letters_of_a_user(clock: Clock) -> None:
    """Wherever it comes from; who has no name has no such limit."""
    limits = Limits(LimitRules(letters_per_user=THREE_A_MINUTE), clock)
    for n in range(3):
        assert limits.refuse_letter(client(f"192.0.2.{n}", "app")) is None
    assert limits.refuse_letter(client("192.0.2.9", "app")) is replies.TOO_MANY_LETTERS_OF_USER
    assert limits.refuse_letter(client("192.0.2.9", "other")) is None
    assert limits.refuse_letter(client("192.0.2.9")) is None


def test_refused_letter_costs_nothing(clock: Clock) -> None:
    """What the user's limit refuses is not taken from the address."""
    rules = LimitRules(
        letters_per_address=THREE_A_MINUTE, letters_per_user=Rate(1, timedelta(minutes=1))
    )
    limits = Limits(rules, clock)
    assert limits.refuse_letter(client(user="app")) is None
    for _ in range(5):
        assert limits.refuse_letter(client(user="app")) is replies.TOO_MANY_LETTERS_OF_USER
    assert [limits.refuse_letter(client()) for _ in range(2)] == [None] * 2


def test_recipients(clock: Clock) -> None:
    """Counted beside the letters, with replies of their own."""
    limits = Limits(
        LimitRules(
            recipients_per_address=THREE_A_MINUTE, recipients_per_user=Rate(1, timedelta(minutes=1))
        ),
        clock,
    )
    assert limits.refuse_recipient(client(user="app")) is None
    assert limits.refuse_recipient(client(user="app")) is replies.TOO_MANY_RECIPIENTS_OF_USER
    assert [limits.refuse_recipient(client()) for _ in range(2)] == [None] * 2
    assert limits.refuse_recipient(client()) is replies.TOO_MANY_RECIPIENTS_OF_ADDRESS
    assert limits.refuse_letter(client()) is None


def test_connections_are_counted_and_forgotten(clock: Clock) -> None:
    """Nothing is left of an address whose last connection has gone."""
    limits = Limits(LimitRules(), clock)
    assert [limits.connect("192.0.2.1") for _ in range(3)] == [1, 2, 3]
    assert limits.connect("192.0.2.2") == 1
    for _ in range(3):
        limits.disconnect("192.0.2.1")
    assert limits._connections == {"192.0.2.2": 1}
    assert limits.connect("192.0.2.1") == 1


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:0:0:1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_what_counts_as_one_client(address: str, key: str) -> None:
    """Who has one address of IPv6 has a /64 of them."""
    assert client_key(address) == key


def test_failed_logins_wait_longer_each_time(clock: Clock) -> None:
    """1, 2, 4, 8 seconds, and never more than ten."""
    limits = Limits(LimitRules(auth_delay_s=1.0), clock)
    assert [limits.login_failed("192.0.2.1") for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    assert limits.login_failed("192.0.2.2") == 1


def test_shut_out_and_let_in_again(clock: Clock) -> None:
    """After the last failure allowed, for as long as is set; then all is forgotten."""
    limits = Limits(LimitRules(auth_failures=3, shut_out_s=60, auth_delay_s=0.5), clock)
    for _ in range(2):
        limits.login_failed("192.0.2.1")
    assert not limits.is_shut_out("192.0.2.1")
    limits.login_failed("192.0.2.1")
    assert limits.is_shut_out("192.0.2.1")
    assert not limits.is_shut_out("192.0.2.2")
    clock.now += 59.9
    assert limits.is_shut_out("192.0.2.1")
    clock.now += 0.1
    assert not limits.is_shut_out("192.0.2.1")
    assert limits.login_failed("192.0.2.1") == 0.5
    assert not limits.is_shut_out("192.0.2.1")


def test_memory_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes from a million addresses fills no memory; the longest unseen are forgotten."""
    monkeypatch.setattr(limits_module, "_MOST_KEYS", 10)
    limits = Limits(LimitRules(letters_per_address=THREE_A_MINUTE), clock)
    for n in range(100):
        limits.refuse_letter(client(f"192.0.2.{n}"))
        limits.login_failed(f"192.0.2.{n}")
    (buckets, _), _ = limits._letters
    assert len(buckets._full_again_at) == len(limits._failures) == 10
    assert "192.0.2.99" in limits._failures
