"""The trace of a letter goes wherever the letter goes, across restarts and engines."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import update

from gateway.domain.trace_context import TraceContext
from gateway.domain.tracking import Source, Told
from gateway.spool.schema import message
from gateway.spool.values import Filter
from providers.contract.outcome import accepted
from providers.contract.tracking import EventType, TrackingEvent
from tests.contract.spool.conftest import OpenSpool
from tests.contract.spool.engines import LEASE, SpoolEngine
from tests.support.letters import a_change, a_letter, a_start, starts_of
from tests.support.manual_clock import ManualClock

TRACE = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True)
NAMED = ("<order-77@example.com>", TRACE)


async def test_what_is_claimed_listed_and_told_names_its_trace(
    open_spool: OpenSpool, clock: ManualClock
) -> None:
    """Claims, stories, lists, calls to applications, tracking events: all know it."""
    spool = await open_spool(outbox={"shop": frozenset({"handed_over"})})
    letter = a_letter(spool, clock.now(), "bob@example.org", trace=TRACE)
    await spool.admit(letter)
    (claimed,) = (await spool.claim("main", clock.now(), 10)).letters
    assert (claimed.message_id, claimed.trace) == NAMED
    assert (await spool.story(letter.queue_id)).trace == TRACE
    (row,) = await spool.list(Filter(), 10)
    assert row.ids["trace_id"] == TRACE.trace_id
    await spool.start([a_start(letter.queue_id, clock.now())])
    await spool.record([a_change(letter.queue_id, clock.now(), outcome=accepted("7"))])
    (call,) = await spool.webhooks.due({"shop"}, clock.now(), clock.now() + LEASE, 10)
    assert (call.ids["message_id"], call.trace) == NAMED
    event = TrackingEvent(EventType.DELIVERED, "7", clock.now())
    (tracked,) = await spool.tracking.track(
        *("main", frozenset({"main"}), [Told(event, Source.WEBHOOK)]),
        at=clock.now(),
        look_up_at=None,
    )
    assert (tracked.message_id, tracked.trace) == NAMED
    assert await spool.tracking.after(0, 1) == (tracked,)


async def test_what_a_crash_left_behind_names_its_trace(
    store: SpoolEngine, open_spool: OpenSpool, clock: ManualClock
) -> None:
    """An attempt cut short, found by a claim; a letter whose record is damaged."""
    spool = await open_spool()
    letter = a_letter(spool, clock.now(), "bob@example.org", trace=TRACE)
    await spool.admit(letter)
    dead = await open_spool(exclusive=False)
    (claimed,) = (await dead.claim("main", clock.now(), 10)).letters
    await dead.start(starts_of(claimed, clock.now()))
    clock.advance(LEASE.total_seconds())
    (cut_short,) = (await spool.claim("main", clock.now(), 10)).cut_short
    assert (cut_short.message_id, cut_short.trace) == NAMED
    with store.connect() as connection:
        connection.execute(update(message).values(body="rubbish"))
    clock.advance(timedelta(hours=1).total_seconds())
    (corrupt,) = (await spool.claim("main", clock.now(), 10)).corrupt
    assert (corrupt.message_id, corrupt.trace) == NAMED


async def test_a_damaged_trace_keeps_no_letter(
    store: SpoolEngine, open_spool: OpenSpool, clock: ManualClock
) -> None:
    """What only tells of a letter is left out, where it cannot be read."""
    spool = await open_spool()
    await spool.admit(a_letter(spool, clock.now(), "bob@example.org", trace=TRACE))
    with store.connect() as connection:
        connection.execute(update(message).values(traceparent="00-rubbish"))
    (claimed,) = (await spool.claim("main", clock.now(), 10)).letters
    assert claimed.trace is None
