"""Several letters in one call: gathered, recorded before it, judged one by one after it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import pytest

from gateway.domain.events import BatchEnded, RecipientSuppressed
from gateway.domain.lifecycle import State
from gateway.errors import SpoolFull
from gateway.spool.values import AttemptStart
from providers.contract.batch import Batch
from providers.contract.capabilities import Rate
from providers.contract.outcome import (
    Cause,
    DeliveryOutcome,
    DeliveryReport,
    Kind,
    Scope,
    accepted,
    all_same,
)
from providers.pacing import TokenBucket
from tests.delivery.conftest import PATIENT, Delivery
from tests.support.scripted_bulk import ScriptedBulkProvider
from tests.support.scripted_provider import ScriptedProvider

REFUSED = DeliveryOutcome(Kind.REJECTED, Scope.RECIPIENT, "5.1.0", "no such user")
PUT_OFF = DeliveryOutcome(Kind.DEFERRED, Scope.RECIPIENT, "4.2.1", "mailbox busy")
LOST = DeliveryOutcome(Kind.UNCERTAIN, Scope.RECIPIENT, "4.4.2", "no answer")
THROTTLED = DeliveryOutcome(
    Kind.DEFERRED,
    Scope.PROVIDER,
    "4.7.0",
    "slow down",
    retry_after=timedelta(milliseconds=30),
    cause=Cause.THROTTLED,
)


def addresses(count: int) -> list[str]:
    return [f"user{n}@example.org" for n in range(count)]


async def admitted(delivery: Delivery, *recipients: str) -> None:
    """A letter of its own for each, waiting before the dispatcher starts."""
    for recipient in recipients:
        await delivery.admit(recipient)


def batches(delivery: Delivery) -> list[int]:
    """The recipients of each call, by the events."""
    return [event.recipients for event in delivery.events if isinstance(event, BatchEnded)]


async def states(delivery: Delivery) -> Counter[State]:
    return Counter(row.state for row in await delivery.rows())


async def test_what_waits_leaves_in_one_call(delivery: Delivery) -> None:
    """One call for all that was there; each letter has its own attempt, event and id."""
    await admitted(delivery, *addresses(30))
    main = ScriptedBulkProvider(size=50)
    await delivery.begin(main)
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 30)
    assert [sorted(call) for call in main.calls] == [sorted(addresses(30))]
    assert batches(delivery) == [30]
    rows = await delivery.rows()
    assert {(row.provider_message_id, row.attempts) for row in rows} == {("batch-1", 1)}


async def test_a_batch_leaves_out_who_is_suppressed(delivery: Delivery) -> None:
    """One of a letter to several, and a letter of its own: both settled, neither in the call."""
    await delivery.admit("anna@example.org", "Bob@example.org")
    await admitted(delivery, "bob@example.org", "carl@example.org")
    main = ScriptedBulkProvider()
    await delivery.begin(main, suppressed=["bob@example.org"])
    # Reports are handed over too, sooner or later than these.
    await delivery.until(
        lambda: (
            {"anna@example.org", "carl@example.org"} <= {to for call in main.calls for to in call}
        )
    )
    await delivery.until(
        lambda: sum(isinstance(event, RecipientSuppressed) for event in delivery.events) == 2
    )
    # The sender is told of the others, by letters of their own.
    sent = [to for call in main.calls for to in call if to.endswith("@example.org")]
    assert sorted(sent) == ["anna@example.org", "carl@example.org"]
    assert (await states(delivery))[State.SUPPRESSED] == 2


async def test_recipients_of_one_letter_share_a_call(delivery: Delivery) -> None:
    """A letter to many is many letters to the provider, and one call."""
    await delivery.admit(*addresses(20))
    main = ScriptedBulkProvider()
    await delivery.begin(main)
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 20)
    assert [len(call) for call in main.calls] == [20]


async def test_no_call_is_larger_than_what_is_gathered(delivery: Delivery) -> None:
    """`batch_size` bounds a gathering, the provider a call."""
    await admitted(delivery, *addresses(25))
    main = ScriptedBulkProvider(size=10, most=5)
    await delivery.begin(main)
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 25)
    assert sorted(map(len, main.calls)) == [5] * 5


async def test_one_address_never_stands_twice_in_a_call(delivery: Delivery) -> None:
    """Three letters to one reader are three calls, and three letters."""
    await admitted(delivery, "bob@example.org", *addresses(3), *["bob@example.org"] * 2)
    main = ScriptedBulkProvider()
    await delivery.begin(main)
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 6)
    assert sorted(map(len, main.calls)) == [1, 1, 4]
    assert all(len(set(call)) == len(call) for call in main.calls)


async def test_outcomes_are_each_recipient_s_own(delivery: Delivery) -> None:
    """T6: in one call some are taken, one is refused, one put off and one left in doubt."""

    async def mixed(batch: Batch) -> list[DeliveryReport]:
        by_address = {"b@example.org": REFUSED, "c@example.org": PUT_OFF, "d@example.org": LOST}
        return [
            all_same(r, by_address.get(str(r.envelope.recipients[0].forward_path), accepted()))
            for r in batch.requests
        ]

    await admitted(delivery, *(f"{name}@example.org" for name in "abcd"))
    main = ScriptedBulkProvider(script=[mixed])
    await delivery.begin(main, schedule=PATIENT)
    await delivery.until(lambda: len(delivery.ended()) >= 4)
    rows = {
        row.forward_path[0]: row.state for row in await delivery.rows() if "@" in row.forward_path
    }
    assert rows["a"] is State.HANDED_OVER
    assert rows["b"] is State.FAILED
    assert rows["c"] is State.WAITING
    assert rows["d"] is State.UNCERTAIN


async def test_a_throttled_batch_leaves_whole_later(delivery: Delivery) -> None:
    """T19: all of it waits as long as the provider asks, and goes together again."""
    await admitted(delivery, *addresses(10))
    main = ScriptedBulkProvider(script=[THROTTLED])
    await delivery.begin(main)
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 10)
    assert len(main.calls[0]) == 10
    assert {event.attempt for event in delivery.ended(State.HANDED_OVER)} == {2}


class TestWaiting:
    async def test_a_lone_letter_goes_at_once(self, delivery: Delivery) -> None:
        """Nothing else waits: no window is waited out, however long."""
        main = ScriptedBulkProvider(window=timedelta(hours=1))
        await delivery.begin(main)
        for n in range(3):
            await delivery.admit("bob@example.org")
            await delivery.until(lambda count=n: len(delivery.ended(State.HANDED_OVER)) > count)
        assert batches(delivery) == [1, 1, 1]

    async def test_a_batch_with_room_is_filled_within_its_window(self, delivery: Delivery) -> None:
        """More are waiting: those who come within the window go along; it ends when full."""
        await admitted(delivery, *addresses(2))
        main = ScriptedBulkProvider(size=3, window=timedelta(hours=1), connections=1)
        await delivery.begin(main)
        await delivery.admit("late@example.org")
        await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 3)
        assert [len(call) for call in main.calls] == [3]

    async def test_the_window_ends(self, delivery: Delivery) -> None:
        """Nobody else comes: what was gathered leaves."""
        await admitted(delivery, *addresses(2))
        main = ScriptedBulkProvider(size=3, window=timedelta(milliseconds=50))
        await delivery.begin(main)
        await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 2)
        assert [len(call) for call in main.calls] == [2]

    async def test_the_pace_gathers_by_itself(self, delivery: Delivery) -> None:
        """Letters that wait for the account's pace go together when their time comes."""
        pace = TokenBucket(Rate(1, timedelta(seconds=0.3)))
        main = ScriptedBulkProvider(pace=pace)
        pace.take(delivery.clock.monotonic())
        await delivery.begin(main)
        await admitted(delivery, *addresses(12))
        await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 12)
        assert len(main.calls) <= 3  # a busy machine may admit slowly

    async def test_further_calls_have_places_of_their_own(self, delivery: Delivery) -> None:
        """T24: a gathering that makes several calls takes a place in the pace for each."""
        taken = 0

        class CountingPace(TokenBucket):
            def take(self, now: float) -> float:
                nonlocal taken
                taken += 1
                return 0.0

        await admitted(delivery, *addresses(9))
        main = ScriptedBulkProvider(most=3, connections=1, pace=CountingPace(None))
        await delivery.begin(main)
        await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 9)
        assert taken >= len(main.calls) == 3


class TestDoubt:
    async def test_all_starts_are_recorded_before_the_call(self, delivery: Delivery) -> None:
        """When the provider is asked, each letter of the batch is `sending` on disk."""
        found: list[Counter[State]] = []

        async def look(batch: Batch) -> list[DeliveryReport]:
            found.append(await states(delivery))
            return [all_same(request, accepted()) for request in batch.requests]

        await admitted(delivery, *addresses(5))
        main = ScriptedBulkProvider(script=[look])
        await delivery.begin(main)
        await delivery.until(lambda: len(delivery.ended()) == 5)
        assert found == [Counter({State.SENDING: 5})]

    async def test_a_crash_leaves_in_doubt_exactly_what_was_on_the_wire(
        self, delivery: Delivery
    ) -> None:
        """Killed in the second of three calls: the first is told, the third was never begun."""
        hung = asyncio.Event()

        async def hang(_batch: Batch) -> list[DeliveryReport]:
            hung.set()
            await asyncio.Event().wait()
            raise AssertionError

        await admitted(delivery, *addresses(9))
        main = ScriptedBulkProvider(script=[accepted("first"), hang], size=9, most=3, connections=1)
        await delivery.begin(main)
        await asyncio.wait_for(hung.wait(), 60)
        await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 3)
        assert await states(delivery) == {
            State.HANDED_OVER: 3,
            State.SENDING: 3,
            State.WAITING: 3,
        }
        # What the next life finds, seen from beside this one.
        on_the_wire = {
            row.forward_path for row in await delivery.rows() if row.state is State.SENDING
        }
        assert on_the_wire == set(main.calls[1])

    async def test_a_lost_answer_is_doubted_for_each(self, delivery: Delivery) -> None:
        """Every letter of that batch is tried again after the wait, and none before."""
        await admitted(delivery, *addresses(4))
        main = ScriptedBulkProvider(script=[LOST])
        await delivery.begin(main)
        await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 4)
        assert len(delivery.ended(State.UNCERTAIN)) == 4
        assert main.calls[0] != []
        assert Counter(address for call in main.calls for address in call) == dict.fromkeys(
            addresses(4), 2
        )

    async def test_stop_in_the_middle(self, delivery: Delivery) -> None:
        """What the provider had is uncertain; what waited behind it is given back untouched."""
        hung = asyncio.Event()

        async def hang(_batch: Batch) -> list[DeliveryReport]:
            hung.set()
            await asyncio.Event().wait()
            raise AssertionError

        await admitted(delivery, *addresses(9))
        main = ScriptedBulkProvider(script=[hang, hang, hang], size=9, most=3, connections=1)
        await delivery.begin(main)
        await asyncio.wait_for(hung.wait(), 60)
        assert delivery.dispatcher is not None
        await delivery.dispatcher.drain(0.05)
        assert await states(delivery) == {State.UNCERTAIN: 3, State.WAITING: 6}
        claimed = await delivery.spool.claim("main", delivery.clock.now(), 100)
        assert sum(len(letter.recipients) for letter in claimed.letters) >= 6

    @pytest.mark.parametrize("bug", ["raises", "forgets", "shortens"])
    async def test_bug_in_an_adapter(self, delivery: Delivery, bug: str) -> None:
        """T2: whatever is missing from its reports may have been sent; nothing is in between."""

        async def wrong(batch: Batch) -> list[DeliveryReport]:
            if bug == "raises":
                raise ZeroDivisionError("a bug")
            told = [all_same(request, accepted()) for request in batch.requests]
            return [*told[:-1], DeliveryReport({})] if bug == "forgets" else told[:-1]

        await admitted(delivery, *addresses(3))
        main = ScriptedBulkProvider(script=[wrong])
        await delivery.begin(main)
        await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 3)
        assert len(delivery.ended(State.UNCERTAIN)) == (3 if bug == "raises" else 1)

    @pytest.mark.parametrize("bug", ["raises", "forgets", "doubles"])
    async def test_bug_in_grouping(
        self, delivery: Delivery, monkeypatch: pytest.MonkeyPatch, bug: str
    ) -> None:
        """Letters that cannot be put together go alone; none is lost, none goes twice."""
        main = ScriptedBulkProvider()

        def wrong(requests: Sequence[object]) -> tuple[Batch, ...]:
            if bug == "raises":
                raise ZeroDivisionError("a bug")
            some = requests[:-1] if bug == "forgets" else [*requests, requests[0]]
            return (Batch(tuple(some)),)  # type: ignore[arg-type]

        monkeypatch.setattr(main, "batches", wrong)
        await admitted(delivery, *addresses(3))
        await delivery.begin(main)
        await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 3)
        assert sorted(map(len, main.calls)) == [1, 1, 1]


class TestLeases:
    async def test_what_is_not_ours_any_more_is_not_sent(
        self, delivery: Delivery, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A recipient that another holder took stays out of the call; the others go."""
        start = delivery.spool.start

        async def lose_one(starts: Sequence[AttemptStart]) -> frozenset[int]:
            (first, *_) = starts
            row = next(r for r in await delivery.rows() if r.queue_id == first.queue_id)
            if row.forward_path == "user1@example.org":
                return frozenset({first.key})
            return await start(starts)

        monkeypatch.setattr(delivery.spool, "start", lose_one)
        await admitted(delivery, *addresses(3))
        main = ScriptedBulkProvider()
        await delivery.begin(main)
        await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 2)
        assert sorted(main.calls[0]) == ["user0@example.org", "user2@example.org"]

    async def test_a_full_disk_keeps_the_whole_batch_back(
        self, delivery: Delivery, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """T2: while one start cannot be recorded, nothing of the batch is sent."""
        monkeypatch.setattr("gateway.delivery.attempt.AGAIN_S", 0.01)
        start, refusals = delivery.spool.start, [SpoolFull("no room")] * 3

        async def start_or_not(starts: Sequence[AttemptStart]) -> frozenset[int]:
            if refusals:
                assert not main.calls
                raise refusals.pop()
            return await start(starts)

        monkeypatch.setattr(delivery.spool, "start", start_or_not)
        await admitted(delivery, *addresses(3))
        main = ScriptedBulkProvider()
        await delivery.begin(main)
        await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 3)
        assert [len(call) for call in main.calls] == [3]

    async def test_letters_in_a_batch_keep_their_leases(self, delivery: Delivery) -> None:
        """What is gathered and not yet recorded counts as held, and is renewed."""
        release, hung = asyncio.Event(), asyncio.Event()

        async def wait(batch: Batch) -> list[DeliveryReport]:
            hung.set()
            await release.wait()
            return [all_same(request, accepted()) for request in batch.requests]

        await admitted(delivery, *addresses(6))
        main = ScriptedBulkProvider(script=[wait], size=6, most=3, connections=1)
        await delivery.begin(main)
        await asyncio.wait_for(hung.wait(), 60)
        assert delivery.dispatcher is not None
        (lane,) = delivery.dispatcher._lanes.values()
        assert len(lane.leases()) == 6
        release.set()
        await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 6)


async def test_single_letters_of_a_bulk_provider_that_gathers_none(delivery: Delivery) -> None:
    """`batch_size: 1` is the plain way: each letter by `deliver`."""
    await admitted(delivery, *addresses(3))
    main = ScriptedBulkProvider(size=1)
    await delivery.begin(main)
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 3)
    assert main.calls == []
    assert len(main.requests) == 3


async def test_a_hung_bulk_provider_leaves_the_others_alone(delivery: Delivery) -> None:
    """T23: its lane is its own."""

    async def hang(_batch: Batch) -> list[DeliveryReport]:
        await asyncio.Event().wait()
        raise AssertionError

    hung = ScriptedBulkProvider("hung", [hang] * 10)
    well = ScriptedProvider("well")
    for _ in range(3):
        await delivery.admit("bob@example.org", provider="hung")
        await delivery.admit("eve@example.org", provider="well")
    await delivery.begin(hung, well)
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == 3)
    assert {event.provider for event in delivery.ended(State.HANDED_OVER)} == {"well"}
