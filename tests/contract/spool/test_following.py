"""Letters that follow from an outcome: written with it in one step, or not at all."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from gateway.domain.lifecycle import State
from gateway.errors import SpoolFull, UnknownQueueId
from gateway.spool.bodies import LARGE_OCTETS
from gateway.spool.store import SqlSpool
from gateway.spool.values import Filter, NewLetter
from tests.contract.spool.conftest import Admit, OpenSpool
from tests.contract.spool.engines import SpoolEngine
from tests.contract.spool.test_crash import run_and_kill
from tests.contract.spool.test_trouble import Health, first_refused
from tests.support.builders import an_envelope
from tests.support.letters import a_change, a_letter, a_start
from tests.support.manual_clock import ManualClock

ALL = Filter(states=frozenset(State))
SIZES = pytest.mark.parametrize("octets", [1000, LARGE_OCTETS], ids=["small", "large"])


def a_report(spool: SqlSpool, clock: ManualClock, octets: int = 1000) -> NewLetter:
    envelope = an_envelope("news@example.com", reverse_path=None)
    return a_letter(spool, clock.now(), envelope=envelope, content=b"r" * octets)


async def states(spool: SqlSpool) -> dict[str, State]:
    return {f"{row.queue_id}/{row.key}": row.state for row in await spool.list(ALL, 100)}


@SIZES
async def test_a_report_is_there_with_the_failure(
    spool: SqlSpool, clock: ManualClock, admit: Admit, octets: int
) -> None:
    """One call, one step: the letter failed, its content gone, and the report waits to be sent."""
    failed = await admit(leased=True)
    await spool.start([a_start(failed.queue_id, clock.now())])
    report = a_report(spool, clock, octets)
    change = a_change(failed.queue_id, clock.now(), State.FAILED, notes=("a report went out",))
    assert await spool.record([change], [report]) == frozenset()
    assert await states(spool) == {
        f"{failed.queue_id}/0": State.FAILED,
        f"{report.queue_id}/0": State.WAITING,
    }
    assert not (await spool.story(failed.queue_id)).content_kept
    (claimed,) = (await spool.claim("main", clock.now(), 10)).letters
    assert (claimed.queue_id, claimed.reverse_path) == (report.queue_id, None)
    assert await spool.content(report.queue_id) == report.content
    stats = await spool.stats(clock.now())
    assert (stats.accepted, stats.settled[State.FAILED]) == (2, 1)


async def test_several_letters_may_follow(
    spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """A report and its copy for the postmaster, one of them large."""
    failed = await admit(leased=True)
    await spool.start([a_start(failed.queue_id, clock.now())])
    letters = [a_report(spool, clock, octets) for octets in (10, LARGE_OCTETS)]
    await spool.record([a_change(failed.queue_id, clock.now(), State.FAILED)], letters)
    for letter in letters:
        assert await spool.content(letter.queue_id) == letter.content


@SIZES
async def test_where_a_recipient_is_lost_nothing_is_written(
    spool: SqlSpool, open_spool: OpenSpool, clock: ManualClock, admit: Admit, octets: int
) -> None:
    """
    T5: a report must not speak of a recipient that is another holder's now.

    It would be told twice. The caller asks again without it, and the late end is in the story.
    """
    letter = await admit("a@example.org", "b@example.org")
    slow = await open_spool(exclusive=False)
    await slow.claim("main", clock.now(), 10)
    await slow.start([a_start(letter.queue_id, clock.now(), key=key) for key in (0, 1)])
    clock.advance(600)
    await spool.claim("main", clock.now(), 1)  # takes the first one over
    changes = [a_change(letter.queue_id, clock.now(), State.FAILED, key=key) for key in (0, 1)]
    report = a_report(slow, clock, octets)
    assert await slow.record(changes, [report]) == {0}
    assert await states(spool) == {
        f"{letter.queue_id}/0": State.UNCERTAIN,
        f"{letter.queue_id}/1": State.SENDING,
    }
    with pytest.raises(UnknownQueueId):
        await spool.story(report.queue_id)
    assert await slow.record(changes[:1]) == {0}
    again = a_report(slow, clock, octets)
    assert await slow.record(changes[1:], [again]) == frozenset()
    assert (await states(spool))[f"{letter.queue_id}/1"] is State.FAILED
    assert await spool.content(again.queue_id) == again.content


async def test_decisions_in_one_transaction_do_not_disturb_each_other(
    store: SpoolEngine, open_spool: OpenSpool, clock: ManualClock
) -> None:
    """Each caller has its own answer: one whose recipient is lost undoes nobody else's report."""
    spool = await open_spool()
    now = clock.now()
    letters = [a_letter(spool, now, "a@example.org", "b@example.org", leased=True) for _ in "123"]
    for letter in letters:
        await spool.admit(letter)
        await spool.start([a_start(letter.queue_id, now, key=key) for key in (0, 1)])
    await spool.record([a_change(letters[1].queue_id, now, key=1)])
    reports = [a_report(spool, clock) for _ in letters]
    with store.locked():
        waiting = [
            asyncio.ensure_future(
                spool.record(
                    [a_change(x.queue_id, now, State.FAILED, key=key) for key in (0, 1)], [report]
                )
            )
            for x, report in zip(letters, reports, strict=True)
        ]
        await asyncio.sleep(0)
    assert await asyncio.gather(*waiting) == [frozenset(), {1}, frozenset()]
    waits = {row.queue_id for row in await spool.list(Filter(states=frozenset({State.WAITING})), 9)}
    assert waits == {reports[0].queue_id, reports[2].queue_id}


@pytest.mark.parametrize("octets", [20_000, LARGE_OCTETS], ids=["small", "large"])
async def test_without_room_for_the_report_the_failure_waits_too(
    store: SpoolEngine, open_spool: OpenSpool, clock: ManualClock, octets: int
) -> None:
    """T20: the outcome is recorded again when there is room, and the report has not got lost."""
    store.move_to_small_disk()
    health = Health()
    spool = await open_spool(on_health=health)
    failed = a_letter(spool, clock.now(), leased=True)
    await spool.admit(failed)
    await spool.start([a_start(failed.queue_id, clock.now())])
    change = a_change(failed.queue_id, clock.now(), State.FAILED)
    report = a_report(spool, clock, octets)
    with store.no_room() as free:
        await first_refused(spool, clock, b"x" * octets)
        with pytest.raises(SpoolFull):
            await spool.record([change], [report])
        assert (await states(spool))[f"{failed.queue_id}/0"] is State.SENDING
        assert report.queue_id not in store.litter()
        free()
        while await health.next() is not None:
            pass
    assert await spool.record([change], [report]) == frozenset()
    assert await spool.content(report.queue_id) == report.content


@SIZES
async def test_killed_before_the_commit_leaves_neither(
    store: SpoolEngine, open_spool: OpenSpool, octets: int
) -> None:
    """T13: no failure without its report, no report without its failure, no file without a row."""
    run_and_kill(store, "die-as-letters-fail", octets)
    spool = await open_spool()
    (row,) = await spool.list(ALL, 10)
    assert row.state is State.SENDING
    assert store.litter() == set()


@SIZES
async def test_killed_after_the_answer_leaves_both(
    store: SpoolEngine, open_spool: OpenSpool, octets: int
) -> None:
    """T13: what was told as written is."""
    report = run_and_kill(store, "fail", octets)
    spool = await open_spool()
    assert sorted((await states(spool)).values()) == [State.FAILED, State.WAITING]
    assert await spool.content(report) == b"x" * octets
    (claimed,) = (await spool.claim("main", datetime.now(UTC), 10)).letters
    assert claimed.queue_id == report


async def test_a_decision_on_a_warning_is_remembered(
    spool: SqlSpool, open_spool: OpenSpool, clock: ManualClock, admit: Admit
) -> None:
    """One warning for each recipient, over attempts, holders and hands."""
    letter = await admit("a@example.org", "b@example.org", leased=True)
    now, queue_id = clock.now(), letter.queue_id
    await spool.start([a_start(queue_id, now, key=key) for key in (0, 1)])
    await spool.record(
        [
            a_change(queue_id, now, State.WAITING, key=0, due_at=now, warned=True),
            a_change(queue_id, now, State.WAITING, key=1, due_at=now),
        ]
    )
    await spool.hold(Filter(), now)
    await spool.release(Filter(), now)
    other = await open_spool(exclusive=False)
    (claimed,) = (await other.claim("main", clock.now(), 10)).letters
    assert {r.recipient.key: r.warned for r in claimed.recipients} == {0: True, 1: False}
