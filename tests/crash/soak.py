"""
Deaths without end: campaigns of every kind in turn, and a table of what became of the letters.

Afterwards the power is cut under builds that sync less: where they lose nothing, the drill proves
nothing. Run as `python -m tests.crash.soak`, or `make soak`. Exit code 0: every account agrees, and
weaker builds were found out; 1: not so, and what is printed before it names the seed.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from tests.crash.campaign import Campaign, campaign, mixed_letters
from tests.crash.disk import Disk, NoDisk
from tests.crash.figures import CounterProof, Kind, page_of, table_of
from tests.crash.strace import reason_without

ROUNDS_OF_A_CAMPAIGN = 25
PATIENCE = 20  # power cuts that a weaker build may survive whole before the drill is in doubt
SYNCING_LESS = ("synchronous=NORMAL", "files not synced")


async def at_random(drill: Campaign, _disk: Disk | None) -> None:
    await drill.die_at_random()


async def at_a_point(drill: Campaign, _disk: Disk | None) -> None:
    await drill.die_at_a_point()


async def on_a_failing_disk(drill: Campaign, _disk: Disk | None) -> None:
    await drill.die_on_a_failing_disk()


async def without_power(drill: Campaign, disk: Disk | None) -> None:
    assert disk is not None
    await drill.lose_power(disk)


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


async def counter_proofs(kinds: Sequence[Kind], seed: str) -> AsyncIterator[CounterProof]:
    """The power cuts of `kinds` once more, against builds that have to lose letters by them."""
    for disk in (kind.disk for kind in kinds if kind.disk):
        for weakness in SYNCING_LESS:
            chance = random.Random(f"{seed}/{weakness}/{disk}")
            yield await counter_proof(weakness, disk, chance)


async def counter_proof(weakness: str, kind: str, chance: random.Random) -> CounterProof:
    """Cut the power of a weaker build until letters are missing, or `PATIENCE` is at its end."""
    missing: list[str] = []
    with tempfile.TemporaryDirectory(prefix="mailquay-soak-") as name:
        folder = Path(name)
        letters = mixed_letters(large_every=3)
        with Disk(folder, kind) as disk:
            async with campaign(
                folder, chance, letters=letters, disk=disk, weaknesses=[weakness]
            ) as drill:
                while not missing and drill.rounds < PATIENCE:
                    await drill.lose_power(disk, letters=5)
                    missing = drill.missing_now()
                taken = len(drill.load.taken)
    return CounterProof(weakness, kind, drill.rounds, taken, len(missing))


async def run(
    rounds: int, minutes: float, seed: str, console: Console, figures: Path | None = None
) -> int:
    """Soak, print, judge; the exit code. The page of `figures` is written when all is sound."""
    kinds = kinds_here(console)
    began = time.monotonic()
    console.print(f"seed {seed}; at most {rounds} rounds and {minutes:g} minutes")
    try:
        async for kind in soak(kinds, rounds, minutes, seed):
            told = f"{kind.name}: {kind.rounds} rounds, {kind.letters} letters"
            console.print(f"{time.monotonic() - began:6.0f} s  {told}", highlight=False)
            kind.books[-1].check()
        console.print(table_of(kinds))
        proofs = [proof async for proof in counter_proofs(kinds, seed)]
        for proof in proofs:
            console.print(f"{proof}", highlight=False)
            assert proof.missing, f"nothing was lost in {proof.cuts} power cuts of a weaker build"
    except AssertionError as broken:
        console.print(table_of(kinds))
        console.print(f"broken: {broken}", style="red")
        return 1
    if figures is not None:
        page = page_of(
            kinds,
            proofs,
            command=f"make soak ROUNDS={rounds} MINUTES={minutes:g}",
            seed=seed,
            minutes=(time.monotonic() - began) / 60,
            day=datetime.now(UTC).date(),
        )
        figures.write_text(page, encoding="utf-8")
    return 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.soak", description=__doc__)
    add = parser.add_argument
    add("--rounds", type=int, default=2000, help="deaths at most")
    add("--minutes", type=float, default=60.0, help="time at most")
    add("--seed", default="", help="where chance begins; told when not given")
    add("--figures", type=Path, help="write a page of what was counted to this file")
    given = parser.parse_args()
    seed = given.seed or secrets.token_hex(4)
    console = Console(width=140, soft_wrap=True)
    return asyncio.run(run(given.rounds, given.minutes, seed, console, given.figures))


if __name__ == "__main__":
    sys.exit(main())
