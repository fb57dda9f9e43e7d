"""
The health of one provider at work: its circuit, fed by attempts and by probes.

Every attempt asks `enter` first; what came of it is told with `leave`. While the circuit is open a
task probes the provider, which sends nothing. Knows no letter. Sits under `lane`; the judgement is
`domain.health`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from gateway.domain.health import Circuit, CircuitRules, CircuitState
from providers.contract.clock import Clock
from providers.contract.outcome import Cause, DeliveryOutcome, Scope
from providers.contract.provider import Pace, ProbeResult, Provider

log = structlog.get_logger("gateway.delivery")

_WAITS = 3  # first waits: each time, every letter that waits is written once
_BUSY_S = 1.0  # how long a provider is left alone that says it is too busy, and not for how long


class ProviderHealth:
    """
    Whether a provider is given letters.

    Args:
        provider: Whose health it is.
        pace: The account's, which hears of it when the provider says that it is too busy.
        clock: For waits.
        changed: Told, with this object, whenever the circuit's state has changed.
        rules: When the circuit opens and closes.
    """

    def __init__(
        self,
        provider: Provider,
        pace: Pace,
        clock: Clock,
        changed: Callable[[ProviderHealth], None],
        rules: CircuitRules,
    ) -> None:
        self._provider = provider
        self._pace = pace
        self._clock = clock
        self._changed = changed
        self._circuit = Circuit(rules)
        self._least_wait_s = _WAITS * rules.first_wait_s
        self._moved = asyncio.Event()
        self._probing: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """The provider's."""
        return self._provider.name

    @property
    def state(self) -> CircuitState:
        """The circuit's."""
        return self._circuit.state

    @property
    def reason(self) -> str:
        """Why it is not closed: one line, the provider's own words; empty when it is."""
        return self._circuit.reason

    @property
    def next_probe_s(self) -> float:
        """Seconds until it is known whether the provider is back; 0.0 when it is given letters."""
        return self._circuit.probe_in(self._clock.monotonic()) or 0.0

    @property
    def wait_s(self) -> float:
        """Seconds for which letters wait that only this provider could have."""
        return max(self.next_probe_s, self._least_wait_s)

    def enter_now(self) -> bool:
        """Whether an attempt may start without a wait; on yes `leave` must follow."""
        return self._circuit.begin()

    async def enter(self) -> bool:
        """
        Wait until an attempt may start, or the provider is given none.

        Returns:
            Whether it may; then `leave` must follow.
        """
        while not self._circuit.begin():
            if self._circuit.state is CircuitState.OPEN:
                return False
            self._moved.clear()
            await self._moved.wait()
        return True

    def leave(self, outcome: DeliveryOutcome | None, took_s: float = 0.0) -> None:
        """
        An attempt is over.

        Args:
            outcome: The most telling of its outcomes, `None` when it was not made.
            took_s: How many seconds the provider took.
        """
        now = self._clock.monotonic()
        before = self._circuit.state
        self._circuit.ended(outcome, now, took_s)
        if (
            outcome is not None
            and outcome.scope is Scope.PROVIDER
            and outcome.cause is Cause.THROTTLED
        ):
            asked = outcome.retry_after
            self._pace.hold_off(now, _BUSY_S if asked is None else asked.total_seconds())
        self._moved.set()
        self._tell(before)

    async def stop(self) -> None:
        """Probe no more."""
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)

    def _tell(self, before: CircuitState) -> None:
        if self._circuit.state is before:
            return
        self._changed(self)
        if self._circuit.state is CircuitState.OPEN and self._probing is None:
            self._probing = asyncio.create_task(self._probe(), name=f"probe {self.name}")

    async def _probe(self) -> None:
        while (wait := self._circuit.probe_in(self._clock.monotonic())) is not None:
            if wait > 0:
                await self._clock.sleep(wait)
                continue
            result = await self._ask()
            before = self._circuit.state
            self._circuit.probed(self._clock.monotonic(), well=result.ok, detail=result.detail)
            log.info("probed", provider=self.name, ok=result.ok, detail=result.detail)
            self._moved.set()
            self._tell(before)
        self._probing = None

    async def _ask(self) -> ProbeResult:
        try:
            return await self._provider.probe()
        except Exception:
            log.exception("adapter_bug", provider=self.name)
            return ProbeResult(ok=False, detail="the adapter failed in a way it was not made for")
