"""The soak itself: it counts what it did, and says so when an account does not agree."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tests.crash import soak
from tests.crash.campaign import Campaign
from tests.crash.disk import Disk
from tests.support.load import a_load_letter


async def soaked(rounds: int) -> tuple[int, str]:
    """A small soak; its exit code and what it printed."""
    told = io.StringIO()
    code = await soak.run(rounds, 1.0, "a seed", Console(file=told, width=140))
    return code, told.getvalue()


async def test_a_sound_soak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way to die has its line, with the rounds asked for in all, and nothing lost."""
    here = [soak.Kind("one way", "", soak.at_random), soak.Kind("another", "", soak.at_a_point)]
    monkeypatch.setattr(soak, "kinds_here", lambda _: here)
    monkeypatch.setattr(soak, "ROUNDS_OF_A_CAMPAIGN", 1)
    code, told = await soaked(2)
    assert code == 0
    assert [kind.rounds for kind in here] == [1, 1]
    assert [books.lost for kind in here for books in kind.books] == [(), ()]
    assert "one way" in told
    assert "another" in told


async def test_a_soak_that_loses_a_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stops there, names what is lost, and its exit code is 1."""

    async def lose_one(drill: Campaign, _disk: Disk | None) -> None:
        drill.load.taken["0GONE"] = a_load_letter(77)

    monkeypatch.setattr(soak, "kinds_here", lambda _: [soak.Kind("a way", "", lose_one)])
    code, told = await soaked(1)
    assert code == 1
    assert "0GONE r77@example.org: the spool does not know it" in told
