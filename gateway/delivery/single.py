"""
One letter in one call: the attempts that a lane's job comes to, each on a connection of its own.

Sits between `lane`, which gives it jobs, and `attempt`, which knows how an attempt begins and ends;
`bulk` does the same for several letters in one call.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.delivery.absence import put_aside
from gateway.delivery.attempt import AttemptMaker
from gateway.delivery.lane import Access, Job
from gateway.delivery.record import Attempt
from gateway.domain.health import most_telling
from providers.contract.provider import Provider


@dataclass(frozen=True, slots=True)
class LetterMaker:
    """
    Makes attempts of one letter each, for lanes.

    Attributes:
        attempts: Begins and ends them.
    """

    attempts: AttemptMaker

    async def __call__(self, job: Job, provider: Provider, access: Access) -> None:
        """
        Make the attempts of a job.

        Never raises but for cancellation, and then what was under way is recorded as uncertain.
        """
        for attempt in await self.attempts.preparation.attempts(job, provider):
            await self._try(attempt, provider, access)

    async def _try(self, attempt: Attempt, provider: Provider, access: Access) -> None:
        """Make an attempt, unless the provider is given no letters now."""
        # What is on record as begun was let in before.
        if attempt.job.begun_at is None and not await access.health.enter():
            await put_aside(self.attempts, attempt, access.health)
            return
        report = None
        try:
            begun = await self.attempts.begin(attempt)
            if begun is not None:
                report = await self.attempts.make(begun, provider, access.connections)
        finally:
            if report is None:
                access.health.leave(None)
            else:
                access.health.leave(most_telling(report.outcomes.values()), report.took_s)
