"""
Where a gateway can be told to die, and how it can be built weaker than it is; for `child` alone.

Everything is done by wrapping methods in the child's own process: the product has no hooks for it.
The points are those of the table in gateway/README.md, "what a crash leaves".
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

from gateway.domain.lifecycle import SETTLED
from gateway.spool import sqlite
from gateway.spool.bodies import Bodies
from gateway.spool.claims import Claims
from gateway.spool.schema import ACCEPTED
from gateway.spool.store import SqlSpool
from gateway.spool.transaction import Transaction
from gateway.spool.values import Change, NewLetter
from providers.contract.outcome import Kind

When = Callable[[tuple[Any, ...], Any], bool]
"""Whether a call is the one meant, from its arguments (`self` first) and, if it is over, result."""


class Death:
    """Comes at the n-th call."""

    def __init__(self, nth: int) -> None:
        self._calls_left = nth

    def __call__(self) -> None:
        self._calls_left -= 1
        if self._calls_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def _before(owner: type, name: str, when: When) -> Callable[[Death], None]:
    """Die at the beginning of a call, of a coroutine function or of a plain one alike."""

    def install(die: Death) -> None:
        original = getattr(owner, name)

        def call(*arguments: Any, **named: Any) -> Any:
            if when(arguments, None):
                die()
            return original(*arguments, **named)

        setattr(owner, name, call)

    return install


def _after(owner: type, name: str, when: When) -> Callable[[Death], None]:
    """Die between the end of a call and whatever its caller does next."""

    def install(die: Death) -> None:
        original = getattr(owner, name)

        def plain(*arguments: Any, **named: Any) -> Any:
            result = original(*arguments, **named)
            if when(arguments, result):
                die()
            return result

        async def awaited(*arguments: Any, **named: Any) -> Any:
            result = await original(*arguments, **named)
            if when(arguments, result):
                die()
            return result

        setattr(owner, name, awaited if asyncio.iscoroutinefunction(original) else plain)

    return install


def _always(_arguments: tuple[Any, ...], _result: Any) -> bool:
    return True


def _begun(arguments: tuple[Any, ...], _result: Any) -> bool:
    letter: NewLetter = arguments[1]
    return letter.begun_at is not None


def _admits(arguments: tuple[Any, ...], _result: Any) -> bool:
    return bool(arguments[0]._counted[ACCEPTED])


def _settles(arguments: tuple[Any, ...], _result: Any) -> bool:
    return any(arguments[0]._counted[state.value] for state in SETTLED)


def _of_an_acceptance(arguments: tuple[Any, ...], _result: Any) -> bool:
    changes: Sequence[Change] = arguments[1]
    return any(change.ended and change.ended.outcome.kind is Kind.ACCEPTED for change in changes)


# `Transaction.finish` is the last thing before COMMIT, in the writer's thread.
POINTS: dict[str, Callable[[Death], None]] = {
    "between a large content's file and its row": _after(Bodies, "write", _always),
    "before the commit": _before(Transaction, "finish", _admits),
    "after the commit, before the answer": _after(SqlSpool, "admit", _always),
    "after a claim": _after(SqlSpool, "claim", lambda _, result: bool(result.letters)),
    "after the commit that records an attempt, before the answer": _after(
        SqlSpool, "admit", _begun
    ),
    "after the attempt's record": _after(SqlSpool, "start", _always),
    "after the acceptance, before its record": _before(SqlSpool, "record", _of_an_acceptance),
    "inside the outcome's record, before the commit": _before(Transaction, "finish", _settles),
    "after the outcome's record": _after(SqlSpool, "record", _of_an_acceptance),
    "inside the recovery, before the commit": _after(Claims, "recover", _always),
    "after the recovery": _after(SqlSpool, "recover", _always),
}


def _sync_less() -> None:
    """SQLite's own weaker promise: a commit is synced with the next checkpoint."""
    sqlite._WRITER_PRAGMAS = ("PRAGMA synchronous=NORMAL", *sqlite._WRITER_PRAGMAS[1:])


def _sync_no_files() -> None:
    """Large contents are written and left to the kernel; SQLite syncs by itself, past Python."""
    for name in ("fsync", "fdatasync"):
        setattr(os, name, lambda _: None)


def _answer_first() -> None:
    """T1: the answer does not wait for the commit."""
    admit = SqlSpool.admit
    kept: set[asyncio.Task[None]] = set()

    async def promise(spool: SqlSpool, letter: NewLetter) -> None:
        task = asyncio.create_task(admit(spool, letter))
        kept.add(task)
        task.add_done_callback(kept.discard)

    setattr(SqlSpool, "admit", promise)  # noqa: B010 (mypy objects to the plain form)


WEAKNESSES: dict[str, Callable[[], None]] = {
    "synchronous=NORMAL": _sync_less,
    "files not synced": _sync_no_files,
    "250 before the commit": _answer_first,
}
