"""Two holders of one letter: whoever has lost it while it waited does not send it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from gateway.domain.events import AttemptLost
from gateway.domain.lifecycle import State
from gateway.spool.store import SqlSpool
from gateway.spool.values import AttemptStart
from providers.contract.capabilities import ProviderCapabilities
from providers.contract.outcome import DeliveryReport, DeliveryRequest, Kind, accepted, all_same
from tests.delivery.conftest import Delivery
from tests.support.scripted_bulk import ScriptedBulkProvider
from tests.support.scripted_provider import ScriptedProvider

ONE_CONNECTION = ProviderCapabilities(raw_mime=True, connections=1)


async def until_sending(delivery: Delivery, number: int) -> None:
    """Until so many attempts are recorded, which sends no event."""
    async with asyncio.timeout(60):
        while [row.state for row in await delivery.rows()].count(State.SENDING) < number:  # noqa: ASYNC110 (see above)
            await asyncio.sleep(0.01)


async def test_an_attempt_recorded_and_not_sent_is_given_up_with_its_lease(
    delivery: Delivery,
) -> None:
    """
    T5: frozen with one letter on the connection and another recorded behind it.

    Thawed, it must not send the second: whoever took both over has sent it.
    """
    other = await SqlSpool.open(
        delivery.url, clock=delivery.clock, uncertain_after=timedelta(hours=1), exclusive=False
    )
    thawed = asyncio.Event()

    async def freeze(request: DeliveryRequest) -> DeliveryReport:
        await thawed.wait()
        return all_same(request, accepted("id-1"))

    main = ScriptedProvider(script=[freeze], capabilities=ONE_CONNECTION)
    await delivery.begin(main)
    assert delivery.dispatcher is not None
    delivery.dispatcher._attempt.sure_for_s = 0.0  # as if it had been long
    for address in ("a@example.org", "b@example.org"):
        await delivery.admit(address)
    await until_sending(delivery, 2)
    taken = await other.claim("main", delivery.clock.now() + timedelta(minutes=10), 10)
    assert len(taken.cut_short) == 2
    thawed.set()

    def lost() -> list[AttemptLost]:
        return [event for event in delivery.events if isinstance(event, AttemptLost)]

    await delivery.until(lambda: len(lost()) == 2)
    await other.aclose()
    assert len(main.requests) == 1
    assert {event.queue_id: event.outcome.kind for event in lost()} == {
        row.queue_id: Kind.ACCEPTED if row.queue_id == main.requests[0].queue_id else Kind.DEFERRED
        for row in await delivery.rows()
    }
    assert {row.state for row in await delivery.rows()} == {State.UNCERTAIN}


async def test_an_attempt_that_waited_and_is_still_ours_is_made(delivery: Delivery) -> None:
    """A slow provider costs a question to the spool, and no letter."""
    main = ScriptedProvider(capabilities=ONE_CONNECTION)
    await delivery.begin(main)
    assert delivery.dispatcher is not None
    delivery.dispatcher._attempt.sure_for_s = 0.0
    for address in ("a@example.org", "b@example.org"):
        await delivery.admit(address)
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 2)
    assert len(main.requests) == 2


async def test_a_batch_recorded_and_not_sent_is_given_up_with_its_leases(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T5: frozen right behind the record, a batch is sent without the letters it has lost."""
    other = await SqlSpool.open(
        delivery.url, clock=delivery.clock, uncertain_after=timedelta(hours=1), exclusive=False
    )
    everybody = [f"user{number}@example.org" for number in range(6)]
    for address in everybody:
        await delivery.admit(address)
    start = delivery.spool.start

    async def start_and_freeze(starts: Sequence[AttemptStart]) -> frozenset[int]:
        monkeypatch.setattr(delivery.spool, "start", start)
        lost = await start(starts)
        later = delivery.clock.now() + timedelta(minutes=10)
        await other.claim("main", later, 1)
        return lost

    monkeypatch.setattr(delivery.spool, "start", start_and_freeze)
    main = ScriptedBulkProvider(size=50)
    await delivery.begin(main)
    assert delivery.dispatcher is not None
    delivery.dispatcher._attempt.sure_for_s = 0.0  # as if it had been long
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 5)
    (lost,) = (event for event in delivery.events if isinstance(event, AttemptLost))
    await other.aclose()
    (call,) = main.calls
    assert len(call) == 5
    by_state = {row.queue_id: row.state for row in await delivery.rows()}
    assert by_state.pop(lost.queue_id) is State.UNCERTAIN
    assert set(by_state.values()) == {State.HANDED_OVER}
