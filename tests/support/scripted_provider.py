"""
A provider that does as a script tells, for tests of what the gateway makes of outcomes.

It satisfies `providers.contract.provider.Provider` in memory; no socket is opened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from providers.contract.capabilities import ProviderCapabilities
from providers.contract.outcome import (
    DeliveryOutcome,
    DeliveryReport,
    DeliveryRequest,
    accepted,
    all_same,
)
from providers.contract.provider import ProbeResult
from providers.pacing import TokenBucket

Step = DeliveryOutcome | BaseException | Callable[[DeliveryRequest], Awaitable[DeliveryReport]]


class ScriptedProvider:
    """
    Each attempt takes the next step of the script; after the last one all is accepted.

    A step is an outcome for all recipients, an exception to raise, or a coroutine function of the
    request. `requests` holds what came; `arrived` is set with each.
    """

    kind = "scripted"

    def __init__(
        self,
        name: str = "main",
        script: list[Step] | None = None,
        capabilities: ProviderCapabilities | None = None,
        pace: TokenBucket | None = None,
    ) -> None:
        self.name = name
        self.script = list(script or ())
        self.capabilities = capabilities or ProviderCapabilities(
            raw_mime=True, smtputf8=True, null_reverse_path=True, connections=2
        )
        self.pace = pace or TokenBucket(None)
        self.requests: list[DeliveryRequest] = []
        self.arrived = asyncio.Event()
        self.closed = False

    async def deliver(self, request: DeliveryRequest, *, deadline: float) -> DeliveryReport:
        self.requests.append(request)
        self.arrived.set()
        step = self.script.pop(0) if self.script else accepted(f"id-{len(self.requests)}")
        if isinstance(step, BaseException):
            raise step
        if isinstance(step, DeliveryOutcome):
            return all_same(request, step)
        return await step(request)

    async def probe(self) -> ProbeResult:
        return ProbeResult(ok=True, detail="scripted")

    async def aclose(self) -> None:
        self.closed = True
