"""
Deaths without end: campaigns of every kind in turn, and a table of what became of the letters.

Run as `python -m tests.crash.soak`, or `make soak`. Exit code 0: every account agrees; 1: one does
not, and what is printed before it names the seed.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from tests.crash.accounts import Accounts
from tests.crash.campaign import Campaign, campaign
from tests.crash.disk import Disk, NoDisk
from tests.crash.strace import reason_without

ROUNDS_OF_A_CAMPAIGN = 25
Die = Callable[[Campaign, Disk | None], Awaitable[None]]


@dataclass(slots=True)
class Kind:
    """One way to die, and the accounts of its campaigns so far."""

    name: str
    disk: str
    die: Die
    rounds: int = 0
    books: list[Accounts] = field(default_factory=list)

    def total(self, count: Callable[[Accounts], int]) -> int:
        """A figure over all campaigns."""
        return sum(map(count, self.books))


async def at_random(drill: Campaign, _disk: Disk | None) -> None:
    await drill.die_at_random()


async def at_a_point(drill: Campaign, _disk: Disk | None) -> None:
    await drill.die_at_a_point()


async def on_a_failing_disk(drill: Campaign, _disk: Disk | None) -> None:
    await drill.die_on_a_failing_disk()


async def without_power(drill: Campaign, disk: Disk | None) -> None:
    assert disk is not None
    await drill.lose_power(disk)


FIGURES: dict[str, Callable[[Accounts], int]] = {
    "letters": lambda books: books.letters,
    "recipients": lambda books: books.recipients,
    "handed over": lambda books: books.handed_over,
    "failed": lambda books: books.failed,
    "waiting": lambda books: books.waiting,
    "lost": lambda books: len(books.lost),
    "uncertain": lambda books: books.uncertain,
    "second copies": lambda books: books.second_copies,
    "sent again": lambda books: books.sent_again,
    "unexplained": lambda books: len(books.unexplained),
}


def kinds_here(console: Console) -> list[Kind]:
    """What this machine can do; what it cannot is told with the reason."""
    kinds = [Kind("kill -9 at random", "", at_random), Kind("kill -9 at a point", "", at_a_point)]
    if reason := reason_without():
        console.print(f"left out: a failing disk ({reason})")
    else:
        kinds.append(Kind("failing disk, kill -9", "", on_a_failing_disk))
    for name in ("ext4", "xfs"):
        try:
            with tempfile.TemporaryDirectory() as folder, Disk(Path(folder), name):
                kinds.append(Kind(f"power cut, {name}", name, without_power))
        except NoDisk as reason:
            console.print(f"left out: power cut, {name} ({reason})")
    return kinds


async def soak(
    kinds: Sequence[Kind], rounds: int, minutes: float, seed: str
) -> AsyncIterator[Kind]:
    """Campaigns of each kind in turn, until there were so many deaths or the time is over."""
    ends_at = time.monotonic() + minutes * 60
    number = 0
    while (left := rounds - sum(kind.rounds for kind in kinds)) > 0 and time.monotonic() < ends_at:
        kind = kinds[number % len(kinds)]
        chance = random.Random(f"{seed}/{number}")
        async with _ground(kind, chance) as (drill, disk):
            for _ in range(min(left, ROUNDS_OF_A_CAMPAIGN)):
                await kind.die(drill, disk)
                if time.monotonic() > ends_at:
                    break
            kind.books.append(await drill.close_the_books())
            kind.rounds += drill.rounds
        number += 1
        yield kind


@asynccontextmanager
async def _ground(kind: Kind, chance: random.Random) -> AsyncIterator[tuple[Campaign, Disk | None]]:
    with tempfile.TemporaryDirectory(prefix="mailquay-soak-") as name:
        folder = Path(name)
        if not kind.disk:
            async with campaign(folder, chance) as drill:
                yield drill, None
            return
        with Disk(folder, kind.disk) as disk:
            async with campaign(folder, chance, disk=disk) as drill:
                yield drill, disk


def table_of(kinds: Sequence[Kind]) -> Table:
    """What became of the letters, a line for each way to die."""
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("died of", no_wrap=True)
    for name in ("rounds", *FIGURES):
        table.add_column(name, justify="right")
    for kind in kinds:
        figures = [f"{kind.total(count):,}" for count in FIGURES.values()]
        table.add_row(kind.name, f"{kind.rounds:,}", *figures)
    totals = [f"{sum(kind.total(count) for kind in kinds):,}" for count in FIGURES.values()]
    table.add_section()
    table.add_row("all", f"{sum(kind.rounds for kind in kinds):,}", *totals)
    return table


async def run(rounds: int, minutes: float, seed: str, console: Console) -> int:
    """Soak, print, judge; the exit code."""
    kinds = kinds_here(console)
    began = time.monotonic()
    sound = True
    console.print(f"seed {seed}; at most {rounds} rounds and {minutes:g} minutes")
    async for kind in soak(kinds, rounds, minutes, seed):
        books = kind.books[-1]
        told = f"{kind.name}: {kind.rounds} rounds, {kind.total(FIGURES['letters'])} letters"
        console.print(f"{time.monotonic() - began:6.0f} s  {told}", highlight=False)
        try:
            books.check()
        except AssertionError as broken:
            console.print(f"broken: {broken}", style="red")
            sound = False
            break
    console.print(table_of(kinds))
    return 0 if sound else 1


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.soak", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2000, help="deaths at most")
    parser.add_argument("--minutes", type=float, default=60.0, help="time at most")
    parser.add_argument("--seed", default="", help="where chance begins; told when not given")
    given = parser.parse_args()
    seed = given.seed or secrets.token_hex(4)
    console = Console(width=140, soft_wrap=True)
    return asyncio.run(run(given.rounds, given.minutes, seed, console))


if __name__ == "__main__":
    sys.exit(main())
