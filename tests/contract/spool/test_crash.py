"""Processes killed with SIGKILL: what was told as done stays, what was half-done is not seen."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.domain.lifecycle import State
from gateway.spool.bodies import LARGE_OCTETS
from gateway.spool.values import CutShort, Filter, Recovery
from tests.contract.spool.conftest import OpenSpool
from tests.contract.spool.engines import ON_SQLITE, SpoolEngine
from tests.support.letters import a_letter, starts_of
from tests.support.manual_clock import ManualClock

PROJECT = Path(__file__).parents[3]
SIZES = pytest.mark.parametrize("octets", [1000, LARGE_OCTETS], ids=["small", "large"])


def run_and_kill(store: SpoolEngine, deed: str, octets: int = 0) -> str:
    """Run a child until it has done its deed or died of it; the queue id it told, or empty."""
    command = [sys.executable, "-m", "tests.support.spool_child", store.url, deed, str(octets)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT) as child:
        assert child.stdout is not None
        told = child.stdout.readline().strip()
        child.kill()
        assert child.wait() == -signal.SIGKILL
    assert bool(told) != deed.startswith("die"), "the child did not get as far as it should"
    return told


@SIZES
async def test_killed_right_after_admit(
    store: SpoolEngine, open_spool: OpenSpool, clock: ManualClock, octets: int
) -> None:
    """T13: kill -9 right after the answer; the letter is there, whole, and is claimed once."""
    queue_id = run_and_kill(store, "admit", octets)
    spool = await open_spool()
    now = datetime.now(UTC)
    await spool.recover(now)
    assert await spool.content(queue_id) == b"x" * octets
    assert [x.queue_id for x in (await spool.claim("main", now, 10)).letters] == [queue_id]


@SIZES
async def test_killed_before_the_commit(
    store: SpoolEngine, open_spool: OpenSpool, octets: int
) -> None:
    """Half-written is invisible: no row, no count, and at the next start no file."""
    run_and_kill(store, "die-before-commit", octets)
    spool = await open_spool()
    stats = await spool.stats(datetime.now(UTC))
    assert (stats.accepted, stats.active) == (0, {})
    assert store.litter() == set()


@ON_SQLITE
async def test_killed_between_file_and_row(store: SpoolEngine, open_spool: OpenSpool) -> None:
    """A large content whose row was never written is swept away, and only such a one."""
    kept = run_and_kill(store, "admit", LARGE_OCTETS)
    run_and_kill(store, "die-before-row", LARGE_OCTETS)
    assert len(store.litter()) == 2
    spool = await open_spool()
    assert store.litter() == {kept}
    assert (await spool.stats(datetime.now(UTC))).accepted == 1


async def test_a_killed_worker_is_replaced(
    store: SpoolEngine, open_spool: OpenSpool, clock: ManualClock
) -> None:
    """T5: a worker killed with leases held: another sends the mail, and knows what is doubtful."""
    spool = await open_spool()
    letter = a_letter(spool, clock.now(), "a@example.org", "b@example.org")
    await spool.admit(letter)
    assert run_and_kill(store, "claim") == letter.queue_id
    now = datetime.now(UTC) + timedelta(seconds=1)
    found = await spool.claim("main", now, 10)
    assert [(x.key, x.attempt) for x in found.cut_short] == [(0, 1)]
    (claimed,) = found.letters
    assert [r.recipient.key for r in claimed.recipients] == [1]
    assert await spool.start(starts_of(claimed, now)) == frozenset()
    assert (await spool.claim("main", now, 10)).letters == ()


@ON_SQLITE
async def test_the_gateway_itself_was_killed(store: SpoolEngine, open_spool: OpenSpool) -> None:
    """Its successor gets the lock at once, and finds every attempt that was under way."""
    queue_id = run_and_kill(store, "admit", 10)
    run_and_kill(store, "claim")
    spool = await open_spool()
    found = await spool.recover(datetime.now(UTC))
    assert found == Recovery(
        0, (CutShort(queue_id, 0, "bob@example.org", "main", 1, "<order-77@example.com>"),)
    )
    (row,) = await spool.list(Filter(), 10)
    assert row.state is State.UNCERTAIN
