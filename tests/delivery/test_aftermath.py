"""What follows from what providers tell later: suppressed addresses, told senders, once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes
from email.policy import default

import pytest

from gateway.delivery.aftermath import FOLLOWER, Aftermath, AftermathRules
from gateway.delivery.report_rules import ReportRules
from gateway.delivery.reporter import Reporter
from gateway.domain.events import SenderTold
from gateway.domain.lifecycle import State
from gateway.domain.notification import Action, Result
from gateway.domain.suppression import SuppressionReason
from gateway.domain.tracking import Source, Told
from gateway.spool.following import FollowStep
from providers.contract.address import parse_address
from providers.contract.capabilities import Rate
from providers.contract.envelope import Envelope, Notify, Recipient
from providers.contract.tracking import EventType, RejectReason, TrackingEvent
from tests.delivery.conftest import RULES, Delivery
from tests.support.reports import check_wire, read_feedback, read_report
from tests.support.scripted_provider import ScriptedProvider

EVERY = AftermathRules(frozenset(SuppressionReason), ("bulk",))


def aftermath(
    delivery: Delivery, rules: AftermathRules = EVERY, reports: ReportRules = RULES
) -> Aftermath:
    assert delivery.planner is not None
    reporter = Reporter(reports, delivery.planner, delivery.spool.new_queue_id, delivery.clock)
    return Aftermath(
        delivery.spool,
        reporter,
        lambda: rules,
        clock=delivery.clock,
        emit=delivery.see,
        expect=lambda _provider, _due_at: None,
    )


async def handed_over(delivery: Delivery, *, envelope: Envelope | None = None) -> str:
    """A letter that a provider took under the id `id-1`; nothing leaves any more after it."""
    await delivery.begin(ScriptedProvider("main"))
    queue_id = await delivery.admit("Bob@Example.org", envelope=envelope)
    await delivery.until(lambda: bool(delivery.ended(State.HANDED_OVER)))
    assert delivery.dispatcher is not None
    await delivery.dispatcher.drain(5)
    return queue_id


async def tell(
    delivery: Delivery,
    event: EventType,
    *,
    response: str = "",
    reason: RejectReason | None = None,
    recipient: str | None = None,
) -> None:
    now = delivery.clock.now()
    told = TrackingEvent(
        event, "id-1", now, recipient=recipient, reject_reason=reason, mta_response=response
    )
    stored = await delivery.spool.tracking.track(
        "main", frozenset({"main"}), [Told(told, Source.WEBHOOK)], at=now, look_up_at=None
    )
    assert len(stored) == 1


async def reports(delivery: Delivery) -> list[str]:
    """Queue ids of the reports that were made."""
    return [event.report_id for event in delivery.events if isinstance(event, SenderTold)]


async def test_a_later_bounce_suppresses_and_is_reported_once(delivery: Delivery) -> None:
    """To the reverse-path, with the server's own words; a second step finds nothing to do."""
    queue_id = await handed_over(delivery)
    await tell(delivery, EventType.BOUNCED, response="550 5.1.10 no such mailbox")
    following = aftermath(delivery)
    assert await following.step()
    assert not await following.step()
    (entry,) = await delivery.spool.suppressions.of({"bob@example.org"})
    assert (entry.reason, entry.source) == (SuppressionReason.BOUNCED, "main")
    (report_id,) = await reports(delivery)
    report = read_report(await delivery.spool.content(report_id))
    (recipient,) = report.recipients
    assert (recipient["Action"], recipient["Status"]) == ("failed", "5.1.10")
    assert "550 5.1.10 no such mailbox" in recipient["Diagnostic-Code"]
    story = await delivery.spool.story(queue_id)
    assert any(report_id in line.text for line in story.lines)
    assert (
        await delivery.spool.suppressions.due_calls(delivery.clock.now(), delivery.clock.now(), 10)
        == []
    )  # an address that bounced is no wish of anybody's


@pytest.mark.parametrize(
    ("reason", "status"),
    [(RejectReason.TIMED_OUT, "5.4.7"), (RejectReason.INVALID, "5.1.1"), (None, "5.0.0")],
)
async def test_status_says_what_is_known(
    delivery: Delivery, reason: RejectReason | None, status: str
) -> None:
    """An expiry, an address that is none, a failure without a word."""
    await handed_over(delivery)
    await tell(delivery, EventType.FAILED, reason=reason)
    await aftermath(delivery).step()
    (report_id,) = await reports(delivery)
    (recipient,) = read_report(await delivery.spool.content(report_id)).recipients
    assert recipient["Status"] == status
    assert await delivery.spool.suppressions.of({"bob@example.org"}) == ()


async def test_a_complaint_is_told_to_the_accounts_kept_in_step(delivery: Delivery) -> None:
    """Of a letter to a list, it is the reader who complained that is meant."""
    await handed_over(delivery)
    await tell(delivery, EventType.COMPLAINED, recipient="Eve@example.org")
    await aftermath(delivery).step()
    (entry,) = await delivery.spool.suppressions.of({"eve@example.org", "bob@example.org"})
    assert (entry.address, entry.reason) == ("eve@example.org", SuppressionReason.COMPLAINED)
    now = delivery.clock.now()
    (call,) = await delivery.spool.suppressions.due_calls(now, now, 10)
    assert (call.provider, call.address, call.subscribed) == ("bulk", "eve@example.org", False)


async def test_a_complaint_is_reported_as_feedback(delivery: Delivery) -> None:
    """RFC 5965 instead of RFC 3464, once, about the reader who complained; the story names it."""
    queue_id = await handed_over(delivery)
    await tell(delivery, EventType.COMPLAINED, recipient="Eve@example.org")
    following = aftermath(delivery)
    assert await following.step()
    assert not await following.step()
    (told,) = delivery.told(Action.COMPLAINED)
    assert (told.queue_id, told.result, told.recipients) == (queue_id, Result.QUEUED, 1)
    content = await delivery.spool.content(told.report_id)
    check_wire(content)
    report = read_feedback(content)
    assert report.status["Original-Rcpt-To"] == "<Eve@example.org>"
    assert report.status["Original-Mail-From"] == f"<{told.reverse_path}>"
    assert report.status["Source-IP"] == "127.0.0.1"
    assert report.letter["To"].addresses[0].addr_spec == told.reverse_path
    assert report.returned_header.startswith(b"Message-ID: <")
    assert (await delivery.spool.story(told.report_id)).reverse_path == ""
    story = await delivery.spool.story(queue_id)
    line = f"report {told.report_id} to {told.reverse_path}: complained later"
    assert line in [line.text for line in story.lines]


async def test_a_soft_bounce_that_ends_well_has_no_aftermath(delivery: Delivery) -> None:
    """Neither list nor report: the server put it off, took it, and somebody reads it."""
    await handed_over(delivery)
    for event in (EventType.DEFERRED, EventType.DELIVERED, EventType.OPENED):
        await tell(delivery, event, response="450 4.2.2 mailbox full")
    assert await aftermath(delivery).step()
    assert await delivery.spool.suppressions.page(10) == ()
    assert delivery.told() == []


@pytest.mark.parametrize("event", [EventType.COMPLAINED, EventType.BOUNCED])
async def test_no_loop_of_later_reports(delivery: Delivery, event: EventType) -> None:
    """Where reports leave from an address of ours, what comes of them is told to nobody."""
    ours = parse_address("bounces@example.com")
    bob = Recipient(0, parse_address("bob@example.org"))
    await handed_over(delivery, envelope=Envelope(ours, (bob,)))
    await tell(delivery, event)
    await aftermath(delivery, reports=replace(RULES, from_=ours)).step()
    (told,) = delivery.told()
    assert (told.result, told.report_id) == (Result.AUTOMATIC, "")


async def test_later_reports_are_limited_as_the_first(delivery: Delivery) -> None:
    """A storm of complaints becomes as many letters as the limit says; the rest is counted."""
    await handed_over(delivery)
    for event in (EventType.BOUNCED, EventType.COMPLAINED):
        await tell(delivery, event)
    limited = replace(RULES, per_sender=Rate(1, timedelta(hours=1)))
    await aftermath(delivery, reports=limited).step()
    assert [told.result for told in delivery.told()] == [Result.QUEUED, Result.RATE_LIMITED]


async def test_the_postmaster_has_copies_of_later_reports(delivery: Delivery) -> None:
    """Of a bounce as of a complaint, each a letter of its own beside the sender's."""
    await handed_over(delivery)
    for event in (EventType.BOUNCED, EventType.COMPLAINED):
        await tell(delivery, event)
    postmaster = parse_address("postmaster@example.com")
    await aftermath(delivery, reports=replace(RULES, postmaster=postmaster)).step()
    assert [told.result for told in delivery.told()] == [Result.QUEUED] * 2
    copies = await delivery.spool.find("postmaster@example.com", 10)
    assert len(copies) == 2
    letters = [await delivery.spool.content(copy) for copy in copies]
    subjects = {str(message_from_bytes(content, policy=default)["Subject"]) for content in letters}
    assert subjects == {
        "Postmaster copy: Undelivered mail returned to sender",
        "Postmaster copy: Mail reported as spam by its reader",
    }


async def test_switches_hold(delivery: Delivery) -> None:
    """Neither list nor report where the operator wants none."""
    await handed_over(delivery)
    await tell(delivery, EventType.BOUNCED)
    await tell(delivery, EventType.COMPLAINED)
    await aftermath(delivery, AftermathRules(frozenset(), (), reports=False)).step()
    assert await delivery.spool.suppressions.page(10) == ()
    assert not await reports(delivery)


@pytest.mark.parametrize("event", [EventType.BOUNCED, EventType.COMPLAINED])
async def test_nobody_is_told_of_a_letter_from_nobody(delivery: Delivery, event: EventType) -> None:
    """RFC 5321 6.1: never to the null reverse-path; the event and the story say so."""
    bob = parse_address("bob@example.org")
    queue_id = await handed_over(delivery, envelope=Envelope(None, (Recipient(0, bob),)))
    await tell(delivery, event)
    await aftermath(delivery).step()
    (told,) = [event for event in delivery.events if isinstance(event, SenderTold)]
    assert (told.result, told.report_id) == (Result.NULL_REVERSE_PATH, "")
    story = await delivery.spool.story(queue_id)
    assert any("no report" in line.text for line in story.lines)


@pytest.mark.parametrize(
    ("notify", "actions"), [(Notify.NEVER, []), (Notify.SUCCESS, [Action.COMPLAINED])]
)
async def test_who_did_not_ask_is_not_told(
    delivery: Delivery, notify: Notify, actions: list[Action]
) -> None:
    """NOTIFY holds for later bounces too; of complaints it says nothing but by NEVER."""
    bob = Recipient(0, parse_address("bob@example.org"), notify=frozenset({notify}))
    await handed_over(delivery, envelope=Envelope(parse_address("a@example.com"), (bob,)))
    before = len(delivery.told())
    await tell(delivery, EventType.BOUNCED)
    await tell(delivery, EventType.COMPLAINED)
    await aftermath(delivery).step()
    assert [told.action for told in delivery.told()[before:]] == actions


async def test_of_several_followers_one_acts(delivery: Delivery) -> None:
    """Gateways on one spool, or a crash before the record: each step is taken once."""
    await handed_over(delivery)
    await tell(delivery, EventType.BOUNCED)
    await asyncio.gather(*(aftermath(delivery).step() for _ in range(5)))
    assert len(await reports(delivery)) == 1
    position = await delivery.spool.position(FOLLOWER)
    late = FollowStep(FOLLOWER, 0, position)
    assert not await delivery.spool.follow(late)
    stats = await delivery.spool.stats(delivery.clock.now() + timedelta(seconds=1))
    assert stats.accepted == 2
    assert sum(stats.settled.values()) + sum(stats.active.values()) == 2
    assert stats.settled[State.HANDED_OVER] >= 1
