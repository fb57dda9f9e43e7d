"""The states of a recipient and the moves between them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.domain.lifecycle import SETTLED, TRANSITIONS, State, may_follow


def test_every_state_has_its_row() -> None:
    """T2: there is no state that the table does not know."""
    assert set(TRANSITIONS) == set(State)


@pytest.mark.parametrize("state", sorted(SETTLED))
def test_nothing_follows_an_end(state: State) -> None:
    """A settled recipient stays settled, whatever comes in later."""
    assert not any(may_follow(state, after) for after in State)


@pytest.mark.parametrize("state", sorted(set(State) - SETTLED))
def test_every_other_state_leads_to_an_end(state: State) -> None:
    """T2: from wherever a letter stands, some way leads to its end."""
    reached = {state}
    while more := {after for before in reached for after in TRANSITIONS[before]} - reached:
        reached |= more
    assert reached & SETTLED
    assert State.HANDED_OVER in reached


def test_only_what_was_sent_is_handed_over() -> None:
    """`handed_over` has a provider's word behind it, given in an attempt."""
    before = {state for state in State if may_follow(state, State.HANDED_OVER)}
    assert before == {State.SENDING, State.UNCERTAIN}


def test_nothing_on_its_way_is_taken_out_by_hand() -> None:
    """An attempt ends in its outcome: neither held nor removed while it runs."""
    assert not TRANSITIONS[State.SENDING] & {State.HELD, State.REMOVED, State.SUPPRESSED}


def test_the_picture_shows_every_state() -> None:
    """gateway/README.md draws the same table."""
    readme = (Path(__file__).parents[2] / "gateway" / "README.md").read_text()
    missing = [state for state in State if state.value not in readme]
    assert not missing
