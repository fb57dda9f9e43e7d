"""Places in the pace of an account: all who share the spool take from one row of them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from gateway.spool.store import SqlSpool
from tests.contract.spool.conftest import OpenSpool
from tests.contract.spool.engines import ON_POSTGRESQL
from tests.support.manual_clock import ManualClock

FIFTH = timedelta(milliseconds=200)


async def test_places_follow_each_other(spool: SqlSpool, clock: ManualClock) -> None:
    """However many are taken at once, the next begin after them."""
    now = clock.now()
    assert await spool.reserve_places("main", now, FIFTH, 3) == now
    assert await spool.reserve_places("main", now, FIFTH, 1) == now + 3 * FIFTH
    assert await spool.reserve_places("main", now, FIFTH, 1) == now + 4 * FIFTH


async def test_what_nobody_took_is_gone(spool: SqlSpool, clock: ManualClock) -> None:
    """T24: a pause saves nothing up; after it there is no burst."""
    await spool.reserve_places("main", clock.now(), FIFTH, 1)
    clock.advance(60)
    now = clock.now()
    assert await spool.reserve_places("main", now, FIFTH, 1) == now
    assert await spool.reserve_places("main", now, FIFTH, 1) == now + FIFTH


async def test_accounts_do_not_wait_for_each_other(spool: SqlSpool, clock: ManualClock) -> None:
    """Each provider has a row of its own; waiting asked for by one holds off that one."""
    now = clock.now()
    await spool.reserve_places("main", now + timedelta(seconds=30), FIFTH, 1)
    assert await spool.reserve_places("rest", now, FIFTH, 1) == now
    later = await spool.reserve_places("main", now, FIFTH, 1)
    assert later == now + timedelta(seconds=30) + FIFTH


@ON_POSTGRESQL
async def test_gateways_that_begin_together_share_from_the_first_place(
    open_spool: OpenSpool, clock: ManualClock
) -> None:
    """Three of them, none of which knows the account yet."""
    gateways = [await open_spool() for _ in range(3)]
    now = clock.now()
    firsts = await asyncio.gather(
        *(gateway.reserve_places("main", now, FIFTH, 2) for gateway in gateways for _ in range(5))
    )
    assert sorted(firsts) == [now + 2 * place * FIFTH for place in range(15)]
