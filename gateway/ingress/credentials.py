"""
Whether a password is right: argon2 off the event loop, few at a time, and briefly remembered.

Between the session, which waits here, and the users. What it takes tells nobody whether a name
exists. Passwords are kept nowhere: a success is remembered under a keyed hash.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import argon2
from argon2.exceptions import Argon2Error, InvalidHashError

from gateway.ingress.sasl import Credentials
from gateway.ingress.users import User

REMEMBERED_FOR_S = 300.0
_MOST_REMEMBERED = 1024
_AT_ONCE = 2  # checks; each takes a core and the memory that its hash asks for
_MOST_WAITING = 64

# What OWASP asks for at least: 19 MiB, so that a gateway in a small container can check it too.
HASHER = argon2.PasswordHasher(time_cost=2, memory_cost=19 << 10, parallelism=1)


class TooManyChecks(Exception):
    """More clients are waiting for a check than shall wait."""


class CredentialCheck:
    """
    Checks credentials against users, who may change at any time.

    Args:
        users: By name.
        clock: Monotonic seconds.
    """

    def __init__(self, users: Mapping[str, User], clock: Callable[[], float]) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._remembered: OrderedDict[bytes, float] = OrderedDict()
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="argon2")
        self._waiting = 0
        self.replace_users(users)

    def replace_users(self, users: Mapping[str, User]) -> None:
        """
        Check against these users from now on; who is in stays in.

        Takes as long as checks do, one for each kind of hash among the users: not for the event
        loop.
        """
        found = (argon2.extract_parameters(user.hash) for user in users.values())
        kinds = {repr(kind): kind for kind in found}
        decoys = [
            argon2.PasswordHasher.from_parameters(kinds[name]).hash(secrets.token_hex(16))
            for name in sorted(kinds)
        ]
        # What no user has, an unknown name has: a hash like one of theirs, the same every time.
        self._decoys = decoys or [HASHER.hash(secrets.token_hex(16))]
        self._users = users

    def knows(self, name: str) -> bool:
        """Whether a name may be told to the log: what else was sent for one may be a password."""
        return name in self._users

    async def verify(self, credentials: Credentials) -> User | None:
        """
        The user that these credentials prove, or `None`.

        Raises:
            TooManyChecks: Nothing was checked.

        When cancelled, a check that has begun ends by itself.
        """
        user = self._users.get(credentials.username)
        stored = user.hash if user else self._decoy(credentials.username)
        digest = self._digest(credentials, stored)
        if user and self._remembered.get(digest, 0.0) > self._clock():
            return user
        if self._waiting >= _MOST_WAITING:
            raise TooManyChecks
        self._waiting += 1
        try:
            right = await asyncio.get_running_loop().run_in_executor(
                self._threads, _is_right, stored, credentials.password
            )
        finally:
            self._waiting -= 1
        if not right or user is None:
            return None
        self._remember(digest)
        return user

    def close(self) -> None:
        """Begin no more checks."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _decoy(self, name: str) -> str:
        digest = hashlib.blake2b(name.encode(), key=self._key, digest_size=4).digest()
        return self._decoys[int.from_bytes(digest) % len(self._decoys)]

    def _digest(self, credentials: Credentials, stored: str) -> bytes:
        """Of the stored hash too: with another password in the file, the old one is forgotten."""
        words = (credentials.username, credentials.password, stored)
        return hashlib.blake2b(
            b"".join(hashlib.sha256(word.encode()).digest() for word in words), key=self._key
        ).digest()

    def _remember(self, digest: bytes) -> None:
        self._remembered[digest] = self._clock() + REMEMBERED_FOR_S
        self._remembered.move_to_end(digest)
        if len(self._remembered) > _MOST_REMEMBERED:
            self._remembered.popitem(last=False)


def _is_right(stored: str, password: str) -> bool:
    try:
        return HASHER.verify(stored, password)
    except (Argon2Error, InvalidHashError):
        return False
