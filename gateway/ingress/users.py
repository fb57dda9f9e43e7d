"""
The users file: who may authenticate, by what hash, and as whom each may send.

Pure: text to users and back. `credentials` checks a password against a hash, `policy` asks what a
user may, `mailquay passwd` writes the file. One line is `name:argon2 hash[:allowed senders]`,
senders divided by commas: `app@example.com` an address, `@example.com` all of a domain, `<>` the
null reverse-path. Lines that are empty or begin with # say nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import argon2
from argon2.exceptions import InvalidHashError

from providers.contract.address import Address, InvalidAddress, parse_address

_NAME = re.compile(r"[!-9;-~]{1,128}\Z")  # printable ASCII without blank and colon
_MOST_MEMORY_KIB = 256 << 10  # of one check; a hash that asks for more would be an attack on us
_MOST_ROUNDS = 16
NULL_SENDER = "<>"


class BadUsersFile(ValueError):
    """The users file cannot be understood; the text names the line and never shows it."""


@dataclass(frozen=True, slots=True)
class User:
    """
    One user.

    Attributes:
        name: As it is written, which is how the client must write it.
        hash: Argon2 in its own notation; in no log and no `repr`.
        senders: Reverse-paths this user may write, as `address`, `@domain` and `<>`, in lower
            case; empty for all.
    """

    name: str
    hash: str = field(repr=False)
    senders: frozenset[str] = frozenset()

    def may_send_as(self, reverse_path: Address | None) -> bool:
        """Whether a letter of this user may go back to that address (`None`: to nobody)."""
        if not self.senders:
            return True
        if reverse_path is None:
            return NULL_SENDER in self.senders
        return reverse_path.folded in self.senders or f"@{reverse_path.domain}" in self.senders


def parse_users(text: str) -> Mapping[str, User]:
    """
    Read a users file, users by their names.

    Raises:
        BadUsersFile: A line is wrong.
    """
    users: dict[str, User] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            user = _parse_line(line.strip())
        except ValueError as error:
            raise BadUsersFile(f"line {number}: {error}") from None
        if user.name in users:
            raise BadUsersFile(f"line {number}: {user.name} was there before")
        users[user.name] = user
    return users


def with_user(text: str, name: str, new_hash: str) -> str:
    """
    The file's text with another hash for this user, or with one user more.

    Allowed senders and all other lines stay as they are.

    Raises:
        ValueError: The name cannot be one.
    """
    checked_name(name)
    lines = text.splitlines()
    for place, line in enumerate(lines):
        given, _, rest = line.strip().partition(":")
        if given == name:
            _, colon, senders = rest.partition(":")
            lines[place] = f"{name}:{new_hash}{colon}{senders}"
            break
    else:
        lines.append(f"{name}:{new_hash}")
    return "\n".join(lines) + "\n"


def checked_name(name: str) -> str:
    """A user's name, or a `ValueError` that says how one looks."""
    if not _NAME.match(name) or name.startswith("#"):
        raise ValueError("a name is printable ASCII without blanks and colons, 128 at most")
    return name


def _parse_line(line: str) -> User:
    name, _, rest = line.partition(":")
    given_hash, _, senders = rest.partition(":")
    return User(checked_name(name), _checked_hash(given_hash), _parse_senders(senders))


def _checked_hash(text: str) -> str:
    try:
        parameters = argon2.extract_parameters(text)
    except InvalidHashError:
        raise ValueError("no argon2 hash; make it with `mailquay passwd`") from None
    if parameters.memory_cost > _MOST_MEMORY_KIB or parameters.time_cost > _MOST_ROUNDS:
        raise ValueError("a hash that is too dear to check")
    return text


def _parse_senders(text: str) -> frozenset[str]:
    return frozenset(_checked_sender(word.strip()) for word in text.split(",") if word.strip())


def _checked_sender(word: str) -> str:
    if word == NULL_SENDER:
        return word
    try:
        address = parse_address(f"any{word}" if word.startswith("@") else word)
    except InvalidAddress:
        raise ValueError("an allowed sender is neither an address nor @domain nor <>") from None
    return f"@{address.domain}" if word.startswith("@") else address.folded
