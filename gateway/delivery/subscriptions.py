"""
Accounts kept in step with the suppression list: told of each change until they know it.

What is to be told lies in the spool, written with the change itself, so that neither a crash nor an
account that is away loses it; saying it twice is harmless. Sits on the spool and the providers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

import structlog

from gateway.domain.retry import RetrySchedule
from gateway.errors import SpoolError
from gateway.spool.suppressions import SqlSuppressions, SubscriptionCall
from providers.contract.clock import Clock
from providers.contract.outcome import Cause, DeliveryOutcome, Kind
from providers.contract.provider import Provider
from providers.contract.subscriptions import SubscriptionKeeper

log = structlog.get_logger("gateway.delivery")

_LOOK_EVERY_S = 1.0
_AT_ONCE = 20
_CALL_S = 60.0
_OURS_FOR = timedelta(seconds=_CALL_S * (_AT_ONCE + 1))
_SCHEDULE = RetrySchedule(first=timedelta(seconds=30), longest=timedelta(hours=6))


class SubscriptionSync:
    """
    Tells accounts, one call after the other.

    Args:
        store: Where the calls lie.
        providers: The configured ones by name, as they are at the moment.
        clock: Time.
        chance: Evenly distributed in [0, 1), for the spread of waits.
    """

    def __init__(
        self,
        store: SqlSuppressions,
        providers: Callable[[], Mapping[str, Provider]],
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        self._store = store
        self._providers = providers
        self._clock = clock
        self._chance = chance

    async def run(self) -> None:
        """Tell what is to be told until cancelled."""
        while True:
            try:
                done = await self._round()
            except SpoolError as error:
                log.warning("subscriptions_not_told", reason=error.reason)
                done = 0
            if not done:
                await self._clock.sleep(_LOOK_EVERY_S)

    async def _round(self) -> int:
        now = self._clock.now()
        calls = await self._store.due_calls(now, now + _OURS_FOR, _AT_ONCE)
        for call in calls:
            await self._make(call)
        return len(calls)

    async def _make(self, call: SubscriptionCall) -> None:
        provider = _keeper(self._providers().get(call.provider))
        if provider is None:
            # The configuration has changed: nobody wants it told any more.
            await self._store.call_done(call)
            return
        outcome = await self._ask(provider, call)
        about = {"provider": call.provider, "address": call.address, "subscribed": call.subscribed}
        if outcome.kind is Kind.ACCEPTED:
            log.info("subscription_told", **about)
            await self._store.call_done(call)
        elif outcome.kind in {Kind.REJECTED, Kind.UNSUPPORTED}:
            log.error("subscription_refused", **about, diagnostic=outcome.diagnostic)
            await self._store.call_done(call)
        else:
            wait = _SCHEDULE.delay_after(call.attempts + 1, self._chance())
            if outcome.cause is Cause.THROTTLED and outcome.retry_after is not None:
                wait = outcome.retry_after  # it is merely busy, and knows better
            due_at = self._clock.now() + wait
            log.warning(
                "subscription_put_off",
                **about,
                diagnostic=outcome.diagnostic,
                due_at=due_at.isoformat(timespec="seconds"),
            )
            await self._store.put_off(call, due_at, outcome.diagnostic)

    async def _ask(self, provider: SubscriptionKeeper, call: SubscriptionCall) -> DeliveryOutcome:
        deadline = self._clock.monotonic() + _CALL_S
        return await provider.set_subscription(
            call.address, subscribed=call.subscribed, deadline=deadline
        )


def _keeper(provider: object) -> SubscriptionKeeper | None:
    """The account, where it is to be told."""
    return provider if isinstance(provider, SubscriptionKeeper) and provider.keeps_in_step else None
