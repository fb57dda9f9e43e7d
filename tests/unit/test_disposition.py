"""From outcomes to what follows: the table, row by row."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.domain.disposition import AttemptFacts, Disposition, dispose, redirect
from gateway.domain.lifecycle import State, may_follow
from gateway.domain.pauses import Pauses
from gateway.domain.retry import RetrySchedule
from gateway.domain.routing import OnThrottled, OnUncertain, Plan, Route
from providers.contract.outcome import Cause, DeliveryOutcome, Kind, Scope, accepted

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SCHEDULE = RetrySchedule()
FIRST_WAIT = NOW + SCHEDULE.first
NAMES = ("a", "b", "c")


def a_plan(
    *candidates: str,
    on_uncertain: OnUncertain = OnUncertain.RETRY,
    on_throttled: OnThrottled = OnThrottled.WAIT,
    paused: str = "",
    paused_route: str = "",
) -> Plan:
    route = Route("r", NAMES, on_uncertain=on_uncertain, on_throttled=on_throttled)
    pauses = Pauses(frozenset(paused), frozenset({paused_route} - {""}))
    return Plan(route, candidates, {}, {}, pauses=pauses)


ALL = a_plan(*NAMES)


def disposed(
    outcome: DeliveryOutcome,
    plan: Plan = ALL,
    *,
    provider: str = "a",
    attempts: int = 1,
    excluded: tuple[str, ...] = (),
    arrival: datetime = NOW,
) -> Disposition:
    facts = AttemptFacts(provider, attempts, excluded, arrival)
    return dispose(outcome, facts, plan, SCHEDULE, now=NOW, chance=0.5)


def put_off(
    scope: Scope = Scope.RECIPIENT,
    cause: Cause = Cause.OTHER,
    retry_after: float | None = None,
) -> DeliveryOutcome:
    wait = None if retry_after is None else timedelta(seconds=retry_after)
    return DeliveryOutcome(Kind.DEFERRED, scope, "4.0.0", retry_after=wait, cause=cause)


LOST = DeliveryOutcome(Kind.UNCERTAIN, Scope.RECIPIENT, "4.4.2")
UNABLE = DeliveryOutcome(Kind.UNSUPPORTED, Scope.MESSAGE, "5.3.4")
REFUSED = DeliveryOutcome(Kind.REJECTED, Scope.RECIPIENT, "5.1.1")


def test_accepted_is_handed_over() -> None:
    """The provider took responsibility: nothing follows."""
    assert disposed(accepted("id")) == Disposition(State.HANDED_OVER, None, "a", (), "2.0.0")


@pytest.mark.parametrize("scope", Scope)
def test_rejected_fails_whatever_it_speaks_of(scope: Scope) -> None:
    """A permanent refusal is an end; no other provider is asked to disagree."""
    outcome = DeliveryOutcome(Kind.REJECTED, scope, "5.7.1")
    assert disposed(outcome) == Disposition(State.FAILED, None, "a", (), "5.7.1")


@pytest.mark.parametrize("scope", [Scope.RECIPIENT, Scope.MESSAGE])
def test_a_recipient_put_off_waits_for_the_same_provider(scope: Scope) -> None:
    """What concerns the recipient would be no better elsewhere."""
    expected = Disposition(State.WAITING, FIRST_WAIT, "a", (), "4.0.0")
    assert disposed(put_off(scope)) == expected


@pytest.mark.parametrize("cause", [Cause.OTHER, Cause.UNREACHABLE, Cause.ACCOUNT])
def test_trouble_of_a_provider_goes_to_the_next_at_once(cause: Cause) -> None:
    """Proof that nothing was accepted: the next gets it now; after the last the first, later."""
    outcome = put_off(Scope.PROVIDER, cause)
    for provider, following in (("a", "b"), ("b", "c")):
        found = disposed(outcome, provider=provider)
        assert (found.provider, found.due_at, found.state) == (following, NOW, State.WAITING)
    round_over = disposed(outcome, provider="c", attempts=3)
    assert (round_over.provider, round_over.due_at) == ("a", NOW + timedelta(minutes=2))


def test_throttled_waits_as_long_as_asked() -> None:
    """T3, T19: the provider knows when; shorter or longer than our schedule, and by itself."""
    for seconds in (0, 1, 3600):
        found = disposed(put_off(Scope.PROVIDER, Cause.THROTTLED, seconds))
        assert (found.provider, found.due_at) == ("a", NOW + timedelta(seconds=seconds))
    assert disposed(put_off(Scope.PROVIDER, Cause.THROTTLED)).due_at == FIRST_WAIT


def test_throttled_fails_over_where_the_route_says_so() -> None:
    """A route in a hurry takes the next one."""
    hurry = a_plan(*NAMES, on_throttled=OnThrottled.FAIL_OVER)
    found = disposed(put_off(Scope.PROVIDER, Cause.THROTTLED, 60), hurry)
    assert (found.provider, found.due_at) == ("b", NOW)
    last = disposed(put_off(Scope.PROVIDER, Cause.THROTTLED, 60), hurry, provider="c")
    assert (last.provider, last.due_at) == ("a", NOW + timedelta(seconds=60))


def test_other_waits_asked_for_only_lengthen_ours() -> None:
    """A `Retry-After: 1` of a provider in trouble does not make us hammer it."""
    assert disposed(put_off(retry_after=1)).due_at == FIRST_WAIT
    assert disposed(put_off(retry_after=600)).due_at == NOW + timedelta(seconds=600)


def test_a_lost_answer_is_tried_again_by_the_same_provider() -> None:
    """Never failover after uncertain: a second provider would make a second copy."""
    assert disposed(LOST) == Disposition(
        State.UNCERTAIN, NOW + SCHEDULE.uncertain_after, "a", (), "4.4.2"
    )


def test_a_lost_answer_waits_for_a_person_where_the_route_says_so() -> None:
    """`on_uncertain: hold` prefers a delay to a second copy, for as long as it takes."""
    hold = a_plan(*NAMES, on_uncertain=OnUncertain.HOLD)
    old = NOW - timedelta(days=30)
    assert disposed(LOST, hold, arrival=old) == Disposition(State.UNCERTAIN, None, "a", (), "4.4.2")


def test_unsupported_excludes_the_provider_and_goes_on() -> None:
    """Who cannot carry it is not asked again, in this round or any other."""
    assert disposed(UNABLE) == Disposition(State.WAITING, NOW, "b", ("a",), "5.3.4")
    last = disposed(UNABLE, a_plan("b", "c"), provider="c", excluded=("a",))
    assert (last.provider, last.excluded, last.due_at) == ("b", ("a", "c"), FIRST_WAIT)


def test_unsupported_by_everybody_is_refused() -> None:
    """Nobody can: the letter fails, with the provider's own status."""
    found = disposed(UNABLE, a_plan("c"), provider="c", excluded=("a", "b"))
    assert found == Disposition(State.FAILED, None, "c", ("a", "b"), "5.3.4")


def test_a_provider_outside_the_plan_hands_back_to_it() -> None:
    """The configuration changed while the letter was on its way."""
    assert disposed(put_off(Scope.PROVIDER), provider="gone").provider == "a"
    nobody = disposed(put_off(Scope.PROVIDER), a_plan(), provider="gone")
    assert (nobody.provider, nobody.due_at) == ("gone", FIRST_WAIT)


@pytest.mark.parametrize("outcome", [put_off(), put_off(Scope.PROVIDER), LOST, UNABLE])
def test_a_letter_past_its_age_fails(outcome: DeliveryOutcome) -> None:
    """T2: nothing waits for ever; the status says that it was time, not the provider."""
    old = NOW - SCHEDULE.give_up_after
    assert disposed(outcome, arrival=old) == Disposition(
        State.FAILED, None, "a", (), "5.4.7", expired=True
    )


def test_age_does_not_undo_an_end() -> None:
    """Accepted at the last moment is accepted, refused is refused for its own reason."""
    old = NOW - timedelta(days=30)
    assert disposed(accepted("id"), arrival=old).state is State.HANDED_OVER
    assert not disposed(REFUSED, arrival=old).expired


def test_the_last_attempt_is_made_before_the_age_is_reached() -> None:
    """A wait that would end past the age is not waited."""
    almost = NOW + SCHEDULE.first - SCHEDULE.give_up_after + timedelta(microseconds=1)
    assert disposed(put_off(), arrival=almost).state is State.WAITING
    assert disposed(put_off(), arrival=almost - timedelta(microseconds=1)).expired


@pytest.mark.parametrize("state", [State.WAITING, State.UNCERTAIN])
def test_a_due_recipient_whose_plan_still_stands_is_tried(state: State) -> None:
    """Nothing changed: the attempt is made."""
    assert redirect(state, "b", (), ALL, NOW) is None


@pytest.mark.parametrize("state", [State.WAITING, State.UNCERTAIN])
@pytest.mark.parametrize("plan", [None, a_plan()])
def test_where_nobody_can_carry_it_any_more_it_is_held(state: State, plan: Plan | None) -> None:
    """A change of the configuration fails no letter; a person decides."""
    found = redirect(state, "a", ("x",), plan, NOW)
    assert found is not None
    assert found[0] == Disposition(State.HELD, None, "a", ("x",), "")
    assert may_follow(state, found[0].state)


def test_a_route_that_holds_uncertain_letters_leaves_them() -> None:
    """The wait is over, and the route says that a person looks first."""
    hold = a_plan(*NAMES, on_uncertain=OnUncertain.HOLD)
    found = redirect(State.UNCERTAIN, "a", (), hold, NOW)
    assert found is not None
    assert found[0] == Disposition(State.UNCERTAIN, None, "a", (), "")
    assert redirect(State.WAITING, "a", (), hold, NOW) is None


def test_a_letter_of_a_provider_that_is_gone_moves_to_the_first() -> None:
    """Strays find their way, and the story says why."""
    found = redirect(State.WAITING, "gone", ("x",), ALL, NOW)
    assert found is not None
    disposition, line = found
    assert disposition == Disposition(State.WAITING, NOW, "a", ("x",), "")
    assert "gone" in line


def test_a_waiting_letter_moves_on_from_a_provider_that_is_away() -> None:
    """Failover before an attempt: nothing was sent, and somebody else can have it at once."""
    plan = replace(ALL, candidates=("b", "a"), away=frozenset({"a"}))
    found = redirect(State.WAITING, "a", (), plan, NOW)
    assert found is not None
    disposition, note = found
    assert (disposition.state, disposition.provider, disposition.due_at) == (
        State.WAITING,
        "b",
        NOW,
    )
    assert "given no letters" in note


def test_an_uncertain_letter_waits_for_who_may_have_it() -> None:
    """Another provider would send a second copy, if the first did accept it."""
    plan = replace(ALL, candidates=("b", "a"), away=frozenset({"a"}))
    assert redirect(State.UNCERTAIN, "a", (), plan, NOW) is None


def test_where_all_are_away_nothing_moves() -> None:
    """It waits where it is."""
    plan = replace(ALL, away=frozenset(ALL.candidates))
    assert redirect(State.WAITING, ALL.candidates[0], (), plan, NOW) is None


def test_what_a_paused_provider_has_next_waits_for_the_end_of_the_pause() -> None:
    """Due at no moment, and still its own; an uncertain one is looked at again, not left alone."""
    plan = a_plan(*NAMES, paused="a")
    found = redirect(State.WAITING, "a", ("x",), plan, NOW)
    assert found is not None
    assert found[0] == Disposition(State.WAITING, None, "a", ("x",), "")
    found = redirect(State.UNCERTAIN, "a", (), plan, NOW)
    assert found is not None
    assert found[0].state is State.UNCERTAIN
    assert found[0].due_at is not None
    assert found[0].due_at > NOW
    assert redirect(State.WAITING, "b", (), plan, NOW) is None


@pytest.mark.parametrize(
    ("paused", "provider", "following"),
    [("a", "a", "b"), ("ab", "a", "c"), ("c", "c", "a"), ("abc", "a", None)],
)
def test_a_route_that_fails_over_does_so_from_a_paused_provider(
    paused: str, provider: str, following: str | None
) -> None:
    """To the next that is not paused, in the route's order; what is uncertain stays."""
    plan = a_plan(*NAMES, on_throttled=OnThrottled.FAIL_OVER, paused=paused)
    found = redirect(State.WAITING, provider, (), plan, NOW)
    assert found is not None
    due_at = None if following is None else NOW
    assert found[0] == Disposition(State.WAITING, due_at, following or provider, (), "")
    found = redirect(State.UNCERTAIN, provider, (), plan, NOW)
    assert found is not None
    assert (found[0].state, found[0].provider) == (State.UNCERTAIN, provider)


def test_letters_of_a_paused_route_wait_whoever_could_carry_them() -> None:
    """Its providers work on, for other routes."""
    found = redirect(State.WAITING, "b", (), a_plan(*NAMES, paused_route="r"), NOW)
    assert found is not None
    assert found[0] == Disposition(State.WAITING, None, "b", (), "")
    assert redirect(State.WAITING, "b", (), a_plan(*NAMES, paused_route="other"), NOW) is None


def test_failover_passes_paused_providers_over() -> None:
    """On every route; where nobody is left the round is over, and nothing is failed for it."""
    down = put_off(Scope.PROVIDER, Cause.UNREACHABLE)
    assert disposed(down, a_plan(*NAMES, paused="b")).provider == "c"
    over = disposed(down, a_plan(*NAMES, paused="bc"))
    assert (over.provider, over.due_at) == ("a", FIRST_WAIT)
    kept = disposed(UNABLE, a_plan("a", "b", paused="b"))
    assert (kept.state, kept.provider) == (State.WAITING, "b")
