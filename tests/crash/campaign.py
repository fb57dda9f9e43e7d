"""
A campaign: one spool, a load without end, a gateway that dies again and again; then the accounts.

Everything that is left to chance comes from one generator, so a campaign can be had again, as far
as scheduling allows, by its seed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.spool.bodies import LARGE_OCTETS
from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.server import Sandbox
from tests.crash.accounts import Accounts, compare, missing, read_spool, under_way
from tests.crash.disk import Disk
from tests.crash.mortal import MortalGateway
from tests.crash.points import POINTS
from tests.crash.strace import injected
from tests.e2e.gateway_process import smarthost
from tests.support.load import Load, LoadLetter, a_load_letter

SESSIONS = 8
LONGEST_LIFE_S = 0.4
PATIENCE_S = 10.0  # until a named point is passed, under load
LARGE = LARGE_OCTETS + 1000
# What a provider does wrong now and then, beside the gateway's deaths.
_FAULTS = (
    FaultKind.DEFER,
    FaultKind.ERROR,
    FaultKind.DROP_BEFORE,
    FaultKind.DROP_AFTER,
)
FAILING_CALLS = (
    "fsync,fdatasync:error=EIO",
    "pwrite64:error=EIO",
    "pwrite64:error=ENOSPC",
    "pwrite64:error=EROFS",
)
_NEVER = "never%"  # the pattern of `mixed_letters`' recipients that stay put off


def mixed_letters(first: int = 0, *, large_every: int = 10) -> Iterator[LoadLetter]:
    """
    Letters of one to three recipients, every tenth or so large.

    Some recipients begin with `wrong`, which `faults_for_ever` has refused, or with `never`, which
    it puts off each time.
    """
    number = first
    while True:
        names = ["r" * (1 + place) for place in range(1 + number % 3)]
        if number % 17 == 5:
            names[-1] = "wrong"
        elif number % 50 == 7:
            names[-1] = "never"
        octets = LARGE if number % large_every == large_every - 1 else 100
        addresses = (f"{name}{number}@example.org" for name in names)
        yield a_load_letter(number, *addresses, octets=octets)
        number += 1


def faults_for_ever() -> list[Fault]:
    """What the sandbox shall do to the recipients of `mixed_letters` that ask for it."""
    return [
        Fault(FaultKind.REFUSE, "smarthost", None, recipient="wrong"),
        Fault(FaultKind.DEFER, "smarthost", None, recipient="never"),
    ]


@dataclass(slots=True)
class Campaign:
    """
    What runs in one; built by `campaign`.

    Attributes:
        rounds: Deaths so far.
    """

    gateway: MortalGateway
    load: Load
    sandbox: Sandbox
    chance: random.Random
    weaknesses: Sequence[str] = ()
    rounds: int = 0

    async def live(self, **how: Any) -> None:
        """Begin a life that clients find."""
        await self.gateway.start(weaknesses=self.weaknesses, **how)

    async def die_at_random(self) -> None:
        """Kill it at a moment of a life under load, now and then while it still starts."""
        self._err()
        if self.chance.random() < 0.2:
            await self.gateway.begin(weaknesses=self.weaknesses)
            await asyncio.sleep(self.chance.uniform(0, 0.1))
        else:
            await self.live()
            await asyncio.sleep(self.chance.uniform(0, LONGEST_LIFE_S))
        await self.gateway.kill()
        self.rounds += 1

    async def die_at_a_point(self) -> None:
        """
        Have it kill itself at a named point, passed for the first time or a later one.

        Some points this load may never pass: a claim, for fresh letters go by hand, and an attempt
        recorded with its letter's admission, for something mostly waits. Where a life goes on for
        long it is killed.
        """
        self._err()
        point = self.chance.choice([name for name in POINTS if "recovery" not in name])
        nth = self.chance.randint(1, 3 if "claim" in point or "records an attempt" in point else 40)
        await self.gateway.begin(die_at=point, nth=nth, weaknesses=self.weaknesses)
        await self.gateway.greets()  # or dies before
        try:
            await self.gateway.ended(PATIENCE_S)
        except TimeoutError:
            await self.gateway.kill()
        self.rounds += 1

    async def die_on_a_failing_disk(self) -> None:
        """Let some of its calls fail from some moment on, and kill it a little later."""
        await self.live()
        await asyncio.sleep(self.chance.uniform(0, LONGEST_LIFE_S / 2))
        fault = f"{self.chance.choice(FAILING_CALLS)}:when={self.chance.randint(1, 9)}+"
        async with injected(self.gateway.pid, fault):
            await asyncio.sleep(self.chance.uniform(0, LONGEST_LIFE_S))
            await self.gateway.kill()
        self.rounds += 1

    async def lose_power(self, disk: Disk, *, letters: int = 0) -> None:
        """
        Cut the power at a moment of a life under load; afterwards the disk is there again.

        Not before so many letters were answered 250 in this life, however slow the machine is.

        The gateway goes first, between two instructions, as a machine without power does. Left to
        run it would see what no machine sees: a sync that is under way while the file system is
        shut down may come back as done, though it never was. That is the kernel's doing, on ext4
        and xfs alike, and happens to a loop of pwrite and fdatasync too.
        """
        taken = len(self.load.taken)
        await self.live()
        await asyncio.sleep(self.chance.uniform(0, LONGEST_LIFE_S))
        await self.load.until(lambda load: len(load.taken) >= taken + letters)
        await self.gateway.freeze()
        disk.cut_power()
        await self.gateway.kill()
        disk.unmount()
        disk.mount()
        self.rounds += 1

    async def drained(self, timeout_s: float = 60.0) -> None:
        """Wait until nothing is left to be done of what the gateway has taken, or fail."""
        left = 0
        try:
            async with asyncio.timeout(timeout_s):
                while left := under_way(self.gateway.spool_path, but_for=_NEVER):
                    await self.gateway.log_grows()
        except TimeoutError:
            raise AssertionError(f"{left} recipients have not come to their end") from None

    def missing_now(self) -> list[str]:
        """
        While it is dead: which letters answered 250 the spool does not have.

        For builds that are meant to lose some, and whose accounts would not balance.
        """
        return missing(self.load.taken, self.gateway.spool_path)

    async def close_the_books(self) -> Accounts:
        """Live again until nothing is left to be done, see that the ledger balances, compare."""
        await self.gateway.start()
        return await self.settle()

    async def settle(self) -> Accounts:
        """The same with the life under way."""
        await self.load.finish()
        await self.drained()
        await self._check_ledger()
        assert await self.gateway.stop() == 0
        return compare(self.load, read_spool(self.gateway.spool_path), self.sandbox.letterbox)

    async def _check_ledger(self) -> None:
        """The ledger always balances: accepted = handed over + failed + removed + waiting."""
        counts = await self.gateway.metrics()
        states = {labels: value for (name, labels), value in counts.items() if name == _STATES}
        accepted = counts[_ACCEPTED, ()]
        assert accepted == sum(states.values()), (accepted, states)

    def _err(self) -> None:
        """Let the provider err once or twice in the life to come."""
        kind = self.chance.choice(_FAULTS)
        self.sandbox.faults.add(Fault(kind, "smarthost", self.chance.randint(1, 2)))


_STATES = "mailquay_recipients"
_ACCEPTED = "mailquay_recipients_accepted"


@asynccontextmanager
async def campaign(
    folder: Path,
    chance: random.Random,
    *,
    letters: Iterator[LoadLetter] | None = None,
    sessions: int = SESSIONS,
    weaknesses: Sequence[str] = (),
    disk: Disk | None = None,
    **config: Any,
) -> AsyncIterator[Campaign]:
    """
    A campaign; at the end everything is ended, come what may.

    Args:
        folder: Where configuration and spool are.
        chance: Where chance comes from.
        letters: What clients send; mixed letters without end when not given.
        sessions: How many clients.
        weaknesses: What to build weaker (`points.WEAKNESSES`).
        disk: Where the spool is instead.
        config: More of the gateway's configuration.
    """
    sandbox = Sandbox(rate=None, faults=faults_for_ever())
    await sandbox.start()
    if disk is not None:
        config["spool"] = {"url": f"sqlite:///{disk.folder}/spool.db"}
    gateway = MortalGateway(folder, {"main": smarthost(sandbox)}, **config)
    load = Load(
        lambda: gateway.smtp_port,
        mixed_letters() if letters is None else letters,
        gateway.hostname,
    )
    try:
        load.start(sessions)
        yield Campaign(gateway, load, sandbox, chance, weaknesses)
    finally:
        await load.abandon()
        await gateway.close()
        await sandbox.stop()
