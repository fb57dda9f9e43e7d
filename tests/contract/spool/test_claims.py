"""Leases: who has a letter, until when, and what becomes of it when its holder dies."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from gateway.domain.lifecycle import State
from gateway.spool.store import SqlSpool
from gateway.spool.values import Claimed, CutShort, Filter, Recovery
from tests.contract.spool.conftest import Admit, OpenSpool
from tests.contract.spool.engines import LEASE, ON_SQLITE, UNCERTAIN_AFTER
from tests.support.letters import a_change, a_letter, a_start, starts_of
from tests.support.manual_clock import ManualClock

ALL = Filter(states=frozenset(State))


def keys_of(claimed: Claimed) -> list[tuple[str, int]]:
    return [
        (letter.queue_id, queued.recipient.key)
        for letter in claimed.letters
        for queued in letter.recipients
    ]


async def test_only_what_is_due_for_the_provider_is_claimed(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """A letter of two providers is claimed recipient by recipient, each for its own."""
    letter = await admit("a@example.org", "b@example.org", providers=("main", "backup"))
    later = a_letter(spool, clock.now() + timedelta(hours=1))
    await spool.admit(later)
    assert keys_of(await spool.claim("main", clock.now(), 10)) == [(letter.queue_id, 0)]
    assert keys_of(await spool.claim("backup", clock.now(), 10)) == [(letter.queue_id, 1)]
    assert await spool.claim("nobody", clock.now(), 10) == Claimed()


async def test_the_longest_due_come_first_and_no_more_than_asked_for(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """The active window is bounded, and no letter starves behind fresher ones."""
    letters = [await admit() for _ in range(5)]
    first = keys_of(await spool.claim("main", clock.now(), 2))
    rest = keys_of(await spool.claim("main", clock.now(), 10))
    assert first + rest == [(letter.queue_id, 0) for letter in letters]
    assert keys_of(await spool.claim("main", clock.now(), 0)) == []


async def test_a_fresh_letter_that_is_leased_is_nobody_elses(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """What the front door hands to the deliverer is neither claimed nor read back."""
    letter = await admit(leased=True)
    assert keys_of(await spool.claim("main", clock.now(), 10)) == []
    assert await spool.start([a_start(letter.queue_id, clock.now())]) == frozenset()


async def test_two_processes_never_claim_the_same(
    open_spool: OpenSpool, clock: ManualClock, admit: Admit
) -> None:
    """Claims exclude each other, however they interleave."""
    letters = [await admit("a@example.org", "b@example.org") for _ in range(20)]
    others = [await open_spool(exclusive=False) for _ in range(3)]
    claims = await asyncio.gather(
        *(other.claim("main", clock.now(), 5) for other in others for _ in range(6))
    )
    claimed = [key for claim in claims for key in keys_of(claim)]
    assert len(claimed) == 40
    assert set(claimed) == {(letter.queue_id, key) for letter in letters for key in (0, 1)}


async def test_a_lease_lapses_and_its_recipient_is_claimed_again(
    spool: SqlSpool, open_spool: OpenSpool, clock: ManualClock, admit: Admit
) -> None:
    """T5: what a dead holder had claimed and not tried is tried by another."""
    letter = await admit()
    other = await open_spool(exclusive=False)
    assert keys_of(await other.claim("main", clock.now(), 10)) == [(letter.queue_id, 0)]
    clock.advance(LEASE.total_seconds() - 1)
    assert keys_of(await spool.claim("main", clock.now(), 10)) == []
    clock.advance(1)
    (found,) = (await spool.claim("main", clock.now(), 10)).letters
    assert found.recipients[0].attempts == 0
    assert await other.start(starts_of(found, clock.now())) == {0}
    assert await spool.start(starts_of(found, clock.now())) == frozenset()


async def test_a_renewed_lease_holds(
    spool: SqlSpool, open_spool: OpenSpool, clock: ManualClock, admit: Admit
) -> None:
    """A slow attempt keeps its lease as long as its holder says so; nobody else can."""
    letter = await admit()
    holder = await open_spool(exclusive=False)
    mine = keys_of(await holder.claim("main", clock.now(), 10))
    clock.advance(LEASE.total_seconds() - 1)
    await holder.renew([*mine, ("0000000000000", 0)], clock.now())
    clock.advance(LEASE.total_seconds() - 1)
    await spool.renew(mine, clock.now())
    assert keys_of(await spool.claim("main", clock.now(), 10)) == []
    clock.advance(1)
    assert keys_of(await spool.claim("main", clock.now(), 10)) == [(letter.queue_id, 0)]


async def test_what_is_given_back_is_as_it_was(
    spool: SqlSpool, open_spool: OpenSpool, clock: ManualClock, admit: Admit
) -> None:
    """Stopping with a full window leaves letters due as before, in their old order."""
    first, second = await admit(), await admit()
    before = await spool.list(Filter(), 10)
    mine = keys_of(await spool.claim("main", clock.now(), 10))
    other = await open_spool(exclusive=False)
    await other.give_back(mine)
    assert keys_of(await other.claim("main", clock.now(), 10)) == []
    await spool.give_back(mine)
    assert await spool.list(Filter(), 10) == before
    assert (await spool.stats(clock.now())).oldest_due == {"main": first.arrival}
    assert keys_of(await other.claim("main", clock.now(), 10)) == [
        (first.queue_id, 0),
        (second.queue_id, 0),
    ]


async def test_what_is_being_sent_cannot_be_given_back(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """An attempt on its way is not forgotten by a holder that lets go."""
    letter = await admit(leased=True)
    await spool.start([a_start(letter.queue_id, clock.now())])
    await spool.give_back([(letter.queue_id, 0)])
    assert (await spool.list(Filter(), 1))[0].state is State.SENDING
    assert await spool.record([a_change(letter.queue_id, clock.now())]) == frozenset()


async def test_an_attempt_whose_holder_died_is_uncertain(
    spool: SqlSpool, open_spool: OpenSpool, clock: ManualClock, admit: Admit
) -> None:
    """T5: a crash between send and record is never silence and never deletion."""
    letter = await admit("bob@example.org")
    dead = await open_spool(exclusive=False)
    (claimed,) = (await dead.claim("main", clock.now(), 10)).letters
    started_at = clock.now()
    assert await dead.start(starts_of(claimed, started_at)) == frozenset()
    clock.advance(LEASE.total_seconds())
    found = await spool.claim("main", clock.now(), 10)
    assert found == Claimed(
        cut_short=(CutShort(letter.queue_id, 0, "bob@example.org", "main", 1, letter.message_id),)
    )
    (row,) = await spool.list(Filter(), 10)
    assert (row.state, row.attempts) == (State.UNCERTAIN, 1)
    assert row.due_at == clock.now() + UNCERTAIN_AFTER
    (line,) = [x for x in (await spool.story(letter.queue_id)).lines if x.what == "attempt"]
    assert (line.at, line.kind, line.attempt) == (started_at, "uncertain", 1)
    assert keys_of(await spool.claim("main", clock.now(), 10)) == []
    clock.advance(UNCERTAIN_AFTER.total_seconds())
    (again,) = (await spool.claim("main", clock.now(), 10)).letters
    assert (again.recipients[0].state, again.recipients[0].attempts) == (State.UNCERTAIN, 1)
    assert await spool.start(starts_of(again, clock.now())) == frozenset()


async def test_strays_are_those_of_providers_that_are_gone(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """A provider taken out of the configuration strands no letter."""
    letters = {name: await admit(providers=name) for name in ("a", "gone", "m", "left", "z", "")}
    known = frozenset({"a", "m", "z"})
    first = await spool.claim_strays(known, clock.now(), 2)
    rest = await spool.claim_strays(known, clock.now(), 10)
    assert sorted(keys_of(first) + keys_of(rest)) == sorted(
        (letters[name].queue_id, 0) for name in ("gone", "left", "")
    )
    assert len(keys_of(first)) == 2
    assert await spool.claim_strays(known, clock.now(), 10) == Claimed()


async def test_a_stray_may_start_with_another_provider(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """Who sends is said when the attempt starts, and stays with the recipient."""
    letter = await admit(providers="gone")
    await spool.claim_strays(frozenset({"main"}), clock.now(), 10)
    assert await spool.start([a_start(letter.queue_id, clock.now(), provider="main")]) == set()
    (row,) = await spool.list(Filter(provider="main"), 10)
    assert row.state is State.SENDING


@ON_SQLITE
async def test_recovery_finds_everything_exactly_once(
    open_spool: OpenSpool, clock: ManualClock
) -> None:
    """A restart lets go of what was leased, and names every attempt that was cut short."""
    first = await open_spool()
    letters = [a_letter(first, clock.now(), leased=n % 2 == 0) for n in range(6)]
    for letter in letters:
        await first.admit(letter)
    begun, waiting = letters[0].queue_id, letters[1].queue_id
    await first.start([a_start(begun, clock.now())])
    await first.hold(Filter(queue_id=waiting), clock.now())
    await first.aclose()
    clock.advance(1)
    second = await open_spool()
    assert await second.recover(clock.now()) == Recovery(
        2, (CutShort(begun, 0, "bob@example.org", "main", 1, letters[0].message_id),)
    )
    assert await second.recover(clock.now()) == Recovery(0)
    states = {row.queue_id: row.state for row in await second.list(ALL, 10)}
    assert states.pop(begun) is State.UNCERTAIN
    assert states.pop(waiting) is State.HELD
    assert set(states.values()) == {State.WAITING}
    claimed = keys_of(await second.claim("main", clock.now(), 10))
    assert sorted(claimed) == [(letter.queue_id, 0) for letter in letters[2:]]
    (row,) = [row for row in await second.list(ALL, 10) if row.queue_id == begun]
    assert row.due_at == clock.now() + UNCERTAIN_AFTER


async def test_who_is_not_alone_recovers_nothing(
    spool: SqlSpool, open_spool: OpenSpool, clock: ManualClock, admit: Admit
) -> None:
    """A command beside the gateway cannot take its leases away."""
    letter = await admit(leased=True)
    beside = await open_spool(exclusive=False)
    assert await beside.recover(clock.now()) == Recovery(0)
    assert await spool.start([a_start(letter.queue_id, clock.now())]) == frozenset()


@pytest.mark.parametrize("before", [State.WAITING, State.UNCERTAIN])
async def test_a_lapsed_lease_counts_as_due_since_it_ended(
    spool: SqlSpool, clock: ManualClock, admit: Admit, before: State
) -> None:
    """T22: a letter stuck with a dead holder is seen, one with a live holder is not."""
    letter = await admit(leased=True)
    if before is State.UNCERTAIN:
        await spool.start([a_start(letter.queue_id, clock.now())])
        await spool.record(
            [a_change(letter.queue_id, clock.now(), State.UNCERTAIN, due_at=clock.now())]
        )
        await spool.claim("main", clock.now(), 1)
    since = clock.now() if before is State.UNCERTAIN else letter.arrival
    assert (await spool.stats(clock.now())).oldest_due == {}
    clock.advance(LEASE.total_seconds() + 10)
    assert (await spool.stats(clock.now())).oldest_due == {"main": since + LEASE}
