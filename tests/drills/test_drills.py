"""
The drills, small: every promise of theirs is kept at every change; `make drill` has the rest.

No time decides here: what `make drill` measures in seconds is asked here by order and by count.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drills.pace import (
    letters_leave_together,
    limit_is_used,
    throttled_leaves,
    urgent_passes,
)
from tests.drills.trouble import (
    PROVIDERS,
    TROUBLES,
    doubt_is_held,
    hung_leaves_others_alone,
    trouble,
)


async def test_a_limit_is_never_passed(tmp_path: Path) -> None:
    """T24: from the first second on, no letter leaves before its place in time."""
    finding = await limit_is_used(tmp_path, seconds=4, server=None)
    assert finding.figures["early"] == finding.figures["copies"] == 0
    assert sum(count[-1] for count in finding.series.handed_over.values()) == 20


async def test_personal_letters_leave_together(tmp_path: Path) -> None:
    """Many in a request; a first one may go alone, and results are asked for."""
    finding = await letters_leave_together(tmp_path, letters=400)
    assert finding.figures["requests"] <= 400 / 4
    assert finding.figures["lost"] == finding.figures["copies"] == 0


async def test_an_urgent_letter_passes_newsletters(tmp_path: Path) -> None:
    """A password reset is at the provider before the newsletters that came first."""
    finding = await urgent_passes(tmp_path, newsletters=300, rate="1/s")
    assert finding.figures["waiting"] > 200
    assert finding.figures["passed_by"] < 20


async def test_throttled_mail_leaves_by_itself(tmp_path: Path) -> None:
    """T19: nobody has to act, nothing comes twice, and the refusals show in the series."""
    finding = await throttled_leaves(tmp_path, letters=20)
    assert finding.kept, finding.measured
    assert finding.figures["refused"] == 3


async def test_a_hung_provider_leaves_the_others_alone(tmp_path: Path) -> None:
    """T10, T23: all letters for another provider arrive while one has answered none."""
    finding = await hung_leaves_others_alone(tmp_path, letters=10, answer_within="2s")
    assert finding.figures["hung_arrived"] == 0
    assert finding.figures["lost"] == 0


# Each trouble once, each provider by turns; `make drill` has all pairs. A smarthost refuses an
# account in a way of its own: on connections that are open already.
PAIRS = [
    *zip([*PROVIDERS, *PROVIDERS], TROUBLES, strict=True),
    ("smarthost", "refused account"),
]


@pytest.mark.parametrize(("kind", "what"), PAIRS)
async def test_trouble_loses_and_doubles_nothing(tmp_path: Path, kind: str, what: str) -> None:
    """T2: whatever a provider does, each letter arrives, twice only where that was uncertain."""
    finding = await trouble(tmp_path, kind, what, letters=30)
    assert finding.kept, finding.measured
    assert finding.figures["in_vain"] > 0
    assert finding.series.waiting[-1] == 0


async def test_doubt_that_is_held_doubles_nothing(tmp_path: Path) -> None:
    """T2: `on_uncertain: hold` leaves to a person what a provider may have taken."""
    finding = await doubt_is_held(tmp_path, "rest_v1", "garbage", letters=30)
    assert finding.kept, finding.measured
