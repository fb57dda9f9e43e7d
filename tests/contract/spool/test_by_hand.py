"""What people do to letters, while others hold them, and forgetting."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from gateway.domain.lifecycle import State
from gateway.errors import UnknownQueueId
from gateway.spool.bodies import LARGE_OCTETS
from gateway.spool.store import SqlSpool
from gateway.spool.values import Filter
from tests.contract.spool.conftest import Admit, OpenSpool
from tests.support.builders import an_envelope
from tests.support.letters import a_change, a_letter, a_start
from tests.support.manual_clock import ManualClock

ALL = Filter(states=frozenset(State))


async def uncertain(spool: SqlSpool, clock: ManualClock, admit: Admit) -> str:
    """A letter whose answer is lost and that is left to a person."""
    letter = await admit(leased=True)
    await spool.start([a_start(letter.queue_id, clock.now())])
    await spool.record([a_change(letter.queue_id, clock.now(), State.UNCERTAIN)])
    return letter.queue_id


async def test_held_letters_wait_for_a_person(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """Held: not claimed, however long; released: due at once, and told in the story."""
    letter = await admit()
    await uncertain(spool, clock, admit)
    assert await spool.hold(Filter(), clock.now()) == 2
    assert await spool.hold(Filter(), clock.now()) == 0
    clock.advance(10**6)
    assert (await spool.claim("main", clock.now(), 10)).letters == ()
    assert (await spool.stats(clock.now())).oldest_due == {}
    assert await spool.release(Filter(), clock.now()) == 2
    claimed = (await spool.claim("main", clock.now(), 10)).letters
    assert [queued.state for x in claimed for queued in x.recipients] == [State.WAITING] * 2
    told = [x.text for x in (await spool.story(letter.queue_id)).lines if x.what == "note"]
    assert told == ["held by hand", "released by hand"]


async def test_retry_makes_due_at_once(spool: SqlSpool, clock: ManualClock, admit: Admit) -> None:
    """What waits for its time, or for a person after a lost answer, is tried now."""
    left = await uncertain(spool, clock, admit)
    later = await admit(leased=True)
    await spool.start([a_start(later.queue_id, clock.now())])
    due_at = clock.now() + timedelta(days=1)
    await spool.record([a_change(later.queue_id, clock.now(), State.WAITING, due_at=due_at)])
    assert (await spool.claim("main", clock.now(), 10)).letters == ()
    assert await spool.retry(Filter(), clock.now()) == 2
    claimed = (await spool.claim("main", clock.now(), 10)).letters
    assert [(x.queue_id, x.recipients[0].state) for x in claimed] == [
        (left, State.WAITING),
        (later.queue_id, State.WAITING),
    ]


@pytest.mark.parametrize("octets", [100, LARGE_OCTETS])
async def test_removed_letters_are_gone_for_good(
    spool: SqlSpool, clock: ManualClock, admit: Admit, octets: int
) -> None:
    """Removed: counted, told, never claimed, its content deleted; also when it was held."""
    held = await admit(content=b"x" * octets)
    await spool.hold(Filter(), clock.now())
    await uncertain(spool, clock, admit)
    await admit("a@example.org", "b@example.org")
    assert await spool.remove(Filter(), clock.now()) == 4
    assert await spool.retry(Filter(), clock.now()) == 0
    assert {row.state for row in await spool.list(ALL, 10)} == {State.REMOVED}
    assert (await spool.stats(clock.now())).settled[State.REMOVED] == 4
    with pytest.raises(UnknownQueueId):
        await spool.content(held.queue_id)


@pytest.mark.parametrize("command", ["hold", "retry", "remove"])
async def test_a_hand_takes_a_waiting_letter_from_its_holder(
    spool: SqlSpool, open_spool: OpenSpool, clock: ManualClock, admit: Admit, command: str
) -> None:
    """A letter in somebody's window that is not on its way yet obeys; its holder notices."""
    letter = await admit(leased=True)
    beside = await open_spool(exclusive=False)
    assert await getattr(beside, command)(Filter(), clock.now()) == 1
    assert await spool.start([a_start(letter.queue_id, clock.now())]) == {0}


@pytest.mark.parametrize("command", ["hold", "release", "retry", "remove"])
async def test_no_hand_touches_what_is_being_sent_or_settled(
    spool: SqlSpool, clock: ManualClock, admit: Admit, command: str
) -> None:
    """An attempt on its way ends in its outcome, and an end stays an end."""
    letter = await admit("a@example.org", "b@example.org", leased=True)
    now = clock.now()
    await spool.start([a_start(letter.queue_id, now, key=key) for key in (0, 1)])
    await spool.record([a_change(letter.queue_id, now, key=1)])
    assert await getattr(spool, command)(Filter(), now) == 0
    assert await spool.record([a_change(letter.queue_id, now)]) == frozenset()


async def test_filters_choose_by_every_condition_given(spool: SqlSpool, clock: ManualClock) -> None:
    """A command never speaks of a letter that one of its conditions leaves out."""
    made = [
        ("Bob@Example.org", "news@example.com", "main", 0),
        ("eve@example.org", "bob@example.net", "main", 60),
        ("eve.100%_x@c.example", None, "backup", 120),
    ]
    ids = []
    for to, sender, provider, seconds in made:
        now = clock.now() + timedelta(seconds=seconds)
        envelope = an_envelope(to, reverse_path=sender)
        letter = a_letter(spool, now, envelope=envelope, providers=provider)
        await spool.admit(letter)
        ids.append(letter.queue_id)
    cases = {
        Filter(): [0, 1, 2],
        Filter(queue_id=ids[1].lower()): [1],
        Filter(queue_id="nonsense"): [],
        Filter(provider="main"): [0, 1],
        Filter(address="bOB@"): [0, 1],
        Filter(address="bob@example.net"): [1],
        Filter(address="0%_"): [2],
        Filter(address="%"): [2],
        Filter(older_than=clock.now() + timedelta(seconds=60)): [0],
        Filter(provider="main", address="eve"): [1],
        Filter(states=frozenset({State.HELD})): [],
        Filter(states=frozenset({State.WAITING, State.REMOVED})): [0, 1, 2],
    }
    for wanted, places in cases.items():
        listed = [row.queue_id for row in await spool.list(wanted, 10)]
        assert listed == [ids[place] for place in places], wanted
        assert await spool.retry(wanted, clock.now()) == len(places), wanted


async def test_a_filter_on_settled_states_lets_a_command_do_nothing(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """`remove --state handed_over` must not fall back to everything."""
    await admit()
    settled = Filter(states=frozenset({State.HANDED_OVER}))
    assert await spool.remove(settled, clock.now()) == 0
    assert await spool.list(settled, 10) == ()


async def test_a_command_over_a_long_queue_reaches_every_letter(
    spool: SqlSpool, clock: ManualClock
) -> None:
    """Many hundreds are done in pieces, and none is done twice or left out."""
    letters = [
        a_letter(spool, clock.now(), *(f"r{n}@example.org" for n in range(40))) for _ in range(30)
    ]
    await asyncio.gather(*(spool.admit(letter) for letter in letters))
    assert await spool.retry(Filter(), clock.now()) == 1200
    assert await spool.hold(Filter(address="r1@"), clock.now()) == 30
    assert await spool.remove(Filter(), clock.now()) == 1200
    stats = await spool.stats(clock.now())
    assert (stats.accepted, stats.settled[State.REMOVED], stats.active) == (1200, 1200, {})
    clock.advance(1)
    assert await spool.purge(clock.now()) == 30


async def test_purge_forgets_what_is_settled_and_old(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """Records go after their time; what is not settled never, and the counts stay true."""
    old, waiting, half = await admit(), await admit(), await admit("a@x.org", "b@x.org")
    await spool.remove(Filter(queue_id=old.queue_id), clock.now())
    await spool.remove(Filter(queue_id=half.queue_id, address="a@"), clock.now())
    clock.advance(60)
    fresh = await admit()
    await spool.remove(Filter(queue_id=fresh.queue_id), clock.now())
    before = await spool.stats(clock.now())
    assert await spool.purge(fresh.arrival) == 1
    assert await spool.purge(fresh.arrival) == 0
    after = await spool.stats(clock.now())
    assert (after.accepted, after.settled) == (before.accepted, before.settled)
    assert {row.queue_id for row in await spool.list(ALL, 10)} == {
        letter.queue_id for letter in (waiting, half, fresh)
    }
    with pytest.raises(UnknownQueueId):
        await spool.story(old.queue_id)
