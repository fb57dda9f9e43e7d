"""
Disks that fail, fill up or turn read-only under a running gateway, and what clients are told.

Failures that come and go are injected by strace or are a small disk's own; nothing is restarted.
Where a disk cannot come back under a process that has it open, the gateway is.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tests.crash.accounts import Accounts
from tests.crash.campaign import FAILING_CALLS, LARGE, Campaign, campaign, mixed_letters
from tests.crash.disk import Disk, filled
from tests.crash.mortal import MortalGateway
from tests.crash.strace import attached, injected, reason_without
from tests.support.load import a_load_letter

NO_ROOM = "no room left for letters"
FAILS = "the disk of the spool fails"
needs_strace = pytest.mark.skipif(bool(reason_without()), reason=reason_without() or "-")


async def until_ready(gateway: MortalGateway, *reasons: str, timeout_s: float = 60.0) -> None:
    """
    Ask `/readyz` until it says yes; or no, for these reasons.

    A dead disk answers differently from call to call, and `/readyz` tells of the last.
    """
    async with asyncio.timeout(timeout_s):
        while True:
            answer = await gateway.get("/readyz")
            said = answer.status_code, answer.json()["reasons"]
            if said == (503 if reasons else 200, [*reasons]):
                return
            await asyncio.sleep(0.1)  # another process's state, which sends no event


async def weather(
    drill: Campaign, trouble: AbstractAsyncContextManager[None], reply: str, reason: str
) -> Accounts:
    """Let trouble come under load and go again; what is asserted holds of any trouble."""
    load, gateway = drill.load, drill.gateway
    await load.until(lambda load: len(load.taken) >= 20)
    async with trouble:
        await load.until(lambda load: load.refusals.total() >= 20)
        await until_ready(gateway, f"spool: {reason}")
        assert (await gateway.get("/livez")).status_code == 200
    taken = len(load.taken)
    await load.until(lambda load: len(load.taken) >= taken + 20)
    await until_ready(gateway)
    books = await drill.settle()
    assert set(load.refusals) == {reply}, "the same at MAIL and after the data"
    assert gateway.lines("process_ended") == [{"event": "process_ended", "code": 0}]
    return books


@needs_strace
@pytest.mark.parametrize(
    ("fault", "reply", "reason"),
    [
        (fault, "452 4.3.1", NO_ROOM) if "ENOSPC" in fault else (fault, "451 4.3.0", FAILS)
        for fault in FAILING_CALLS
    ],
)
async def test_calls_that_fail_for_a_while(
    tmp_path: Path, chance: random.Random, fault: str, reply: str, reason: str
) -> None:
    """T1, T2, T20: never 250, never 5xx; afterwards mail flows by itself and nothing is lost."""
    async with campaign(tmp_path, chance) as drill:
        await drill.live()
        books = await weather(drill, injected(drill.gateway.pid, fault), reply, reason)
    books.check()


@pytest.mark.parametrize("octets", [100, LARGE], ids=["rows", "files"])
async def test_disk_full_for_a_while(
    tmp_path: Path, small: Path, chance: random.Random, octets: int
) -> None:
    """T20: 452 4.3.1 and not ready while the disk is full; room again, and mail flows."""
    letters = mixed_letters(large_every=1 if octets == LARGE else 10**9)
    spool = {"url": f"sqlite:///{small}/spool.db"}
    async with campaign(tmp_path, chance, letters=letters, sessions=4, spool=spool) as drill:
        await drill.live()
        books = await weather(drill, full(small), "452 4.3.1", NO_ROOM)
    books.check()


@needs_strace
@pytest.mark.parametrize("octets", [100, LARGE], ids=["row", "file"])
async def test_a_failed_commit_that_the_next_start_finds(
    tmp_path: Path, chance: random.Random, octets: int
) -> None:
    """
    T1, T2: the sync of the log failed, what it should have synced was written all the same.

    The client reads 451 and sends the letter again; the one that turns up after the crash is whole,
    with its content, and nobody has to release it.
    """
    async with campaign(tmp_path, chance, letters=iter(()), sessions=0) as drill:
        await drill.live()
        log = f"{drill.gateway.spool_path}-wal"
        failing = ("-o", os.devnull, "-P", log, "-e", "trace=fsync,fdatasync")
        fault = ("-e", "inject=fsync,fdatasync:error=EIO")
        async with attached(drill.gateway.pid, *failing, *fault):
            sending = asyncio.create_task(drill.load.send(a_load_letter(1, octets=octets)))
            await drill.load.until(lambda load: load.refusals.total() >= 1)
            await drill.gateway.kill()
        books = await drill.close_the_books()
        await sending
    assert set(drill.load.refusals) == {"451 4.3.0"}
    books.check()
    assert (books.letters, books.handed_over, books.sent_again) == (1, 1, 1)


@asynccontextmanager
async def full(folder: Path) -> AsyncIterator[None]:
    with filled(folder):
        yield


@pytest.mark.parametrize("disk", ["ext4"], indirect=True)
@pytest.mark.parametrize(
    ("how", "reason"),
    [("turns read-only", "the spool is read-only"), ("is gone", "the spool cannot be opened")],
)
async def test_disk_that_does_not_come_back(
    tmp_path: Path, disk: Disk, chance: random.Random, how: str, reason: str
) -> None:
    """T1, T20: what was taken before survives; until then 451, and `/readyz` says why."""
    async with campaign(tmp_path, chance, letters=iter(()), sessions=0, disk=disk) as drill:
        await drill.live()
        await drill.load.send(a_load_letter(1, "never1@example.org"))
        await drill.load.send(a_load_letter(2, "never2@example.org", octets=LARGE))
        if how == "is gone":
            disk.cut_power()
        else:
            disk.turn_read_only()
        waiting = asyncio.create_task(drill.load.send(a_load_letter(3)))
        await drill.load.until(lambda load: load.refusals.total() >= 10)
        await until_ready(drill.gateway, f"spool: {reason}")
        await drill.gateway.kill()
        disk.unmount()
        disk.mount()
        books = await drill.close_the_books()
        await waiting
    assert set(drill.load.refusals) == {"451 4.3.0"}
    books.check()
    assert (books.letters, books.waiting, books.handed_over) == (3, 2, 1)
