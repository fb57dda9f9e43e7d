"""
The power cut under load, for real: what no sync has brought to the disk is gone.

SIGKILL proves nothing about syncs, because the kernel keeps what a dead process has written. Here
the file system is cut off with the process.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.crash.campaign import campaign, mixed_letters
from tests.crash.disk import Disk

ROUNDS = 4
TRIES = 8


async def test_power_cut_under_load(tmp_path: Path, disk: Disk, chance: random.Random) -> None:
    """T1, T13: every letter answered 250 is there afterwards, in its row or in its file."""
    letters = mixed_letters(large_every=3)
    async with campaign(tmp_path, chance, letters=letters, disk=disk) as drill:
        for _ in range(ROUNDS):
            await drill.lose_power(disk)
            assert drill.missing_now() == []
        books = await drill.close_the_books()
    books.check()
    assert books.letters > 0


@pytest.mark.parametrize("weakness", ["synchronous=NORMAL", "files not synced"])
async def test_a_weaker_build_is_found_out(
    tmp_path: Path, disk: Disk, chance: random.Random, weakness: str
) -> None:
    """The same drill loses letters of a build that syncs less, or it would prove nothing."""
    letters = mixed_letters(large_every=3)
    async with campaign(
        tmp_path, chance, letters=letters, disk=disk, weaknesses=[weakness]
    ) as drill:
        for _ in range(TRIES):
            await drill.lose_power(disk, letters=5)
            if drill.missing_now():
                return
    pytest.fail(f"nothing was lost in {TRIES} power cuts of a build with {weakness}")
