"""Calls to applications over a spool, with a clock that a test turns: waits, ends, dead letters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from bench.ports import free_port
from gateway.delivery.webhooks import WebhookSender
from gateway.domain.webhook import MOST_ATTEMPTS, Endpoint
from gateway.spool.store import SqlSpool
from providers.contract.outcome import accepted
from tests.support.application import Application, serve_application
from tests.support.letters import a_change, a_letter, a_start
from tests.support.manual_clock import ManualClock


class Calls:
    """A sender at work on a spool with one call, and what it told of answers."""

    def __init__(self, spool: SqlSpool, clock: ManualClock, url: str) -> None:
        self.spool = spool
        self.clock = clock
        self.answers: list[str] = []
        self.made_at: list[timedelta] = []
        self._begun = clock.now()
        self._changed = asyncio.Event()
        endpoints = {"shop": Endpoint(url, b"k" * 32)}
        self.sender = WebhookSender(spool.webhooks, endpoints, clock, lambda: 0.5, self._answered)

    def _answered(self, endpoint: str, result: str) -> None:
        assert endpoint == "shop"
        self.answers.append(result)
        self.made_at.append(self.clock.now() - self._begun)
        self._changed.set()

    async def until_answered(self, times: int) -> None:
        """Turn the clock on, half an hour at a time at most, until so many calls were answered."""
        async with asyncio.timeout(120):
            while len(self.answers) < times:
                await self.clock.someone_sleeps(60)
                waiting = await self.spool.webhooks.page(1)
                due_in = min(1800.0, 5.0 * 4 ** max(0, waiting[0].attempts - 1))
                self.clock.advance(due_in)
                await self._slept_again(times)

    async def _slept_again(self, times: int) -> None:
        """Until the sender has looked: it sleeps, or has told of an answer."""
        while not self.clock.sleepers and len(self.answers) < times:
            self._changed.clear()
            slept = asyncio.ensure_future(self.clock.someone_sleeps(60))
            told = asyncio.ensure_future(self._changed.wait())
            await asyncio.wait((slept, told), return_when=asyncio.FIRST_COMPLETED)
            slept.cancel()
            told.cancel()


@pytest.fixture
async def application() -> AsyncIterator[Application]:
    async with serve_application() as app:
        yield app


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[SqlSpool]:
    clock = ManualClock()
    spool = await SqlSpool.open(
        f"sqlite:///{tmp_path}/spool.db",
        clock=clock,
        uncertain_after=timedelta(minutes=1),
        exclusive=True,
        outbox={"shop": frozenset({"handed_over"})},
    )
    letter = a_letter(spool, clock.now(), "bob@example.org", leased=True)
    await spool.admit(letter)
    await spool.start([a_start(letter.queue_id, clock.now())])
    await spool.record([a_change(letter.queue_id, clock.now(), outcome=accepted("id-1"))])
    yield spool
    await spool.aclose()


async def answered(calls: Calls, times: int) -> None:
    """Let the sender run until so many calls were answered."""
    task = asyncio.create_task(calls.sender.run())
    try:
        await calls.until_answered(times)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_call_is_given_up_after_its_attempts(
    spool: SqlSpool, application: Application
) -> None:
    """Longer and longer waits over two days, always the same id; then it is a dead letter."""
    application.answers += [500] * MOST_ATTEMPTS
    calls = Calls(spool, ManualClock(), f"http://127.0.0.1:{application.port}/hook")
    await answered(calls, MOST_ATTEMPTS)
    assert calls.answers == ["refused"] * (MOST_ATTEMPTS - 1) + ["given_up"]
    assert len({headers["webhook-id"] for headers, _ in application.calls}) == 1
    (dead,) = await spool.webhooks.page(10, dead=True)
    assert (dead.attempts, dead.said) == (MOST_ATTEMPTS, "HTTP 500")
    waits = [after - before for before, after in pairwise(calls.made_at)]
    assert all(after >= before for before, after in pairwise(waits[:6]))
    assert timedelta(days=1) < calls.made_at[-1] < timedelta(days=3)
    assert len(application.calls) == MOST_ATTEMPTS


async def test_a_redirect_is_not_followed(spool: SqlSpool, application: Application) -> None:
    """Signed content goes where the operator said and nowhere else; the call is made again."""
    application.answers.append(307)
    calls = Calls(spool, ManualClock(), f"http://127.0.0.1:{application.port}/hook")
    await answered(calls, 2)
    assert calls.answers == ["refused", "taken"]
    assert len(application.calls) == 2
    assert await spool.webhooks.page(10) == ()


async def test_nobody_there_is_put_off_without_a_word_of_the_url(spool: SqlSpool) -> None:
    """What is kept of a failed connection is the kind of the error."""
    calls = Calls(spool, ManualClock(), f"http://127.0.0.1:{free_port()}/secret-path")
    await answered(calls, 1)
    (waiting,) = await spool.webhooks.page(10)
    assert (waiting.attempts, waiting.said) == (1, "ConnectError")
    assert not await spool.webhooks.page(10, dead=True)
