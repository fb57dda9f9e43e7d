"""
What the front door decides, from rules and facts alone.

Pure: no socket, no clock, no log. `dialogue` asks; a refusal is the reply to give, `None` is
consent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from gateway.ingress import replies
from gateway.ingress.submission import Client, Reply

_HOSTNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?\Z")

_ip_address = lru_cache(maxsize=1024)(ip_address)  # a client that connects for each letter

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@dataclass(frozen=True, slots=True)
class FrontDoorRules:
    """
    The rules of a front door.

    Attributes:
        hostname: Our name in greeting, EHLO and for `postmaster` without a domain.
        networks: Whose clients may relay; with none, nobody may.
        max_message_size: Octets of content, advertised as SIZE (RFC 1870).
        max_recipients: Of one letter.
        max_connections: Sessions at once, over all listeners.
        max_memory: Octets of content that all sessions together hold while it comes in and is
            taken. A letter that fits no more is put off.
        max_errors: Wrong commands of a session between two letters before it is closed.
        command_timeout_s: Seconds of waiting for a command; RFC 5321 4.5.3.2.7 asks for 300.
        data_timeout_s: Seconds without an octet within a letter; 4.5.3.2.5 has clients give up
            after 180.
    """

    hostname: str
    networks: tuple[IPv4Network | IPv6Network, ...] = LOOPBACK
    max_message_size: int = 25 << 20
    max_recipients: int = 1000
    max_connections: int = 500
    max_memory: int = 256 << 20
    max_errors: int = 20
    command_timeout_s: float = 300.0
    data_timeout_s: float = 180.0

    def __post_init__(self) -> None:
        if not _HOSTNAME.match(self.hostname):
            raise ValueError(f"{self.hostname!r} is not a host name")
        if any(network.prefixlen == 0 for network in self.networks):
            raise ValueError("a network of all addresses makes an open relay")
        limits = (
            self.max_message_size,
            self.max_recipients,
            self.max_connections,
            self.max_memory,
            self.max_errors,
            self.command_timeout_s,
            self.data_timeout_s,
        )
        if min(limits) <= 0:
            raise ValueError("limits and time-outs of the front door are positive")

    @property
    def memory(self) -> int:
        """Octets that sessions may hold together: the largest letter always has room."""
        return max(self.max_memory, self.max_message_size)


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


def may_relay(rules: FrontDoorRules, client: Client) -> bool:
    """Whether a client may hand in letters: it is authenticated, or comes from our networks."""
    if client.user:
        return True
    if not client.address:
        return False
    address = _ip_address(client.address)
    return any(address in network for network in rules.networks)


def refuse_size(rules: FrontDoorRules, declared: int, held: int) -> Reply | None:
    """
    Judge the size that MAIL declares; zero when it declares none.

    Args:
        rules: Ours.
        declared: Octets.
        held: Octets of content that the sessions hold at the moment.
    """
    if declared > rules.max_message_size:
        return replies.message_too_big(rules.max_message_size)
    if held + declared > rules.memory:
        return replies.NO_MEMORY
    return None


def refuse_recipient(rules: FrontDoorRules, recipients: int) -> Reply | None:
    """Judge one more recipient beside those taken (RFC 5321 4.5.3.1.10)."""
    if recipients >= rules.max_recipients:
        return replies.too_many_recipients(rules.max_recipients)
    return None
