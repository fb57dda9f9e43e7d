"""The poller against a spool, with a source that a test scripts and a clock that runs by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.clock import SystemClock
from gateway.domain.events import Event, LetterTracked, StatusAsked
from gateway.domain.lifecycle import State
from gateway.spool.store import SqlSpool
from gateway.tracking.accounts import Account
from gateway.tracking.lookup import Lookup
from gateway.tracking.poller import Poller
from gateway.tracking.schedule import PollSchedule
from providers.contract.outcome import accepted
from providers.contract.tracking import EventType, LetterStatus, TrackingEvent
from tests.support.letters import a_change, a_letter, a_start

SOON = timedelta(milliseconds=50)


class Scripted:
    """Tells of each id what it is given, and remembers what it was asked."""

    def __init__(self) -> None:
        self.told: dict[str, LetterStatus] = {}
        self.asked: list[str] = []

    async def statuses(
        self, provider_message_ids: Sequence[str], *, deadline: float
    ) -> Mapping[str, LetterStatus]:
        assert deadline > SystemClock().monotonic()
        self.asked += provider_message_ids
        return {name: self.told[name] for name in provider_message_ids if name in self.told}


class Seen:
    """Events, and waiting for them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = asyncio.Event()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self._changed.set()

    async def until(self, count: int, kind: type[LetterTracked | StatusAsked]) -> None:
        async with asyncio.timeout(60):
            while sum(isinstance(event, kind) for event in self.events) < count:
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[SqlSpool]:
    spool = await SqlSpool.open(
        f"sqlite:///{tmp_path}/spool.db",
        clock=SystemClock(),
        uncertain_after=timedelta(minutes=5),
        exclusive=True,
    )
    yield spool
    await spool.aclose()


async def a_list_letter(spool: SqlSpool) -> None:
    """One that its provider took as `m`."""
    now = SystemClock().now()
    letter = a_letter(spool, now, "list@example.com", leased=True)
    await spool.admit(letter)
    await spool.start([a_start(letter.queue_id, now)])
    change = a_change(letter.queue_id, now, State.HANDED_OVER, outcome=accepted("m"))
    await spool.record([change])


async def test_a_long_list_and_no_news(spool: SqlSpool) -> None:
    """Who is on the list is told once, in commits that nobody waits long for; then asked on."""
    await a_list_letter(spool)
    source, seen, clock = Scripted(), Seen(), SystemClock()
    account = Account("main", frozenset({"main"}), asks={"main": SOON}, statuses=source)
    poller = Poller(
        account,
        records=spool.tracking,
        lookup=Lookup(spool, clock, lasting=timedelta(days=1)),
        schedule=PollSchedule(SOON, timedelta(days=1)),
        clock=clock,
        emit=seen,
    )
    task = asyncio.create_task(poller.run())
    try:
        await seen.until(2, StatusAsked)  # no answer: asked again
        source.told["m"] = LetterStatus(
            tuple(
                TrackingEvent(EventType.DELIVERED, "m", clock.now(), f"r{n}@example.org")
                for n in range(450)
            ),
            final=True,
        )
        await seen.until(450, LetterTracked)
        asked = len(source.asked)
        await seen.until(asked + 1, StatusAsked)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    tracked = [event for event in seen.events if isinstance(event, LetterTracked)]
    assert len({event.event.recipient for event in tracked}) == len(tracked) == 450
    assert set(source.asked) == {"m"}
