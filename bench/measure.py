"""
What a relay costs: processor time and memory of all its processes, read from /proc (Linux).

A relay is known by the process it was started as; its family is that process and all below it.
Processor time includes that of children which have ended and were waited for, so that a relay which
works by short-lived processes is charged for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PSS = re.compile(rb"^Pss: +(\d+) kB$", re.MULTILINE)
_SAMPLE_EVERY_S = 0.03
_QUIET_FOR_S = 0.1


def family(root: int) -> dict[int, float]:
    """The process `root` and all below it, each with the processor seconds charged to it."""
    table = dict(_processes())
    found: dict[int, float] = {}
    wanted = {root}
    while wanted:
        found |= {pid: table[pid][1] for pid in wanted if pid in table}
        wanted = {pid for pid, (parent, _) in table.items() if parent in wanted} - found.keys()
    return found


def cpu_seconds(root: int) -> float:
    """Processor time of the family so far; the kernel counts in steps of 10 ms per process."""
    return sum(family(root).values())


def pss_octets(root: int) -> int:
    """Proportional set size of the family: a page shared by n processes counts 1/n in each."""
    return sum(_pss_of(pid) for pid in family(root))


class Peak:
    """The largest of what it was shown."""

    def __init__(self) -> None:
        self.octets = 0

    def see(self, octets: int) -> None:
        """Remember it when it is the largest so far."""
        self.octets = max(self.octets, octets)


@contextlib.asynccontextmanager
async def watched(root: int, peak: Peak) -> AsyncIterator[None]:
    """
    Sample the family's PSS while the block runs.

    Reading it makes the kernel walk every page table, so no block that is timed may be watched.
    """

    async def sample() -> None:
        while True:
            peak.see(pss_octets(root))
            await asyncio.sleep(_SAMPLE_EVERY_S)

    task = asyncio.create_task(sample())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def settled(root: int, within_s: float) -> None:
    """
    Wait until the family no longer uses the processor: what trails behind a load is done.

    Gives up silently after `within_s`; a relay that is never quiet is charged for it anyway.
    """
    deadline = time.monotonic() + within_s
    before = -1.0
    while (now := cpu_seconds(root)) != before and time.monotonic() < deadline:
        before = now
        await asyncio.sleep(_QUIET_FOR_S)


def _processes() -> Iterator[tuple[int, tuple[int, float]]]:
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):  # it has ended since
            # The name in brackets may hold blanks and brackets itself (proc(5)).
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            yield int(entry.name), (int(fields[1]), sum(map(int, fields[11:15])) / _TICKS_PER_S)


def _pss_of(pid: int) -> int:
    try:
        found = _PSS.search((_PROC / str(pid) / "smaps_rollup").read_bytes())
    except OSError:  # it has ended since
        return 0
    return int(found[1]) * 1024 if found else 0
