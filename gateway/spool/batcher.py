"""
Group commit: one writer thread, one transaction and one sync for whatever waits.

Calls from the event loop queue up as jobs; those of one turn of the loop reach the thread together,
for each put would have it ask for the interpreter that the loop still holds. Each wake-up of the
thread takes all that wait, runs those of one kind together, commits once, and answers all callers
with one call back into the loop. A lone letter waits for nobody; letters that come during a sync
share the next. Knows neither tables nor engines: it is given how to begin a transaction, what an
error means and how to probe.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

from gateway.errors import SpoolError, SpoolFull, SpoolUnavailable
from gateway.spool.engine import Trouble

T = TypeVar("T")
A = TypeVar("A")
R = TypeVar("R")

Work = Callable[[T, Sequence[A]], Sequence[R]]
"""One kind of job over all arguments that wait for it: a result for each, in their order."""

OnCommit = Callable[[float, int], None]
"""Told, in the event loop, the seconds of each commit and how many letters it admitted."""

OnHealth = Callable[[str | None], None]
"""Told, in the event loop, why nothing can be written any more, or `None` when it can again."""

MAX_WAITING_OCTETS = 256 << 20  # the last bound; those who bring letters have theirs
_MAX_JOBS = 1000  # bounds how long one transaction keeps everybody waiting
_MAX_OCTETS = 16 << 20
PATIENCE_S = 0.005
"""
For so long patient jobs wait for others that have to be written anyway, to share their sync.

It adds to the moment between a provider's answer and its record, which a round trip to a provider
is longer than by far.
"""


class _Signal(Enum):
    """What can come through the queue beside jobs."""

    LOOK = "look"  # we have become unhealthy meanwhile
    CLOSE = "close"  # nothing comes after this


@dataclass(slots=True, eq=False)
class _Job(Generic[T]):
    work: Work[T, Any, Any]
    argument: Any
    octets: int
    letters: int
    patient: bool
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None


class Batcher(Generic[T]):
    """
    Runs jobs in as few transactions as there can be.

    Args:
        begin: Opens a transaction for the thread; leaving it commits, an exception undoes it.
        trouble_from: What an exception out of it means; `None` for a bug.
        probe: Writes and undoes nothing of value; raises while a letter of so many octets could
            not be written.
        max_waiting_octets: Contents that wait at once; one may always.
        on_commit: Told of each commit.
        on_health: Told when the reason of `trouble` changes.
        probe_every_s: How often to probe while unhealthy, in seconds.
    """

    def __init__(
        self,
        *,
        begin: Callable[[], AbstractContextManager[T]],
        trouble_from: Callable[[Exception], Trouble | None],
        probe: Callable[[T, int], None],
        max_waiting_octets: int = MAX_WAITING_OCTETS,
        on_commit: OnCommit | None = None,
        on_health: OnHealth | None = None,
        probe_every_s: float = 1.0,
    ) -> None:
        self._begin = begin
        self._trouble_from = trouble_from
        self._probe = probe
        self._on_commit = on_commit
        self._on_health = on_health
        self._probe_every_s = probe_every_s
        self._max_waiting_octets = max_waiting_octets
        self._loop = asyncio.get_running_loop()
        self._fresh: list[_Job[T]] = []  # of this turn of the loop
        self._queue: queue.SimpleQueue[list[_Job[T]] | _Signal] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._closed = False
        self._waiting_octets = 0  # counted in the loop alone
        self._trouble: SpoolError | None = None
        self._wanted_octets = 0  # of the letter that found no room

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def trouble(self) -> SpoolError | None:
        """Why the last write failed, until one succeeds; any thread may ask."""
        return self._trouble

    def submit(
        self,
        work: Work[T, A, R],
        argument: A,
        *,
        octets: int = 0,
        letters: int = 0,
        patient: bool = False,
    ) -> asyncio.Future[R]:
        """
        Queue a job; to be called in the event loop.

        Args:
            work: What to do with it, together with others of its kind.
            argument: Of this job.
            octets: Of the content it carries; a job without content is never refused for space.
            letters: How many letters it admits.
            patient: Nobody waits for it: it may wait `PATIENCE_S` for a sync that others need.

        Returns:
            Its result, once it is on disk. Cancelling it disturbs neither the job nor others.
            `SpoolFull` and `SpoolUnavailable` come from it, and whatever the work itself raises.

        Raises:
            SpoolFull: Too much waits.
            SpoolUnavailable: The spool is closed.
        """
        if self._closed:
            raise SpoolUnavailable("the spool is closed")
        self.reserve(octets)
        future: asyncio.Future[R] = self._loop.create_future()
        if not self._fresh:
            self._loop.call_soon(self._pass_on)
        self._fresh.append(_Job(work, argument, octets, letters, patient, future))
        return future

    def _pass_on(self) -> None:
        """Give the thread what this turn of the loop has brought."""
        if self._fresh:
            self._queue.put(self._fresh)
            self._fresh = []

    def reserve(self, octets: int) -> None:
        """
        Count content as waiting; `release` must follow. What has none is never refused.

        Raises:
            SpoolFull: Too much waits.
        """
        waiting = self._waiting_octets
        if octets and waiting and waiting + octets > self._max_waiting_octets:
            raise SpoolFull("too many letters wait for the disk")
        self._waiting_octets += octets

    def release(self, octets: int) -> None:
        """Content does not wait any more."""
        self._waiting_octets -= octets

    def report(self, trouble: Trouble, octets: int) -> None:
        """Be unhealthy for a failed write that was not a job's, and probe until it would work."""
        self._note(trouble, octets)
        self._queue.put(_Signal.LOOK)

    async def aclose(self) -> None:
        """Do what waits, then end the thread; may be called twice."""
        if not self._closed:
            self._closed = True
            self._pass_on()
            self._queue.put(_Signal.CLOSE)
        await asyncio.to_thread(self._thread.join)

    # What follows runs in the thread, down to `_resolve`.

    def _run(self) -> None:
        going_on = True
        while going_on:
            try:
                first = self._queue.get(timeout=self._probe_every_s if self._trouble else None)
            except queue.Empty:
                self._examine()
                continue
            jobs, going_on = self._gather(first)
            if jobs:
                self._do(jobs)

    def _gather(self, first: list[_Job[T]] | _Signal) -> tuple[list[_Job[T]], bool]:
        """All that wait, up to the bounds; and whether more may come."""
        jobs: list[_Job[T]] = []
        octets = 0
        until: float | None = None  # while only patient ones are there
        item = first
        while item is not _Signal.CLOSE:
            if isinstance(item, list):
                jobs += item
                octets += sum(job.octets for job in item)
            if len(jobs) >= _MAX_JOBS or octets >= _MAX_OCTETS:
                return jobs, True
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                if not all(job.patient for job in jobs):
                    return jobs, True
                until = until or time.monotonic() + PATIENCE_S
                try:
                    item = self._queue.get(timeout=max(0.0, until - time.monotonic()))
                except queue.Empty:
                    return jobs, True
        return jobs, False

    def _do(self, jobs: list[_Job[T]]) -> None:
        started = time.perf_counter()
        trouble = self._attempt(jobs)
        commits = []
        if trouble is None:
            commits.append((time.perf_counter() - started, sum(job.letters for job in jobs)))
        elif _is_worth_another_try(trouble, len(jobs)):
            for job in jobs:
                job.error = None
                started = time.perf_counter()
                if self._attempt([job]) is None:
                    commits.append((time.perf_counter() - started, job.letters))
        self._call_in_loop(self._resolve, jobs, commits)
        if self._trouble is not None and commits:
            self._examine()

    def _attempt(self, jobs: list[_Job[T]]) -> Exception | Trouble | None:
        """Run jobs in one transaction; on failure, all have the error."""
        try:
            with self._begin() as transaction:
                for work, alike in _by_kind(jobs).items():
                    results = work(transaction, [job.argument for job in alike])
                    for job, result in zip(alike, results, strict=True):
                        job.result = result
        except Exception as error:  # noqa: BLE001 (nobody may wait for ever; callers raise it)
            trouble = self._trouble_from(error)
            if trouble is not None and trouble.ill:
                self._note(trouble, max(job.octets for job in jobs))
            for job in jobs:
                job.error = error if trouble is None else _own_error(trouble, error)
            return trouble or error
        return None

    def _examine(self) -> None:
        """Try whether writing works again."""
        try:
            with self._begin() as transaction:
                self._probe(transaction, self._wanted_octets)
        except Exception as error:  # noqa: BLE001 (a probe that fails in any way leaves us ill)
            trouble = self._trouble_from(error)
            if trouble is not None:
                self._note(trouble, self._wanted_octets)
            return
        self._wanted_octets = 0
        self._set_trouble(None)

    def _note(self, trouble: Trouble, octets: int) -> None:
        self._wanted_octets = octets if isinstance(trouble.error, SpoolFull) else 0
        self._set_trouble(trouble.error)

    def _set_trouble(self, error: SpoolError | None) -> None:
        before, self._trouble = self._trouble, error
        reason = None if error is None else error.reason
        changed = reason != (None if before is None else before.reason)
        if changed and self._on_health is not None:
            self._call_in_loop(self._on_health, reason)

    def _call_in_loop(self, function: Callable[..., None], *arguments: object) -> None:
        # A loop that is closed has taken with it everybody who could wait for an answer.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)

    def _resolve(self, jobs: list[_Job[T]], commits: list[tuple[float, int]]) -> None:
        """In the loop: let the callers go on."""
        for job in jobs:
            self.release(job.octets)
            if job.future.done():
                continue  # its caller was cancelled
            if job.error is None:
                job.future.set_result(job.result)
            else:
                job.future.set_exception(job.error)
        if self._on_commit is not None:
            for seconds, letters in commits:
                self._on_commit(seconds, letters)


def _by_kind(jobs: list[_Job[T]]) -> dict[Work[T, Any, Any], list[_Job[T]]]:
    # Calls that wait at the same time have no order among them, so their kinds may have one.
    kinds: dict[Work[T, Any, Any], list[_Job[T]]] = {}
    for job in jobs:
        kinds.setdefault(job.work, []).append(job)
    return kinds


def _is_worth_another_try(trouble: Exception | Trouble, jobs: int) -> bool:
    """Whether each job alone may succeed: where it was one value, want of room, or a deadlock."""
    if isinstance(trouble, Trouble) and not isinstance(trouble.error, SpoolFull):
        return not trouble.ill and (jobs > 1 or trouble.again)
    return jobs > 1


def _own_error(trouble: Trouble, cause: Exception) -> SpoolError:
    """An error for one caller: each raises its own, with its own traceback."""
    error = type(trouble.error)(trouble.error.reason)
    error.__cause__ = cause
    return error
