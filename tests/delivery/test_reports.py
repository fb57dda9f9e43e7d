"""Letters that end badly, late or well: what their senders get, over a real spool."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from gateway.delivery.reporter import Reporter
from gateway.domain.events import AttemptEnded, AttemptLost
from gateway.domain.lifecycle import State
from gateway.domain.notification import Action, Result
from gateway.domain.routing import Route
from gateway.errors import SpoolUnavailable
from gateway.spool.store import SqlSpool
from providers.contract.capabilities import Rate
from providers.contract.envelope import Notify, Ret
from providers.contract.outcome import (
    DeliveryOutcome,
    DeliveryReport,
    DeliveryRequest,
    Kind,
    Scope,
    accepted,
    all_same,
    per_recipient,
)
from tests.delivery.conftest import QUICK, RULES, Delivery
from tests.support.builders import SENDER, a_message, an_envelope
from tests.support.reports import ReadReport, read_report
from tests.support.scripted_provider import ScriptedProvider

REFUSED = DeliveryOutcome(Kind.REJECTED, Scope.RECIPIENT, "5.1.1", "550 5.1.1 no such user")
PUT_OFF = DeliveryOutcome(Kind.DEFERRED, Scope.RECIPIENT, "4.2.1", "450 4.2.1 mailbox busy")
LOST = DeliveryOutcome(Kind.UNCERTAIN, Scope.MESSAGE, "4.4.2", "no answer to the final dot")


def reports(provider: ScriptedProvider, to: str = SENDER) -> list[ReadReport]:
    """The reports that this provider was given for an address."""
    return [
        read_report(request.message.content)
        for request in provider.requests
        if [str(r.forward_path) for r in request.envelope.recipients] == [to]
    ]


async def test_sender_of_a_refused_letter_is_told(delivery: Delivery) -> None:
    """Refused for good: the sender gets the provider's words, from nobody, at once."""
    main = ScriptedProvider(script=[REFUSED])
    await delivery.begin(main)
    queue_id = await delivery.admit("bob@example.org")
    await delivery.until(lambda: bool(delivery.ended(State.HANDED_OVER)))
    (report,) = reports(main)
    assert main.requests[1].envelope.reverse_path is None
    assert report.status["X-Mailquay-Queue-ID"] == queue_id
    assert report.recipients[0]["Diagnostic-Code"] == "X-Mailquay; 550 5.1.1 no such user"
    assert report.returned_header == a_message().content.partition(b"\r\n\r\n")[0] + b"\r\n"
    (told,) = delivery.told()
    assert (told.queue_id, told.action, told.result) == (queue_id, Action.FAILED, Result.QUEUED)
    assert (told.reverse_path, told.report_id) == (SENDER, main.requests[1].queue_id)


async def test_story_and_order_of_events(delivery: Delivery) -> None:
    """One command tells that a report went out, which one and to whom; and the report its cause."""
    main = ScriptedProvider(script=[REFUSED])
    await delivery.begin(main)
    queue_id = await delivery.admit("bob@example.org")
    await delivery.until(lambda: bool(delivery.ended(State.HANDED_OVER)))
    (told,) = delivery.told()
    story = await delivery.spool.story(queue_id)
    notes = [line.text for line in story.lines if line.what == "note"]
    assert notes == [f"report {told.report_id} to {SENDER}: failed"]
    assert not story.content_kept
    of_report = await delivery.spool.story(told.report_id)
    assert queue_id in of_report.client
    kinds = [type(event) for event in delivery.events]
    assert kinds.index(AttemptEnded) < kinds.index(type(told))


async def test_report_leaves_without_a_look_around(delivery: Delivery) -> None:
    """The lane that carries it is woken, and does not only find it when it looks again."""
    main = ScriptedProvider(script=[REFUSED])
    await delivery.begin(main)
    assert delivery.dispatcher is not None
    recorder, expected = delivery.dispatcher._attempt.recorder, []
    expect = recorder.expect

    def note(provider: str, due_at: datetime) -> None:
        expected.append((provider, due_at))
        expect(provider, due_at)

    recorder.expect = note
    await delivery.admit("bob@example.org")
    await delivery.until(lambda: bool(delivery.ended(State.HANDED_OVER)))
    (report,) = delivery.ended(State.HANDED_OVER)
    assert expected == [("main", report.arrival)]


async def test_two_failures_of_one_attempt_are_one_report(delivery: Delivery) -> None:
    """A letter to many, some of them misspelt: one report names them all, and them alone."""

    async def refuse_two(request: DeliveryRequest) -> DeliveryReport:
        return per_recipient(request, {0: REFUSED, 1: accepted("a"), 2: REFUSED})

    main = ScriptedProvider(script=[refuse_two])
    await delivery.begin(main)
    await delivery.admit("a@example.org", "b@example.org", "c@example.org")
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 2)
    (report,) = reports(main)
    assert [r["Final-Recipient"] for r in report.recipients] == [
        "rfc822; a@example.org",
        "rfc822; c@example.org",
    ]


async def test_expired_letter_is_reported_as_expired(delivery: Delivery) -> None:
    """Given up by age: 5.4.7, with what the last attempt met."""
    main = ScriptedProvider(script=[PUT_OFF])
    await delivery.begin(main)
    await delivery.admit("bob@example.org", age=QUICK.give_up_after)
    await delivery.until(lambda: bool(delivery.ended(State.HANDED_OVER)))
    (report,) = reports(main)
    assert (report.recipients[0]["Action"], report.recipients[0]["Status"]) == ("failed", "5.4.7")
    assert "No attempt succeeded in time" in report.prose


def put_off_bob(attempts: int) -> Callable[[DeliveryRequest], Awaitable[DeliveryReport]]:
    """A step that puts letters to bob off until so many attempts were made, and takes others."""

    async def step(request: DeliveryRequest) -> DeliveryReport:
        is_bob = str(request.envelope.recipients[0].forward_path) == "bob@example.org"
        late = is_bob and request.attempt <= attempts
        return all_same(request, PUT_OFF if late else accepted("id"))

    return step


async def test_delayed_letter_is_warned_of_once(delivery: Delivery) -> None:
    """Old and still waiting: one warning, however often it is tried, then it arrives."""
    main = ScriptedProvider(script=[put_off_bob(4)] * 20)
    await delivery.begin(main)
    await delivery.admit("bob@example.org", age=timedelta(hours=5))
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 2)
    (report,) = reports(main)
    assert report.recipients[0]["Action"] == "delayed"
    assert report.recipients[0]["Status"] == "4.2.1"
    assert len(delivery.ended(State.WAITING)) == 4
    assert len(delivery.told()) == 1


async def test_warning_is_remembered_where_a_letter_moves(delivery: Delivery) -> None:
    """A change of routes hands the letter to another provider, who has trouble too."""
    main, spare = ScriptedProvider("main"), ScriptedProvider("spare", [put_off_bob(3)] * 20)
    only_main = Route("default", ("main",))
    await delivery.begin(main, spare, routes=(only_main,))

    async def put_off_and_move(request: DeliveryRequest) -> DeliveryReport:
        assert delivery.planner is not None
        by_spare = replace(only_main, providers=("spare",))
        delivery.planner.reconfigure((by_spare,), delivery.planner.capabilities)
        return all_same(request, PUT_OFF)

    main.script = [put_off_and_move]
    await delivery.admit("bob@example.org", age=timedelta(hours=5))
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 2)
    waited = [event.provider for event in delivery.ended(State.WAITING)]
    assert waited == ["main", "spare", "spare"]
    assert len(delivery.told()) == 1


async def test_success_is_reported_where_nobody_else_will(delivery: Delivery) -> None:
    """NOTIFY=SUCCESS, by a provider that was not given it: relayed (RFC 3461 5.2.2)."""
    main = ScriptedProvider()
    await delivery.begin(main)
    wanted = frozenset({Notify.SUCCESS})
    await delivery.admit(envelope=an_envelope("bob@example.org", notify=wanted, envid="Q7"))
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 2)
    (report,) = reports(main)
    assert (report.recipients[0]["Action"], report.recipients[0]["Status"]) == ("relayed", "2.0.0")
    assert report.status["Original-Envelope-Id"] == "Q7"


async def test_success_is_left_to_who_was_asked(delivery: Delivery) -> None:
    """A provider that was given NOTIFY along reports by itself."""
    main = ScriptedProvider(script=[replace(accepted("id"), notify_passed=True)])
    await delivery.begin(main)
    wanted = frozenset({Notify.SUCCESS, Notify.FAILURE})
    await delivery.admit(envelope=an_envelope("bob@example.org", notify=wanted))
    await delivery.until(lambda: bool(delivery.ended(State.HANDED_OVER)))
    assert delivery.told() == []
    assert len(await delivery.rows()) == 1


@pytest.mark.parametrize(
    ("notify", "reverse_path", "results"),
    [
        (frozenset({Notify.NEVER}), SENDER, []),
        (frozenset({Notify.SUCCESS}), SENDER, []),
        (None, None, [Result.NULL_REVERSE_PATH]),
    ],
    ids=["NOTIFY=NEVER", "NOTIFY=SUCCESS", "null reverse-path"],
)
async def test_who_is_not_told(
    delivery: Delivery,
    notify: frozenset[Notify] | None,
    reverse_path: str | None,
    results: list[Result],
) -> None:
    """Nobody who does not want to be, and nobody where there is nobody."""
    main = ScriptedProvider(script=[REFUSED])
    await delivery.begin(main)
    envelope = an_envelope("bob@example.org", notify=notify, reverse_path=reverse_path)
    queue_id = await delivery.admit(envelope=envelope)
    await delivery.until(lambda: len(delivery.told()) == len(results) and bool(delivery.ended()))
    assert [event.result for event in delivery.told()] == results
    assert [row.queue_id for row in await delivery.rows()] == [queue_id]


async def test_report_that_fails_itself_ends_quietly(delivery: Delivery) -> None:
    """RFC 5321 6.1: a bounce of a bounce is nobody's; log, metric and story have it."""
    main = ScriptedProvider(script=[REFUSED, REFUSED])
    await delivery.begin(main)
    await delivery.admit("bob@example.org")
    await delivery.until(lambda: len(delivery.ended(State.FAILED)) == 2)
    assert [event.result for event in delivery.told()] == [Result.QUEUED]
    states = {row.forward_path: row.state for row in await delivery.rows()}
    assert states == {"bob@example.org": State.FAILED, SENDER: State.FAILED}


async def test_whole_letter_comes_back_where_asked_for(delivery: Delivery) -> None:
    """RET=FULL."""
    main = ScriptedProvider(script=[REFUSED])
    await delivery.begin(main)
    await delivery.admit(envelope=an_envelope("bob@example.org", ret=Ret.FULL))
    await delivery.until(lambda: bool(delivery.ended(State.HANDED_OVER)))
    assert a_message().content in main.requests[1].message.content


async def test_storm_of_refusals_is_told_of_to_the_limit(delivery: Delivery) -> None:
    """Beyond it, story, log and metric; the outcomes are recorded all the same."""

    async def refuse_bob(request: DeliveryRequest) -> DeliveryReport:
        is_bob = str(request.envelope.recipients[0].forward_path) == "bob@example.org"
        return all_same(request, REFUSED if is_bob else accepted("id"))

    main = ScriptedProvider(script=[refuse_bob] * 50)
    rules = replace(RULES, per_sender=Rate(2, timedelta(hours=1)))
    await delivery.begin(main, rules=rules)
    for _ in range(6):
        await delivery.admit("bob@example.org")
    await delivery.until(
        lambda: (
            len(delivery.ended(State.FAILED)) == 6 and len(delivery.ended(State.HANDED_OVER)) == 2
        )
    )
    assert len(reports(main)) == 2
    results = [event.result for event in delivery.told()]
    assert results.count(Result.RATE_LIMITED) == 4


async def test_disk_that_is_down_for_a_while_costs_no_report_and_makes_no_second(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T20: outcome and report are written together, as soon as they can be."""
    record, failures = delivery.spool.record, []

    async def fail_once(*arguments: object) -> frozenset[int]:
        if not failures:
            failures.append(arguments)
            raise SpoolUnavailable("down")
        return await record(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(delivery.spool, "record", fail_once)
    main = ScriptedProvider(script=[REFUSED])
    await delivery.begin(main)
    await delivery.admit("bob@example.org")
    await delivery.until(lambda: bool(delivery.ended(State.HANDED_OVER)))
    assert len(reports(main)) == 1
    assert len(delivery.told()) == 1


async def test_recipient_of_another_holder_is_not_reported_by_us(delivery: Delivery) -> None:
    """
    T5: frozen too long, one of two recipients is taken over meanwhile.

    The report that was made for both is dropped and made anew for the one that is still ours.
    """
    other = await SqlSpool.open(
        delivery.url, clock=delivery.clock, uncertain_after=timedelta(hours=1), exclusive=False
    )

    async def freeze(request: DeliveryRequest) -> DeliveryReport:
        much_later = delivery.clock.now() + timedelta(minutes=10)
        await other.claim("main", much_later, 1)
        return all_same(request, REFUSED)

    main = ScriptedProvider(script=[freeze])
    await delivery.begin(main)
    queue_id = await delivery.admit("a@example.org", "b@example.org")
    await delivery.until(lambda: bool(delivery.ended(State.HANDED_OVER)))
    await other.aclose()
    lost = [event for event in delivery.events if isinstance(event, AttemptLost)]
    (report,) = reports(main)
    states = {row.key: row.state for row in await delivery.rows() if row.queue_id == queue_id}
    (key,) = (event.recipient_key for event in lost)
    assert states[key] is State.UNCERTAIN
    assert states[1 - key] is State.FAILED
    spoken_of = f"rfc822; {'ab'[1 - key]}@example.org"
    assert [r["Final-Recipient"] for r in report.recipients] == [spoken_of]
    assert [event.recipients for event in delivery.told()] == [1]
    told = [line.text for line in (await delivery.spool.story(queue_id)).lines if line.key == key]
    assert any("after its lease" in text for text in told)


async def test_bug_in_reports_loses_no_outcome(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the provider said counts for more than the sender's hearing of it."""

    def break_down(*_arguments: object, **_named: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Reporter, "notice", break_down)
    main = ScriptedProvider(script=[REFUSED])
    await delivery.begin(main)
    await delivery.admit("bob@example.org")
    await delivery.until(lambda: bool(delivery.ended(State.FAILED)))
    (row,) = await delivery.rows()
    assert row.state is State.FAILED


async def test_attempt_cut_short_by_a_stop_is_no_failure(delivery: Delivery) -> None:
    """Uncertain is not failed: it is tried again after the next start, and nobody is told yet."""

    async def hang(_request: DeliveryRequest) -> DeliveryReport:
        await asyncio.Event().wait()
        raise AssertionError

    main = ScriptedProvider(script=[hang])
    await delivery.begin(main)
    await delivery.admit("bob@example.org")
    await asyncio.wait_for(main.arrived.wait(), 60)
    assert delivery.dispatcher is not None
    await delivery.dispatcher.drain(0.05)
    (row,) = await delivery.rows()
    assert row.state is State.UNCERTAIN
    assert delivery.told() == []


async def test_lost_answer_that_expires_is_told_with_its_doubt(delivery: Delivery) -> None:
    """The letter may have arrived after all, and the report says so."""
    main = ScriptedProvider(script=[LOST])
    await delivery.begin(main)
    await delivery.admit("bob@example.org", age=QUICK.give_up_after)
    await delivery.until(lambda: bool(delivery.ended(State.HANDED_OVER)))
    (report,) = reports(main)
    assert "the letter may have arrived" in " ".join(report.prose.split())
