"""Signs of a provider about attempts whose answer was lost: no second copy where one came."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from gateway.domain.lifecycle import State
from gateway.errors import UnknownQueueId
from gateway.spool.bodies import LARGE_OCTETS
from gateway.spool.store import SqlSpool
from gateway.spool.values import Filter, Listed
from providers.contract.outcome import accepted
from tests.contract.spool.conftest import Admit, OpenSpool
from tests.contract.spool.engines import UNCERTAIN_AFTER
from tests.support.letters import PUT_OFF, a_change, a_start
from tests.support.manual_clock import ManualClock

ALL = Filter(states=frozenset(State))
SIGN = accepted("id-78", "delivered")
DAY = timedelta(days=1)


async def lose_the_answer(
    spool: SqlSpool, clock: ManualClock, admit: Admit, *to: str, octets: int = 100
) -> str:
    """A letter whose recipients are uncertain from now on, and due in a while."""
    letter = await admit(*to, content=b"x" * octets, leased=True)
    keys = range(len(letter.envelope.recipients))
    await spool.start([a_start(letter.queue_id, clock.now(), key=key) for key in keys])
    due_at = clock.now() + UNCERTAIN_AFTER
    await spool.record(
        [
            a_change(letter.queue_id, clock.now(), State.UNCERTAIN, key=key, due_at=due_at)
            for key in keys
        ]
    )
    return letter.queue_id


async def the_row(spool: SqlSpool, queue_id: str) -> Listed:
    (row,) = await spool.list(Filter(queue_id=queue_id, states=frozenset(State)), 10)
    return row


@pytest.mark.parametrize("octets", [100, LARGE_OCTETS])
async def test_a_sign_settles_what_was_uncertain(
    spool: SqlSpool, clock: ManualClock, admit: Admit, octets: int
) -> None:
    """Handed over, with the provider's id and a line in the story; never tried again."""
    queue_id = await lose_the_answer(spool, clock, admit, octets=octets)
    assert await spool.settle(queue_id, 0, SIGN, clock.now())
    row = await the_row(spool, queue_id)
    assert (row.state, row.provider_message_id) == (State.HANDED_OVER, "id-78")
    assert await spool.find("id-78", 10) == (queue_id,)
    assert (await spool.story(queue_id)).lines[-1].text == (
        "a sign of the provider proves the hand-over: delivered"
    )
    with pytest.raises(UnknownQueueId):
        await spool.content(queue_id)
    clock.advance(10**6)
    assert (await spool.claim("main", clock.now(), 10)).letters == ()
    assert (await spool.stats(clock.now())).settled[State.HANDED_OVER] == 1


async def test_a_sign_settles_its_recipient_alone(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """T6: the others stay as they are, and the content stays for them."""
    queue_id = await lose_the_answer(spool, clock, admit, "a@example.org", "b@example.org")
    assert await spool.settle(queue_id, 1, SIGN, clock.now())
    rows = await spool.list(ALL, 10)
    assert [row.state for row in rows] == [State.UNCERTAIN, State.HANDED_OVER]
    assert await spool.content(queue_id)


async def test_only_the_first_sign_counts(
    spool: SqlSpool, open_spool: OpenSpool, clock: ManualClock, admit: Admit
) -> None:
    """Two gateways get the same sign at once: one settles, the ledger counts one."""
    beside = await open_spool(exclusive=False)
    queue_id = await lose_the_answer(spool, clock, admit)
    settled = await asyncio.gather(
        *(one.settle(queue_id, 0, SIGN, clock.now()) for one in (spool, beside, spool, beside))
    )
    assert sorted(settled) == [False, False, False, True]
    assert (await spool.stats(clock.now())).settled[State.HANDED_OVER] == 1


async def test_a_sign_takes_it_from_the_window_it_waits_in(
    spool: SqlSpool, open_spool: OpenSpool, clock: ManualClock, admit: Admit
) -> None:
    """Claimed for its second try and not begun: the try is not made."""
    beside = await open_spool(exclusive=False)
    queue_id = await lose_the_answer(spool, clock, admit)
    clock.advance(UNCERTAIN_AFTER.total_seconds())
    assert (await spool.claim("main", clock.now(), 10)).letters != ()
    assert await beside.settle(queue_id, 0, SIGN, clock.now())
    again = a_start(queue_id, clock.now(), attempt=2, before=State.UNCERTAIN)
    assert await spool.start([again]) == {0}


@pytest.mark.parametrize("state", sorted(set(State) - {State.UNCERTAIN, State.SUPPRESSED}))
async def test_a_sign_changes_nothing_else(
    spool: SqlSpool, clock: ManualClock, admit: Admit, state: State
) -> None:
    """Whatever became of it meanwhile stays: tried again, held, removed, at its end."""
    letter = await admit(leased=True)
    queue_id, now = letter.queue_id, clock.now()
    if state is not State.WAITING:
        await spool.start([a_start(queue_id, now)])
    if state in {State.HANDED_OVER, State.FAILED}:
        await spool.record([a_change(queue_id, now, state)])
    if state in {State.HELD, State.REMOVED}:
        await spool.record([a_change(queue_id, now, State.WAITING, outcome=PUT_OFF)])
        by_hand = spool.hold if state is State.HELD else spool.remove
        await by_hand(Filter(), now)
    before = await spool.story(queue_id)
    assert [row.state for row in before.recipients] == [state]
    assert not await spool.settle(queue_id, 0, SIGN, now)
    assert not await spool.settle(queue_id, 7, SIGN, now)
    assert await spool.story(queue_id) == before


async def test_a_sign_must_be_an_acceptance(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """A refusal would have to be told to the sender; it goes the way of all outcomes."""
    queue_id = await lose_the_answer(spool, clock, admit)
    with pytest.raises(ValueError, match="deferred"):
        await spool.settle(queue_id, 0, PUT_OFF, clock.now())
    with pytest.raises(UnknownQueueId):
        await spool.settle("nonsense", 0, SIGN, clock.now())
    assert (await the_row(spool, queue_id)).state is State.UNCERTAIN


async def test_an_uncertain_recipient_is_found_by_provider_address_and_time(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """What a sign without our id can tell; only attempts whose answer is lost are candidates."""
    begun = clock.now()
    early = await lose_the_answer(spool, clock, admit, "Bob@example.org", "eve@example.org")
    clock.advance(60)
    late = await lose_the_answer(spool, clock, admit, "bob@EXAMPLE.org")
    await admit("bob@example.org")
    done = await lose_the_answer(spool, clock, admit, "bob@example.org")
    await spool.settle(done, 0, SIGN, clock.now())

    async def found(since: datetime, until: datetime, **asked: str) -> list[tuple[str, int]]:
        given = {"provider": "main", "forward_path": "bob@example.org", **asked}
        rows = await spool.find_uncertain(**given, since=since, until=until)
        return [(row.queue_id, row.key) for row in rows]

    assert await found(begun, begun + DAY) == [(early, 0), (late, 0)]
    assert await found(begun, begun + DAY, forward_path="BOB@Example.ORG") == [
        (early, 0),
        (late, 0),
    ]
    assert await found(begun - DAY, begun + timedelta(seconds=30)) == [(early, 0)]
    assert await found(begun + timedelta(seconds=30), begun + DAY) == [(late, 0)]
    assert await found(begun, begun + DAY, forward_path="eve@example.org") == [(early, 1)]
    assert await found(begun, begun + DAY, forward_path="ob@example.org") == []
    assert await found(begun, begun + DAY, provider="backup") == []
