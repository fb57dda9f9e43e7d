"""
AUTH's exchanges: PLAIN (RFC 4616) and LOGIN, from base64 lines to name and password.

Sans-IO. Whether the password is right is `credentials`' to say. What clients send is never part of
a reply, and a password shows in no `repr`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from gateway.ingress import replies
from gateway.ingress.submission import Reply

MECHANISMS = ("PLAIN", "LOGIN")

_MOST_OCTETS = 512  # of a name or a password; argon2 would take megabytes


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client says to prove who it is."""

    username: str
    password: str = field(repr=False)


class Exchange(Protocol):
    """One AUTH, from its first line to its last."""

    def begin(self) -> Reply:
        """The first challenge."""
        ...

    def respond(self, response: bytes) -> Reply | Credentials:
        """Read a response; the next challenge, or what the exchange comes to."""
        ...


def exchange(mechanism: bytes) -> Exchange | None:
    """The exchange of a mechanism, its name in any case; `None` for one that is not offered."""
    made = _EXCHANGES.get(mechanism.upper())
    return made() if made else None


def decode(line: bytes) -> bytes | Reply:
    """
    A response in base64, or the reply to one that is none, or to `*`, which cancels.

    Blanks at its ends and missing padding are forgiven: devices send both.
    """
    line = line.strip()
    if line == b"*":
        return replies.AUTH_CANCELLED
    bare = line.rstrip(b"=")
    try:
        return base64.b64decode(bare + b"=" * (-len(bare) % 4), validate=True)
    except binascii.Error:
        return replies.AUTH_NOT_BASE64


class _Plain:
    """One response: authorization identity, name, password, divided by NUL."""

    def begin(self) -> Reply:
        return replies.challenge(b"")

    def respond(self, response: bytes) -> Reply | Credentials:
        words = response.split(b"\0")
        if len(words) != 3:
            return replies.AUTH_MALFORMED
        acts_for, name, password = words
        if acts_for and acts_for != name:
            return replies.AUTH_FAILED  # nobody here may act for another
        return _credentials(name, password)


class _Login:
    """
    Name and password, one after the other.

    No RFC describes it. Clients compare the challenges with these very words (trap T17).
    """

    def __init__(self) -> None:
        self._name: bytes | None = None

    def begin(self) -> Reply:
        return replies.challenge(b"Username:")

    def respond(self, response: bytes) -> Reply | Credentials:
        if self._name is None:
            self._name = response
            return replies.challenge(b"Password:")
        return _credentials(self._name, response)


def _credentials(name: bytes, password: bytes) -> Reply | Credentials:
    if not name or not password or max(len(name), len(password)) > _MOST_OCTETS:
        return replies.AUTH_MALFORMED
    try:
        return Credentials(name.decode("utf-8"), password.decode("utf-8"))
    except UnicodeDecodeError:
        # From before RFC 4616; any octet is a character there.
        return Credentials(name.decode("latin-1"), password.decode("latin-1"))


_EXCHANGES: dict[bytes, Callable[[], Exchange]] = {b"PLAIN": _Plain, b"LOGIN": _Login}
