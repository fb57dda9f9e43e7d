"""
A provider that takes several letters in one call and does as a script tells.

It satisfies `providers.contract.provider.BulkProvider` in memory; no socket is opened.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from providers.contract.batch import Batch, Gathering, Place
from providers.contract.capabilities import Bulk, ProviderCapabilities
from providers.contract.outcome import (
    DeliveryOutcome,
    DeliveryReport,
    DeliveryRequest,
    accepted,
    all_same,
)
from providers.pacing import TokenBucket
from tests.support.scripted_provider import ScriptedProvider

BatchStep = DeliveryOutcome | BaseException | Callable[[Batch], Awaitable[Sequence[DeliveryReport]]]

_CAPABILITIES = ProviderCapabilities(
    max_recipients=1,
    raw_mime=True,
    smtputf8=True,
    null_reverse_path=True,
    connections=2,
    bulk=Bulk.PERSONAL,
)


class ScriptedBulkProvider(ScriptedProvider):
    """
    Each call takes the next step of the script; after the last one all is accepted.

    A step is an outcome for all letters of the batch, an exception to raise, or a coroutine
    function of the batch. `calls` holds the addresses of each call; `most` is how many letters one
    takes, and no address goes twice into one.
    """

    def __init__(
        self,
        name: str = "main",
        script: Sequence[BatchStep] = (),
        *,
        size: int = 50,
        most: int = 50,
        window: timedelta = timedelta(0),
        connections: int = 2,
        pace: TokenBucket | None = None,
    ) -> None:
        capabilities = replace(_CAPABILITIES, connections=connections)
        super().__init__(name, capabilities=capabilities, pace=pace)
        self.gathering = Gathering(size, window)
        self.steps = list(script)
        self.calls: list[list[str]] = []
        self._most = most

    def batches(self, requests: Sequence[DeliveryRequest]) -> tuple[Batch, ...]:
        calls: list[list[DeliveryRequest]] = []
        for request in requests:
            address = _address(request)
            for call in calls:
                if len(call) < self._most and address not in map(_address, call):
                    call.append(request)
                    break
            else:
                calls.append([request])
        return tuple(Batch(tuple(call)) for call in calls)

    async def deliver_many(
        self, batch: Batch, *, deadline: float, place: Place
    ) -> tuple[DeliveryReport, ...]:
        self.calls.append([_address(request) for request in batch.requests])
        self.requests.extend(batch.requests)
        self.arrived.set()
        step = self.steps.pop(0) if self.steps else accepted(f"batch-{len(self.calls)}")
        if isinstance(step, BaseException):
            raise step
        if isinstance(step, DeliveryOutcome):
            return tuple(all_same(request, step) for request in batch.requests)
        return tuple(await step(batch))


def _address(request: DeliveryRequest) -> str:
    return request.envelope.recipients[0].forward_path.addr_spec
