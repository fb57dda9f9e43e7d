"""Rules of the domain that hold for every outcome, plan and schedule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.disposition import AttemptFacts, Disposition, dispose, redirect
from gateway.domain.lifecycle import SETTLED, State, may_follow
from gateway.domain.queue_id import QueueIdSource, number_from_queue_id, queue_id_from_number
from gateway.domain.retry import RetrySchedule
from gateway.domain.routing import OnThrottled, OnUncertain, Plan, Route
from providers.contract.outcome import Cause, DeliveryOutcome, Kind, Scope

NAMES = ("a", "b", "c", "d")
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CLASS = {Kind.ACCEPTED: "2", Kind.REJECTED: "5", Kind.UNSUPPORTED: "5"}

seconds = st.integers(1, 10**6).map(lambda n: timedelta(seconds=n))
chances = st.floats(0, 1, exclude_max=True)
names = st.lists(st.sampled_from(NAMES), unique=True).map(tuple)


@st.composite
def schedules(draw: st.DrawFn) -> RetrySchedule:
    first, longest = sorted([draw(seconds), draw(seconds)])
    factor = draw(st.floats(1, 1e6))
    return RetrySchedule(first, factor, longest, draw(seconds), draw(seconds))


@st.composite
def outcomes(draw: st.DrawFn) -> DeliveryOutcome:
    kind = draw(st.sampled_from(Kind))
    return DeliveryOutcome(
        kind,
        draw(st.sampled_from(Scope)),
        f"{CLASS.get(kind, '4')}.0.0",
        retry_after=draw(st.none() | seconds),
        cause=draw(st.sampled_from(Cause)),
    )


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    route = Route(
        "r",
        NAMES,
        on_uncertain=draw(st.sampled_from(OnUncertain)),
        on_throttled=draw(st.sampled_from(OnThrottled)),
    )
    return Plan(route, draw(names), {}, {})


@st.composite
def dispositions(
    draw: st.DrawFn,
) -> tuple[DeliveryOutcome, AttemptFacts, Plan, RetrySchedule, Disposition]:
    outcome, plan, schedule = draw(outcomes()), draw(plans()), draw(schedules())
    age = timedelta(seconds=draw(st.integers(0, 2 * 10**6)))
    excluded = tuple(name for name in draw(names) if name not in plan.candidates)
    facts = AttemptFacts(
        draw(st.sampled_from(NAMES)), draw(st.integers(1, 1000)), excluded, NOW - age
    )
    found = dispose(outcome, facts, plan, schedule, now=NOW, chance=draw(chances))
    return outcome, facts, plan, schedule, found


@given(dispositions())
def test_every_outcome_leads_to_one_state_that_may_follow(
    case: tuple[DeliveryOutcome, AttemptFacts, Plan, RetrySchedule, Disposition],
) -> None:
    """T2: never a state outside the table, and always settled, due, or left to a person."""
    _, _, plan, _, found = case
    assert may_follow(State.SENDING, found.state)
    if found.due_at is None:
        left = found.state is State.UNCERTAIN and plan.route.on_uncertain is OnUncertain.HOLD
        assert found.state in SETTLED or left
    else:
        assert found.state in {State.WAITING, State.UNCERTAIN}


@given(dispositions())
def test_nothing_is_due_before_now_or_after_its_age(
    case: tuple[DeliveryOutcome, AttemptFacts, Plan, RetrySchedule, Disposition],
) -> None:
    """Time goes forward, and what would come too late has failed."""
    _, facts, _, schedule, found = case
    if found.due_at is not None:
        assert NOW <= found.due_at < schedule.expires_at(facts.since)
        assert not found.expired


@given(dispositions())
def test_another_provider_gets_it_only_on_proof(
    case: tuple[DeliveryOutcome, AttemptFacts, Plan, RetrySchedule, Disposition],
) -> None:
    """Never failover after `uncertain` or `accepted`, and none after a recipient was put off."""
    outcome, facts, plan, _, found = case
    if found.provider == facts.provider:
        return
    assert outcome.kind is Kind.UNSUPPORTED or (
        outcome.kind is Kind.DEFERRED and outcome.scope is Scope.PROVIDER
    )
    assert found.provider in plan.candidates
    assert found.provider not in found.excluded


@given(dispositions())
def test_handed_over_means_accepted(
    case: tuple[DeliveryOutcome, AttemptFacts, Plan, RetrySchedule, Disposition],
) -> None:
    """No other outcome is ever taken for a success, and no success for anything else."""
    outcome, _, _, _, found = case
    assert (found.state is State.HANDED_OVER) is (outcome.kind is Kind.ACCEPTED)


@given(dispositions())
def test_only_who_cannot_carry_it_is_excluded(
    case: tuple[DeliveryOutcome, AttemptFacts, Plan, RetrySchedule, Disposition],
) -> None:
    """Being busy or down bars nobody from the next round."""
    outcome, facts, _, _, found = case
    if outcome.kind is Kind.UNSUPPORTED and found.state is State.WAITING:
        assert found.excluded == (*facts.excluded, facts.provider)
    else:
        assert found.excluded == facts.excluded


@given(
    st.sampled_from([State.WAITING, State.UNCERTAIN]),
    st.sampled_from(NAMES),
    st.none() | plans(),
)
def test_a_changed_configuration_fails_nothing(
    state: State, provider: str, plan: Plan | None
) -> None:
    """Instead of an attempt a recipient moves on, is held or left: never settled, never lost."""
    instead = redirect(state, provider, (), plan, NOW)
    if instead is None:
        assert plan is not None
        assert provider in plan.candidates
        return
    found, line = instead
    assert may_follow(state, found.state)
    assert found.state not in SETTLED
    assert "\n" not in line
    assert (found.due_at is None) is (found.state in {State.HELD, State.UNCERTAIN})


@given(schedules(), st.integers(1, 10**6), chances)
def test_waits_stay_within_their_bounds(
    schedule: RetrySchedule, attempts: int, chance: float
) -> None:
    """Never shorter than four fifths of the first, nor longer than six fifths of the longest."""
    wait = schedule.delay_after(attempts, chance)
    slack = timedelta(microseconds=2)
    assert schedule.first * 0.8 - slack <= wait <= schedule.longest * 1.2 + slack


@given(schedules(), st.integers(1, 1000), chances)
def test_waits_never_shrink(schedule: RetrySchedule, attempts: int, chance: float) -> None:
    """With the same chance, the next wait is as long or longer."""
    assert schedule.delay_after(attempts, chance) <= schedule.delay_after(attempts + 1, chance)


@given(st.integers(0, (1 << 63) - 1), st.integers(0, (1 << 63) - 1))
def test_queue_ids_sort_as_their_numbers(one: int, other: int) -> None:
    """Text order, number order and time order are the same."""
    texts = queue_id_from_number(one), queue_id_from_number(other)
    assert (texts[0] < texts[1]) is (one < other)
    assert number_from_queue_id(texts[0]) == one


@given(st.text(max_size=14))
def test_no_text_is_mistaken_for_a_queue_id(text: str) -> None:
    """Whatever is typed: a number of 63 bits whose text it is, or nothing; never an error."""
    number = number_from_queue_id(text)
    if number is not None:
        assert queue_id_from_number(number) == text.upper()


@given(st.lists(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)), max_size=50))  # noqa: DTZ001 (hypothesis adds the zone)
def test_ids_rise_whatever_the_clock_does(moments: list[datetime]) -> None:
    """Each greater than all before it."""
    source = QueueIdSource(5)
    ids = [source.next(moment.replace(tzinfo=UTC)) for moment in moments]
    assert sorted(set(ids)) == ids
