"""Killed again and again under load, at random moments and at random points: the accounts agree."""

from __future__ import annotations

import random
from pathlib import Path

from tests.crash.campaign import campaign

ROUNDS = 5


async def test_killed_at_random_moments(tmp_path: Path, chance: random.Random) -> None:
    """T2, T5, T13: nothing answered 250 is lost, whenever SIGKILL comes, start and recovery too."""
    async with campaign(tmp_path, chance) as drill:
        for _ in range(ROUNDS):
            await drill.die_at_random()
        books = await drill.close_the_books()
    books.check()
    assert books.letters > 0
    assert books.failed > 0, "the load has recipients that are refused"


async def test_killed_at_points_under_load(tmp_path: Path, chance: random.Random) -> None:
    """The named points once more, while many letters share their transactions."""
    async with campaign(tmp_path, chance) as drill:
        for _ in range(ROUNDS):
            await drill.die_at_a_point()
        books = await drill.close_the_books()
    books.check()
    assert books.letters > 0
