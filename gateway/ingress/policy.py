"""
What the front door decides, from rules and facts alone.

Pure: no socket, no clock, no log. `dialogue` asks; a refusal is the reply to give, `None` is
consent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from gateway.ingress import replies
from gateway.ingress.submission import Client, Reply
from gateway.ingress.users import User
from providers.contract.address import Address

_HOSTNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?\Z")

_ip_address = lru_cache(maxsize=1024)(ip_address)  # a client that connects for each letter

Network = IPv4Network | IPv6Network

LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))

# RFC 1918, 6598, 3927, 4193 and 4291: nobody from elsewhere has an address in one of these.
_NOT_PUBLIC = (
    *LOOPBACK,
    *map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")),
    *map(ip_network, ("100.64.0.0/10", "fc00::/7", "fe80::/10")),
)
_MOST_PUBLIC = {4: 1 << 20, 6: 1 << 100}  # addresses: a /12, or a /28 of IPv6


class Tls(StrEnum):
    """When a listener speaks TLS: never, where the client asks, before MAIL, before all else."""

    OFF = "off"
    STARTTLS = "starttls"
    REQUIRED = "required"
    IMPLICIT = "implicit"


class TlsProfile(StrEnum):
    """Which clients TLS is to get along with: today's, or devices from before TLS 1.2."""

    MODERN = "modern"
    OLD = "old"


class Auth(StrEnum):
    """Whether a listener's clients can and must say who they are."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"


_BY_STARTTLS = frozenset({Tls.STARTTLS, Tls.REQUIRED})


@dataclass(frozen=True, slots=True)
class FrontDoorRules:
    """
    The rules of a front door; each listener has its own, mostly the same.

    Attributes:
        hostname: Our name in greeting, EHLO and for `postmaster` without a domain.
        networks: Whose clients may relay; with none, nobody may without AUTH.
        local: Clients come by a socket file; whoever can open it may relay.
        tls: When TLS is spoken.
        tls_profile: With whom.
        auth: Whether clients can and must authenticate.
        auth_without_tls: Passwords are taken in the clear from other machines too.
        max_message_size: Octets of content, advertised as SIZE (RFC 1870).
        max_recipients: Of one letter, advertised as RCPTMAX (RFC 9422).
        max_letters: Of one session, advertised as MAILMAX; 0 for no limit.
        max_connections: Sessions at once, over all listeners.
        max_connections_per_address: Of these, from one address; 0 for no limit.
        max_memory: Octets of content that all sessions together hold while it comes in and is
            taken. A letter that fits no more is put off.
        max_errors: Wrong commands of a session between two letters before it is closed.
        max_commands: Commands of a session between two letters before it is closed.
        command_timeout_s: Seconds of waiting for a command; RFC 5321 4.5.3.2.7 asks for 300.
        data_timeout_s: Seconds without progress within a letter; 4.5.3.2.5 has clients give up
            after 180.
        min_data_rate: Octets a second that count as progress, over `data_timeout_s`.
    """

    hostname: str
    networks: tuple[Network, ...] = LOOPBACK
    local: bool = False
    tls: Tls = Tls.OFF
    tls_profile: TlsProfile = TlsProfile.MODERN
    auth: Auth = Auth.OFF
    auth_without_tls: bool = False
    max_message_size: int = 25 << 20
    max_recipients: int = 1000
    max_letters: int = 0
    max_connections: int = 500
    max_connections_per_address: int = 0
    max_memory: int = 256 << 20
    max_errors: int = 20
    max_commands: int = 10_000
    command_timeout_s: float = 300.0
    data_timeout_s: float = 180.0
    min_data_rate: int = 100

    def __post_init__(self) -> None:
        if not _HOSTNAME.match(self.hostname):
            raise ValueError(f"{self.hostname!r} is not a host name")
        if problem := open_relay(self.networks):
            raise ValueError(problem)
        limits = (
            self.max_message_size,
            self.max_recipients,
            self.max_connections,
            self.max_memory,
            self.max_errors,
            self.max_commands,
            self.command_timeout_s,
            self.data_timeout_s,
            self.min_data_rate,
        )
        if min(limits) <= 0:
            raise ValueError("limits and time-outs of the front door are positive")

    @property
    def memory(self) -> int:
        """Octets that sessions may hold together: the largest letter always has room."""
        return max(self.max_memory, self.max_message_size)

    @property
    def data_quantum(self) -> int:
        """Octets of a letter that must come within `data_timeout_s`, again and again."""
        return max(1, int(self.min_data_rate * self.data_timeout_s))


def open_relay(networks: Iterable[Network]) -> str:
    """
    Why these networks would let strangers relay; empty when they do not.

    Private networks may be as large as they are. Of public addresses, what somebody can mean by
    "our networks" is far from a large part of the Internet.
    """
    for version, most in _MOST_PUBLIC.items():
        public = [n for n in networks if n.version == version and not _is_private(n)]
        if sum(network.num_addresses for network in public) > most:
            words = ", ".join(str(network) for network in public)
            return f"{words} would let strangers relay; name the networks of your applications"
    return ""


def _is_private(network: Network) -> bool:
    return any(
        network.version == other.version and network.subnet_of(other)  # type: ignore[arg-type] # the same
        for other in _NOT_PUBLIC
    )


def client_address(peername: object) -> str:
    """
    A client's IP address as text, from what a socket calls its peer; empty when it has none.

    An IPv4 client of an IPv6 socket gets its IPv4 address, so that networks mean what they say.
    """
    if not isinstance(peername, tuple) or not peername:
        return ""
    address = str(peername[0])
    if address.startswith("::") and (mapped := IPv6Address(address).ipv4_mapped):
        return str(mapped)
    return address


def is_in(address: str, networks: Iterable[Network]) -> bool:
    """Whether an address, empty for none, is in one of these networks."""
    if not address:
        return False
    parsed = _ip_address(address)
    return any(parsed in network for network in networks)


def is_beside_us(rules: FrontDoorRules, client: Client) -> bool:
    """Whether nothing between a client and us can listen: it is on this machine."""
    return is_in(client.address, LOOPBACK) if client.address else rules.local


def offers_auth(rules: FrontDoorRules, client: Client) -> bool:
    """Whether a client may send its password here and now."""
    if rules.auth is Auth.OFF or client.user:
        return False
    return client.tls or rules.auth_without_tls or is_beside_us(rules, client)


def offers_tls(rules: FrontDoorRules, client: Client) -> bool:
    """Whether a client can begin TLS by STARTTLS (RFC 3207)."""
    return rules.tls in _BY_STARTTLS and not client.tls


def needs_tls(rules: FrontDoorRules, client: Client) -> bool:
    """Whether a client must begin TLS before anything else."""
    return rules.tls is Tls.REQUIRED and not client.tls


def refuse_auth(rules: FrontDoorRules, client: Client) -> Reply | None:
    """Judge AUTH, whatever the mechanism (RFC 4954 4)."""
    if rules.auth is Auth.OFF:
        return replies.NOT_IMPLEMENTED
    if client.user:
        return replies.ALREADY_AUTHENTICATED
    return None if offers_auth(rules, client) else replies.AUTH_NEEDS_TLS


def refuse_client(rules: FrontDoorRules, client: Client) -> Reply | None:
    """
    Judge whether a client may hand in letters.

    It may when it has authenticated. Without that it may where the listener does not insist, and
    it comes from our networks or by our socket file.
    """
    if client.user:
        return None
    if rules.auth is not Auth.REQUIRED and _is_ours(rules, client):
        return None
    if offers_auth(rules, client):
        return replies.AUTH_REQUIRED
    return replies.NEED_STARTTLS if _could_auth(rules, client) else replies.RELAY_DENIED


def _is_ours(rules: FrontDoorRules, client: Client) -> bool:
    return is_in(client.address, rules.networks) if client.address else rules.local


def _could_auth(rules: FrontDoorRules, client: Client) -> bool:
    return rules.auth is not Auth.OFF and offers_tls(rules, client)


def refuse_sender(user: User, reverse_path: Address | None) -> Reply | None:
    """Judge the reverse-path of an authenticated client."""
    return None if user.may_send_as(reverse_path) else replies.SENDER_DENIED


def refuse_recipient(rules: FrontDoorRules, recipients: int) -> Reply | None:
    """Judge one more recipient beside those taken (RFC 5321 4.5.3.1.10)."""
    if recipients >= rules.max_recipients:
        return replies.too_many_recipients(rules.max_recipients)
    return None
