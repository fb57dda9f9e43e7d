"""A provider that is down or refuses the account is given no letters, and nobody loses by it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from gateway.domain.events import CircuitChanged
from gateway.domain.health import CircuitRules, CircuitState
from gateway.domain.lifecycle import State
from gateway.domain.retry import RetrySchedule
from gateway.domain.routing import Route
from providers.contract.outcome import (
    Cause,
    DeliveryOutcome,
    DeliveryReport,
    DeliveryRequest,
    Kind,
    Scope,
    accepted,
    all_same,
)
from providers.contract.provider import ProbeResult
from tests.delivery.conftest import PATIENT, Delivery
from tests.support.scripted_provider import ScriptedProvider

NO_FUNDS = DeliveryOutcome(
    Kind.DEFERRED, Scope.PROVIDER, "4.7.0", "402 no funds", cause=Cause.ACCOUNT
)
LOST = DeliveryOutcome(Kind.UNCERTAIN, Scope.MESSAGE, "4.4.2", "no answer in time")
SOON = CircuitRules(first_wait_s=0.05, longest_wait_s=0.2)
NEVER = CircuitRules(first_wait_s=3600, longest_wait_s=3600)


class Doubtful(ScriptedProvider):
    """Refuses the account until `well` is set; probes say how it is and are counted."""

    def __init__(self, name: str = "main") -> None:
        super().__init__(name, [NO_FUNDS] * 1000)
        self.well = False
        self.probes = 0
        self._probed = asyncio.Event()

    def recover(self) -> None:
        """From now on all is accepted."""
        self.well = True
        self.script.clear()

    async def was_probed(self, times: int) -> None:
        """Wait until it was, so many times more."""
        async with asyncio.timeout(60):
            for _ in range(times):
                self._probed.clear()
                await self._probed.wait()

    async def probe(self) -> ProbeResult:
        """How it is."""
        self.probes += 1
        self._probed.set()
        return ProbeResult(ok=self.well, detail="" if self.well else "402 no funds")


def circuits(delivery: Delivery) -> list[tuple[str, CircuitState]]:
    """What was told of providers, in order."""
    return [(e.provider, e.state) for e in delivery.events if isinstance(e, CircuitChanged)]


async def opened(delivery: Delivery, provider: str = "main") -> None:
    """Wait until a provider is given no letters."""
    await delivery.until(lambda: (provider, CircuitState.OPEN) in circuits(delivery))


async def test_letters_wait_without_attempts_and_leave_when_a_probe_succeeds(
    delivery: Delivery,
) -> None:
    """One letter learns of the refused account, the others are not spent on it."""
    provider = Doubtful()
    await delivery.admit("first@example.com")
    await delivery.begin(provider, schedule=PATIENT, circuit=SOON)
    await opened(delivery)
    for number in range(30):
        await delivery.admit(f"bob{number}@example.com")
    made = len(provider.requests)
    await provider.was_probed(3)
    assert len(provider.requests) == made
    waiting = [row for row in await delivery.rows() if row.attempts == 0]
    assert len(waiting) == 30
    provider.recover()
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) >= 30)
    assert circuits(delivery)[-1] == ("main", CircuitState.CLOSED)


async def test_one_that_is_slow_with_every_letter_is_left_to_itself(delivery: Delivery) -> None:
    """T23: its letters are not sent again, later ones go to the other, and it comes back."""
    slow = 0.05

    async def take_time(request: DeliveryRequest) -> DeliveryReport:
        await delivery.clock.sleep(slow + 0.01)
        return all_same(request, accepted("late"))

    provider, backup = ScriptedProvider(script=[take_time] * 5), ScriptedProvider("backup")
    for number in range(5):
        await delivery.admit(f"bob{number}@example.com")
    await delivery.begin(provider, backup, circuit=SOON, slow_after_s=slow)
    await opened(delivery)
    told = [e.reason for e in delivery.events if isinstance(e, CircuitChanged) and e.reason]
    assert told[0].startswith("slow: it took ")
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 5)
    assert (len(provider.requests), len(backup.requests)) == (5, 0)
    await delivery.until(lambda: ("main", CircuitState.HALF_OPEN) in circuits(delivery))


async def test_what_waits_says_why(delivery: Delivery) -> None:
    """`queue list` shows the provider's own words for letters that were never tried."""
    provider = Doubtful()
    await delivery.admit("first@example.com")
    await delivery.begin(provider, schedule=PATIENT, circuit=SOON)
    await opened(delivery)
    queue_id = await delivery.admit("bob@example.com")
    reasons: list[str] = []
    while not reasons:
        await provider.was_probed(1)
        rows = [row for row in await delivery.rows() if row.queue_id == queue_id]
        reasons = [row.diagnostic for row in rows if row.diagnostic]
    assert reasons == ["main is given no letters now: 402 no funds"]


async def test_letters_go_by_another_provider_without_an_attempt_at_the_first(
    delivery: Delivery,
) -> None:
    """Failover before an attempt, of what waits in the spool and of what comes fresh."""
    first, second = Doubtful("main"), ScriptedProvider("rest")
    await delivery.admit("first@example.com")
    await delivery.begin(first, second, schedule=PATIENT, circuit=NEVER)
    await opened(delivery)
    for number in range(10):
        await delivery.admit(f"bob{number}@example.com")
    await delivery.take()
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 12)
    assert len(first.requests) == 1
    assert {e.provider for e in delivery.ended(State.HANDED_OVER)} == {"rest"}


async def test_an_uncertain_letter_stays_with_the_provider_that_may_have_it(
    delivery: Delivery,
) -> None:
    """Sent by another it would be a second copy; it is tried again where it was."""
    first, second = Doubtful("main"), ScriptedProvider("rest")
    first.script = [LOST, *first.script]
    queue_id = await delivery.admit("bob@example.com")
    later = RetrySchedule(uncertain_after=timedelta(seconds=2))
    await delivery.begin(first, second, schedule=later, circuit=SOON)
    await delivery.until(lambda: len(delivery.ended(State.UNCERTAIN)) == 1)
    await delivery.admit("learns@example.com")
    await opened(delivery)
    due = [row.due_at for row in await delivery.rows() if row.queue_id == queue_id]
    while [row.due_at for row in await delivery.rows() if row.queue_id == queue_id] == due:
        await first.was_probed(1)
    first.recover()
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 2)
    (ended,) = [e for e in delivery.ended(State.HANDED_OVER) if e.queue_id == queue_id]
    assert ended.provider == "main"


async def test_a_letter_grows_old_while_its_provider_is_away(delivery: Delivery) -> None:
    """It fails in time, its sender is told why, and the story says that nothing was sent."""
    provider = Doubtful()
    short = RetrySchedule(
        first=timedelta(milliseconds=20),
        longest=timedelta(milliseconds=50),
        give_up_after=timedelta(seconds=2),
    )
    await delivery.admit("first@example.com")
    await delivery.begin(provider, schedule=short, circuit=SOON)
    await opened(delivery)
    queue_id = await delivery.admit("bob@example.com")
    await delivery.until(lambda: any(e.queue_id == queue_id for e in delivery.ended(State.FAILED)))
    (ended,) = [e for e in delivery.ended(State.FAILED) if e.queue_id == queue_id]
    assert ended.expired
    assert "given no letters" in ended.outcome.diagnostic
    assert not any(request.queue_id == queue_id for request in provider.requests)
    assert delivery.told()


async def test_other_routes_flow_while_one_provider_is_away(delivery: Delivery) -> None:
    """T23: who only the others carry does not notice."""
    away, well = Doubtful("main"), ScriptedProvider("rest")
    routes = (Route("a", ("main",)), Route("b", ("rest",)))
    await delivery.admit("first@example.com")
    await delivery.begin(away, well, routes=routes, schedule=PATIENT, circuit=SOON)
    await opened(delivery)
    for number in range(20):
        await delivery.admit(f"a{number}@example.com", provider="main")
    other = Route("b", ("rest",))
    assert delivery.planner is not None
    delivery.planner.routes = (other,)
    for number in range(20):
        await delivery.admit(f"b{number}@example.com", provider="rest")
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) >= 20)
    assert len(well.requests) >= 20
