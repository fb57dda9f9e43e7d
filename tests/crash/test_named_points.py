"""
Killed at each named point, with one letter on its way: exactly what gateway/README.md says is left.

What may be left to be explained under load is exact here, because there is nothing else.
"""

from __future__ import annotations

import random
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.crash.accounts import Accounts
from tests.crash.campaign import LARGE, campaign
from tests.crash.points import POINTS
from tests.support.load import a_load_letter


@dataclass(frozen=True, slots=True)
class Left:
    """What a crash leaves: letters beyond the one the client knows of, and second copies."""

    sent_again: int = 0
    uncertain: int = 0
    second_copies: int = 0


# The first two rows of the table, the others, and what recovers them.
LEFT = {
    "between a large content's file and its row": Left(),
    "before the commit": Left(),
    "after the commit, before the answer": Left(sent_again=1),
    "after a claim": Left(),
    "after the commit that records an attempt, before the answer": Left(sent_again=1, uncertain=1),
    "after the attempt's record": Left(uncertain=1),
    "after the acceptance, before its record": Left(uncertain=1, second_copies=1),
    "inside the outcome's record, before the commit": Left(uncertain=1, second_copies=1),
    "after the outcome's record": Left(),
}
# Letters that are handed over without a claim are on record as begun from their admission on.
CLAIMED = ("after the commit, before the answer", "after a claim", "after the attempt's record")
IN_RECOVERY = [name for name in POINTS if "recovery" in name]


def one_letter(left: Left) -> Accounts:
    return Accounts(
        letters=1,
        recipients=1,
        handed_over=1,
        sent_again=left.sent_again,
        uncertain=left.uncertain,
        second_copies=left.second_copies,
    )


def test_every_point_has_its_scenario() -> None:
    """A point that is added is tested, or this fails."""
    assert {*LEFT, *IN_RECOVERY} == set(POINTS)


@pytest.mark.parametrize(
    ("point", "octets"),
    [(point, LARGE) for point in LEFT] + [(point, 100) for point in LEFT if "large" not in point],
    ids=lambda value: value if isinstance(value, str) else f"{value} octets",
)
async def test_killed_at(tmp_path: Path, chance: random.Random, point: str, octets: int) -> None:
    """T2, T5, T13: the letter arrives, a second copy only where the table says so, and told."""
    claimed: dict[str, Any] = {"delivery": {"hand_off_memory": 1}} if point in CLAIMED else {}
    letters = iter([a_load_letter(1, octets=octets)])
    async with campaign(tmp_path, chance, letters=letters, sessions=1, **claimed) as drill:
        await drill.gateway.begin(die_at=point)
        await drill.gateway.greets()
        assert await drill.gateway.ended() == -signal.SIGKILL
        books = await drill.close_the_books()
    assert books == one_letter(LEFT[point])
    told = [(line["to"], line["attempt"]) for line in drill.gateway.lines("uncertain")]
    assert told == [("r1@example.org", 1)] * LEFT[point].uncertain


@pytest.mark.parametrize("point", IN_RECOVERY)
async def test_killed_while_it_recovers(tmp_path: Path, chance: random.Random, point: str) -> None:
    """A recovery that is cut short is made again, and nothing is made of it twice."""
    before = "after the acceptance, before its record"
    letters = iter([a_load_letter(1)])
    async with campaign(tmp_path, chance, letters=letters, sessions=1) as drill:
        await drill.gateway.begin(die_at=before)
        await drill.gateway.greets()
        assert await drill.gateway.ended() == -signal.SIGKILL
        await drill.gateway.begin(die_at=point)
        assert await drill.gateway.ended() == -signal.SIGKILL
        books = await drill.close_the_books()
    assert books == one_letter(LEFT[before])


async def test_an_answer_before_the_commit_would_be_seen(
    tmp_path: Path, chance: random.Random
) -> None:
    """T1: the same drill with a build that answers too early misses the letter."""
    letters = iter([a_load_letter(1)])
    early = ["250 before the commit"]
    async with campaign(tmp_path, chance, letters=letters, sessions=1, weaknesses=early) as drill:
        await drill.gateway.begin(die_at="before the commit", weaknesses=early)
        await drill.gateway.greets()
        assert await drill.gateway.ended() == -signal.SIGKILL
        await drill.load.finish()
        assert drill.missing_now() == list(drill.load.taken)
        assert len(drill.load.taken) == 1
