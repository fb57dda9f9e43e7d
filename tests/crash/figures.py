"""
What a soak has counted, and how it is told: as a table on the terminal, as a page of the project.

Only adds up and arranges; every figure comes from `accounts` or from the campaigns of `soak`.
"""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

from rich import box
from rich.table import Table

from tests.crash.accounts import Accounts
from tests.crash.campaign import Campaign
from tests.crash.disk import Disk

Die = Callable[[Campaign, Disk | None], Awaitable[None]]

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


@dataclass(slots=True)
class Kind:
    """One way to die, and the accounts of its campaigns so far."""

    name: str
    disk: str
    die: Die
    rounds: int = 0
    books: list[Accounts] = field(default_factory=list)

    @property
    def letters(self) -> int:
        """Answered 250 so far."""
        return self.total(FIGURES["letters"])

    def total(self, count: Callable[[Accounts], int]) -> int:
        """A figure over all campaigns."""
        return sum(map(count, self.books))


@dataclass(frozen=True, slots=True)
class CounterProof:
    """
    What power cuts did to a build that was made to sync less.

    Attributes:
        weakness: Of `points.WEAKNESSES`.
        disk: The kind of file system.
        cuts: How often the power went, until letters were missing or patience was at its end.
        letters: Answered 250 until then.
        missing: Of these letters, not there any more after the last cut.
    """

    weakness: str
    disk: str
    cuts: int
    letters: int
    missing: int


def table_of(kinds: Sequence[Kind]) -> Table:
    """What became of the letters, a line for each way to die."""
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("died of", no_wrap=True)
    for name in ("rounds", *FIGURES):
        table.add_column(name, justify="right")
    *lines, total = _lines(kinds)
    for line in lines:
        table.add_row(*line)
    table.add_section()
    table.add_row(*total)
    return table


def page_of(
    kinds: Sequence[Kind],
    proofs: Sequence[CounterProof],
    *,
    command: str,
    seed: str,
    minutes: float,
    day: date,
) -> str:
    """
    The same as a page, with what it was taken on, and the counter-proof.

    Args:
        kinds: Ways to die, with their accounts.
        proofs: What the drill found in weaker builds; may be empty where it could not be made.
        command: What was called.
        seed: Where chance began.
        minutes: How long it took.
        day: When.
    """
    lines = [
        "# Durability in figures",
        "",
        "Written by `make soak`; do not edit. [durability.md](durability.md) tells what they mean.",
        "",
        f"Taken on {day.isoformat()} by `{command}` within {minutes:.0f} minutes, seed `{seed}`.",
        f"{machine()}.",
        "",
        *_markdown(("died of", "rounds", *FIGURES), _lines(kinds)),
        "",
        "## Builds that were made weaker",
        "",
        "The same power cuts, until letters are missing that were answered 250.",
        "",
    ]
    if proofs:
        names = ("made weaker by", "file system", "power cuts", "answered 250", "missing")
        lines += _markdown(
            names,
            ((p.weakness, p.disk, *map(_number, (p.cuts, p.letters, p.missing))) for p in proofs),
        )
    else:
        lines.append("Not made: there was no disk whose power could be cut.")
    return "\n".join(lines) + "\n"


def machine() -> str:
    """What the figures are taken on, as far as it matters to them."""
    kernel = ".".join(platform.release().split(".")[:2])
    return (
        f"{len(os.sched_getaffinity(0))} cores, {platform.system()} {kernel}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )


def _lines(kinds: Sequence[Kind]) -> Iterator[tuple[str, ...]]:
    """A line for each kind, and the sums."""
    for kind in kinds:
        figures = (_number(kind.total(count)) for count in FIGURES.values())
        yield (kind.name, _number(kind.rounds), *figures)
    sums = (_number(sum(kind.total(count) for kind in kinds)) for count in FIGURES.values())
    yield ("all", _number(sum(kind.rounds for kind in kinds)), *sums)


def _number(value: int) -> str:
    return f"{value:,}"


def _markdown(names: Sequence[str], rows: Iterator[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(names)} |"
    yield f"|---{'|--:' * (len(names) - 1)}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"
