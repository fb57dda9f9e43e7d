"""Who has a turn when more letters come than leave, and what waits for a disk that recovers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from gateway.delivery import attempt as attempt_module
from gateway.domain.lifecycle import State
from gateway.domain.routing import Route
from gateway.errors import SpoolFull
from gateway.ingress.intake import SpoolingIntake
from gateway.ingress.submission import Client, Reply, Submission
from gateway.planner import Planner
from gateway.spool.values import AttemptStart
from providers.contract.outcome import (
    DeliveryOutcome,
    DeliveryReport,
    DeliveryRequest,
    Kind,
    Scope,
    accepted,
    all_same,
)
from tests.delivery.conftest import Delivery
from tests.support.builders import a_message, an_envelope
from tests.support.scripted_provider import ScriptedProvider

PUT_OFF = DeliveryOutcome(Kind.DEFERRED, Scope.RECIPIENT, "4.2.1", "mailbox busy")
TURNS = 20


class Crowd:
    """A front door whose every letter is handed on at once where there is room for it."""

    def __init__(self, delivery: Delivery, provider: ScriptedProvider) -> None:
        assert delivery.dispatcher is not None
        self._delivery = delivery
        self._intake = SpoolingIntake(
            spool=delivery.spool,
            planner=Planner((Route("default", ("main",)),), {"main": provider.capabilities}),
            hand_off=delivery.dispatcher,
            hostname="gateway.example.com",
            clock=delivery.clock,
            emit=delivery.see,
        )

    async def bring(self, count: int = 1) -> None:
        for _ in range(count):
            content = a_message().content
            client = Client("127.0.0.1", "client.example.com", esmtp=True)
            reply = await self._intake.take(
                Submission(an_envelope("new@example.org"), content, "app", client)
            )
            assert isinstance(reply, Reply)
            assert reply.code == 250


class Turnstile:
    """A provider that accepts one letter for each turn it is given."""

    def __init__(self, first: Sequence[DeliveryOutcome] = ()) -> None:
        self._turns = asyncio.Semaphore(0)
        self.provider = ScriptedProvider(script=[*first, *[self._wait] * (TURNS + 10)])

    def turn(self) -> None:
        self._turns.release()

    def had(self, address: str) -> int:
        """How many attempts there were for this address."""
        return sum(
            recipient.forward_path.addr_spec == address
            for request in self.provider.requests
            for recipient in request.envelope.recipients
        )

    async def _wait(self, request: DeliveryRequest) -> DeliveryReport:
        await self._turns.acquire()
        return all_same(request, accepted())


async def turns_until(
    delivery: Delivery, gate: Turnstile, crowd: Crowd, address: str, attempts: int
) -> bool:
    """For each letter that leaves bring another; whether an address gets its turn all the same."""
    before = len(delivery.ended())
    for done in range(1, TURNS):
        gate.turn()
        await delivery.until(lambda count=before + done: len(delivery.ended()) >= count)
        await crowd.bring()
        if gate.had(address) >= attempts:
            return True
    return False


async def test_what_waits_in_the_spool_has_its_turn_before_what_comes_fresh(
    delivery: Delivery,
) -> None:
    """T22: more letters come than leave, for as long as they like; none is passed by for ever."""
    gate = Turnstile()
    await delivery.begin(gate.provider, window=4)
    crowd = Crowd(delivery, gate.provider)
    await crowd.bring(4)
    await delivery.admit("old@example.org")
    await crowd.bring()  # finds no room, as the one before it did
    assert await turns_until(delivery, gate, crowd, "old@example.org", 1)


async def test_what_is_due_again_has_its_turn_while_the_window_is_never_half_empty(
    delivery: Delivery,
) -> None:
    """T22: a letter that was put off comes back, although fresh ones never find the window full."""
    gate = Turnstile([PUT_OFF])
    await delivery.begin(gate.provider, window=5)
    crowd = Crowd(delivery, gate.provider)
    await delivery.admit("old@example.org")
    await delivery.until(lambda: len(delivery.ended(State.WAITING)) == 1)
    await crowd.bring(4)
    assert await turns_until(delivery, gate, crowd, "old@example.org", 2)


async def test_attempt_whose_start_cannot_be_recorded_is_made_when_it_can(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T2, T20: the disk is full for a moment; the letter leaves right after, not with its lease."""
    monkeypatch.setattr(attempt_module, "AGAIN_S", 0.01)
    start, refusals = delivery.spool.start, [SpoolFull("no room")] * 2

    async def start_or_not(starts: Sequence[AttemptStart]) -> frozenset[int]:
        if refusals:
            raise refusals.pop()
        return await start(starts)

    monkeypatch.setattr(delivery.spool, "start", start_or_not)
    main = ScriptedProvider()
    await delivery.begin(main)
    await delivery.admit("bob@example.org")
    await delivery.until(lambda: bool(delivery.ended(State.HANDED_OVER)))
    (end,) = delivery.ended()
    assert (end.attempt, len(main.requests)) == (1, 1)
    assert end.ended_at - end.arrival < timedelta(minutes=1)
