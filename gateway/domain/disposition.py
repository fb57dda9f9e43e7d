"""
From the outcome of an attempt to what happens next: the one table, decided here alone.

Pure. Sits on `lifecycle`, `retry` and `routing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.domain.lifecycle import State
from gateway.domain.retry import RetrySchedule
from gateway.domain.routing import OnThrottled, OnUncertain, Plan
from providers.contract.outcome import Cause, DeliveryOutcome, Kind, Scope

_LOOK_AGAIN = timedelta(minutes=1)

EXPIRED_STATUS = "5.4.7"  # RFC 3463 X.4.7: delivery time expired, told as a permanent failure


@dataclass(frozen=True, slots=True)
class Disposition:
    """
    What becomes of a recipient after an attempt.

    Attributes:
        state: Where it goes.
        due_at: When it needs attention next; `None` where it needs none, or a person's, or when
            it waits for the end of a pause.
        provider: Who has it next, or had it last where it is settled.
        excluded: Who has found out that they cannot carry it.
        status: Enhanced status code to report.
        expired: It failed by age.
    """

    state: State
    due_at: datetime | None
    provider: str
    excluded: tuple[str, ...]
    status: str
    expired: bool = False


@dataclass(frozen=True, slots=True)
class AttemptFacts:
    """
    What the decision depends on beside the outcome; `attempts` counts the one just made.

    `since` is when the letter's age began: its arrival, or the later moment it was to be sent at.
    """

    provider: str
    attempts: int
    excluded: tuple[str, ...]
    since: datetime


def dispose(
    outcome: DeliveryOutcome,
    facts: AttemptFacts,
    plan: Plan,
    schedule: RetrySchedule,
    *,
    now: datetime,
    chance: float,
) -> Disposition:
    """
    Decide what follows from one outcome for one recipient.

    Fails over only on proof that nothing was accepted: `deferred` by the provider, `unsupported`.
    """
    if outcome.kind is Kind.UNCERTAIN:
        following = _uncertain(outcome, facts, plan, schedule, now)
    elif (settled := _settled(outcome, facts, plan)) is not None:
        return settled
    else:
        later = _later(outcome, facts.attempts, schedule, now, chance)
        following = _again(outcome, facts, plan, now, later)
    if following.due_at is not None and following.due_at >= schedule.expires_at(facts.since):
        return Disposition(
            State.FAILED, None, facts.provider, facts.excluded, EXPIRED_STATUS, expired=True
        )
    return following


def redirect(
    state: State,
    provider: str,
    excluded: tuple[str, ...],
    plan: Plan | None,
    now: datetime,
    *,
    send_at: datetime | None = None,
) -> tuple[Disposition, str] | None:
    """
    What happens to a due recipient instead of an attempt by the provider it is assigned to.

    Args:
        state: `waiting` or `uncertain`.
        provider: The one it is assigned to.
        excluded: Providers that cannot carry it.
        plan: As configuration and letter stand now; `None`: no route's condition holds.
        now: The moment of asking.
        send_at: The later moment before which the client does not want it sent, if there is one.

    Returns:
        `None` when the attempt shall be made; else the next state and a line for the story. The
        configuration may have changed since the letter came: nothing is failed for that.
    """
    if plan is None or not plan.candidates:
        held = Disposition(State.HELD, None, provider, excluded, "")
        return held, "no provider of its route can carry it as the configuration stands now"
    if state is State.UNCERTAIN and plan.route.on_uncertain is OnUncertain.HOLD:
        left = Disposition(State.UNCERTAIN, None, provider, excluded, "")
        return left, f"left to a person, as route {plan.route.name} says of uncertain letters"
    if send_at is not None and send_at > now and plan.options.send_at is None:
        # Tried again by hand, or whoever could have kept it is gone.
        early = Disposition(state, send_at, plan.candidates[0], excluded, "")
        return early, f"kept until {send_at.isoformat(timespec='seconds')}, as its client asked"
    if plan.route.name in plan.pauses.routes:
        return _put_off(state, provider, excluded, now), f"waits: route {plan.route.name} is paused"
    first = plan.first or plan.candidates[0]
    moved = Disposition(State.WAITING, now, first, excluded, "")
    if provider not in plan.candidates:
        return moved, f"moved from {provider} to {first} as the configuration stands now"
    if provider in plan.pauses.providers:
        return _while_paused(state, provider, excluded, plan, now)
    # Who may have accepted it is waited for: another would send a second copy.
    if provider in plan.away and first not in plan.away and state is not State.UNCERTAIN:
        return moved, f"moved from {provider}, which is given no letters now, to {first}"
    return None


def _while_paused(
    state: State, provider: str, excluded: tuple[str, ...], plan: Plan, now: datetime
) -> tuple[Disposition, str]:
    following = plan.instead_of(provider)
    fails_over = plan.route.on_throttled is OnThrottled.FAIL_OVER and state is State.WAITING
    if fails_over and following is not None:
        moved = Disposition(State.WAITING, now, following, excluded, "")
        return moved, f"moved from {provider}, which is paused, to {following}"
    return _put_off(state, provider, excluded, now), f"waits: provider {provider} is paused"


def _put_off(state: State, provider: str, excluded: tuple[str, ...], now: datetime) -> Disposition:
    # Who is uncertain and due at no moment is left to a person; that is not what a pause means.
    due_at = now + _LOOK_AGAIN if state is State.UNCERTAIN else None
    return Disposition(state, due_at, provider, excluded, "")


def _uncertain(
    outcome: DeliveryOutcome,
    facts: AttemptFacts,
    plan: Plan,
    schedule: RetrySchedule,
    now: datetime,
) -> Disposition:
    hold = plan.route.on_uncertain is OnUncertain.HOLD
    due_at = None if hold else now + schedule.uncertain_after
    return Disposition(State.UNCERTAIN, due_at, facts.provider, facts.excluded, outcome.status)


def _settled(outcome: DeliveryOutcome, facts: AttemptFacts, plan: Plan) -> Disposition | None:
    if outcome.kind is Kind.ACCEPTED:
        state = State.HANDED_OVER
    elif outcome.kind is Kind.REJECTED or (
        outcome.kind is Kind.UNSUPPORTED and not _others(facts, plan)
    ):
        state = State.FAILED
    else:
        return None
    return Disposition(state, None, facts.provider, facts.excluded, outcome.status)


def _later(
    outcome: DeliveryOutcome,
    attempts: int,
    schedule: RetrySchedule,
    now: datetime,
    chance: float,
) -> datetime:
    scheduled = now + schedule.delay_after(attempts, chance)
    if outcome.retry_after is None:
        return scheduled
    asked = now + outcome.retry_after
    # A provider that is merely busy knows better than our schedule, in both directions.
    return asked if outcome.cause is Cause.THROTTLED else max(scheduled, asked)


def _again(
    outcome: DeliveryOutcome, facts: AttemptFacts, plan: Plan, now: datetime, later: datetime
) -> Disposition:
    following = plan.next_after(facts.provider)
    excluded = facts.excluded
    if outcome.kind is Kind.UNSUPPORTED:
        excluded = (*excluded, facts.provider)
        # Where none follows, those who remain have put the letter off this round: they get it
        # again later. That one remains is what `_settled` made sure of.
        fallback = _others(facts, plan)[0]
    elif outcome.scope is not Scope.PROVIDER or (
        outcome.cause is Cause.THROTTLED and plan.route.on_throttled is OnThrottled.WAIT
    ):
        following, fallback = None, facts.provider
    else:
        fallback = plan.first or facts.provider
    if following is not None:
        return Disposition(State.WAITING, now, following, excluded, outcome.status)
    return Disposition(State.WAITING, later, fallback, excluded, outcome.status)


def _others(facts: AttemptFacts, plan: Plan) -> tuple[str, ...]:
    return tuple(name for name in plan.candidates if name != facts.provider)
