"""
How much one client may do: letters and recipients in a time, connections, failed logins.

Pure but for the clock it is given. All sessions of a front door share one `Limits`. It remembers a
bounded number of addresses and users; who was seen longest ago is forgotten first and begins anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Network, ip_address

from gateway.ingress import replies
from gateway.ingress.submission import Client, Reply
from providers.contract.capabilities import Rate

_MOST_KEYS = 10_000
_LONGEST_DELAY_S = 10.0


@dataclass(frozen=True, slots=True)
class LimitRules:
    """
    What limits are set; `None` is no limit.

    Attributes:
        letters_per_address: MAIL commands that one address gets accepted.
        recipients_per_address: RCPT commands, the same.
        letters_per_user: MAIL commands that one user gets accepted, wherever it comes from.
        recipients_per_user: RCPT commands, the same.
        auth_failures: Failed logins from one address before it is shut out.
        auth_delay_s: Seconds that the first of them waits for its reply; each next one twice that.
        shut_out_s: Seconds that an address is shut out, and after which failures are forgotten.
    """

    letters_per_address: Rate | None = None
    recipients_per_address: Rate | None = None
    letters_per_user: Rate | None = None
    recipients_per_user: Rate | None = None
    auth_failures: int = 10
    auth_delay_s: float = 1.0
    shut_out_s: float = 900.0


class Limits:
    """
    What was used of the limits.

    Args:
        rules: The limits.
        clock: Monotonic seconds.
    """

    def __init__(self, rules: LimitRules, clock: Callable[[], float]) -> None:
        self._rules = rules
        self._clock = clock
        self._connections: dict[str, int] = {}
        self._failures: OrderedDict[str, _Failures] = OrderedDict()
        self._letters = (
            (_Buckets(rules.letters_per_address), replies.TOO_MANY_LETTERS_OF_ADDRESS),
            (_Buckets(rules.letters_per_user), replies.TOO_MANY_LETTERS_OF_USER),
        )
        self._recipients = (
            (_Buckets(rules.recipients_per_address), replies.TOO_MANY_RECIPIENTS_OF_ADDRESS),
            (_Buckets(rules.recipients_per_user), replies.TOO_MANY_RECIPIENTS_OF_USER),
        )

        self._counts_letters = any(buckets.rate for buckets, _ in self._letters)
        self._counts_recipients = any(buckets.rate for buckets, _ in self._recipients)

    def connect(self, address: str) -> int:
        """Count a connection in; how many this address has now."""
        key = client_key(address)
        self._connections[key] = count = self._connections.get(key, 0) + 1
        return count

    def disconnect(self, address: str) -> None:
        """Count it out."""
        key = client_key(address)
        left = self._connections[key] - 1
        if left:
            self._connections[key] = left
        else:
            del self._connections[key]

    def refuse_letter(self, client: Client) -> Reply | None:
        """Count one letter more, or give the reply to one that is too many."""
        return self._refuse(self._letters, client) if self._counts_letters else None

    def refuse_recipient(self, client: Client) -> Reply | None:
        """Count one recipient more, or give the reply to one that is too many."""
        return self._refuse(self._recipients, client) if self._counts_recipients else None

    def login_failed(self, address: str) -> float:
        """Count a failed login; seconds to let its client wait for the reply."""
        key, now = client_key(address), self._clock()
        past = self._failures.pop(key, None)
        lapsed = past is None or now - past.last >= self._rules.shut_out_s
        count = 1 if lapsed or past is None else past.count + 1
        self._failures[key] = _Failures(count, now)
        if len(self._failures) > _MOST_KEYS:
            self._failures.popitem(last=False)
        return min(self._rules.auth_delay_s * 2.0 ** min(count - 1, 16), _LONGEST_DELAY_S)

    def is_shut_out(self, address: str) -> bool:
        """Whether too many logins from there have failed."""
        past = self._failures.get(client_key(address))
        return (
            past is not None
            and past.count >= self._rules.auth_failures
            and self._clock() - past.last < self._rules.shut_out_s
        )

    def _refuse(self, limits: tuple[tuple[_Buckets, Reply], ...], client: Client) -> Reply | None:
        (of_address, address_reply), (of_user, user_reply) = limits
        now = self._clock()
        key = client_key(client.address)
        if not of_address.has_room(key, now):
            return address_reply
        if client.user:
            if not of_user.has_room(client.user, now):
                return user_reply
            of_user.take(client.user, now)
        of_address.take(key, now)
        return None


@lru_cache(maxsize=1024)
def client_key(address: str) -> str:
    """
    What counts as one client: an IPv4 address, a /64 of IPv6, or all who come by a socket file.

    Who has one IPv6 address mostly has the 2^64 around it.
    """
    if ":" not in address:
        return address
    plain = ip_address(address.partition("%")[0])
    return str(IPv6Network((int(plain) >> 64 << 64, 64)))


@dataclass(frozen=True, slots=True)
class _Failures:
    """Failed logins of one address, and the moment of the last."""

    count: int
    last: float


class _Buckets:
    """A bucket for each key, full at first: `rate.count` at once, which come back evenly."""

    def __init__(self, rate: Rate | None) -> None:
        self.rate = rate
        self._full_again_at: OrderedDict[str, float] = OrderedDict()

    def has_room(self, key: str, now: float) -> bool:
        """Whether one may be taken."""
        if self.rate is None:
            return True
        # A thousandth of one makes up for sums that are not even.
        most = self.rate.period.total_seconds() + 0.001 / self.rate.per_second
        return self._after_one(self.rate, key, now) - now <= most

    def take(self, key: str, now: float) -> None:
        """Take one; whether there is one left was asked before."""
        if self.rate is None:
            return
        self._full_again_at[key] = self._after_one(self.rate, key, now)
        self._full_again_at.move_to_end(key)
        if len(self._full_again_at) > _MOST_KEYS:
            self._full_again_at.popitem(last=False)

    def _after_one(self, rate: Rate, key: str, now: float) -> float:
        """When the bucket is full again after one more was taken."""
        return max(self._full_again_at.get(key, now), now) + 1.0 / rate.per_second
