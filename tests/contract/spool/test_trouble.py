"""Disks that are full, stores that are locked, rows that rot: told, survived, recovered from."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import ColumnElement, delete, update

from gateway.domain.lifecycle import State
from gateway.domain.queue_id import number_from_queue_id
from gateway.errors import SpoolFull, SpoolUnavailable, UnknownQueueId
from gateway.spool.bodies import LARGE_OCTETS
from gateway.spool.schema import content, message, recipient
from gateway.spool.store import SqlSpool
from gateway.spool.values import Filter, NewLetter
from tests.contract.spool.conftest import Admit, OpenSpool
from tests.contract.spool.engines import IMPATIENCE, SpoolEngine
from tests.support.letters import CONTENT, a_change, a_letter, a_start
from tests.support.manual_clock import ManualClock


class Health:
    """What the spool says of its health, and a way to wait for it."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[str | None] = asyncio.Queue()

    def __call__(self, reason: str | None) -> None:
        self.told.put_nowait(reason)

    async def next(self) -> str | None:
        async with asyncio.timeout(60):
            return await self.told.get()


async def first_refused(spool: SqlSpool, clock: ManualClock, octets: bytes) -> NewLetter:
    """Admit until there is no room: what the log has of the disk already is filled first."""
    while True:
        letter = a_letter(spool, clock.now(), content=octets)
        try:
            await spool.admit(letter)
        except SpoolFull:
            return letter


@pytest.mark.parametrize("octets", [20_000, LARGE_OCTETS], ids=["small", "large"])
async def test_a_full_disk_refuses_leaves_no_litter_and_recovers(
    store: SpoolEngine, open_spool: OpenSpool, clock: ManualClock, octets: int
) -> None:
    """T1, T20: SpoolFull and never a lie; what was taken flows on; room again, letters again."""
    store.move_to_small_disk()
    health = Health()
    spool = await open_spool(on_health=health)
    before = a_letter(spool, clock.now(), leased=True)
    await spool.admit(before)
    with store.no_room() as free:
        refused = await first_refused(spool, clock, b"x" * octets)
        assert await health.next() == "no room left for letters"
        assert str(spool.trouble()) == "no room left for letters"
        assert isinstance(spool.trouble(), SpoolFull)
        with pytest.raises(UnknownQueueId):
            await spool.story(refused.queue_id)
        assert refused.queue_id not in store.litter()
        assert await spool.content(before.queue_id) == before.content
        free()
        assert await health.next() is None  # by itself: nobody has written meanwhile
    assert spool.trouble() is None
    await spool.admit(refused)
    assert await spool.content(refused.queue_id) == refused.content
    assert await spool.start([a_start(before.queue_id, clock.now())]) == frozenset()
    assert await spool.record([a_change(before.queue_id, clock.now())]) == frozenset()


async def test_a_full_disk_at_the_start(store: SpoolEngine, open_spool: OpenSpool) -> None:
    """T20: a gateway that cannot even make its spool says why."""
    store.move_to_small_disk()
    with store.no_room(), pytest.raises(SpoolFull):
        await open_spool()
    await open_spool()


async def test_a_locked_store_is_unavailable_until_it_is_let_go(
    store: SpoolEngine, open_spool: OpenSpool, clock: ManualClock
) -> None:
    """T1: a commit that cannot be made is an error to its caller; nothing of it is seen later."""
    health = Health()
    spool = await open_spool(on_health=health, patience=IMPATIENCE)
    contents = (CONTENT, b"x" * LARGE_OCTETS, CONTENT)
    letters = [a_letter(spool, clock.now(), content=content) for content in contents]
    with store.locked():
        results = await asyncio.gather(
            *(spool.admit(letter) for letter in letters), return_exceptions=True
        )
        assert [type(result) for result in results] == [SpoolUnavailable] * 3
        reason = "another process keeps the spool locked"
        assert await health.next() == str(spool.trouble()) == reason
        assert store.litter() == set()
        assert await spool.list(Filter(), 10) == ()  # reading goes on
    assert await health.next() is None
    await spool.admit(letters[0])
    assert [row.queue_id for row in await spool.list(Filter(), 10)] == [letters[0].queue_id]


async def test_too_much_waiting_is_refused(
    store: SpoolEngine, open_spool: OpenSpool, clock: ManualClock
) -> None:
    """A disk that stalls does not grow the process; what carries no content is still taken."""
    spool = await open_spool(max_waiting_octets=3 * LARGE_OCTETS)
    sizes = [LARGE_OCTETS - 1, LARGE_OCTETS - 1, LARGE_OCTETS, LARGE_OCTETS - 1, LARGE_OCTETS]
    letters = [a_letter(spool, clock.now(), content=bytes(size)) for size in sizes]
    with store.locked():
        tasks = [asyncio.ensure_future(spool.admit(letter)) for letter in letters]
        renewal = asyncio.ensure_future(spool.renew([(letters[0].queue_id, 0)], clock.now()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await renewal
    refused = [isinstance(result, SpoolFull) for result in results]
    assert sum(refused) == 2
    assert spool.trouble() is None
    assert len(await spool.list(Filter(), 10)) == 3
    await spool.admit(letters[refused.index(True)])


CORRUPTIONS = {
    "forward path": (recipient, {"forward_path": "no address"}),
    "no utf-8": (recipient, {"forward_path": "b\udcff@example.org"}),
    "state": (recipient, {"state": "banana"}),
    "settled state, not settled": (recipient, {"state": "failed"}),
    "notify": (recipient, {"notify": "MAYBE"}),
    "reverse path": (message, {"reverse_path": "@"}),
    "body": (message, {"body": "9BIT"}),
    "ret": (message, {"ret": "ALL"}),
    "arrival": (message, {"arrival": 10**18}),
    "listener": (message, {"listener": "a\udcffb"}),
    "size": (message, {"size": 7}),
    "content": (content, None),
    "envelope": (message, None),
}


@pytest.mark.parametrize("damage", CORRUPTIONS)
async def test_a_rotten_letter_is_held_and_the_others_flow(
    store: SpoolEngine, spool: SqlSpool, clock: ManualClock, admit: Admit, damage: str
) -> None:
    """A letter that cannot be read stops neither the queue nor the process, and is not lost."""
    first, rotten, last = await admit(), await admit("a@x.org", "b@x.org"), await admit()
    table, values = CORRUPTIONS[damage]
    number = number_from_queue_id(rotten.queue_id)
    mine: ColumnElement[bool] = (table.c.id if table is message else table.c.message_id) == number
    if table is recipient:
        mine = mine & (recipient.c.key == 0)
    kept: object = None
    with store.connect() as connection:
        kept = connection.execute(table.select().where(mine)).mappings().one()
        if values is None:
            connection.execute(delete(table).where(mine))
        else:
            store.write_raw(connection, update(table).where(mine), values)
    claimed = await spool.claim("main", clock.now(), 10)
    assert [x.queue_id for x in claimed.letters] == [first.queue_id, last.queue_id]
    (corrupt,) = claimed.corrupt
    assert corrupt.queue_id == rotten.queue_id
    assert corrupt.reason
    assert (await spool.claim("main", clock.now(), 10)).corrupt == ()
    with store.connect() as connection:
        states = connection.execute(
            recipient.select().where(recipient.c.message_id == number)
        ).mappings()
        assert [row["state"] for row in states] == ["held", "held"]
        # Mended by hand, as an operator would, it flows again once released.
        if values is None:
            connection.execute(table.insert().values(kept))
        else:
            mended = {name: kept[name] for name in values if name != "state"}
            if mended:
                connection.execute(update(table).where(mine).values(mended))
    notes = [x.text for x in (await spool.story(rotten.queue_id)).lines if x.what == "note"]
    assert notes == [f"held: {corrupt.reason}"]
    assert await spool.release(Filter(queue_id=rotten.queue_id), clock.now()) == 2
    (again,) = (await spool.claim("main", clock.now(), 10)).letters
    assert [r.state for r in again.recipients] == [State.WAITING, State.WAITING]


async def test_a_large_content_that_is_gone_is_told(
    store: SpoolEngine, spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """A file deleted or cut by somebody else never goes out as a shorter letter."""
    gone = await admit(content=bytes(LARGE_OCTETS))
    cut = await admit(content=bytes(LARGE_OCTETS))
    store.damage_large(gone.queue_id, None)
    store.damage_large(cut.queue_id, LARGE_OCTETS - 1)
    for letter in (gone, cut):
        with pytest.raises(UnknownQueueId):
            await spool.content(letter.queue_id)
    corrupt = (await spool.claim("main", clock.now(), 10)).corrupt
    assert [x.queue_id for x in corrupt] == [gone.queue_id, cut.queue_id]
    assert await spool.remove(Filter(), clock.now()) == 2
