"""A provider's health at work: letters are let through, held back, and probes bring them back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from gateway.delivery.health import ProviderHealth
from gateway.domain.health import CircuitRules, CircuitState
from providers.contract.outcome import Cause, DeliveryOutcome, Kind, Scope, accepted
from providers.contract.provider import ProbeResult
from tests.support.manual_clock import ManualClock
from tests.support.scripted_provider import ScriptedProvider

NO_FUNDS = DeliveryOutcome(
    Kind.DEFERRED, Scope.PROVIDER, "4.7.0", "402 no funds", cause=Cause.ACCOUNT
)

WELL = ProbeResult(ok=True, detail="")
ILL = ProbeResult(ok=False, detail="still no funds")


class Probed(ScriptedProvider):
    """Probes are answered from a list, `WELL` or `ILL`; an exception in it is raised."""

    def __init__(self, *answers: ProbeResult | Exception) -> None:
        super().__init__()
        self.answers = list(answers)

    async def probe(self) -> ProbeResult:
        """The next answer."""
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass
class Watched:
    """A provider's health with all that it told."""

    provider: Probed
    clock: ManualClock = field(default_factory=ManualClock)
    told: list[CircuitState] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.health = ProviderHealth(
            self.provider, self.provider.pace, self.clock, self._tell, CircuitRules()
        )

    def _tell(self, health: ProviderHealth) -> None:
        self.told.append(health.state)
        self.changed.set()

    async def open(self) -> None:
        """An attempt that account trouble ends."""
        assert await self.health.enter()
        self.health.leave(NO_FUNDS)

    async def probe(self) -> None:
        """Let the time of the next probe come."""
        await self.clock.someone_sleeps()
        self.clock.advance(self.health.next_probe_s)


async def until(watched: Watched, state: CircuitState) -> None:
    """Wait until it was told that it is so."""
    async with asyncio.timeout(60):
        while watched.told[-1:] != [state]:
            watched.changed.clear()
            await watched.changed.wait()


async def test_a_refused_account_gets_no_letters_until_a_probe_succeeds() -> None:
    """Two probes in vain, one good, then a letter at a time, and all is well again."""
    watched = Watched(Probed(ILL, ILL, WELL))
    await watched.open()
    assert watched.told == [CircuitState.OPEN]
    assert watched.health.reason == "402 no funds"
    assert not await watched.health.enter()
    for _ in range(3):
        await watched.probe()
    await until(watched, CircuitState.HALF_OPEN)
    assert watched.health.next_probe_s == 0.0
    while watched.health.state is not CircuitState.CLOSED:
        assert await watched.health.enter()
        watched.health.leave(accepted("1"))
    assert watched.told == [CircuitState.OPEN, CircuitState.HALF_OPEN, CircuitState.CLOSED]
    await watched.health.stop()


async def test_on_the_way_back_the_second_letter_waits_for_the_first() -> None:
    """Half open lets one through; who waits goes on when it was accepted."""
    watched = Watched(Probed(WELL))
    await watched.open()
    await watched.probe()
    await until(watched, CircuitState.HALF_OPEN)
    assert await watched.health.enter()
    second = asyncio.create_task(watched.health.enter())
    await asyncio.sleep(0)
    assert not second.done()
    watched.health.leave(accepted("1"))
    assert await second
    await watched.health.stop()


async def test_who_waits_is_sent_away_when_it_opens_again() -> None:
    """Nobody waits for a provider that is given no letters."""
    watched = Watched(Probed(WELL, ILL))
    await watched.open()
    await watched.probe()
    await until(watched, CircuitState.HALF_OPEN)
    assert await watched.health.enter()
    second = asyncio.create_task(watched.health.enter())
    await asyncio.sleep(0)
    watched.health.leave(NO_FUNDS)
    assert not await second
    await watched.health.stop()


async def test_an_adapter_that_fails_in_its_probe_is_not_well() -> None:
    """A bug in a probe neither closes the circuit nor ends the probing."""
    watched = Watched(Probed(RuntimeError("bug"), WELL))
    await watched.open()
    await watched.probe()
    await watched.probe()
    await until(watched, CircuitState.HALF_OPEN)
    await watched.health.stop()


@pytest.mark.parametrize(("asked", "wait"), [(timedelta(seconds=7), 7.0), (None, 1.0)])
async def test_a_busy_provider_slows_its_account(asked: timedelta | None, wait: float) -> None:
    """T3 and T19: whatever says "too fast", the account's pace hears it, and no circuit opens."""
    watched = Watched(Probed())
    busy = DeliveryOutcome(
        Kind.DEFERRED,
        Scope.PROVIDER,
        "4.7.0",
        "421 too many",
        cause=Cause.THROTTLED,
        retry_after=asked,
    )
    assert await watched.health.enter()
    watched.health.leave(busy)
    assert watched.health.state is CircuitState.CLOSED
    assert watched.provider.pace.take(watched.clock.monotonic()) == wait


async def test_an_end_leaves_no_task() -> None:
    """Stopped while it probes, and stopped twice."""
    watched = Watched(Probed(ILL))
    await watched.open()
    await watched.clock.someone_sleeps()
    await watched.health.stop()
    await watched.health.stop()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("probe")]
