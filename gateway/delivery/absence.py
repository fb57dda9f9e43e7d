"""
Letters of a provider that is given none: they wait without an attempt, or reach their end.

Only those come here that nobody else can have now; `preparation` has sent the others on. Most are
put off until it is known whether the provider is back. What is too old, or whose sender is to be
told of the delay, goes the way of every attempt, so that its end is told like any other. Sits on
`attempt`.
"""

from __future__ import annotations

from datetime import timedelta

from gateway.delivery.attempt import AttemptMaker
from gateway.delivery.health import ProviderHealth
from gateway.delivery.record import Attempt, change_of
from gateway.domain.disposition import Disposition
from providers.contract.outcome import DeliveryOutcome, Kind, Scope, all_same

_STATUS = "4.4.1"


async def put_aside(attempts: AttemptMaker, attempt: Attempt, health: ProviderHealth) -> None:
    """
    Have an attempt's recipients wait, for their provider is given no letters now.

    Never raises but for cancellation; nothing was sent then.
    """
    letter, now = attempt.letter, attempts.clock.now()
    # Spread over twice the time: they come back as a stream and not as a wave.
    due_at = now + timedelta(seconds=health.wait_s * (1.0 + attempts.chance()))
    reason = f"{health.name} is given no letters now: {health.reason}"
    too_late = due_at >= attempts.schedule.expires_at(letter.wanted_at)
    if too_late or attempts.recorder.reporter.is_late(letter, attempt.recipients):
        begun = await attempts.begin(attempt)
        if begun is not None:
            outcome = DeliveryOutcome(Kind.DEFERRED, Scope.PROVIDER, _STATUS, reason)
            await attempts.end(begun, all_same(begun.request(), outcome))
        return
    waiting = attempts.recorder.verdicts.of(letter.queue_id)
    if waiting is not None:
        waiting.leave_out(queued.recipient.key for queued in attempt.recipients)
    await attempts.recorder.record(
        letter,
        [
            change_of(
                letter.queue_id,
                queued,
                Disposition(queued.state, due_at, attempt.provider, queued.excluded, _STATUS),
                before=queued.state,
                diagnostic=reason,
                warned=queued.warned,
            )
            for queued in attempt.recipients
        ],
    )
