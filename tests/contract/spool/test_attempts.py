"""Attempts started and recorded: per recipient, behind fences, and told whole in the story."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta

import pytest

from gateway.domain.lifecycle import SETTLED, TRANSITIONS, State
from gateway.errors import UnknownQueueId
from gateway.spool.bodies import LARGE_OCTETS
from gateway.spool.store import SqlSpool
from gateway.spool.values import Filter, StoryLine
from providers.contract.outcome import DeliveryOutcome, Kind, Scope
from tests.contract.spool.conftest import Admit, OpenSpool
from tests.contract.spool.engines import LEASE, UNCERTAIN_AFTER, SpoolEngine
from tests.support.letters import PUT_OFF, a_change, a_letter, a_start
from tests.support.manual_clock import ManualClock

ALL = Filter(states=frozenset(State))
THREE = ("a@example.org", "b@example.org", "c@example.org")


async def states(spool: SqlSpool) -> list[State]:
    return [row.state for row in await spool.list(ALL, 100)]


@pytest.mark.parametrize("octets", [100, LARGE_OCTETS])
async def test_the_content_stays_until_the_last_recipient_is_settled(
    store: SpoolEngine, spool: SqlSpool, clock: ManualClock, admit: Admit, octets: int
) -> None:
    """T6: each recipient has its own state; the content serves them all, and then it goes."""
    letter = await admit(*THREE, content=b"x" * octets, leased=True)
    now, queue_id = clock.now(), letter.queue_id
    await spool.start([a_start(queue_id, now, key=key) for key in range(3)])
    await spool.record(
        [a_change(queue_id, now, key=0), a_change(queue_id, now, State.WAITING, key=1)]
    )
    assert await states(spool) == [State.HANDED_OVER, State.WAITING, State.SENDING]
    await spool.record([a_change(queue_id, now, State.FAILED, key=2)])
    assert await spool.content(queue_id) == letter.content
    clock.advance(60)
    (again,) = (await spool.claim("main", clock.now(), 10)).letters
    assert [(r.recipient.key, r.attempts) for r in again.recipients] == [(1, 1)]
    await spool.start([a_start(queue_id, now, key=1, attempt=2)])
    await spool.record([a_change(queue_id, now, key=1, attempts=2)])
    assert await states(spool) == [State.HANDED_OVER, State.HANDED_OVER, State.FAILED]
    with pytest.raises(UnknownQueueId):
        await spool.content(queue_id)
    assert not (await spool.story(queue_id)).content_kept


async def test_partial_success_survives_a_restart(
    open_spool: OpenSpool, clock: ManualClock
) -> None:
    """T6: after a restart only those are tried again who have not got it yet."""
    first = await open_spool()
    letter = a_letter(first, clock.now(), *THREE, leased=True)
    await first.admit(letter)
    await first.start([a_start(letter.queue_id, clock.now(), key=key) for key in (0, 1)])
    await first.record([a_change(letter.queue_id, clock.now(), key=0)])
    await first.record([a_change(letter.queue_id, clock.now(), State.WAITING, key=1)])
    await first.aclose()
    clock.advance(3600)
    second = await open_spool()
    await second.recover(clock.now())
    (claimed,) = (await second.claim("main", clock.now(), 10)).letters
    assert sorted((r.recipient.key, r.attempts) for r in claimed.recipients) == [(1, 1), (2, 0)]


async def test_what_is_recorded_is_what_comes_back(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """Provider, exclusions, due time, status and provider id are kept for the next attempt."""
    letter = await admit(leased=True)
    now = clock.now()
    outcome = DeliveryOutcome(
        Kind.DEFERRED, Scope.PROVIDER, "4.4.1", "no answer, b\u00f6ses Ende", "id-9"
    )
    await spool.start([a_start(letter.queue_id, now)])
    due_at = now + timedelta(hours=1, microseconds=1)
    await spool.record(
        [
            a_change(
                letter.queue_id,
                now,
                State.WAITING,
                due_at=due_at,
                provider="backup",
                excluded=("main", "old"),
                outcome=outcome,
            )
        ]
    )
    (row,) = await spool.list(Filter(), 10)
    assert (row.provider, row.due_at, row.status) == ("backup", due_at, "4.4.1")
    assert (row.diagnostic, row.provider_message_id) == ("no answer, b\u00f6ses Ende", "id-9")
    assert (await spool.claim("backup", due_at - timedelta(microseconds=1), 1)).letters == ()
    (claimed,) = (await spool.claim("backup", due_at, 1)).letters
    assert claimed.recipients[0].excluded == ("main", "old")


async def test_a_recipient_fails_or_waits_without_an_attempt(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """Too old, or sent elsewhere: the next state needs a lease, and no attempt."""
    letter = await admit("a@example.org", "b@example.org", leased=True)
    moved = a_change(
        letter.queue_id,
        clock.now(),
        State.WAITING,
        key=1,
        attempts=0,
        before=State.WAITING,
        provider="backup",
        notes=("moved",),
    )
    expired = a_change(letter.queue_id, clock.now(), State.FAILED, attempts=0, before=State.WAITING)
    assert await spool.record([expired, moved]) == frozenset()
    rows = await spool.list(ALL, 10)
    assert [(row.state, row.attempts) for row in rows] == [(State.FAILED, 0), (State.WAITING, 0)]
    assert rows[1].provider == "backup"
    story = await spool.story(letter.queue_id)
    assert [(x.what, x.key, x.text) for x in story.lines[1:]] == [("note", 1, "moved")]


async def test_the_story_tells_everything_in_its_order(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """One command tells the whole story of one letter: attempts, losses, hands, and what runs."""
    letter = await admit("a@example.org", "b@example.org", leased=True)
    queue_id, received = letter.queue_id, letter.arrival
    start = clock.now()
    await spool.start([a_start(queue_id, start, key=key) for key in (0, 1)])
    clock.advance(5)
    ended = clock.now()
    await spool.record(
        [a_change(queue_id, ended, State.WAITING, due_at=ended, notes=("main lost date: own",))]
    )
    clock.advance(5)
    held = clock.now()
    await spool.hold(Filter(queue_id=queue_id), held)
    story = await spool.story(queue_id.lower())
    waited = (start - received).total_seconds()
    assert (story.queue_id, story.client, story.size) == (queue_id, "192.0.2.7", story.size)
    assert [row.state for row in story.recipients] == [State.HELD, State.SENDING]
    assert story.lines == (
        StoryLine(received, None, "received", text="192.0.2.7"),
        StoryLine(start, 1, "attempt", provider="main", attempt=1, queued_s=waited),
        StoryLine(
            ended,  # where the builder lets it start
            0,
            "attempt",
            provider="main",
            attempt=1,
            ended_at=ended,
            kind="deferred",
            scope="recipient",
            status=PUT_OFF.status,
            text=PUT_OFF.diagnostic,
            queued_s=waited + 5,
            took_s=0,
        ),
        StoryLine(ended, 0, "note", text="main lost date: own"),
        StoryLine(held, 0, "note", text="held by hand"),
    )


async def test_an_attempt_starts_once(spool: SqlSpool, clock: ManualClock, admit: Admit) -> None:
    """Two holders in one process, one attempt: the fence lets the first through."""
    letter = await admit("a@example.org", "b@example.org", leased=True)
    start = a_start(letter.queue_id, clock.now())
    other = a_start(letter.queue_id, clock.now(), key=1)
    assert await spool.start([start]) == frozenset()
    assert await spool.start([start, other]) == {0}
    assert await spool.start([start, other]) == {0, 1}
    assert await states(spool) == [State.SENDING, State.SENDING]


@pytest.mark.parametrize(
    "start",
    [
        {"attempt": 2},
        {"before": State.UNCERTAIN},
        {"key": 5},
        {"queue_id": "0000000000000"},
    ],
    ids=["attempt", "state", "key", "letter"],
)
async def test_a_start_that_does_not_fit_is_lost(
    spool: SqlSpool, clock: ManualClock, admit: Admit, start: dict[str, object]
) -> None:
    """What the caller believes must be what the spool has, or nothing is sent."""
    letter = await admit(leased=True)
    given = {"queue_id": letter.queue_id, "now": clock.now(), **start}
    assert await spool.start([a_start(**given)]) == {start.get("key", 0)}
    assert await states(spool) == [State.WAITING]


async def test_without_a_lease_nothing_starts_and_nothing_is_recorded(
    spool: SqlSpool, open_spool: OpenSpool, clock: ManualClock, admit: Admit
) -> None:
    """Neither an unleased recipient nor somebody else's can be touched."""
    letter = await admit("a@example.org", "b@example.org")
    other = await open_spool(exclusive=False)
    failed = [
        a_change(
            letter.queue_id, clock.now(), State.FAILED, key=key, attempts=0, before=State.WAITING
        )
        for key in (0, 1)
    ]
    for claimed in (False, True):
        if claimed:
            await other.claim("main", clock.now(), 10)
        assert await spool.start([a_start(letter.queue_id, clock.now())]) == {0}
        assert await spool.record(failed) == {0, 1}
    assert await states(spool) == [State.WAITING, State.WAITING]


async def test_a_late_end_is_lost_and_told_all_the_same(
    spool: SqlSpool, open_spool: OpenSpool, clock: ManualClock, admit: Admit
) -> None:
    """T5: an old holder changes no state, and what the provider told it is not silent."""
    letter = await admit()
    slow = await open_spool(exclusive=False)
    await slow.claim("main", clock.now(), 10)
    await slow.start([a_start(letter.queue_id, clock.now())])
    clock.advance(LEASE.total_seconds())
    assert len((await spool.claim("main", clock.now(), 10)).cut_short) == 1
    late = a_change(letter.queue_id, clock.now(), notes=("main lost date: own",))
    assert await slow.record([late]) == {0}
    assert await states(spool) == [State.UNCERTAIN]
    told = [x for x in (await spool.story(letter.queue_id)).lines if x.what != "received"]
    assert [(x.what, x.kind, x.provider_message_id) for x in told] == [
        ("attempt", "accepted", "id-77"),
        ("note", "", ""),
        ("note", "", ""),
    ]
    assert "after its lease" in told[2].text


async def test_a_late_end_of_a_forgotten_letter_leaves_no_litter(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """A letter removed and purged meanwhile does not come back as rows of nothing."""
    letter = await admit(leased=True)
    await spool.remove(Filter(), clock.now())
    await spool.purge(clock.now())
    assert await spool.record([a_change(letter.queue_id, clock.now())]) == {0}
    with pytest.raises(UnknownQueueId):
        await spool.story(letter.queue_id)


async def test_only_moves_of_the_table_are_written(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """A move that the table does not know is a bug of the caller and changes nothing."""
    letter = await admit(leased=True)
    for before in State:
        for after in set(State) - TRANSITIONS[before]:
            change = a_change(letter.queue_id, clock.now(), after, attempts=0, before=before)
            with pytest.raises(ValueError, match="not followed"):
                await spool.record([change])
    assert await states(spool) == [State.WAITING]


@pytest.mark.parametrize("before", [State.WAITING, State.SENDING, State.UNCERTAIN])
async def test_every_move_of_the_table_that_a_holder_can_make_is_written(
    spool: SqlSpool, clock: ManualClock, admit: Admit, before: State
) -> None:
    """What the table allows from a state that can be leased reaches the store."""
    for after in TRANSITIONS[before] - {State.SENDING}:
        queue_id = (await admit(leased=True)).queue_id
        if before is not State.WAITING:
            await spool.start([a_start(queue_id, clock.now())])
        if before is State.UNCERTAIN:
            now = clock.now()
            await spool.record([a_change(queue_id, now, State.UNCERTAIN, due_at=now)])
            await spool.claim("main", now, 1)
        attempts = int(before is not State.WAITING)
        change = a_change(queue_id, clock.now(), after, attempts=attempts, before=before)
        assert await spool.record([change]) == frozenset()
        (row,) = await spool.list(Filter(queue_id=queue_id, states=frozenset(State)), 10)
        assert row.state is after


async def test_nothing_starts_from_where_no_attempt_may(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """Held and settled recipients are never sent."""
    letter = await admit(leased=True)
    for before in (State.HELD, State.SENDING, *SETTLED):
        with pytest.raises(ValueError, match="no attempt"):
            await spool.start([a_start(letter.queue_id, clock.now(), before=before)])


async def test_a_provider_whose_name_would_split_in_two_is_refused(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """Names are joined by commas in a column; one with a comma never gets there."""
    letter = await admit(leased=True)
    await spool.start([a_start(letter.queue_id, clock.now())])
    change = a_change(letter.queue_id, clock.now(), State.WAITING, excluded=("a,b",))
    with pytest.raises(ValueError, match="comma"):
        await spool.record([change])
    await spool.record([a_change(letter.queue_id, clock.now())])


async def test_many_letters_recorded_at_once_each_get_their_own_answer(
    store: SpoolEngine, open_spool: OpenSpool, clock: ManualClock
) -> None:
    """Calls that share a transaction do not share their lost keys."""
    spool = await open_spool()
    now = clock.now()
    letters = [a_letter(spool, now, *THREE, leased=True) for _ in range(4)]
    for letter in letters:
        await spool.admit(letter)
    await spool.hold(Filter(queue_id=letters[1].queue_id), now)

    async def together(*calls: Awaitable[frozenset[int]]) -> list[frozenset[int]]:
        with store.locked():
            waiting = [asyncio.ensure_future(call) for call in calls]
            await asyncio.sleep(0)
        return await asyncio.gather(*waiting)

    starts = [[a_start(x.queue_id, now, key=key) for key in range(3)] for x in letters]
    assert await together(*map(spool.start, starts)) == [set(), {0, 1, 2}, set(), set()]
    changes = [[a_change(x.queue_id, now, key=key) for key in (2, 0)] for x in letters]
    assert await together(*map(spool.record, changes)) == [set(), {0, 2}, set(), set()]


async def test_an_attempt_that_waits_long_asks_whether_it_may(
    spool: SqlSpool, open_spool: OpenSpool, clock: ManualClock, admit: Admit
) -> None:
    """T5: ours are ours for another lease; what another has taken over must not be sent."""
    letter = await admit("a@example.org", "b@example.org", leased=True)
    starts = [a_start(letter.queue_id, clock.now(), key=key) for key in (0, 1)]
    await spool.start(starts)
    clock.advance(LEASE.total_seconds() - 2)
    assert await spool.confirm(starts[:1], clock.now()) == frozenset()
    clock.advance(LEASE.total_seconds() - 2)
    other = await open_spool(exclusive=False)
    assert [x.key for x in (await other.claim("main", clock.now(), 9)).cut_short] == [1]
    assert await spool.confirm(starts, clock.now()) == {1}
    clock.advance(UNCERTAIN_AFTER.total_seconds())
    # The same process may have claimed it again: the attempt is another one all the same.
    await spool.claim("main", clock.now(), 9)
    assert await spool.confirm(starts[1:], clock.now()) == {1}
