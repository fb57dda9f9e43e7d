"""
What the sessions of a front door share: rules, intake, observer, and who is there.

`server` makes one for all its listeners; each `session` enters and leaves. It knows no protocol.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from gateway.ingress import replies
from gateway.ingress.policy import FrontDoorRules
from gateway.ingress.submission import Intake, Reply


class SessionObserver(Protocol):
    """Told what sessions do, on the hot path: must not raise, must not wait."""

    def connected(self, listener: str) -> None:
        """A client has connected, whether it is served or turned away."""
        ...

    def disconnected(self, listener: str) -> None:
        """Its session is over; once for every `connected`."""
        ...

    def replied(self, listener: str, reply: Reply) -> None:
        """A reply was given; EHLO's lines count as one."""
        ...


class Guest(Protocol):
    """A session as the reception sees it."""

    def drain(self) -> None:
        """End after the letter under way, or at once where there is none."""
        ...

    def abort(self) -> None:
        """End now."""
        ...


class Reception:
    """
    Sessions at the moment, and the room for their letters.

    Attributes:
        held: Octets of content that the sessions hold; each adds and takes away its own.
    """

    def __init__(self, rules: FrontDoorRules, intake: Intake, observer: SessionObserver) -> None:
        self.rules = rules
        self.intake = intake
        self.observer = observer
        self.held = 0
        self._guests: set[Guest] = set()
        self._draining = False
        self._empty = asyncio.Event()
        self._empty.set()

    def enter(self, guest: Guest, listener: str) -> Reply | None:
        """Count a session in; the reply to turn its client away with, or `None`."""
        self._guests.add(guest)
        self._empty.clear()
        self.observer.connected(listener)
        if self._draining:
            return replies.SHUTTING_DOWN
        if len(self._guests) > self.rules.max_connections:
            return replies.TOO_MANY_CONNECTIONS
        return None

    def leave(self, guest: Guest, listener: str) -> None:
        """A session is over: its connection is closed and nothing of it is being taken."""
        self._guests.discard(guest)
        self.observer.disconnected(listener)
        if not self._guests:
            self._empty.set()

    async def drain(self, timeout_s: float) -> bool:
        """
        Let every session end with the letter it is at; new clients are turned away.

        Returns:
            Whether all have ended within the time.
        """
        self._draining = True
        for guest in tuple(self._guests):
            guest.drain()
        try:
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    async def clear(self) -> None:
        """End all sessions now and wait until they are gone."""
        self._draining = True
        for guest in tuple(self._guests):
            guest.abort()
        await self._empty.wait()
