"""Servers that stop, crash, fall silent, and gateways that meet in one: nothing lost or doubled."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from gateway.domain.lifecycle import State
from gateway.errors import SpoolUnavailable, UnknownQueueId
from gateway.spool.postgresql import PostgresqlEngine, _Connection
from gateway.spool.store import SqlSpool
from gateway.spool.values import Filter
from tests.contract.spool.conftest import Admit, OpenSpool
from tests.contract.spool.engines import IMPATIENCE, ON_POSTGRESQL
from tests.contract.spool.postgresql_store import PostgresqlStore
from tests.contract.spool.test_trouble import Health
from tests.support.letters import a_change, a_letter, a_start
from tests.support.manual_clock import ManualClock
from tests.support.postgresql import NoPostgresql, PostgresqlServer, execute

UNREACHABLE = "the database cannot be reached"
ALL = Filter(states=frozenset(State))

pytestmark = ON_POSTGRESQL


@pytest.fixture(scope="module")
def syncing_server() -> Iterator[PostgresqlServer]:
    """A server of which a crash takes nothing that was committed."""
    try:
        server = PostgresqlServer(safe=True)
    except NoPostgresql as error:
        pytest.skip(str(error))
    server.start()
    yield server
    server.remove()


@pytest.fixture
def on_syncing_server(
    store: PostgresqlStore, own_postgresql: PostgresqlServer, syncing_server: PostgresqlServer
) -> Iterator[PostgresqlServer]:
    """The test's store is a database there."""
    with syncing_server.database() as url:
        store.url, before = url, store.url
        yield syncing_server
        store.url = before


def sessions(store: PostgresqlStore, state: str = "%") -> list[int]:
    """Processes of the server that serve spools on this database."""
    query = (
        "SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name = 'mailquay'"
        " AND state LIKE %s"
    )
    return [pid for (pid,) in execute(store.url, query, [store.name, state])]


def end_sessions(store: PostgresqlStore) -> int:
    """End them all, as an administrator or a pooler does."""
    ended = [
        execute(store.url, "SELECT pg_terminate_backend(%s, 5000)", [pid])
        for pid in sessions(store)
    ]
    return len(ended)


async def somebody_waits(store: PostgresqlStore, number: int = 1) -> None:
    """Until so many spools wait for locks: another process's state, which sends no event."""
    query = (
        "SELECT count(DISTINCT l.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE NOT l.granted AND a.datname = %s AND a.application_name = 'mailquay'"
    )
    async with asyncio.timeout(60):
        while execute(store.url, query, [store.name])[0][0] < number:  # noqa: ASYNC110 (see above)
            await asyncio.sleep(0.01)


async def test_sessions_ended_while_idle_are_not_noticed(
    store: PostgresqlStore, spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """A restart at night costs no letter its 250 in the morning, and no content its first read."""
    letter = await admit(leased=True)
    await asyncio.gather(*(spool.content(letter.queue_id) for _ in range(8)))
    for _ in range(2):
        assert end_sessions(store) >= 2
        assert await spool.content(letter.queue_id) == letter.content
        await admit()
        assert spool.trouble() is None


async def test_a_session_ended_at_work_undoes_it_and_is_replaced(
    store: PostgresqlStore, open_spool: OpenSpool, clock: ManualClock
) -> None:
    """T1: the caller is told, nothing of it is there, and the spool comes back by itself."""
    health = Health()
    spool = await open_spool(on_health=health)
    letter = a_letter(spool, clock.now())
    with store.locked():
        admitting = asyncio.ensure_future(spool.admit(letter))
        await somebody_waits(store)
        end_sessions(store)
        with pytest.raises(SpoolUnavailable, match=UNREACHABLE):
            await admitting
    assert [await health.next(), await health.next()] == [UNREACHABLE, None]
    assert await spool.list(Filter(), 10) == ()
    await spool.admit(letter)


async def test_a_server_that_is_away_for_a_while(
    store: PostgresqlStore,
    on_syncing_server: PostgresqlServer,
    open_spool: OpenSpool,
    clock: ManualClock,
) -> None:
    """T13: crashed with letters in it, away, back: all are there, and nobody had to do anything."""
    health = Health()
    spool = await open_spool(on_health=health)
    before = [a_letter(spool, clock.now(), content=b"x" * octets) for octets in (10, 200_000)]
    await asyncio.gather(*map(spool.admit, before))
    on_syncing_server.stop("immediate")
    refused = a_letter(spool, clock.now())
    for call in (
        spool.admit(refused),
        spool.content(before[0].queue_id),
        spool.stats(clock.now()),
        spool.claim("main", clock.now(), 10),
    ):
        with pytest.raises(SpoolUnavailable, match=UNREACHABLE):
            await call
    assert await health.next() == str(spool.trouble()) == UNREACHABLE
    on_syncing_server.start()
    assert await health.next() is None
    await spool.admit(refused)
    for letter in (*before, refused):
        assert await spool.content(letter.queue_id) == letter.content


async def test_a_stop_in_the_middle_of_a_crowd(
    store: PostgresqlStore,
    on_syncing_server: PostgresqlServer,
    open_spool: OpenSpool,
    clock: ManualClock,
) -> None:
    """T13: whatever admit returned for is there afterwards, whole, and nothing half."""
    spool = await open_spool()
    letters = [a_letter(spool, clock.now(), content=b"%d" % n * 500) for n in range(2000)]
    enough = asyncio.Event()
    taken: list[str] = []

    async def session(numbers: range) -> None:
        for number in numbers:
            await spool.admit(letters[number])
            taken.append(letters[number].queue_id)
            if len(taken) == 200:
                enough.set()

    crowd = asyncio.gather(
        *(session(range(n, 2000, 20)) for n in range(20)), return_exceptions=True
    )
    await enough.wait()
    await asyncio.to_thread(on_syncing_server.stop, "immediate")
    outcomes = await crowd
    assert {type(outcome) for outcome in outcomes} == {SpoolUnavailable}
    await asyncio.to_thread(on_syncing_server.start)
    found = {row.queue_id for row in await spool.list(Filter(), 3000)}
    assert found >= set(taken)
    # Of each session, the one letter whose commit was under way may be there too.
    assert len(found) <= len(taken) + 20
    for queue_id in found:
        await spool.content(queue_id)


async def test_a_server_that_says_nothing_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
    store: PostgresqlStore,
    own_postgresql: PostgresqlServer,
    open_spool: OpenSpool,
    clock: ManualClock,
) -> None:
    """T10: frozen, or behind a cable that was cut: an error in time, and a new connection."""
    health = Health()
    spool = await open_spool(on_health=health, patience=IMPATIENCE)
    letter = a_letter(spool, clock.now())
    await spool.admit(letter)
    await spool.content(letter.queue_id)
    monkeypatch.setattr(_Connection, "answer_within_s", 2.0)
    frozen = sessions(store)
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(60):
            assert await spool.content(letter.queue_id) == letter.content
            await spool.admit(a_letter(spool, clock.now()))  # nothing had begun where it was silent
        assert len(sessions(store)) > len(frozen)
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    with own_transaction(store) as other:
        other.execute("LOCK TABLE message")
        with pytest.raises(SpoolUnavailable, match="locked"):
            await spool.admit(a_letter(spool, clock.now()))
    while await health.next() is not None:
        pass


async def test_a_gateway_that_stands_still_in_a_transaction_keeps_no_rows(
    store: PostgresqlStore, open_spool: OpenSpool, clock: ManualClock, admit: Admit
) -> None:
    """Frozen half-way, it holds what it has locked no longer than a lease."""
    letter = await admit()
    other = await open_spool()
    frozen = await open_spool(lease=timedelta(seconds=3))
    engine = frozen._engine
    assert isinstance(engine, PostgresqlEngine)
    with engine.writer() as connection:
        connection.exec_driver_sql(engine.begin)
        connection.exec_driver_sql("SELECT 1 FROM recipient FOR UPDATE")
        assert (await other.claim("main", clock.now(), 1)).letters == ()
        wait = "SET lock_timeout = '60s'; SELECT 1 FROM recipient FOR UPDATE"
        await asyncio.to_thread(execute, store.url, wait)
        (claimed,) = (await other.claim("main", clock.now(), 1)).letters
        assert claimed.queue_id == letter.queue_id
        connection.invalidate()


async def test_a_deadlock_with_another_gateway_is_no_ones_trouble(
    store: PostgresqlStore,
    own_postgresql: PostgresqlServer,
    open_spool: OpenSpool,
    clock: ManualClock,
) -> None:
    """Two that wait for each other: the one that is told to give way does it again."""
    execute(store.url, f"ALTER DATABASE {store.name} SET deadlock_timeout = '3s'")
    spool = await open_spool()
    letters = [a_letter(spool, clock.now(), leased=True) for _ in range(2)]
    for letter in letters:
        await spool.admit(letter)
    first, second = execute(store.url, "SELECT message_id FROM recipient ORDER BY 1")
    change = "UPDATE recipient SET excluded = '' WHERE message_id = %s"
    with own_transaction(store) as other:
        other.execute("SET LOCAL deadlock_timeout = '60s'")
        other.execute(change, second)
        renewing = asyncio.ensure_future(
            spool.renew([(letter.queue_id, 0) for letter in letters], clock.now())
        )
        await somebody_waits(store)
        # Each looks once whether it waits for ever, and the spool does so first.
        await asyncio.to_thread(other.execute, change, first)
    await renewing
    assert spool.trouble() is None


async def test_the_last_two_recipients_settled_by_two_gateways_at_once(
    store: PostgresqlStore, open_spool: OpenSpool, clock: ManualClock
) -> None:
    """Neither sees the other's end while both commit; the content goes all the same."""
    one, two = await open_spool(), await open_spool()
    letter = a_letter(one, clock.now(), "a@example.org", "b@example.org", providers=("m", "n"))
    await one.admit(letter)
    for spool, provider, key in ((one, "m", 0), (two, "n", 1)):
        await spool.claim(provider, clock.now(), 1)
        await spool.start([a_start(letter.queue_id, clock.now(), key=key, provider=provider)])
    with own_transaction(store) as other:
        other.execute("SELECT 1 FROM tally WHERE shard = %s FOR UPDATE", [one._engine.shard])
        first = asyncio.ensure_future(one.record([a_change(letter.queue_id, clock.now())]))
        await somebody_waits(store)
        second = asyncio.ensure_future(two.record([a_change(letter.queue_id, clock.now(), key=1)]))
        await somebody_waits(store, 2)
    assert await asyncio.gather(first, second) == [frozenset(), frozenset()]
    with pytest.raises(UnknownQueueId):
        await one.content(letter.queue_id)


async def test_gateways_share_the_work_without_overlap(
    open_spool: OpenSpool, clock: ManualClock
) -> None:
    """Four that claim, start and record as fast as they can: each recipient has one attempt."""
    spools = [await open_spool() for _ in range(4)]
    await asyncio.gather(
        *(spools[n % 4].admit(a_letter(spools[n % 4], clock.now())) for n in range(200))
    )
    done: list[str] = []

    async def work(spool: SqlSpool) -> None:
        while len(done) < 200:
            for letter in (await spool.claim("main", clock.now(), 7)).letters:
                now, queue_id = clock.now(), letter.queue_id
                assert await spool.start([a_start(queue_id, now)]) == frozenset()
                assert await spool.record([a_change(queue_id, now)]) == frozenset()
                done.append(queue_id)

    await asyncio.gather(*map(work, spools))
    assert len(done) == len(set(done)) == 200
    assert (await spools[0].stats(clock.now())).settled[State.HANDED_OVER] == 200


@contextmanager
def own_transaction(store: PostgresqlStore) -> Iterator[psycopg.Connection[Any]]:
    """A transaction of somebody else, committed at the end."""
    with psycopg.connect(store.url) as connection:
        yield connection
