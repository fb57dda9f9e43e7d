"""
Clients that wait for a provider's verdict: told by attempts, asked by the front door.

A letter in direct mode is in the spool like any other; here is only who listens. What failed while
somebody listens is owed to its sender: as a refusal in the session where all recipients failed, as
a report where not, and which of both is known only at the end. A crash in between owes nothing,
for the client has had no reply and so still has the letter. Sits beside `record`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from gateway.delivery.record import Attempt, Ending
from gateway.domain.lifecycle import State
from gateway.domain.verdict import Answer


@dataclass(frozen=True, slots=True)
class Owed:
    """Recipients of an attempt that failed, and whose sender is not told yet."""

    attempt: Attempt
    endings: tuple[Ending, ...]
    ended_at: datetime


class Verdict:
    """
    What becomes of one letter while its client waits; given out by `Verdicts`.

    `wait` is called once, then `tell_by_report` where the client is not told otherwise.
    """

    def __init__(self, verdicts: Verdicts, queue_id: str, keys: Iterable[int]) -> None:
        self._verdicts = verdicts
        self._queue_id = queue_id
        self._open = set(keys)
        self._answers: list[Answer] = []
        self._owed: list[Owed] = []
        self._over = asyncio.Event()

    async def wait(self, timeout_s: float) -> tuple[Answer, ...]:
        """
        Wait for an answer for each recipient, for so many seconds at most.

        Returns:
            What is known then. Nobody listens any more: what comes later is told as in queue mode.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._over.wait()
        except TimeoutError:
            pass
        finally:
            self._verdicts.forget(self._queue_id)
        return tuple(self._answers)

    def forget(self) -> None:
        """Nobody is going to wait: the letter was not admitted."""
        self._verdicts.forget(self._queue_id)

    async def tell_by_report(self) -> None:
        """Have the sender told of what failed meanwhile, as in queue mode; durable on return."""
        owed, self._owed = self._owed, []
        if owed:
            await self._verdicts.tell(owed)

    def owe(self, attempt: Attempt, endings: Sequence[Ending], ended_at: datetime) -> None:
        """These are about to be recorded as failed, without a report."""
        self._owed.append(Owed(attempt, tuple(endings), ended_at))

    def hear(self, endings: Iterable[Ending], lost: frozenset[int], ended_at: datetime) -> None:
        """These are recorded, but for the lost ones, which are not ours to speak of."""
        if lost:
            self._owed = [_without(owed, lost) for owed in self._owed]
        for ending in endings:
            if ending.key in lost:
                self._answer(Answer(ending.key, State.WAITING))
            elif not _goes_on(ending, ended_at):
                self._answer(_answer_from(ending))

    def leave_out(self, keys: Iterable[int]) -> None:
        """These recipients are not tried now: held, or they have the letter by another."""
        for key in keys:
            self._answer(Answer(key, State.HELD))

    def end(self) -> None:
        """Wait no longer."""
        self._over.set()

    def _answer(self, answer: Answer) -> None:
        if answer.key in self._open:
            self._open.discard(answer.key)
            self._answers.append(answer)
            if not self._open:
                self._over.set()


class Verdicts:
    """
    The letters whose clients wait.

    Args:
        most: Clients that may wait at once; each holds a connection of the front door.
        tell: Tells senders of what is owed to them, durably.
    """

    def __init__(self, most: int, tell: Callable[[Sequence[Owed]], Awaitable[None]]) -> None:
        self._most = most
        self._letters: dict[str, Verdict] = {}
        self._ending = False
        self.tell = tell

    def expect(self, queue_id: str, keys: Iterable[int]) -> Verdict | None:
        """Listen to what becomes of a letter; `None` when too many wait, or the gateway stops."""
        if self._ending or len(self._letters) >= self._most:
            return None
        verdict = self._letters[queue_id] = Verdict(self, queue_id, keys)
        return verdict

    def of(self, queue_id: str) -> Verdict | None:
        """Who waits for this letter."""
        return self._letters.get(queue_id)

    def forget(self, queue_id: str) -> None:
        """Nobody waits for it any more."""
        self._letters.pop(queue_id, None)

    def end(self) -> None:
        """Let all that wait have their reply now; nobody is to wait from now on."""
        self._ending = True
        for verdict in self._letters.values():
            verdict.end()


def _goes_on(ending: Ending, ended_at: datetime) -> bool:
    """Whether another provider gets it at once, so that the verdict is still to come."""
    following = ending.disposition
    return (
        following.state is State.WAITING
        and following.due_at is not None
        and following.due_at <= ended_at
    )


def _answer_from(ending: Ending) -> Answer:
    return Answer(
        ending.key,
        ending.disposition.state,
        ending.disposition.status,
        ending.outcome.diagnostic,
        ending.outcome.provider_message_id,
    )


def _without(owed: Owed, lost: frozenset[int]) -> Owed:
    return replace(owed, endings=tuple(e for e in owed.endings if e.key not in lost))
