"""
Letters whose content goes to a file: the file first, then the row that makes it count.

What has to happen around a write of the batcher where a letter is large (`bodies`), for letters
that come in and for reports that follow from an outcome. Whoever asked may go away meanwhile; what
was begun comes to its end. Sits on `batcher`, `bodies` and `passage`; the store asks it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from gateway.domain.duplicates import Repeat
from gateway.errors import SpoolInDoubt
from gateway.spool.batcher import Batcher
from gateway.spool.bodies import LARGE_OCTETS, Bodies, trouble_from_os_error
from gateway.spool.following import FollowStep
from gateway.spool.passage import Decision, Passage, Recording
from gateway.spool.rows import Values
from gateway.spool.transaction import Transaction
from gateway.spool.values import NewLetter

R = TypeVar("R")


class Filing:
    """
    Writes letters of any size.

    Args:
        bodies: Where large contents go; `None` leaves all in their rows.
        executor: Where files are written, synced and removed.
        passage: Makes rows of letters.
        batcher: Writes them.
    """

    def __init__(
        self,
        bodies: Bodies | None,
        executor: ThreadPoolExecutor,
        passage: Passage,
        batcher: Batcher[Transaction],
    ) -> None:
        self._bodies = bodies
        self._executor = executor
        self._passage = passage
        self._batcher = batcher
        self._begun: set[asyncio.Task[Any]] = set()

    async def admit(self, letter: NewLetter) -> Repeat | None:
        """Store a letter, or tell which of its recipients had it before."""
        octets = len(letter.content)
        if self._bodies is not None and octets >= LARGE_OCTETS:
            return await self._to_the_end(self._admit_large(letter, self._bodies))
        admission = self._passage.admission(letter, in_file=False)
        return await self._batcher.submit(self._passage.admit, admission, octets=octets, letters=1)

    async def decide(
        self,
        recordings: Sequence[Recording],
        letters: Sequence[NewLetter],
        notes: Sequence[Values] = (),
        step: FollowStep | None = None,
    ) -> frozenset[int]:
        """Record outcomes and what follows from them, with the letters that go with it."""
        return await self._to_the_end(self._decide(recordings, letters, notes, step))

    async def finish(self) -> None:
        """Wait for what was begun; the batcher must still be open."""
        await asyncio.gather(*self._begun, return_exceptions=True)

    async def _to_the_end(self, writing: Coroutine[Any, Any, R]) -> R:
        """Wait for it, and let it go on when the caller goes away: no file without a row."""
        task = asyncio.create_task(writing)
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)
        return await asyncio.shield(task)

    async def _admit_large(self, letter: NewLetter, bodies: Bodies) -> Repeat | None:
        octets = len(letter.content)
        admission = self._passage.admission(letter, in_file=True)
        self._batcher.reserve(octets)
        try:
            await self._write(bodies, admission.number, letter.content)
            async with self._no_file_without_row(bodies, admission.number):
                repeat = await self._batcher.submit(self._passage.admit, admission, letters=1)
        finally:
            self._batcher.release(octets)
        if repeat is not None and len(repeat.keys) == len(letter.envelope.recipients):
            bodies.remove_soon((admission.number,))
        return repeat

    async def _decide(
        self,
        recordings: Sequence[Recording],
        letters: Sequence[NewLetter],
        notes: Sequence[Values],
        step: FollowStep | None,
    ) -> frozenset[int]:
        """Files of large letters first, then all rows in one step; no row, no file."""
        bodies, admissions, inline, filed_numbers = self._bodies, [], 0, []
        async with contextlib.AsyncExitStack() as after:
            for letter in letters:
                octets = len(letter.content)
                filed = bodies is not None and octets >= LARGE_OCTETS
                admission = self._passage.admission(letter, in_file=filed)
                admissions.append(admission)
                if bodies is None or not filed:
                    inline += octets
                    continue
                self._batcher.reserve(octets)
                after.callback(self._batcher.release, octets)
                await self._write(bodies, admission.number, letter.content)
                filed_numbers.append(admission.number)
                await after.enter_async_context(self._no_file_without_row(bodies, admission.number))
            decision = Decision(recordings, admissions, notes, step)
            lost = await self._batcher.submit(
                self._passage.decide, decision, octets=inline, letters=len(letters)
            )
        if lost and bodies is not None:
            bodies.remove_soon(filed_numbers)
        return lost

    @contextlib.asynccontextmanager
    async def _no_file_without_row(self, bodies: Bodies, number: int) -> AsyncIterator[None]:
        """Within it the row of a file is written; where it is surely not, the file goes."""
        try:
            yield
        except Exception as error:
            if isinstance(error, SpoolInDoubt) and self._batcher.trouble() is not None:
                bodies.doubt(number)
            else:
                await self._in_thread(lambda: bodies.remove(number))
            raise

    async def _write(self, bodies: Bodies, number: int, content: bytes) -> None:
        try:
            await self._in_thread(lambda: bodies.write(number, content))
        except OSError as error:
            trouble = trouble_from_os_error(error)
            self._batcher.report(trouble, len(content))
            raise trouble.error from error

    async def _in_thread(self, call: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)
