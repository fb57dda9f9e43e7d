"""
The accounts after a drill: what clients were told, what the spool holds, what the provider got.

Everything is counted by queue id and recipient, from three books that were kept apart: the load's
(`tests.support.load`), the spool's tables and the sandbox's letterbox.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg
from sqlalchemy import Engine, create_engine, func, select

from gateway.domain.queue_id import queue_id_from_number as _id
from gateway.spool.schema import attempt, message, recipient
from providers.contract.outcome import Kind
from providers.sandbox.letterbox import Letterbox, ReceivedLetter
from tests.contract.spool.engines import check_accounts
from tests.support.load import Load, LoadLetter

Copy = tuple[str, str]
"""Queue id and forward-path: what must leave once."""

_OUR_RECEIVED = re.compile(rb"\(Mailquay\)(?: with \S+)? id (\w+)")
_NUMBER = re.compile(r"(\d+)")
_STILL_THERE = frozenset({"waiting", "uncertain"})


@dataclass(frozen=True, slots=True)
class Accounts:
    """
    What became of the letters of a drill, after the gateway has drained and stopped.

    Attributes:
        letters: Answered 250.
        recipients: Theirs.
        handed_over: Of these recipients: told as handed over, and the sandbox has it whole.
        failed: Told as failed.
        waiting: Still waiting.
        lost: All others, each with the reason.
        second_copies: Copies beyond the first, of one queue id for one recipient.
        sent_again: Letters that the gateway took and the client, having read no 250, sent again.
        reports: Letters of the gateway's own, to tell senders what failed.
        uncertain: Attempts whose answer was lost, as the spool's stories tell.
        unexplained: Second copies, and letters, for which neither `uncertain` nor the client is
            the reason.
    """

    letters: int = 0
    recipients: int = 0
    handed_over: int = 0
    failed: int = 0
    waiting: int = 0
    lost: tuple[str, ...] = ()
    second_copies: int = 0
    sent_again: int = 0
    reports: int = 0
    uncertain: int = 0
    unexplained: tuple[str, ...] = ()

    def check(self) -> None:
        """Fail unless the promise was kept."""
        assert not self.lost, f"{len(self.lost)} lost: {self.lost[:5]}"
        assert not self.unexplained, f"{len(self.unexplained)}: {self.unexplained[:5]}"
        assert self.recipients == self.handed_over + self.failed + self.waiting


@dataclass(frozen=True, slots=True)
class SpoolBook:
    """The spool's side: each recipient's state, how often it was uncertain, whose letter it is."""

    states: Mapping[Copy, str]
    uncertain: Mapping[Copy, int]
    reports: frozenset[str] = frozenset()


def read_spool(path: Path) -> SpoolBook:
    """
    Read the tables of a SQLite spool that nobody has open, and check that they make sense.

    T2: every recipient is in one state of the table, due or final; the tally balances.
    """
    return _read(create_engine(f"sqlite:///{path}"), _litter(path))


def read_shared_spool(url: str) -> SpoolBook:
    """The same of a spool in PostgreSQL, whose gateways have stopped."""
    creator = partial(psycopg.connect, url)
    return _read(create_engine("postgresql+psycopg://", creator=creator), set())


def _read(engine: Engine, litter: set[str]) -> SpoolBook:
    of = recipient.c
    told = select(of.message_id, of.forward_path, of.state)
    doubts = (
        select(of.message_id, of.forward_path, func.count())
        .join(attempt, (attempt.c.message_id == of.message_id) & (attempt.c.key == of.key))
        .where(attempt.c.kind == Kind.UNCERTAIN.value)
        .group_by(of.message_id, of.forward_path)
    )
    own = select(message.c.id).where(message.c.reverse_path.is_(None))
    try:
        with engine.begin() as connection:
            check_accounts(connection, litter)
            return SpoolBook(
                states={(_id(n), to): state for n, to, state in connection.execute(told)},
                uncertain={(_id(n), to): count for n, to, count in connection.execute(doubts)},
                reports=frozenset(map(_id, connection.execute(own).scalars())),
            )
    finally:
        engine.dispose()


def missing(taken: Iterable[str], path: Path) -> list[str]:
    """Those of these queue ids that a spool, while nobody has it open, does not have whole."""
    try:
        with _looking_into(path) as connection:
            rows = connection.execute(
                "SELECT m.id, m.size, c.message_id IS NULL, length(c.body) FROM message AS m"
                " LEFT JOIN content AS c ON c.message_id = m.id"
            ).fetchall()
    except sqlite3.DatabaseError:
        rows = []  # not even a spool is left
    whole = {
        queue_id
        for number, size, settled, octets in rows
        if (queue_id := _id(number))
        and (settled or size == (_filed_octets(path, queue_id) if octets is None else octets))
    }
    return sorted(set(taken) - whole)


def under_way(path: Path, but_for: str) -> int:
    """How many recipients are not settled, those left out whose address matches (LIKE)."""
    with _looking_into(path) as connection:
        (count,) = connection.execute(
            "SELECT count(*) FROM recipient WHERE settled = 0 AND forward_path NOT LIKE ?",
            (but_for,),
        ).fetchone()
    return int(count)


def compare(load: Load, spool: SpoolBook, letterbox: Letterbox) -> Accounts:
    """Lay the three books side by side."""
    copies, damaged = _copies(letterbox.letters, load.taken)
    ends: Counter[str] = Counter()
    lost: list[str] = []
    for queue_id, letter in load.taken.items():
        for address in letter.recipients:
            copy = (queue_id, address)
            end = _end(spool.states.get(copy), copies[copy])
            ends[end] += 1
            if end not in {"handed over", "failed", "waiting"}:
                lost.append(f"{queue_id} {address}: {end}")
    lost += [f"{queue_id} {address}: damaged" for queue_id, address in damaged]
    untold = _untold(load, spool)
    return Accounts(
        letters=len(load.taken),
        recipients=sum(len(letter.recipients) for letter in load.taken.values()),
        handed_over=ends["handed over"],
        failed=ends["failed"],
        waiting=ends["waiting"],
        lost=tuple(lost),
        second_copies=sum(count - 1 for count in copies.values() if count > 1),
        sent_again=sum(untold.values()),
        reports=len(spool.reports),
        uncertain=sum(spool.uncertain.values()),
        unexplained=(
            *_unexplained(copies, spool),
            *_nobodys(untold, load),
            *_too_many_reports(spool),
        ),
    )


def _end(state: str | None, copies: int) -> str:
    match state:
        case None:
            return "the spool does not know it"
        case "handed_over":
            return "handed over" if copies else "told as handed over, and never arrived"
        case "failed":
            return "failed"
        case _:
            return "waiting" if state in _STILL_THERE else f"left as {state}"


def _copies(
    letters: Iterable[ReceivedLetter], taken: Mapping[str, LoadLetter]
) -> tuple[Counter[Copy], list[Copy]]:
    """How often each copy arrived, and which of them not as they were sent."""
    copies: Counter[Copy] = Counter()
    damaged: list[Copy] = []
    for letter in letters:
        received = _OUR_RECEIVED.search(letter.content[:1000])
        copy = (received[1].decode() if received else "?", letter.recipient)
        copies[copy] += 1
        sent = taken.get(copy[0])
        if sent is not None and not letter.content.endswith(sent.content):
            damaged.append(copy)
    return copies, damaged


def _unexplained(copies: Mapping[Copy, int], spool: SpoolBook) -> Iterator[str]:
    """Copies for which the stories have no reason: one acceptance, and one per lost answer."""
    for copy, count in copies.items():
        state = spool.states.get(copy)
        reasons = spool.uncertain.get(copy, 0) + (state == "handed_over")
        if count > reasons:
            yield f"{copy[0]} {copy[1]}: {count} copies, {state}, {reasons} reasons"


def _untold(load: Load, spool: SpoolBook) -> Counter[int]:
    """By number: letters in the spool that the client knows nothing of."""
    queue_ids: dict[str, int] = {}
    for queue_id, forward_path in spool.states:
        if queue_id not in load.taken and queue_id not in spool.reports:
            number = _NUMBER.search(forward_path)
            queue_ids[queue_id] = int(number[1]) if number else -1
    return Counter(queue_ids.values())


def _nobodys(untold: Mapping[int, int], load: Load) -> Iterator[str]:
    for number, count in untold.items():
        if count > load.doubtful[number]:
            yield f"letter {number}: {count} in the spool, sent {load.doubtful[number]} times"


def _too_many_reports(spool: SpoolBook) -> Iterator[str]:
    """Each failed recipient is reported at most once, and reports are not reported on."""
    failed = list(spool.states.values()).count("failed")
    if len(spool.reports) > failed:
        yield f"{len(spool.reports)} reports of {failed} failures"


@contextmanager
def _looking_into(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=5)) as connection:
        yield connection


def _large(path: Path) -> Path:
    return path.with_name(f"{path.name}.large")


def _filed_octets(path: Path, queue_id: str) -> int | None:
    file = _large(path) / queue_id
    return file.stat().st_size if file.exists() else None


def _litter(path: Path) -> set[str]:
    folder = _large(path)
    return {file.name for file in folder.iterdir()} if folder.is_dir() else set()
