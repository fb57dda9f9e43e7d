"""Turns among what waits: the urgent passes, floods leave room, nobody is starved."""

from __future__ import annotations

from gateway.domain.window import Priority
from tests.delivery.conftest import Delivery
from tests.delivery.test_turns import Turnstile
from tests.support.builders import an_envelope

WINDOW = 8


async def backlog(delivery: Delivery, count: int, sender: str, priority: Priority) -> None:
    """Letters of one sender that wait in the spool."""
    for number in range(count):
        envelope = an_envelope(f"{number}@example.org", reverse_path=sender)
        await delivery.admit(envelope=envelope, priority=priority)


async def had_within(delivery: Delivery, gate: Turnstile, address: str, turns: int) -> bool:
    """Whether an address has its turn among the next so many."""
    for _ in range(turns):
        before = len(delivery.ended())
        gate.turn()
        await delivery.until(lambda seen=before: len(delivery.ended()) > seen)
        if gate.had(address):
            return True
    return False


async def filled(delivery: Delivery, gate: Turnstile) -> None:
    """Wait until the window is full and its first letter is under way."""
    await gate.provider.arrived.wait()
    gate.turn()
    await delivery.until(lambda: bool(delivery.ended()))


async def test_an_urgent_letter_passes_what_waits_in_window_and_spool(delivery: Delivery) -> None:
    """A password reset that comes behind forty newsletters is among the next to leave."""
    gate = Turnstile()
    await backlog(delivery, 40, "news@example.com", Priority.BULK)
    await delivery.begin(gate.provider, window=WINDOW)
    await filled(delivery, gate)
    reply = await delivery.take(("Priority", "high"), to=("reset@example.org",))
    assert reply.code == 250
    assert await had_within(delivery, gate, "reset@example.org", 8)


async def test_an_urgent_letter_of_the_spool_passes_a_full_window(delivery: Delivery) -> None:
    """Also one that another gateway took, or that was put off before."""
    gate = Turnstile()
    await backlog(delivery, 40, "news@example.com", Priority.BULK)
    await delivery.begin(gate.provider, window=WINDOW)
    await filled(delivery, gate)
    envelope = an_envelope("reset@example.org")
    await delivery.admit(envelope=envelope, priority=Priority.HIGH)
    assert delivery.dispatcher is not None
    delivery.dispatcher.expect("main", delivery.clock.now())
    assert await had_within(delivery, gate, "reset@example.org", 10)


async def test_a_flood_leaves_room_for_another_sender(delivery: Delivery) -> None:
    """One application's forty letters do not keep another's one waiting behind them."""
    gate = Turnstile()
    await backlog(delivery, 40, "flood@example.com", Priority.NORMAL)
    await delivery.begin(gate.provider, window=WINDOW)
    await filled(delivery, gate)
    envelope = an_envelope("small@example.org", reverse_path="small@example.com")
    await delivery.admit(envelope=envelope)
    assert delivery.dispatcher is not None
    delivery.dispatcher.expect("main", delivery.clock.now())
    assert await had_within(delivery, gate, "small@example.org", 10)
