"""A fresh letter whose first attempt is on record with its admission, and those that must wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from gateway.domain.events import AttemptCutShort
from gateway.domain.lifecycle import State
from gateway.errors import SpoolFull
from gateway.spool.values import AttemptStart, NewLetter
from providers.contract.capabilities import ProviderCapabilities, Rate
from providers.contract.outcome import DeliveryReport, DeliveryRequest, accepted, all_same
from providers.pacing import TokenBucket
from tests.delivery.conftest import Delivery
from tests.support.scripted_provider import ScriptedProvider

BOB = "bob@example.org"
ONE_CONNECTION = ProviderCapabilities(
    raw_mime=True, smtputf8=True, null_reverse_path=True, connections=1
)


class Gate:
    """A provider that keeps each letter until it is opened."""

    def __init__(
        self, delivery: Delivery, capabilities: ProviderCapabilities | None = None
    ) -> None:
        self.delivery = delivery
        self.opened = asyncio.Event()
        self.provider = ScriptedProvider(script=[self._wait] * 100, capabilities=capabilities)
        self.states: list[list[tuple[State, int]]] = []

    async def _wait(self, request: DeliveryRequest) -> DeliveryReport:
        rows = await self.delivery.rows()
        self.states.append([(row.state, row.attempts) for row in rows])
        await self.opened.wait()
        return all_same(request, accepted())


async def over(delivery: Delivery, recipients: int) -> None:
    """Wait until so many are handed over."""
    await delivery.until(lambda: len(delivery.ended(State.HANDED_OVER)) == recipients)


@dataclass
class Starts:
    """Counts the attempts that are put on record by themselves."""

    write: Callable[[Sequence[AttemptStart]], Awaitable[frozenset[int]]]
    count: int = 0

    async def __call__(self, starts: Sequence[AttemptStart]) -> frozenset[int]:
        self.count += 1
        return await self.write(starts)


Begin = Callable[..., Awaitable[Starts]]


@pytest.fixture
def begin(delivery: Delivery, monkeypatch: pytest.MonkeyPatch) -> Begin:
    """Start the dispatcher, and wait until it knows that nothing older waits in the spool."""

    async def first_letter(
        provider: ScriptedProvider, *others: ScriptedProvider, suppressed: Sequence[str] = ()
    ) -> Starts:
        script, provider.script = provider.script, []
        await delivery.begin(provider, *others, suppressed=suppressed)
        await delivery.take(message_id="<first@example.com>")
        await over(delivery, 1)
        assert await delivery.spool.purge(delivery.clock.now() + timedelta(seconds=1)) == 1
        delivery.events.clear()
        provider.script = script
        provider.requests.clear()
        provider.arrived.clear()
        starts = Starts(delivery.spool.start)
        monkeypatch.setattr(delivery.spool, "start", starts)
        return starts

    return first_letter


async def test_a_fresh_letter_is_on_record_as_sending_with_its_admission(
    delivery: Delivery, begin: Begin
) -> None:
    """T5: nothing is sent that is not on record, and the record costs no commit of its own."""
    gate = Gate(delivery)
    starts = await begin(gate.provider)
    assert (await delivery.take(to=(BOB, "eve@example.org"))).code == 250
    await asyncio.wait_for(gate.provider.arrived.wait(), 60)
    gate.opened.set()
    await over(delivery, 2)
    assert gate.states == [[(State.SENDING, 1), (State.SENDING, 1)]]
    assert starts.count == 0
    assert [(row.state, row.attempts) for row in await delivery.rows()] == [
        (State.HANDED_OVER, 1),
        (State.HANDED_OVER, 1),
    ]


async def test_what_was_put_off_is_tried_again_as_ever(delivery: Delivery, begin: Begin) -> None:
    """The second attempt is the second, and has a record of its own."""
    provider = ScriptedProvider(script=[OSError("the adapter has a bug")])
    starts = await begin(provider)
    await delivery.take()
    await over(delivery, 1)
    assert [request.attempt for request in provider.requests] == [1, 2]
    assert starts.count == 1


async def test_a_crash_after_the_admission_leaves_it_uncertain(
    delivery: Delivery, begin: Begin
) -> None:
    """T5: whoever finds the record cannot know whether the provider was asked."""
    gate = Gate(delivery)
    await begin(gate.provider)
    await delivery.take()
    await asyncio.wait_for(gate.provider.arrived.wait(), 60)
    now = delivery.clock.now()
    recovery = await delivery.spool.recover(now)
    assert [cut.attempt for cut in recovery.cut_short] == [1]
    gate.opened.set()
    await over(delivery, 1)  # the lost attempt's end is told, and then the second's
    assert not [event for event in delivery.events if isinstance(event, AttemptCutShort)]


async def test_no_more_begin_at_once_than_have_a_connection(
    delivery: Delivery, begin: Begin
) -> None:
    """A crash leaves hardly more uncertain letters for it, however many come."""
    gate = Gate(delivery, ONE_CONNECTION)
    starts = await begin(gate.provider)
    for number in range(12):
        await delivery.take(message_id=f"<{number}@example.com>")
    rows = await delivery.rows()
    assert sum(row.state is State.SENDING for row in rows) <= 1 + 4  # it, and the workers
    gate.opened.set()
    await over(delivery, 12)
    assert starts.count == 11


async def test_an_account_with_a_limit_has_its_pace_taken_by_turns(
    delivery: Delivery, begin: Begin
) -> None:
    """T24: a letter that came before, or finds no room on the disk, uses up no place."""
    pace = TokenBucket(Rate(20))
    starts = await begin(ScriptedProvider(pace=pace))
    began = delivery.clock.monotonic()
    for _ in range(100):
        assert (await delivery.take()).code == 250
    await delivery.take(message_id="<other@example.com>")
    await over(delivery, 2)
    assert delivery.clock.monotonic() - began >= 1 / 20.0 * 0.95
    assert pace.take(delivery.clock.monotonic()) <= 1 / 20.0
    assert starts.count == 2


async def test_a_provider_that_asked_to_wait_is_waited_for(
    delivery: Delivery, begin: Begin
) -> None:
    """What it has said of its pace is a limit from then on."""
    pace = TokenBucket(None)
    starts = await begin(ScriptedProvider(pace=pace))
    pace.hold_off(delivery.clock.monotonic(), 0.05)
    await delivery.take()
    await over(delivery, 1)
    assert starts.count == 1


@pytest.mark.parametrize(
    ("why", "fields", "to"),
    [
        ("it has a time of its own", (("Send-At", "2100-01-01T00:00:00Z"),), (BOB,)),
        ("one is suppressed", (), (BOB, "gone@example.org")),
        ("it takes several requests", (), tuple(f"r{n}@example.org" for n in range(4))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_others_wait_for_their_turn(
    delivery: Delivery,
    begin: Begin,
    why: str,
    fields: tuple[tuple[str, str], ...],
    to: tuple[str, ...],
) -> None:
    """What has to be looked at once more, or cut, is not begun."""
    few = ProviderCapabilities(
        raw_mime=True, smtputf8=True, null_reverse_path=True, connections=2, max_recipients=3
    )
    starts = await begin(ScriptedProvider(capabilities=few), suppressed=["gone@example.org"])
    ahead = datetime(2101, 1, 1, tzinfo=UTC) - delivery.clock.now()
    assert (await delivery.take(*fields, to=to, ahead=ahead)).code == 250, why
    if fields:
        assert {row.state for row in await delivery.rows()} == {State.WAITING}
        assert starts.count == 0
        return
    await over(delivery, sum("gone" not in address for address in to))
    assert starts.count >= 1
    suppressed = [
        row.forward_path for row in await delivery.rows() if row.state is State.SUPPRESSED
    ]
    assert suppressed == [address for address in to if "gone" in address]


async def test_what_was_promised_is_given_back(
    delivery: Delivery, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, and a letter that came before, leave nothing taken: T16, and stops end."""
    starts = await begin(ScriptedProvider())
    admit = delivery.spool.admit

    async def full(letter: NewLetter) -> None:
        assert letter.begun_at is not None
        raise SpoolFull("no room")

    monkeypatch.setattr(delivery.spool, "admit", full)
    for _ in range(20):
        assert (await delivery.take()).code == 452
    monkeypatch.setattr(delivery.spool, "admit", admit)
    for _ in range(20):
        assert (await delivery.take()).code == 250
    await over(delivery, 1)
    assert starts.count == 0
    assert delivery.dispatcher is not None
    async with asyncio.timeout(60):
        await delivery.dispatcher.drain(30)
    assert delivery.dispatcher._hand_off_octets == 0


async def test_cut_short_at_a_stop_it_is_uncertain(delivery: Delivery, begin: Begin) -> None:
    """What was under way at once is ended as any other attempt."""
    gate = Gate(delivery)
    await begin(gate.provider)
    await delivery.take()
    await asyncio.wait_for(gate.provider.arrived.wait(), 60)
    assert delivery.dispatcher is not None
    await delivery.dispatcher.drain(timedelta(milliseconds=50).total_seconds())
    (row,) = await delivery.rows()
    assert (row.state, row.attempts) == (State.UNCERTAIN, 1)


async def test_a_plan_from_the_arrival_is_made_anew_when_things_have_changed(
    delivery: Delivery, begin: Begin
) -> None:
    """T11: what waited in the window does not go to a provider that is given no letters now."""
    gate = Gate(delivery, ONE_CONNECTION)
    backup = ScriptedProvider("backup")
    await begin(gate.provider, backup)
    for number in range(12):
        await delivery.take(message_id=f"<{number}@example.com>")
    await asyncio.wait_for(gate.provider.arrived.wait(), 60)
    assert delivery.planner is not None
    delivery.planner.avoid(frozenset({"main"}))
    gate.opened.set()
    await over(delivery, 12)
    assert len(backup.requests) >= 7
    assert len(backup.requests) + len(gate.provider.requests) == 12
