"""Opening: whose store it is, which version, who has it, and who may look in."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import column, table, text, update

from gateway.errors import SpoolError, SpoolIncompatible, SpoolUnavailable
from gateway.spool.bodies import LARGE_OCTETS
from gateway.spool.schema import VERSION as NEWEST
from gateway.spool.schema import VERSION_TABLE
from gateway.spool.store import SqlSpool
from gateway.spool.values import Filter
from tests.contract.spool.conftest import Admit, OpenSpool
from tests.contract.spool.engines import ON_SQLITE, SpoolEngine, SqliteStore
from tests.support.letters import a_letter
from tests.support.manual_clock import ManualClock

VERSION = table(VERSION_TABLE, column("version_num"))


@ON_SQLITE
async def test_a_second_gateway_is_refused_while_the_first_lives(
    open_spool: OpenSpool,
) -> None:
    """Two daemons on one embedded spool would send everything twice at a restart."""
    first = await open_spool()
    with pytest.raises(SpoolUnavailable, match="another gateway has this spool"):
        await open_spool()
    await first.aclose()
    await open_spool()


async def test_a_command_sees_and_changes_what_the_gateway_has(
    spool: SqlSpool, open_spool: OpenSpool, clock: ManualClock, admit: Admit
) -> None:
    """The queue can be looked at and mended while the daemon runs, in both directions."""
    letter = await admit()
    beside = await open_spool(exclusive=False)
    assert await beside.content(letter.queue_id) == letter.content
    assert await beside.hold(Filter(), clock.now()) == 1
    assert (await spool.claim("main", clock.now(), 10)).letters == ()
    assert await beside.release(Filter(), clock.now()) == 1
    await beside.aclose()
    assert len((await spool.claim("main", clock.now(), 10)).letters) == 1


async def test_gateway_and_commands_write_side_by_side(
    spool: SqlSpool, open_spool: OpenSpool, clock: ManualClock
) -> None:
    """Short transactions on both sides: nobody is turned away as locked."""
    beside = await open_spool(exclusive=False)
    again = [await open_spool(exclusive=False) for _ in range(3)]

    async def intake(target: SqlSpool) -> None:
        for _ in range(30):
            await target.admit(a_letter(target, clock.now()))

    async def command() -> None:
        for _ in range(10):
            await beside.hold(Filter(), clock.now())
            await beside.release(Filter(), clock.now())

    await asyncio.gather(*map(intake, again), command())
    await beside.release(Filter(), clock.now())
    assert len((await spool.claim("main", clock.now(), 1000)).letters) == 90


@ON_SQLITE
async def test_a_command_makes_no_spool(store: SqliteStore, open_spool: OpenSpool) -> None:
    """Looking at a spool that is not there says so, and leaves nothing behind."""
    with pytest.raises(SpoolUnavailable, match="there is no spool"):
        await open_spool(exclusive=False)
    assert not store.path.parent.exists()


@ON_SQLITE
async def test_what_is_made_is_for_its_owner_alone(
    store: SqliteStore, spool: SqlSpool, clock: ManualClock, admit: Admit
) -> None:
    """Letters are private: the folder 0700, every file in it 0600."""
    await admit(content=bytes(LARGE_OCTETS))
    modes = {path: path.stat().st_mode & 0o777 for path in store.path.parent.rglob("*")}
    assert store.path.parent.stat().st_mode & 0o777 == 0o700
    assert len(modes) >= 5  # the file, its log, index and lock, a large content
    for path, mode in modes.items():
        assert mode == (0o700 if path.is_dir() else 0o600), path


@ON_SQLITE
async def test_a_database_of_something_else_is_refused_and_left_alone(
    store: SqliteStore, open_spool: OpenSpool
) -> None:
    """A wrong URL must not turn somebody's data into a spool."""
    store.path.parent.mkdir()
    with store.connect() as connection:
        connection.execute(text("CREATE TABLE invoice (id INTEGER PRIMARY KEY)"))
    before = store.path.read_bytes()
    for exclusive in (True, False):
        with pytest.raises(SpoolIncompatible, match="something else"):
            await open_spool(exclusive=exclusive)
    assert store.path.read_bytes() == before


@ON_SQLITE
async def test_an_empty_database_is_for_the_gateway_to_fill(
    store: SqliteStore, open_spool: OpenSpool
) -> None:
    """A file that somebody touched is no spool for a command, and a fine one for the gateway."""
    store.path.parent.mkdir()
    store.path.touch()
    with pytest.raises(SpoolIncompatible, match="empty"):
        await open_spool(exclusive=False)
    assert store.path.read_bytes() == b""
    await open_spool()


async def test_a_newer_version_is_refused_never_guessed(
    store: SpoolEngine, open_spool: OpenSpool
) -> None:
    """An older program after an upgrade says so instead of writing what it does not understand."""
    await (await open_spool()).aclose()
    with store.connect() as connection:
        connection.execute(update(VERSION).values(version_num="9999"))
    for exclusive in (True, False):
        with pytest.raises(SpoolIncompatible, match="version 9999"):
            await open_spool(exclusive=exclusive)
    with store.connect() as connection:
        connection.execute(update(VERSION).values(version_num=NEWEST))
    await open_spool()


@ON_SQLITE
async def test_a_file_that_is_no_database_is_refused_and_left_alone(
    store: SqliteStore, open_spool: OpenSpool
) -> None:
    """A path to some other file: told as that, with the path."""
    store.path.parent.mkdir()
    store.path.write_text("Dear Sir or Madam\n" * 1000)
    before = store.path.read_bytes()
    with pytest.raises(SpoolIncompatible, match="not a SQLite database") as raised:
        await open_spool()
    assert str(store.path) in raised.value.reason
    assert store.path.read_bytes() == before


@ON_SQLITE
async def test_a_damaged_database_says_what_to_do(
    store: SqliteStore, open_spool: OpenSpool
) -> None:
    """Corruption at the start is an error with a way out, and the file is left for it."""
    await (await open_spool()).aclose()
    whole = store.path.read_bytes()
    store.path.write_bytes(whole[:100] + b"\xff" * 4000 + whole[4100:])
    with pytest.raises(SpoolUnavailable, match=r"damaged; .*recover"):
        await open_spool()
    store.path.write_bytes(whole)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("not an address", "not an address"),
        ("sqlite://", "a spool is a file"),
        ("sqlite:///:memory:", "a spool is a file"),
        ("mysql://db.example.com/spool", "no spool on mysql"),
    ],
)
async def test_urls_that_lead_nowhere(clock: ManualClock, url: str, reason: str) -> None:
    """A wrong URL is told in a line that says what to write."""
    with pytest.raises(SpoolIncompatible, match=reason):
        await SqlSpool.open(url, clock=clock, uncertain_after=timedelta(0), exclusive=True)


@ON_SQLITE
async def test_places_where_no_spool_can_be(store: SqliteStore, open_spool: OpenSpool) -> None:
    """A folder that is a file, a file that is a folder: told with the path."""
    store.path.parent.write_text("in the way")
    with pytest.raises(SpoolUnavailable) as raised:
        await open_spool()
    assert str(store.path.parent) in raised.value.reason
    store.path.parent.unlink()
    store.path.mkdir(parents=True)
    with pytest.raises(SpoolUnavailable) as raised:
        await open_spool()
    assert str(store.path) in raised.value.reason


async def test_a_read_only_disk_is_unavailable(store: SpoolEngine, open_spool: OpenSpool) -> None:
    """T1: where nothing can be written, nothing is taken; the gateway does not even start."""
    store.move_to_small_disk()
    await (await open_spool()).aclose()
    for exclusive in (True, False):
        with store.read_only(), pytest.raises(SpoolUnavailable, match=r"[Rr]ead-only"):
            await open_spool(exclusive=exclusive)
    await open_spool()


@ON_SQLITE
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_folder_without_rights_is_unavailable(
    store: SqliteStore, open_spool: OpenSpool, tmp_path: Path
) -> None:
    """A folder of somebody else's: told as that."""
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(SpoolError, match="Permission denied"):
            await open_spool()
    finally:
        tmp_path.chmod(0o700)
