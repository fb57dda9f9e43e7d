"""
A spool on each engine, with a clock whose hands a test turns.

At the end of every test the books are checked, whatever the test did.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.spool.store import SqlSpool
from gateway.spool.values import NewLetter
from tests.contract.spool.engines import SpoolEngine, SqliteStore, check_accounts
from tests.contract.spool.postgresql_store import PostgresqlStore
from tests.support.letters import a_letter
from tests.support.manual_clock import ManualClock

OpenSpool = Callable[..., Awaitable[SqlSpool]]
Admit = Callable[..., Awaitable[NewLetter]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SpoolEngine]:
    """A store of each engine, not made yet; its books are checked when all have closed it."""
    store: SpoolEngine = (
        SqliteStore(tmp_path)
        if request.param == "sqlite"
        else PostgresqlStore(request.getfixturevalue("postgresql"), tmp_path)
    )
    yield store
    try:
        if store.is_a_spool():
            with store.connect() as connection:
                check_accounts(connection, store.litter())
    finally:
        store.clean_up()


@pytest.fixture
async def open_spool(store: SpoolEngine, clock: ManualClock) -> AsyncIterator[OpenSpool]:
    """Open the store, as often as wanted; all are closed at the end."""
    opened = []

    async def open_one(**more: Any) -> SqlSpool:
        opened.append(await store.open(clock, **more))
        return opened[-1]

    yield open_one
    for spool in opened:
        await spool.aclose()


@pytest.fixture
async def spool(open_spool: OpenSpool) -> SqlSpool:
    """The spool as the gateway has it."""
    return await open_spool()


@pytest.fixture
def admit(spool: SqlSpool, clock: ManualClock) -> Admit:
    """Admit a letter made of what `a_letter` takes; a second later each."""

    async def admit_one(*recipients: str, **more: Any) -> NewLetter:
        letter = a_letter(spool, clock.now(), *recipients, **more)
        await spool.admit(letter)
        clock.advance(1)
        return letter

    return admit_one
