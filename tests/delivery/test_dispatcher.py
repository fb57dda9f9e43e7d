"""What becomes of letters: outcomes in, states and events out, over a real spool."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from itertools import pairwise

import pytest
import structlog
from structlog.testing import capture_logs

from gateway.domain.lifecycle import State
from gateway.domain.routing import Condition, OnThrottled, OnUncertain, Route
from gateway.spool.values import Filter
from providers.contract.capabilities import ProviderCapabilities, Rate
from providers.contract.outcome import (
    Cause,
    DeliveryOutcome,
    DeliveryReport,
    DeliveryRequest,
    Kind,
    Scope,
    accepted,
    per_recipient,
)
from providers.pacing import TokenBucket
from tests.delivery.conftest import PATIENT, Delivery
from tests.support.builders import an_envelope
from tests.support.scripted_provider import ScriptedProvider

UNREACHABLE = DeliveryOutcome(
    Kind.DEFERRED, Scope.PROVIDER, "4.4.1", "no connection", cause=Cause.UNREACHABLE
)
THROTTLED = DeliveryOutcome(
    Kind.DEFERRED,
    Scope.PROVIDER,
    "4.7.1",
    "slow down",
    retry_after=timedelta(milliseconds=30),
    cause=Cause.THROTTLED,
)
REFUSED = DeliveryOutcome(Kind.REJECTED, Scope.RECIPIENT, "5.1.1", "no such user")
PUT_OFF = DeliveryOutcome(Kind.DEFERRED, Scope.RECIPIENT, "4.2.1", "mailbox busy")
UNSUPPORTED = DeliveryOutcome(Kind.UNSUPPORTED, Scope.MESSAGE, "5.3.4", "too large")
LOST = DeliveryOutcome(Kind.UNCERTAIN, Scope.MESSAGE, "4.4.2", "no answer to the final dot")


async def test_letter_is_handed_over_and_its_content_forgotten(delivery: Delivery) -> None:
    """The plain way: claimed, tried, accepted, settled; only the record stays."""
    main = ScriptedProvider()
    await delivery.begin(main)
    queue_id = await delivery.admit("bob@example.org")
    await delivery.until(lambda: len(delivery.ended()) == 1)
    (row,) = await delivery.rows()
    assert (row.state, row.provider_message_id, row.attempts) == (State.HANDED_OVER, "id-1", 1)
    story = await delivery.spool.story(queue_id)
    assert not story.content_kept
    assert [line.kind for line in story.lines if line.what == "attempt"] == ["accepted"]


async def test_deferred_letter_is_tried_again_by_itself(delivery: Delivery) -> None:
    """T19: nobody has to act on a letter that was put off."""
    main = ScriptedProvider(script=[PUT_OFF, PUT_OFF])
    await delivery.begin(main)
    await delivery.admit("bob@example.org")
    await delivery.until(lambda: bool(delivery.ended(State.HANDED_OVER)))
    assert [request.attempt for request in main.requests] == [1, 2, 3]


async def test_refused_recipient_beside_good_ones_fails_alone(delivery: Delivery) -> None:
    """T6: partial success is remembered per recipient; nobody gets a second copy."""

    async def refuse_the_second(request: DeliveryRequest) -> DeliveryReport:
        outcomes = {0: accepted("a"), 1: REFUSED, 2: PUT_OFF}
        return per_recipient(request, outcomes)

    main = ScriptedProvider(script=[refuse_the_second])
    await delivery.begin(main)
    to = ("a@example.org", "b@example.org", "c@example.org")
    await delivery.admit(envelope=an_envelope(*to, reverse_path=None))
    await delivery.until(lambda: len(delivery.ended()) == 4)
    states = {row.forward_path: row.state for row in await delivery.rows()}
    assert states == {
        "a@example.org": State.HANDED_OVER,
        "b@example.org": State.FAILED,
        "c@example.org": State.HANDED_OVER,
    }
    assert [r.key for r in main.requests[1].envelope.recipients] == [2]


async def test_unreachable_provider_fails_over_to_the_next(delivery: Delivery) -> None:
    """Nothing was accepted, that is proven: the next one of the route gets it at once."""
    main, spare = ScriptedProvider("main", [UNREACHABLE]), ScriptedProvider("spare")
    await delivery.begin(main, spare, schedule=PATIENT)
    await delivery.admit("bob@example.org")
    await delivery.until(lambda: bool(delivery.ended(State.HANDED_OVER)))
    assert (len(main.requests), len(spare.requests)) == (1, 1)


async def test_failover_is_each_recipient_s_own(delivery: Delivery) -> None:
    """T6: of one letter, who was taken or is in doubt stays; who surely was not goes on alone."""

    async def break_after_two(request: DeliveryRequest) -> DeliveryReport:
        return per_recipient(request, {0: accepted("a"), 1: LOST, 2: UNREACHABLE})

    main, spare = ScriptedProvider("main", [break_after_two]), ScriptedProvider("spare")
    await delivery.begin(main, spare)
    await delivery.admit("a@example.org", "b@example.org", "c@example.org")
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 3)
    keys = [[r.key for r in asked.envelope.recipients] for asked in main.requests]
    assert keys == [[0, 1, 2], [1]]
    assert [[r.key for r in asked.envelope.recipients] for asked in spare.requests] == [[2]]


async def test_uncertain_letter_never_goes_to_another_provider(delivery: Delivery) -> None:
    """Without proof there is no failover: the same provider gets it again after the wait."""
    main, spare = ScriptedProvider("main", [LOST]), ScriptedProvider("spare")
    await delivery.begin(main, spare)
    await delivery.admit("bob@example.org")
    await delivery.until(lambda: bool(delivery.ended(State.HANDED_OVER)))
    assert (len(main.requests), len(spare.requests)) == (2, 0)
    assert [event.state for event in delivery.ended()] == [State.UNCERTAIN, State.HANDED_OVER]


async def test_uncertain_letter_is_held_where_the_route_says_so(delivery: Delivery) -> None:
    """`on_uncertain: hold` waits for a person, who can send it again."""
    main = ScriptedProvider(script=[LOST])
    route = Route("careful", ("main",), on_uncertain=OnUncertain.HOLD)
    await delivery.begin(main, routes=(route,))
    queue_id = await delivery.admit("bob@example.org")
    await delivery.until(lambda: bool(delivery.ended(State.UNCERTAIN)))
    (row,) = await delivery.rows()
    assert (row.state, row.due_at) == (State.UNCERTAIN, None)
    assert await delivery.spool.retry(Filter(queue_id=queue_id), delivery.clock.now()) == 1
    await delivery.until(lambda: bool(delivery.ended(State.HANDED_OVER)))


async def test_unsupported_letter_goes_to_who_can_carry_it(delivery: Delivery) -> None:
    """A provider that finds out it cannot carry a letter is not asked again."""
    main, spare = ScriptedProvider("main", [UNSUPPORTED]), ScriptedProvider("spare", [UNREACHABLE])
    await delivery.begin(main, spare)
    await delivery.admit("bob@example.org")
    await delivery.until(lambda: bool(delivery.ended(State.HANDED_OVER)))
    assert (len(main.requests), len(spare.requests)) == (1, 2)


async def test_letter_that_nobody_can_carry_fails(delivery: Delivery) -> None:
    """The last provider of the route says it cannot: there is nothing to wait for."""
    main = ScriptedProvider(script=[UNSUPPORTED])
    await delivery.begin(main)
    await delivery.admit("bob@example.org")
    await delivery.until(lambda: bool(delivery.ended(State.FAILED)))


async def test_throttled_letter_stays_with_its_provider(delivery: Delivery) -> None:
    """T19: too fast is our doing; it leaves by itself when the provider's wait is over."""
    main, spare = ScriptedProvider("main", [THROTTLED]), ScriptedProvider("spare")
    await delivery.begin(main, spare)
    await delivery.admit("bob@example.org")
    await delivery.until(lambda: bool(delivery.ended(State.HANDED_OVER)))
    assert (len(main.requests), len(spare.requests)) == (2, 0)


async def test_throttled_letter_fails_over_where_the_route_says_so(delivery: Delivery) -> None:
    """`on_throttled: failover` prefers speed to the first choice."""
    main, spare = ScriptedProvider("main", [THROTTLED]), ScriptedProvider("spare")
    route = Route("fast", ("main", "spare"), on_throttled=OnThrottled.FAIL_OVER)
    await delivery.begin(main, spare, routes=(route,))
    await delivery.admit("bob@example.org")
    await delivery.until(lambda: bool(delivery.ended(State.HANDED_OVER)))
    assert (len(main.requests), len(spare.requests)) == (1, 1)


async def test_old_letter_fails_after_its_last_attempt(delivery: Delivery) -> None:
    """Expiry is judged after an attempt: a long stop of ours fails no letter untried."""
    schedule = type(PATIENT)(give_up_after=timedelta(milliseconds=1))
    main = ScriptedProvider(script=[PUT_OFF])
    await delivery.begin(main, schedule=schedule)
    await delivery.admit("bob@example.org")
    await delivery.until(lambda: bool(delivery.ended(State.FAILED)))
    (event,) = delivery.ended()
    assert event.expired
    assert len(main.requests) == 1


async def test_bug_in_an_adapter_makes_the_letter_uncertain(delivery: Delivery) -> None:
    """T2: an odd error never leaves a letter in between; what may have been sent is uncertain."""
    main = ScriptedProvider(script=[ZeroDivisionError("a bug")])
    await delivery.begin(main)
    await delivery.admit("bob@example.org")
    await delivery.until(lambda: bool(delivery.ended(State.HANDED_OVER)))
    assert [event.state for event in delivery.ended()] == [State.UNCERTAIN, State.HANDED_OVER]


async def test_incomplete_report_of_an_adapter_is_completed_as_uncertain(
    delivery: Delivery,
) -> None:
    """T2: a recipient that an adapter forgot is not forgotten here."""

    async def forget_one(request: DeliveryRequest) -> DeliveryReport:
        return DeliveryReport({0: accepted("a")})

    main = ScriptedProvider(script=[forget_one])
    await delivery.begin(main)
    await delivery.admit("a@example.org", "b@example.org")
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 2)
    assert len(delivery.ended(State.UNCERTAIN)) == 1


async def test_every_line_about_a_letter_names_it(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Queue id, Message-ID and trace id, also where it is no event that writes the line."""

    async def forget_all(request: DeliveryRequest) -> DeliveryReport:
        return DeliveryReport({}, ("250 and a word beside",))

    monkeypatch.setattr("gateway.delivery.attempt.log", structlog.get_logger("test"))
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    main = ScriptedProvider(script=[ZeroDivisionError("a bug"), forget_all])
    with capture_logs() as lines:
        await delivery.begin(main)
        await delivery.take(trace=f"00-{trace}-00f067aa0ba902b7-01")
        await delivery.until(lambda: bool(delivery.ended(State.HANDED_OVER)))
    about = [line for line in lines if "queue_id" in line]
    assert [line["event"] for line in about] == ["adapter_bug", "remark", "adapter_bug"]
    assert about[1]["diagnostic"] == "250 and a word beside"
    for line in about:
        assert (line["message_id"], line["trace_id"]) == ("<a@example.com>", trace)


@pytest.mark.parametrize(("at_once", "calls"), [(None, 2), (4, 4)])
async def test_hung_provider_leaves_the_others_alone(
    delivery: Delivery, at_once: int | None, calls: int
) -> None:
    """
    T23: a lane of its own for each provider; one that hangs holds up nobody else's mail.

    It is called as often at the same time as it has connections, or as it says is worth it.
    """

    async def hang(_request: DeliveryRequest) -> DeliveryReport:
        await asyncio.Event().wait()
        raise AssertionError

    takes = ProviderCapabilities(raw_mime=True, connections=2, letters_at_once=at_once)
    hung, well = ScriptedProvider("hung", [hang] * 10, takes), ScriptedProvider("well")
    to_well = Condition(recipient_domains=frozenset({"well.example.org"}))
    routes = (Route("well", ("well",), to_well), Route("rest", ("hung",)))
    await delivery.begin(hung, well, routes=routes, window=4)
    for _ in range(6):
        await delivery.admit("bob@example.org", provider="hung")
    await asyncio.wait_for(hung.arrived.wait(), 60)
    for _ in range(3):
        await delivery.admit("eve@well.example.org", provider="well")
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 3)
    assert len(hung.requests) == calls


async def test_one_request_holds_no_more_recipients_than_the_provider_takes(
    delivery: Delivery,
) -> None:
    """An API letter has one recipient: each gets an attempt of its own, recorded on its own."""
    main = ScriptedProvider(
        capabilities=ProviderCapabilities(raw_mime=True, max_recipients=2, connections=1)
    )
    await delivery.begin(main)
    await delivery.admit(*(f"r{n}@example.org" for n in range(5)))
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 5)
    assert [len(r.envelope.recipients) for r in main.requests] == [2, 2, 1]


class WatchedPace(TokenBucket):
    """A token bucket that remembers when it gave places."""

    def __init__(self, rate: Rate) -> None:
        super().__init__(rate)
        self.given: list[float] = []

    def take(self, now: float) -> float:
        wait = super().take(now)
        if wait == 0.0:
            self.given.append(now)
        return wait


async def test_published_rate_holds_from_the_first_letter(delivery: Delivery) -> None:
    """T24: a restart with a backlog does not flood the provider; every letter takes a place."""
    for _ in range(4):
        await delivery.admit("bob@example.org")
    pace = WatchedPace(Rate(20))
    await delivery.begin(ScriptedProvider(pace=pace))
    await delivery.until(lambda: len(delivery.ended()) == 4)
    assert len(pace.given) == 4
    assert all(b - a >= 0.05 for a, b in pairwise(pace.given))


async def test_window_bounds_what_is_taken_from_the_spool(delivery: Delivery) -> None:
    """Memory does not grow with the backlog: the rest stays where it is safe."""
    release = asyncio.Event()

    async def wait(request: DeliveryRequest) -> DeliveryReport:
        await release.wait()
        return per_recipient(request, {0: accepted()})

    for _ in range(30):
        await delivery.admit("bob@example.org")
    main = ScriptedProvider(script=[wait] * 2)
    await delivery.begin(main, window=5)
    await asyncio.wait_for(main.arrived.wait(), 60)
    stats = await delivery.spool.stats(delivery.clock.now())
    assert stats.oldest_due, "most of the backlog is due and untouched"
    release.set()
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 30)


async def test_letter_of_a_vanished_provider_moves_to_one_that_is_there(
    delivery: Delivery,
) -> None:
    """The configuration changed over a restart: the letter is re-planned, not lost."""
    main = ScriptedProvider("main")
    await delivery.admit("bob@example.org", provider="gone")
    await delivery.begin(main)
    await delivery.until(lambda: bool(delivery.ended(State.HANDED_OVER)))
    assert main.requests


async def test_drain_records_what_was_cut_short_as_uncertain(delivery: Delivery) -> None:
    """A stop in mid-attempt is told; what had not begun waits as if nothing had been."""

    async def hang(_request: DeliveryRequest) -> DeliveryReport:
        await asyncio.Event().wait()
        raise AssertionError

    main = ScriptedProvider(
        script=[hang], capabilities=ProviderCapabilities(raw_mime=True, connections=1)
    )
    for _ in range(8):
        await delivery.admit("bob@example.org")
    await delivery.begin(main)
    await asyncio.wait_for(main.arrived.wait(), 60)
    assert delivery.dispatcher is not None
    await delivery.dispatcher.drain(0.05)
    states = Counter(row.state for row in await delivery.rows())
    assert states == {State.UNCERTAIN: 1, State.WAITING: 7}
    stats = await delivery.spool.stats(delivery.clock.now())
    assert stats.oldest_due, "the letters given back are due at once"


async def test_letter_removed_by_hand_while_it_waits_is_not_sent(delivery: Delivery) -> None:
    """What a person took out stays out, although the window had it."""
    release = asyncio.Event()

    async def wait(request: DeliveryRequest) -> DeliveryReport:
        await release.wait()
        return per_recipient(request, {0: accepted()})

    main = ScriptedProvider(
        script=[wait], capabilities=ProviderCapabilities(raw_mime=True, connections=1)
    )
    await delivery.begin(main)
    first = await delivery.admit("a@example.org")
    await asyncio.wait_for(main.arrived.wait(), 60)
    second = await delivery.admit("b@example.org")
    assert await delivery.spool.remove(Filter(queue_id=second), delivery.clock.now()) == 1
    release.set()
    await delivery.until(lambda: bool(delivery.ended(State.HANDED_OVER)))
    states = {row.queue_id: row.state for row in await delivery.rows()}
    assert states == {first: State.HANDED_OVER, second: State.REMOVED}
    assert len(main.requests) == 1
