"""Calls to applications' webhooks: written with what they tell of, claimed, put off, replayed."""

from __future__ import annotations

from datetime import timedelta

from gateway.domain.tracking import Source, Told
from gateway.spool.following import FollowStep
from providers.contract.outcome import accepted
from providers.contract.tracking import EventType, TrackingEvent
from tests.contract.spool.conftest import OpenSpool
from tests.support.letters import a_change, a_letter, a_start
from tests.support.manual_clock import ManualClock

OUTBOX = {"shop": frozenset({"handed_over", "bounced"}), "crm": frozenset({"bounced"})}
MINUTE = timedelta(minutes=1)


async def test_calls_are_written_with_what_they_tell_of(
    open_spool: OpenSpool, clock: ManualClock
) -> None:
    """For each webhook that wants to know; claimed once, made again when put off, then gone."""
    spool = await open_spool(outbox=OUTBOX)
    letter = a_letter(spool, clock.now(), "bob@example.org", leased=True)
    await spool.admit(letter)
    await spool.start([a_start(letter.queue_id, clock.now())])
    await spool.record([a_change(letter.queue_id, clock.now(), outcome=accepted("id-1"))])
    (call,) = await spool.webhooks.due(OUTBOX, clock.now(), clock.now() + MINUTE, 10)
    assert (call.endpoint, call.event, call.queue_id) == ("shop", "handed_over", letter.queue_id)
    assert dict(call.data)["provider_message_id"] == "id-1"
    assert await spool.webhooks.due(OUTBOX, clock.now(), clock.now() + MINUTE, 10) == []
    await spool.webhooks.put_off(call, clock.now(), "HTTP 500")
    (again,) = await spool.webhooks.due(OUTBOX, clock.now(), clock.now() + MINUTE, 10)
    assert (again.number, again.attempts, again.said) == (call.number, 1, "HTTP 500")
    await spool.webhooks.put_off(again, None, "HTTP 410")
    clock.advance(3600)
    assert await spool.webhooks.due(OUTBOX, clock.now(), clock.now() + MINUTE, 10) == []
    assert [one.number for one in await spool.webhooks.page(10, dead=True)] == [call.number]
    assert await spool.webhooks.replay(clock.now(), "crm") == 0
    assert await spool.webhooks.replay(clock.now(), "shop", call.number) == 1
    (replayed,) = await spool.webhooks.due(OUTBOX, clock.now(), clock.now() + MINUTE, 10)
    assert replayed.attempts == 0
    await spool.webhooks.done(replayed)
    assert await spool.webhooks.page(10) == ()


async def test_who_is_called_changes_under_way(open_spool: OpenSpool, clock: ManualClock) -> None:
    """From the next record on; what was noted before stays for whom it was noted."""
    spool = await open_spool(outbox=OUTBOX)

    async def hand_over(name: str) -> None:
        letter = a_letter(spool, clock.now(), "bob@example.org", leased=True)
        await spool.admit(letter)
        await spool.start([a_start(letter.queue_id, clock.now())])
        await spool.record([a_change(letter.queue_id, clock.now(), outcome=accepted(name))])
        clock.advance(1)

    await hand_over("id-1")
    spool.announce_to({"crm": frozenset({"handed_over"})})
    await hand_over("id-2")
    spool.announce_to({})
    await hand_over("id-3")
    due = await spool.webhooks.due({"shop", "crm"}, clock.now(), clock.now() + MINUTE, 10)
    noted = {(one.endpoint, dict(one.data)["provider_message_id"]) for one in due}
    assert noted == {("shop", "id-1"), ("crm", "id-2")}


async def test_what_providers_tell_is_told_on_and_goes_with_its_letter(
    open_spool: OpenSpool, clock: ManualClock
) -> None:
    """A tracking event reaches every webhook that wants it; a letter forgotten takes its calls."""
    spool = await open_spool(outbox=OUTBOX)
    letter = a_letter(spool, clock.now(), "bob@example.org", leased=True)
    await spool.admit(letter)
    await spool.start([a_start(letter.queue_id, clock.now())])
    await spool.record([a_change(letter.queue_id, clock.now(), outcome=accepted("id-1"))])
    event = TrackingEvent(EventType.BOUNCED, "id-1", clock.now(), mta_response="550 no")
    (tracked,) = await spool.tracking.track(
        "main",
        frozenset({"main"}),
        [Told(event, Source.WEBHOOK)],
        at=clock.now(),
        look_up_at=None,
    )
    step = FollowStep("aftermath", 0, tracked.number, events=(tracked,))
    assert await spool.follow(step)
    assert not await spool.follow(step)
    calls = await spool.webhooks.due(OUTBOX, clock.now(), clock.now() + MINUTE, 10)
    bounced = [one for one in calls if one.event == "bounced"]
    assert {one.endpoint for one in bounced} == {"shop", "crm"}
    assert all(dict(one.data)["mta_response"] == "550 no" for one in bounced)
    clock.advance(86400)
    assert await spool.purge(clock.now()) == 1
    assert await spool.webhooks.page(10) == ()
