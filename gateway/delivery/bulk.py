"""
Several letters in one call: attempts gathered by a lane, put together by the provider.

A batch is one attempt for every letter in it, recorded for all before the call, judged and recorded
for each after it. It has its connection and its place in the pace before anything is recorded, so
that a crash leaves in doubt only what was on the wire. Sits between `lane`, which gathers, and
`attempt`, which knows how an attempt begins and ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import structlog

from gateway.delivery.absence import put_aside
from gateway.delivery.attempt import CUT_SHORT, UNFORESEEN, AttemptMaker
from gateway.delivery.lane import Access, Job
from gateway.delivery.record import Attempt
from gateway.domain.events import BatchEnded
from gateway.domain.health import most_telling
from gateway.errors import SpoolError
from providers.contract.batch import Batch, Place
from providers.contract.outcome import DeliveryReport, DeliveryRequest, all_same
from providers.contract.provider import BulkProvider

log = structlog.get_logger("gateway.delivery")

Told = tuple[Attempt, DeliveryReport]
"""An attempt and what the provider reported of it."""

# From here on, taking letters apart holds the others up for longer than a thread costs.
_LARGE_OCTETS = 256 << 10


@dataclass(frozen=True, slots=True)
class BatchMaker:
    """
    Makes attempts of several letters at once, for the lanes of bulk providers.

    Attributes:
        attempts: Begins and ends the attempt of each letter.
    """

    attempts: AttemptMaker

    async def __call__(
        self,
        jobs: Sequence[Job],
        provider: BulkProvider,
        access: Access,
        place: Place,
    ) -> None:
        """
        Make the attempts of these jobs, in as few calls as the provider can make of them.

        Args:
            jobs: What was gathered; one recipient each.
            provider: Whose lane it is. A place in its pace is taken for the first call.
            access: A connection is held for each call while the provider has it.
            place: Takes a place in the pace for each further call.

        Never raises but for cancellation, and then what was under way is recorded as uncertain.
        """
        prepare = self.attempts.preparation.attempts
        found = await asyncio.gather(*(prepare(job, provider) for job in jobs))
        attempts = {_lease(attempt.request()): attempt for some in found for attempt in some}
        requests = [attempt.request() for attempt in attempts.values()]
        batches = await _batches(provider, requests) if requests else ()
        way = _Way(provider, access, place)
        async with asyncio.TaskGroup() as calls:
            for number, batch in enumerate(batches):
                mine = [attempts[_lease(request)] for request in batch.requests]
                calls.create_task(self._try(batch, mine, way, has_place=number == 0))

    async def _try(
        self, batch: Batch, attempts: Sequence[Attempt], way: _Way, *, has_place: bool
    ) -> None:
        """Make a call, unless the provider is given no letters now."""
        health = way.access.health
        if not await health.enter():
            for attempt in attempts:
                await put_aside(self.attempts, attempt, health)
            return
        outcome, took_s = None, 0.0
        try:
            reports = await self._make(batch, attempts, way, has_place=has_place)
            told = [outcome for report in reports for outcome in report.outcomes.values()]
            if told:
                outcome = most_telling(told)
                took_s = max(report.took_s for report in reports)
        finally:
            health.leave(outcome, took_s)

    async def _make(
        self, batch: Batch, attempts: Sequence[Attempt], way: _Way, *, has_place: bool
    ) -> list[DeliveryReport]:
        begun: list[Attempt] | None = None
        try:
            async with way.access.connections:
                if not has_place:
                    await way.place()
                begun = await self._begin(attempts)
                if len(begun) < len(attempts):  # the others are not ours any more
                    told = await self._deliver_left(begun, way)
                else:
                    told = [*zip(begun, await self._deliver(batch, way), strict=True)]
        except asyncio.CancelledError:
            # What may have reached the provider is recorded before the stop goes on.
            ending = self._give_back(attempts) if begun is None else self._cut_short(begun)
            await asyncio.shield(asyncio.ensure_future(ending))
            raise
        await self._end(told)
        return [report for _, report in told]

    async def _begin(self, attempts: Sequence[Attempt]) -> list[Attempt]:
        """Record all starts, which the spool does in one commit or a few; those still ours."""
        begun = await asyncio.gather(*map(self.attempts.begin, attempts))
        # Nothing is waited for between the record and the call, but this process may be frozen.
        return await self._confirmed([attempt for attempt in begun if attempt is not None])

    async def _confirmed(self, attempts: Sequence[Attempt]) -> list[Attempt]:
        """Those that are ours still."""
        ours = await asyncio.gather(*map(self.attempts.confirmed, attempts))
        return [attempt for attempt in ours if attempt is not None]

    async def _deliver(self, batch: Batch, way: _Way) -> list[DeliveryReport]:
        """A report for each letter of the batch, whatever the adapter does."""
        provider = way.provider
        reports: Sequence[DeliveryReport] = ()
        clock, deadline = self.attempts.clock, self.attempts.deadline(provider.name)
        began = clock.monotonic()
        try:
            reports = await provider.deliver_many(batch, deadline=deadline, place=way.place)
        except Exception:
            log.exception("adapter_bug", provider=provider.name, letters=len(batch.requests))
        took_s = clock.monotonic() - began
        self.attempts.emit(BatchEnded(clock.now(), provider.name, len(batch.requests)))
        missing = batch.requests[len(reports) :]
        return [
            *(replace(report, took_s=took_s) for report in reports),
            *(all_same(request, UNFORESEEN) for request in missing),
        ]

    async def _deliver_left(self, attempts: Sequence[Attempt], way: _Way) -> list[Told]:
        """The same for what is left of a batch, put together anew; the first call has its place."""
        by_lease = {_lease(attempt.request()): attempt for attempt in attempts}
        requests = [attempt.request() for attempt in attempts]
        told: list[Told] = []
        for number, batch in enumerate(await _batches(way.provider, requests) if requests else ()):
            mine = [by_lease[_lease(request)] for request in batch.requests]
            if number:
                await way.place()
                ours = await self._confirmed(mine)
                if len(ours) < len(mine):
                    told += await self._deliver_left(ours, way)
                    continue
            told += zip(mine, await self._deliver(batch, way), strict=True)
        return told

    async def _end(self, told: Iterable[Told]) -> None:
        await asyncio.gather(*(self.attempts.end(attempt, report) for attempt, report in told))

    async def _cut_short(self, attempts: Sequence[Attempt]) -> None:
        await self._end((a, all_same(a.request(), CUT_SHORT)) for a in attempts)

    async def _give_back(self, attempts: Sequence[Attempt]) -> None:
        """Nothing was begun: whoever claims them next may have them at once."""
        leases = [lease for attempt in attempts for lease in attempt.job.leases]
        try:
            await self.attempts.spool.give_back(leases)
        except SpoolError as error:
            # They lapse by themselves.
            log.warning("leases_not_given_back", reason=error.reason)


@dataclass(frozen=True, slots=True)
class _Way:
    """How the calls of one gathering reach the provider."""

    provider: BulkProvider
    access: Access
    place: Place


async def _batches(
    provider: BulkProvider, requests: Sequence[DeliveryRequest]
) -> tuple[Batch, ...]:
    """What the provider puts together; each letter alone where that goes wrong."""
    if len(requests) == 1:
        return (Batch((requests[0],)),)
    try:
        if sum(request.message.size for request in requests) < _LARGE_OCTETS:
            batches = provider.batches(requests)
        else:
            batches = await asyncio.to_thread(provider.batches, requests)
    except Exception:
        log.exception("adapter_bug", provider=provider.name, letters=len(requests))
        batches = ()
    if sorted(_lease(r) for batch in batches for r in batch.requests) == sorted(
        map(_lease, requests)
    ):
        return batches
    log.error("adapter_bug", provider=provider.name, letters=len(requests))
    return tuple(Batch((request,)) for request in requests)


def _lease(request: DeliveryRequest) -> tuple[str, int]:
    return request.queue_id, request.envelope.recipients[0].key
