"""
What the sessions of a front door share: rules, intake, observer, and who is there.

`server` makes one for all its listeners; each `session` enters and leaves. It knows no protocol.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from gateway.ingress import replies
from gateway.ingress.credentials import CredentialCheck
from gateway.ingress.limits import LimitRules, Limits
from gateway.ingress.policy import FrontDoorRules
from gateway.ingress.submission import Intake, Reply
from gateway.ingress.tls import ServerTls
from gateway.suppression import SuppressionList

SLOW_AFTER_S = 10.0
"""Seconds without progress after which a letter gives way where memory is short."""


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

    def handshake_failed(self, listener: str) -> None:
        """TLS was begun and did not come about."""
        ...


class Guest(Protocol):
    """A session as the reception sees it."""

    def drain(self) -> None:
        """End after the letter under way, or at once where there is none."""
        ...

    def abort(self) -> None:
        """End now."""
        ...

    def stalled_for(self) -> float:
        """Seconds since the letter that it is reading last made progress."""
        ...

    def give_way(self) -> None:
        """Drop what is held of the letter, and put it off at its end."""
        ...


class Reception:
    """
    Sessions at the moment, and the room for their letters.

    Args:
        rules: What holds for all listeners together.
        intake: Takes letters.
        observer: Told what happens.
        limits: Shared by all sessions; without any, those of `LimitRules()`.
        credentials: Who may authenticate; `None` where no listener offers AUTH.
        tls: Contexts for handshakes to come, replaced at a reload.
        suppressions: Who is refused at RCPT; `None`: nobody for being on a list.

    Attributes:
        held: Octets of content that the sessions hold; each tells its own by `hold`.
    """

    def __init__(
        self,
        rules: FrontDoorRules,
        intake: Intake,
        observer: SessionObserver,
        *,
        limits: Limits | None = None,
        credentials: CredentialCheck | None = None,
        tls: ServerTls | None = None,
        suppressions: SuppressionList | None = None,
    ) -> None:
        self.rules = rules
        self.intake = intake
        self.observer = observer
        self.limits = limits or Limits(LimitRules(), time.monotonic)
        self.credentials = credentials
        self.tls = tls
        self.suppressions = suppressions
        self.held = 0
        self._memory = rules.memory
        self._guests: set[Guest] = set()
        self._holders: dict[Guest, int] = {}
        self._draining = False
        self._empty = asyncio.Event()
        self._empty.set()

    def enter(self, guest: Guest, listener: str, address: str) -> Reply | None:
        """Count a session in; the reply to turn its client away with, or `None`."""
        self._guests.add(guest)
        self._empty.clear()
        self.observer.connected(listener)
        from_there = self.limits.connect(address)
        if self._draining:
            return replies.SHUTTING_DOWN
        if len(self._guests) > self.rules.max_connections:
            return replies.TOO_MANY_CONNECTIONS
        most = self.rules.max_connections_per_address
        return replies.TOO_MANY_CONNECTIONS_OF_ADDRESS if 0 < most < from_there else None

    def leave(self, guest: Guest, listener: str, address: str) -> None:
        """A session is over: its connection is closed and nothing of it is being taken."""
        self._guests.discard(guest)
        self.limits.disconnect(address)
        self.observer.disconnected(listener)
        if not self._guests:
            self._empty.set()

    def hold(self, guest: Guest, octets: int) -> None:
        """So many octets of content a session holds from now on."""
        self.held += octets - self._holders.get(guest, 0)
        if octets:
            self._holders[guest] = octets
        else:
            self._holders.pop(guest, None)

    def has_room(self, octets: int) -> bool:
        """
        Whether so many octets more can be held.

        Where memory is short, letters that hardly move give way first, the longest stalled one
        before the others: else a few clients that trickle would keep everybody out.
        """
        while self.held + octets > self._memory:
            slowest = max(self._holders, key=lambda guest: guest.stalled_for(), default=None)
            if slowest is None or slowest.stalled_for() < SLOW_AFTER_S:
                return False
            slowest.give_way()
            self.hold(slowest, 0)
        return True

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
