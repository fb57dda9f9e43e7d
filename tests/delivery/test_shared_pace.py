"""The pace that several gateways share: together they use an account's limit and never more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.clock import SystemClock
from gateway.delivery.shared_pace import SharedPace
from gateway.domain.retry import RetrySchedule
from gateway.spool.store import SqlSpool
from providers.contract.capabilities import Rate
from providers.pacing import TokenBucket

CLOCK = SystemClock()


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[SqlSpool]:
    """A spool; what gateways share of it is one row, whichever engine keeps it."""
    opened = await SqlSpool.open(
        f"sqlite:///{tmp_path}/spool.db",
        clock=CLOCK,
        uncertain_after=RetrySchedule().uncertain_after,
        exclusive=True,
    )
    yield opened
    await opened.aclose()


async def place(pace: SharedPace) -> float:
    """Wait for a place, as a lane does; when it came."""
    while (wait := pace.take(CLOCK.monotonic())) > 0:
        await CLOCK.sleep(wait)
    return CLOCK.monotonic()


async def places(pace: SharedPace, count: int) -> list[float]:
    """So many, one after the other."""
    return [await place(pace) for _ in range(count)]


@pytest.mark.parametrize("gateways", [1, 3])
async def test_the_limit_is_used_and_not_passed(spool: SqlSpool, gateways: int) -> None:
    """Whoever has mail, all of them or one: no window holds more than the limit."""
    rate = Rate(50)
    paces = [SharedPace("main", TokenBucket(rate), spool, CLOCK) for _ in range(gateways)]
    taken = await asyncio.gather(*(places(pace, 90 // gateways) for pace in paces))
    moments = sorted(moment for some in taken for moment in some)
    windows = [sum(begin <= at < begin + 0.96 for at in moments) for begin in moments]
    assert max(windows) <= 50
    assert len(moments) == 90


async def test_a_refusal_holds_off_all(spool: SqlSpool) -> None:
    """What one gateway is told, the others keep to."""
    one, other = (SharedPace("main", TokenBucket(Rate(50)), spool, CLOCK) for _ in range(2))
    await place(one)
    await place(other)
    refused_at = CLOCK.monotonic()
    one.hold_off(refused_at, 1.0)
    await asyncio.sleep(0.1)  # places that the other took before it was said are its own
    assert await place(one) - refused_at >= 1.0
    late = await places(other, 16)
    assert late[-1] - refused_at >= 1.0


async def test_without_a_limit_nobody_is_asked(spool: SqlSpool) -> None:
    """A smarthost that names no limit costs no write."""
    pace = SharedPace("main", TokenBucket(None), spool, CLOCK)
    assert [pace.take(CLOCK.monotonic()) for _ in range(100)] == [0.0] * 100
    assert not [t for t in asyncio.all_tasks() if t.get_name().startswith("places")]
