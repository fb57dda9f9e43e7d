"""
A process that has a spool and dies by SIGKILL, when told or at a point of its own choosing.

Run as `python -m tests.support.spool_child URL DEED OCTETS`; prints the queue id once the deed is
done, then waits to be killed. Deeds whose name begins with `die` never get that far; `admit-three`
ends by itself. `fail` records a failure with a report of so many octets, and tells the report.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from gateway.clock import SystemClock
from gateway.domain.lifecycle import State
from gateway.spool.batcher import Batcher
from gateway.spool.store import SqlSpool
from gateway.spool.transaction import Transaction
from tests.support.letters import a_change, a_letter, a_start, starts_of

LEASE = timedelta(milliseconds=1)  # lapsed by the time anybody else looks


def _die(*_arguments: Any, **_named: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


LETTERS = {"admit": 1, "admit-three": 3, "die-before-commit": 1, "die-before-row": 1}
DEATHS: dict[str, tuple[type, str, Callable[..., None]]] = {
    "die-before-commit": (Transaction, "finish", _die),
    "die-before-row": (Batcher, "submit", _die),
    "die-as-letters-fail": (Transaction, "finish", _die),
}


async def main(url: str, deed: str, octets: int) -> None:
    """Do it, say so, wait."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    spool = await SqlSpool.open(
        url,
        clock=SystemClock(),
        uncertain_after=timedelta(0),
        lease=LEASE,
        exclusive=deed != "claim",
    )
    now = datetime.now(UTC)
    if deed.endswith("fail"):
        failed = a_letter(spool, now, leased=True)
        await spool.admit(failed)
        await spool.start([a_start(failed.queue_id, now)])
    if deed in DEATHS:
        place, name, die = DEATHS[deed]
        setattr(place, name, die)
    if deed.endswith("fail"):
        report = a_letter(spool, now, content=b"x" * octets)
        await spool.record([a_change(failed.queue_id, now, State.FAILED)], [report])
        _tell(report.queue_id)
    if deed == "claim":
        (letter,) = (await spool.claim("main", now, 1)).letters
        await spool.start(starts_of(letter, now)[:1])
        _tell(letter.queue_id)
    for _ in range(LETTERS.get(deed, 0)):
        fresh = a_letter(spool, now, content=b"x" * octets)
        await spool.admit(fresh)
        _tell(fresh.queue_id)
    if deed == "admit-three":
        await spool.aclose()
    else:
        await asyncio.Event().wait()


def _tell(queue_id: str) -> None:
    os.write(1, f"{queue_id}\n".encode())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
