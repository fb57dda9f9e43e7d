"""
What became of attempts: written until it is written, and told.

States, stories, reports to senders and verdicts for clients who wait go together. A lost lease or a
spool that is down for a while never loses what a provider said. Sits between `attempt` and
`preparation`, which come to outcomes, and the spool.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import InitVar, dataclass, field
from datetime import datetime
from functools import partial
from typing import TypeVar

import structlog

from gateway.delivery.record import Attempt, Ending
from gateway.delivery.reporter import Notice, Reporter
from gateway.delivery.verdicts import Owed, Verdicts
from gateway.domain.events import Emit
from gateway.domain.lifecycle import State
from gateway.domain.retry import RetrySchedule
from gateway.errors import SpoolError
from gateway.spool.protocol import Spool
from gateway.spool.values import Change, NewLetter, QueuedMessage
from providers.contract.clock import Clock

log = structlog.get_logger("gateway.delivery")

T = TypeVar("T")

AGAIN_S = 1.0
"""Between two tries of what has to be written or read before anything else is done."""

_NEVER_SENT = frozenset({State.FAILED, State.SUPPRESSED})


@dataclass(slots=True)
class Recorder:
    """
    Records ends of attempts for all lanes.

    Attributes:
        spool: Where they are recorded.
        reporter: What the sender is told.
        schedule: When a letter is given up.
        clock: Between tries.
        emit: Told of every end.
        expect: Told who has a letter due next, and when.
        most_verdicts: How many clients may wait for a verdict at once.
    """

    spool: Spool
    reporter: Reporter
    schedule: RetrySchedule
    clock: Clock
    emit: Emit
    expect: Callable[[str, datetime], None]
    most_verdicts: InitVar[int]
    verdicts: Verdicts = field(init=False)

    def __post_init__(self, most_verdicts: int) -> None:
        self.verdicts = Verdicts(most_verdicts, self._tell_owed)

    async def settle(self, attempt: Attempt, endings: Sequence[Ending], ended_at: datetime) -> None:
        """Record what became of recipients, with the report that it calls for, and tell of it."""
        waiting = self.verdicts.of(attempt.letter.queue_id)
        called = endings
        if waiting is not None:
            # Whether failures are told in the session is known when all recipients are.
            failed = [ending for ending in endings if ending.disposition.state in _NEVER_SENT]
            called = [ending for ending in endings if ending not in failed]
            waiting.owe(attempt, failed, ended_at)
        notice = self._notice(attempt, called, ended_at)
        letters = () if notice is None else notice.letters
        changes = [_change(attempt, ending, notice, ended_at) for ending in endings]
        lost = await self.record(attempt.letter, changes, letters)
        if lost and letters:
            # Nothing was written, for the report speaks of recipients that are not ours any more.
            # Their end is told all the same, and the others get a report of their own.
            late = [ending for ending in endings if ending.key in lost]
            await self.record(attempt.letter, [attempt.change(ending, ended_at) for ending in late])
            self._tell(attempt, late, lost, ended_at)
            if waiting is not None:
                waiting.hear(late, lost, ended_at)
            if kept := [ending for ending in endings if ending.key not in lost]:
                await self.settle(attempt, kept, ended_at)
            return
        self._tell(attempt, endings, lost, ended_at)
        if waiting is not None:
            waiting.hear(endings, lost, ended_at)
        if notice is not None and len(lost) < len(endings):
            self.emit(notice.event)

    async def record(
        self,
        letter: QueuedMessage,
        changes: list[Change],
        letters: Sequence[NewLetter] = (),
    ) -> frozenset[int]:
        """Record changes of one letter until they are recorded; the keys that are not ours."""
        write = partial(self.spool.record, changes, letters)
        lost = await self.until_written(write, letter)
        for change in changes:
            if change.due_at is not None:
                self.expect(change.provider, change.due_at)
        self._expect_all(letters)
        return lost

    async def until_written(self, write: Callable[[], Awaitable[T]], letter: QueuedMessage) -> T:
        """Write until it is written: what a provider said is not lost to a full disk."""
        while True:
            try:
                return await write()
            except SpoolError as error:
                log.warning("outcome_not_recorded_yet", **letter.ids, reason=error.reason)
                await self.clock.sleep(AGAIN_S)

    def _tell(
        self,
        attempt: Attempt,
        endings: Sequence[Ending],
        lost: frozenset[int],
        ended_at: datetime,
    ) -> None:
        for ending in endings:
            if ending.key not in lost:
                self.emit(attempt.event(ending, ended_at))
            elif ending.suppressed is None:
                self.emit(attempt.lost_event(ending, ended_at))

    async def _tell_owed(self, owed: Sequence[Owed]) -> None:
        """Tell senders of failures that were recorded while somebody waited for the verdict."""
        for debt in owed:
            notice = self._notice(debt.attempt, debt.endings, debt.ended_at)
            if notice is None:
                continue
            notes = [(ending.key, notice.note) for ending in debt.endings]
            letter = debt.attempt.letter
            write = partial(self.spool.note, letter.queue_id, notes, notice.letters)
            await self.until_written(write, letter)
            self._expect_all(notice.letters)
            self.emit(notice.event)

    def _notice(
        self, attempt: Attempt, endings: Sequence[Ending], ended_at: datetime
    ) -> Notice | None:
        try:
            give_up_at = self.schedule.expires_at(attempt.letter.wanted_at)
            return self.reporter.notice(attempt, endings, ended_at=ended_at, give_up_at=give_up_at)
        except Exception:
            # What the provider said counts for more than the sender's hearing of it.
            log.exception("report_bug", **attempt.letter.ids)
            return None

    def _expect_all(self, letters: Sequence[NewLetter]) -> None:
        for letter in letters:
            self.expect(letter.providers[0], letter.arrival)


def _change(attempt: Attempt, ending: Ending, notice: Notice | None, ended_at: datetime) -> Change:
    if notice is None or ending.key not in notice.actions:
        return attempt.change(ending, ended_at)
    warned = notice.warns_of(ending.key)
    return attempt.change(ending, ended_at, note=notice.note, warned=warned)
