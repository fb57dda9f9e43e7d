"""Pauses: kept for every gateway, and what sleeps until they end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from gateway.domain.lifecycle import State
from gateway.domain.pauses import Pause, PauseKind
from gateway.spool.pausing import AT_ONCE
from gateway.spool.store import SqlSpool
from gateway.spool.values import Filter
from tests.contract.spool.conftest import Admit, OpenSpool
from tests.support.letters import a_change, a_letter
from tests.support.manual_clock import ManualClock


async def put_to_sleep(spool: SqlSpool, clock: ManualClock, provider: str = "main") -> int:
    """Let all that is due for a provider wait for the end of a pause; how many."""
    claimed = await spool.claim(provider, clock.now(), 10_000)
    for letter in claimed.letters:
        change = a_change(
            letter.queue_id,
            clock.now(),
            State.WAITING,
            before=State.WAITING,
            attempts=0,
            provider=provider,
        )
        assert await spool.record([replace(change, due_at=None)]) == frozenset()
    return len(claimed.letters)


async def test_a_pause_is_kept_until_it_is_ended(
    spool: SqlSpool, open_spool: OpenSpool, clock: ManualClock
) -> None:
    """Made by a command beside the gateway, seen by it, there after a restart."""
    beside = await open_spool(exclusive=False)
    first = Pause(PauseKind.PROVIDER, "main", clock.now(), "account blocked")
    other = Pause(PauseKind.ROUTE, "main", clock.now())
    assert await beside.pause(first)
    assert await beside.pause(other)
    assert await spool.pauses() == (first, other)
    assert (await spool.stats(clock.now())).pauses == (first, other)
    await spool.aclose()
    again = await open_spool()
    assert await again.pauses() == (first, other)
    assert await beside.resume(PauseKind.PROVIDER, "main")
    assert not await beside.resume(PauseKind.PROVIDER, "main")
    assert await again.pauses() == (other,)


async def test_pausing_again_gives_a_newer_reason(spool: SqlSpool, clock: ManualClock) -> None:
    """It stays one pause, since the first time."""
    since = clock.now()
    assert await spool.pause(Pause(PauseKind.ROUTE, "news", since, "quota"))
    clock.advance(60)
    assert not await spool.pause(Pause(PauseKind.ROUTE, "news", clock.now(), "asked to"))
    assert await spool.pauses() == (Pause(PauseKind.ROUTE, "news", since, "asked to"),)


async def test_what_sleeps_is_due_at_no_moment_until_woken(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """It waits, is shown as waiting, is nobody's delay, and is due at once when woken."""
    letter = await admit()
    assert await put_to_sleep(spool, clock) == 1
    clock.advance(10**8)
    assert (await spool.claim("main", clock.now(), 10)).letters == ()
    stats = await spool.stats(clock.now())
    assert stats.oldest_due == {}
    assert stats.active == {("main", State.WAITING): 1}
    (row,) = await spool.list(Filter(), 10)
    assert (row.state, row.due_at) == (State.WAITING, None)
    assert await spool.wake(clock.now(), frozenset({"main"})) == 0
    assert await spool.wake(clock.now()) == 1
    assert await spool.wake(clock.now()) == 0
    claimed = await spool.claim("main", clock.now(), 10)
    assert [x.queue_id for x in claimed.letters] == [letter.queue_id]


async def test_waking_leaves_what_is_held_deferred_or_uncertain(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """The end of a pause is no command to hurry what waits for another reason."""
    held, deferred = await admit(), await admit(leased=True)
    await spool.hold(Filter(queue_id=held.queue_id), clock.now())
    due_at = clock.now() + timedelta(hours=1)
    later = a_change(
        deferred.queue_id,
        clock.now(),
        State.WAITING,
        before=State.WAITING,
        attempts=0,
        due_at=due_at,
    )
    await spool.record([later])
    assert await spool.wake(clock.now()) == 0
    assert (await spool.claim("main", clock.now(), 10)).letters == ()


async def test_waking_reaches_a_long_queue_of_every_provider(
    spool: SqlSpool, clock: ManualClock
) -> None:
    """In steps, so that letters coming in wait little."""
    for number in range(AT_ONCE + 5):
        provider = ("main", "backup")[number % 2]
        await spool.admit(a_letter(spool, clock.now(), providers=provider))
    asleep = [await put_to_sleep(spool, clock, name) for name in ("main", "backup")]
    assert sum(asleep) == AT_ONCE + 5
    assert await spool.wake(clock.now()) == AT_ONCE + 5


async def test_people_can_act_on_what_sleeps(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """Held, released, removed as any other that waits."""
    await admit()
    await put_to_sleep(spool, clock)
    assert await spool.hold(Filter(), clock.now()) == 1
    assert await spool.wake(clock.now()) == 0
    assert await spool.release(Filter(), clock.now()) == 1
    await put_to_sleep(spool, clock)
    assert await spool.remove(Filter(), clock.now()) == 1
