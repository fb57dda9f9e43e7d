"""
Every sync of a letter's way: in the right order, and each in turn the last thing the gateway did.

What failing syncs and writes do is in `test_failing_disk`.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.queue_id import number_from_queue_id
from tests.crash.campaign import LARGE, Campaign, campaign
from tests.crash.disk import Disk, NoDisk
from tests.crash.strace import Call, attached, read_calls, reason_without
from tests.support.load import a_load_letter

pytestmark = pytest.mark.skipif(bool(reason_without()), reason=reason_without() or "-")

SYNCS = ("fsync", "fdatasync")
FEWEST = 3  # a letter's admission, its attempt's start, its outcome
TRAILING_S = 10.0  # what is synced behind a job's end is synced by then
Step = Callable[[Campaign], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Sync:
    """The `nth` sync of its kind on a path; a letter's own file, named by chance, is no path."""

    name: str
    path: Path | None
    nth: int

    def deadly(self, spool: Path) -> list[str]:
        """Options of strace that let the gateway die of it, with its spool in this folder."""
        options = ["-o", os.devnull, "-e", f"trace={self.name}"]
        options += ["-e", f"inject={self.name}:signal=KILL:when={self.nth}"]
        return options if self.path is None else [*options, "-P", str(spool / self.path)]


@asynccontextmanager
async def idle(
    folder: Path, chance: random.Random, spool: Path | None = None
) -> AsyncIterator[Campaign]:
    """A gateway that has nothing to do yet, its spool in a folder of its own."""
    config: dict[str, Any] = {"spool": {"url": f"sqlite:///{spool or folder}/spool.db"}}
    async with campaign(folder, chance, letters=iter(()), sessions=0, **config) as drill:
        await drill.live()
        yield drill


async def deliver(drill: Campaign) -> None:
    """A large letter, and when it has left a small one."""
    for letter in (a_load_letter(1, octets=LARGE), a_load_letter(2)):
        await drill.load.send(letter)
        await drill.drained()


async def stop(drill: Campaign) -> None:
    """An orderly end."""
    await drill.gateway.stop()


@dataclass(frozen=True, slots=True)
class Job:
    """Something whose syncs are counted, after something whose syncs are not."""

    before: tuple[Step, ...]
    counted: Step

    async def prepare(self, drill: Campaign) -> None:
        for step in self.before:
            await step(drill)


JOBS = [
    pytest.param(Job((), deliver), id="letters"),
    pytest.param(Job((deliver,), stop), id="stop"),
]


async def syncs_of(job: Job, folder: Path, chance: random.Random) -> list[Sync]:
    """Do a job under strace and see what it syncs, in order; paths are relative to `folder`."""
    trace = folder / "trace"
    options = ("-y", "-o", str(trace), "-e", f"trace={','.join(SYNCS)}")
    async with idle(folder, chance) as drill:
        await job.prepare(drill)
        async with attached(drill.gateway.pid, *options):
            await job.counted(drill)
    counts: Counter[tuple[str, Path | None]] = Counter()
    found = []
    for call in read_calls(trace):
        what = call.name, None if is_a_letter(call) else call.path.relative_to(folder)
        counts[what] += 1
        found.append(Sync(*what, counts[what]))
    return found


def is_a_letter(call: Call) -> bool:
    return number_from_queue_id(call.path.name) is not None


async def test_250_comes_after_the_syncs(tmp_path: Path, chance: random.Random) -> None:
    """T1, T13: content, its folder and the row reach the disk in this order, then the answer."""
    trace = tmp_path / "trace"
    async with idle(tmp_path, chance) as drill:
        wanted = "trace=fsync,fdatasync,write,writev,sendto,sendmsg"
        options = ("-y", "-s", "40", "-o", str(trace), "-e", wanted)
        async with attached(drill.gateway.pid, *options):
            await drill.load.send(a_load_letter(1, octets=LARGE))
            await drill.drained()
    spool = drill.gateway.spool_path
    told = []
    for call in read_calls(trace):
        if call.name in SYNCS:
            told.append("the content" if is_a_letter(call) else call.path.name)
        elif call.octets.startswith("250 2.0.0 Ok: queued"):
            told.append("250")
    until_250 = told[: told.index("250")]
    assert until_250[-3:] == ["the content", f"{spool.name}.large", f"{spool.name}-wal"]
    # The folder of large contents was made for this letter: its own name is synced before.
    assert until_250[:-3] == [spool.parent.name]


@pytest.mark.parametrize("job", JOBS)
async def test_killed_at_each_sync(tmp_path: Path, chance: random.Random, job: Job) -> None:
    """
    T2, T13: a gateway whose last deed is the n-th sync of a job, for every n there is.

    Where there can be a disk for it, its power goes at the same moment, so that what was not
    synced until then is not there.
    """
    with ExitStack() as stack:
        disk = None
        with suppress(NoDisk):
            disk = stack.enter_context(Disk(tmp_path, "ext4"))
        syncs = await syncs_of(job, tmp_path, chance)
        assert len(syncs) >= 3, syncs
        for number, sync in enumerate(syncs):
            spool = (disk.folder if disk else tmp_path) / f"{number}"
            async with killed_at(sync, job, tmp_path, spool, chance) as drill:
                if drill is None:
                    # Records that came together shared a sync this time: it had one less.
                    assert number >= FEWEST, f"{sync} was not reached"
                    break
                if disk is not None:
                    disk.lose_power()
                assert drill.missing_now() == []
                books = await drill.close_the_books()
            books.check()


@asynccontextmanager
async def killed_at(
    sync: Sync, job: Job, folder: Path, spool: Path, chance: random.Random
) -> AsyncIterator[Campaign | None]:
    """A job done until a sync of it kills the gateway, on a new spool; `None` if it did not."""
    async with idle(folder, chance, spool) as drill:
        await job.prepare(drill)
        async with attached(drill.gateway.pid, *sync.deadly(spool)):
            doing = asyncio.create_task(job.counted(drill))
            killed = asyncio.create_task(drill.gateway.ended())
            await asyncio.wait((doing, killed), return_when=asyncio.FIRST_COMPLETED)
            with suppress(TimeoutError):  # what trails behind the job is over soon
                async with asyncio.timeout(TRAILING_S):
                    await asyncio.shield(killed)
        for task in (doing, killed):
            task.cancel()
        await asyncio.gather(doing, killed, return_exceptions=True)
        dead = killed.done() and not killed.cancelled() and killed.result() == -signal.SIGKILL
        yield drill if dead else None
