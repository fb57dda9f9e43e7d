"""The soak itself: it counts what it did, and says so when an account does not agree."""

from __future__ import annotations

import io
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rich.console import Console

from tests.crash import soak
from tests.crash.campaign import Campaign
from tests.crash.disk import Disk, NoDisk
from tests.crash.figures import CounterProof, Kind
from tests.support.load import a_load_letter


async def soaked(rounds: int, figures: Path | None = None) -> tuple[int, str]:
    """A small soak; its exit code and what it printed."""
    told = io.StringIO()
    code = await soak.run(rounds, 10.0, "a seed", Console(file=told, width=140), figures)
    return code, told.getvalue()


async def test_a_sound_soak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way to die has its line, with the rounds asked for in all; the page tells the same."""
    here = [Kind("one way", "", soak.at_random), Kind("another", "", soak.at_a_point)]
    monkeypatch.setattr(soak, "kinds_here", lambda _: here)
    monkeypatch.setattr(soak, "ROUNDS_OF_A_CAMPAIGN", 1)
    page = tmp_path / "figures.md"
    code, told = await soaked(2, page)
    assert code == 0
    assert [kind.rounds for kind in here] == [1, 1]
    assert [books.lost for kind in here for books in kind.books] == [(), ()]
    for line in ("one way", "another"):
        assert line in told
        assert f"| {line} | 1 | " in page.read_text()
    letters = sum(kind.letters for kind in here)
    assert f"| all | 2 | {letters:,} | " in page.read_text()


async def test_a_soak_that_loses_a_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stops there, names what is lost, and its exit code is 1."""

    async def lose_one(drill: Campaign, _disk: Disk | None) -> None:
        drill.load.taken["0GONE"] = a_load_letter(77)

    monkeypatch.setattr(soak, "kinds_here", lambda _: [Kind("a way", "", lose_one)])
    code, told = await soaked(1)
    assert code == 1
    assert "0GONE r77@example.org: the spool does not know it" in told


async def test_a_drill_that_finds_no_weaker_build_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It proves nothing, so its exit code is 1, and no page is written."""

    async def survives(_kinds: object, _seed: str) -> AsyncIterator[CounterProof]:
        yield CounterProof("synchronous=NORMAL", "ext4", 20, 900, 0)

    monkeypatch.setattr(soak, "kinds_here", lambda _: [])
    monkeypatch.setattr(soak, "counter_proofs", survives)
    page = tmp_path / "figures.md"
    code, told = await soaked(0, page)
    assert code == 1
    assert "nothing was lost in 20 power cuts" in told
    assert not page.exists()


async def test_a_counter_proof_counts_what_is_missing(chance: random.Random) -> None:
    """Letters that a build without syncs answered 250 and lost are in its line of the page."""
    try:
        proof = await soak.counter_proof("synchronous=NORMAL", "ext4", chance)
    except NoDisk as reason:
        pytest.skip(str(reason))
    assert 0 < proof.missing <= proof.letters
