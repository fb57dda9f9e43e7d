"""The batcher without a database: who shares, who fails, who is answered."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from gateway.errors import SpoolError, SpoolFull, SpoolUnavailable
from gateway.spool import batcher as batcher_module
from gateway.spool.batcher import Batcher
from gateway.spool.engine import Trouble


class Disk:
    """Transactions as lists of what was done; fails as told, and stands still until let go."""

    def __init__(self) -> None:
        self.committed: list[list[Any]] = []
        self.failures: list[Exception] = []  # raised by the next commits, in this order
        self.ill: Exception | None = None  # raised by every commit
        self.going = threading.Event()
        self.going.set()
        self.probed: list[int] = []

    @contextmanager
    def begin(self) -> Iterator[list[Any]]:
        done: list[Any] = []
        yield done
        self.going.wait(60)
        if self.failures:
            raise self.failures.pop(0)
        if self.ill is not None:
            raise self.ill
        self.committed.append(done)

    def probe(self, done: list[Any], octets: int) -> None:
        done.append("probe")
        self.probed.append(octets)


class Failed(Exception):
    """What the disk raises; the trouble it stands for."""

    def __init__(self, error: SpoolError, *, ill: bool = True) -> None:
        super().__init__()
        self.trouble = Trouble(error, ill)


NO_ROOM = Failed(SpoolFull("no room"))
BROKEN = Failed(SpoolUnavailable("broken"))
TAKEN = Failed(SpoolUnavailable("taken"), ill=False)


def trouble_from(error: Exception) -> Trouble | None:
    return error.trouble if isinstance(error, Failed) else None


def write(done: list[Any], values: Sequence[Any]) -> Sequence[str]:
    done.extend(values)
    return [f"wrote {value}" for value in values]


def erase(done: list[Any], values: Sequence[Any]) -> Sequence[None]:
    for value in values:
        if value == "bug":
            raise KeyError(value)
        done.append(f"erased {value}")
    return [None] * len(values)


@pytest.fixture
def disk() -> Disk:
    return Disk()


MakeBatcher = Callable[..., Batcher[list[Any]]]


@pytest.fixture
async def make(disk: Disk) -> AsyncIterator[MakeBatcher]:
    """Build batchers on the disk; started here, closed at the end."""
    made = []

    def make_one(**more: Any) -> Batcher[list[Any]]:
        batcher = Batcher(
            begin=disk.begin,
            trouble_from=trouble_from,
            probe=disk.probe,
            **{"probe_every_s": 0.01, **more},
        )
        batcher.start()
        made.append(batcher)
        return batcher

    yield make_one
    disk.going.set()
    for batcher in made:
        await batcher.aclose()


async def test_each_caller_gets_its_own_result(disk: Disk, make: MakeBatcher) -> None:
    """Work runs over all that wait of its kind, and answers one by one."""
    batcher = make()
    disk.going.clear()
    first = batcher.submit(write, 0)
    rest = [batcher.submit(write, n) for n in (1, 2)], batcher.submit(erase, 3)
    disk.going.set()
    assert await asyncio.gather(first, *rest[0], rest[1]) == ["wrote 0", "wrote 1", "wrote 2", None]
    assert [value for done in disk.committed for value in done] == [0, 1, 2, "erased 3"]
    assert len(disk.committed) <= 3


async def test_a_turn_of_the_loop_shares_a_commit(disk: Disk, make: MakeBatcher) -> None:
    """However quick the thread is: twenty sessions that wake together wait for one sync."""
    batcher = make()
    jobs = [batcher.submit(write, n) for n in range(20)]
    await asyncio.gather(*jobs)
    assert disk.committed == [list(range(20))]


async def test_a_patient_job_shares_the_next_commit(
    disk: Disk, make: MakeBatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What became of a letter is written along with the next letter's admission."""
    monkeypatch.setattr(batcher_module, "PATIENCE_S", 20)
    batcher = make()
    patient = [batcher.submit(write, "outcome", patient=True)]
    await asyncio.sleep(0)
    patient.append(batcher.submit(write, "another", patient=True))
    await asyncio.sleep(0)
    await batcher.submit(write, "letter", letters=1)
    await asyncio.gather(*patient)
    assert disk.committed == [["outcome", "another", "letter"]]


async def test_patience_ends(disk: Disk, make: MakeBatcher) -> None:
    """Also where no other job comes; and closing waits for nobody's patience."""
    batcher = make()
    assert await batcher.submit(write, 1, patient=True) == "wrote 1"
    last = batcher.submit(write, 2, patient=True)
    await batcher.aclose()
    assert await last == "wrote 2"
    assert disk.committed == [[1], [2]]


async def test_commits_are_told_with_their_letters(disk: Disk, make: MakeBatcher) -> None:
    """Metrics count letters, not jobs, and every commit once."""
    told: list[tuple[float, int]] = []
    batcher = make(on_commit=lambda seconds, letters: told.append((seconds, letters)))
    disk.going.clear()
    waiting = [batcher.submit(write, 0, letters=1)]
    waiting += [batcher.submit(write, n, letters=n % 2) for n in range(1, 6)]
    disk.going.set()
    await asyncio.gather(*waiting)
    assert sum(letters for _, letters in told) == 4
    assert len(told) == len(disk.committed)
    assert all(seconds > 0 for seconds, _ in told)


async def test_a_bug_in_one_job_is_its_callers_alone(disk: Disk, make: MakeBatcher) -> None:
    """Jobs that shared the transaction are done again, each alone."""
    batcher = make()
    disk.going.clear()
    jobs = [batcher.submit(write, 0), batcher.submit(erase, 1), batcher.submit(erase, "bug")]
    jobs += [batcher.submit(erase, 2), batcher.submit(write, 3)]
    disk.going.set()
    results = await asyncio.gather(*jobs, return_exceptions=True)
    assert isinstance(results[2], KeyError)
    assert [results[n] for n in (0, 1, 3, 4)] == ["wrote 0", None, None, "wrote 3"]
    assert batcher.trouble() is None
    written = sorted(str(value) for done in disk.committed for value in done)
    assert written == ["0", "3", "erased 1", "erased 2"]


async def test_what_concerns_all_is_not_tried_one_by_one(disk: Disk, make: MakeBatcher) -> None:
    """A store that is locked or broken would make every one of a hundred callers wait in turn."""
    batcher = make()
    disk.going.clear()
    first = batcher.submit(write, 0)
    rest = [batcher.submit(write, n) for n in range(1, 9)]
    await asyncio.sleep(0)
    disk.failures += [BROKEN] * 2
    disk.going.set()
    results = await asyncio.gather(first, *rest, return_exceptions=True)
    refused = [result for result in results if isinstance(result, SpoolUnavailable)]
    assert len(refused) >= 8
    assert disk.failures == [] or len(refused) == 9
    assert len({id(error) for error in refused}) == len(refused), "each raises its own"
    assert all(error.__cause__ is BROKEN for error in refused)


async def test_want_of_room_is_tried_one_by_one(disk: Disk, make: MakeBatcher) -> None:
    """One great letter that does not fit must not keep the small ones out."""
    batcher = make()
    disk.going.clear()
    jobs = [batcher.submit(write, n) for n in range(1)]
    disk.going.set()
    await asyncio.gather(*jobs)
    disk.going.clear()
    first = batcher.submit(write, "first")
    await asyncio.sleep(0)
    small = [batcher.submit(write, n) for n in range(3)]
    disk.failures += [NO_ROOM, NO_ROOM]  # of "first" alone or with some, then of the next alone
    disk.going.set()
    results = await asyncio.gather(first, *small, return_exceptions=True)
    assert sum(isinstance(result, SpoolFull) for result in results) <= 2
    assert sum(isinstance(result, str) for result in results) >= 2


async def test_a_refused_value_does_not_make_the_store_ill(disk: Disk, make: MakeBatcher) -> None:
    """A queue id taken twice says nothing about the disk."""
    batcher = make()
    disk.failures.append(TAKEN)
    with pytest.raises(SpoolUnavailable, match="taken"):
        await batcher.submit(write, 1)
    assert batcher.trouble() is None


async def test_illness_is_told_and_ends_by_itself(disk: Disk, make: MakeBatcher) -> None:
    """T20: recovery without a hand: the thread probes while nobody writes."""
    told: asyncio.Queue[str | None] = asyncio.Queue()
    batcher = make(on_health=told.put_nowait)
    disk.ill = BROKEN
    with pytest.raises(SpoolUnavailable, match="broken"):
        await batcher.submit(write, 1)
    assert str(batcher.trouble()) == "broken"
    assert await told.get() == "broken"
    disk.ill = None
    async with asyncio.timeout(60):
        assert await told.get() is None
    assert batcher.trouble() is None
    assert disk.committed == [["probe"]]


async def test_a_write_that_succeeds_ends_illness_once_the_probe_agrees(
    disk: Disk, make: MakeBatcher
) -> None:
    """A small write that fits says nothing of the letter that did not: the probe asks for it."""
    told: asyncio.Queue[str | None] = asyncio.Queue()
    batcher = make(on_health=told.put_nowait, probe_every_s=1000)
    disk.failures.append(NO_ROOM)
    with pytest.raises(SpoolFull):
        await batcher.submit(write, 1, octets=5000)
    assert await told.get() == "no room"
    assert await batcher.submit(write, 2) == "wrote 2"
    async with asyncio.timeout(60):
        assert await told.get() is None
    assert disk.probed == [5000]


async def test_trouble_told_from_outside_is_probed_too(disk: Disk, make: MakeBatcher) -> None:
    """A file that could not be written beside the store makes it unhealthy, until it could be."""
    told: asyncio.Queue[str | None] = asyncio.Queue()
    batcher = make(on_health=told.put_nowait)
    disk.going.clear()  # no probe comes to its end before we have looked
    batcher.report(NO_ROOM.trouble, 7000)
    assert str(batcher.trouble()) == "no room"
    disk.going.set()
    assert await told.get() == "no room"
    async with asyncio.timeout(60):
        assert await told.get() is None
    assert disk.probed == [7000]


async def test_content_that_waits_is_bounded(disk: Disk, make: MakeBatcher) -> None:
    """A disk that stands still does not grow the process; one letter may always wait."""
    batcher = make(max_waiting_octets=1000)
    disk.going.clear()
    waiting = [batcher.submit(write, "huge", octets=5000)]
    with pytest.raises(SpoolFull, match="too many letters"):
        batcher.submit(write, "one more", octets=1)
    with pytest.raises(SpoolFull, match="too many letters"):
        batcher.reserve(1)
    waiting.append(batcher.submit(write, "no content"))
    disk.going.set()
    await asyncio.gather(*waiting)
    batcher.reserve(1000)
    with pytest.raises(SpoolFull, match="too many letters"):
        batcher.submit(write, 2, octets=1)
    batcher.release(1000)
    assert await batcher.submit(write, 2, octets=1000) == "wrote 2"


async def test_a_cancelled_caller_leaves_its_job_and_all_others(
    disk: Disk, make: MakeBatcher
) -> None:
    """Nobody hears of it: the job is done, the others get their answers, the octets are free."""
    batcher = make(max_waiting_octets=100)
    disk.going.clear()
    jobs = [batcher.submit(write, n, octets=10) for n in range(5)]
    jobs[0].cancel()
    jobs[3].cancel()
    disk.going.set()
    results = await asyncio.gather(*jobs, return_exceptions=True)
    assert [type(result) for result in results] == [
        asyncio.CancelledError,
        str,
        str,
        asyncio.CancelledError,
        str,
    ]
    assert sorted(value for done in disk.committed for value in done) == [0, 1, 2, 3, 4]
    await batcher.submit(write, 5, octets=100)


async def test_closing_does_what_waits_and_takes_no_more(disk: Disk, make: MakeBatcher) -> None:
    """What was taken is done, also when the store is ill at the end."""
    batcher = make()
    jobs = [batcher.submit(write, n) for n in range(3)]
    closing = asyncio.ensure_future(batcher.aclose())
    await asyncio.sleep(0)
    with pytest.raises(SpoolUnavailable, match="closed"):
        batcher.submit(write, 4)
    assert await asyncio.gather(*jobs) == ["wrote 0", "wrote 1", "wrote 2"]
    await closing
    await batcher.aclose()


async def test_closing_while_ill(disk: Disk, make: MakeBatcher) -> None:
    """A gateway on a broken disk still stops."""
    batcher = make()
    disk.ill = BROKEN
    with pytest.raises(SpoolUnavailable):
        await batcher.submit(write, 1)
    async with asyncio.timeout(60):
        await batcher.aclose()


def test_a_loop_that_is_gone_stops_nobody(disk: Disk) -> None:
    """A command interrupted in mid-write: the thread does not die of a closed loop."""
    disk.going.clear()

    async def begin() -> Batcher[list[Any]]:
        batcher = Batcher(begin=disk.begin, trouble_from=trouble_from, probe=disk.probe)
        batcher.start()
        batcher.submit(write, 1)
        return batcher

    batcher = asyncio.run(begin())
    disk.going.set()
    asyncio.run(batcher.aclose())
    assert disk.committed == [[1]]
