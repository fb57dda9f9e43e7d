"""The drills, small: every promise of theirs is kept at every change; `make drill` has the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drills.pace import limit_is_used, throttled_leaves, urgent_passes
from tests.drills.trouble import PROVIDERS, TROUBLES, hung_leaves_others_alone, trouble


async def test_a_limit_is_never_passed(tmp_path: Path) -> None:
    """T24: no call is refused, whatever waits; how much of it is used, `make drill` tells."""
    finding = await limit_is_used(tmp_path, seconds=4, server=None)
    assert ", 0 refused" in finding.measured


async def test_an_urgent_letter_passes_newsletters(tmp_path: Path) -> None:
    """A password reset is at the provider while the newsletters wait."""
    finding = await urgent_passes(tmp_path, newsletters=300)
    assert "0 newsletters" not in finding.measured


async def test_throttled_mail_leaves_by_itself(tmp_path: Path) -> None:
    """T19: nobody has to act, nothing comes twice."""
    finding = await throttled_leaves(tmp_path, letters=20)
    assert finding.kept, finding.measured


async def test_a_hung_provider_leaves_the_others_alone(tmp_path: Path) -> None:
    """T10, T23: letters for another provider arrive while one never answers."""
    finding = await hung_leaves_others_alone(tmp_path, letters=10)
    assert finding.measured


# Each provider and each trouble once; `make drill` has all pairs.
PAIRS = [(kind, what) for kind, what in zip([*PROVIDERS, *PROVIDERS], TROUBLES, strict=True)]


@pytest.mark.parametrize(("kind", "what"), PAIRS)
async def test_trouble_loses_and_doubles_nothing(tmp_path: Path, kind: str, what: str) -> None:
    """T2: whatever a provider does, each letter arrives, twice only where that was uncertain."""
    finding = await trouble(tmp_path, kind, what, letters=30)
    assert finding.kept, finding.measured
