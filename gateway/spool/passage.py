"""
The writes that every letter makes on its way: admitted, tried, recorded; and leases kept or ended.

Runs in the writer thread, over all calls that wait at once (`batcher.Work`). The functions that
build arguments run before, in the caller's task, so that a value that cannot be written fails its
own caller and no transaction. Only rows that hold our lease, and stand as the caller knows them,
are touched: that is the fence against a holder that was too slow. Sits on `transaction` and `rows`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import select, update

from gateway.domain.duplicates import Repeat
from gateway.domain.lifecycle import SETTLED, State, may_follow
from gateway.domain.repair import told
from gateway.spool.following import FollowStep, take_step
from gateway.spool.repeats import Marked, address_of, are_new, find, keep, marked, repeat_from
from gateway.spool.rows import (
    NEVER_US,
    Values,
    attempt_values,
    joined,
    message_values,
    micros_from_moment,
    number_of,
    recipient_values,
)
from gateway.spool.schema import ACCEPTED, attempt, recipient
from gateway.spool.statements import ATTEMPT, MESSAGE, RECIPIENT, START
from gateway.spool.transaction import Transaction
from gateway.spool.values import AttemptStart, Change, NewLetter

_NO_KEYS: frozenset[int] = frozenset()
_OVERTAKEN = frozenset({-1})
_KEY = START.index("of_key")
_ARRIVAL, _CLIENT, _MARK = (MESSAGE.index(name) for name in ("arrival", "client", "mark"))
_RECIPIENT_KEY, _FORWARD_PATH = RECIPIENT.index("key"), RECIPIENT.index("forward_path")
_CONFIRMED_KEY = 2  # in the order of `Statements.confirm`
_ENDED_AT = ATTEMPT.index("ended_at")


class Admission(NamedTuple):
    """A letter as rows; `body` is `None` when it lies in a file."""

    number: int
    message: Values
    body: bytes | None
    recipients: list[Values]
    note: Values | None = None
    marked: Marked | None = None


class Recording(NamedTuple):
    """One change as rows: the new state behind its fence, and what the story gets."""

    number: int
    key: int
    values: Values
    settles: str  # the settled state, or empty
    attempt: Values | None
    notes: list[Values]
    at: int


class Decision(NamedTuple):
    """
    Changes of one letter, and what exists only if all are written: letters, further notes.

    With a step, only who takes it writes anything.
    """

    recordings: Sequence[Recording]
    admissions: Sequence[Admission]
    notes: Sequence[Values] = ()
    step: FollowStep | None = None


class Passage:
    """
    The works on letters that this process holds.

    Args:
        token: What our leases are marked with.
        lease: How long they last.
    """

    def __init__(self, token: int, lease: timedelta) -> None:
        self._token = token
        self._lease_us = lease // timedelta(microseconds=1)

    def admission(self, letter: NewLetter, *, in_file: bool) -> Admission:
        """
        The argument of `admit`.

        Raises:
            UnknownQueueId: The letter's queue id is none.
            ValueError: Providers, moments and recipients differ in number.
        """
        number = number_of(letter.queue_id)
        return Admission(
            number,
            message_values(number, letter),
            None if in_file else letter.content,
            recipient_values(number, letter, self._token, self._lease_us),
            _note(number, letter) if letter.repairs else None,
            None if letter.mark is None else marked(number, letter.mark),
        )

    def starts(self, starts: Sequence[AttemptStart]) -> list[Values]:
        """
        The arguments of `start`.

        Raises:
            ValueError: The table does not allow an attempt from that state.
        """
        for start in starts:
            if not may_follow(start.before, State.SENDING):
                raise ValueError(f"no attempt starts from {start.before.value}")
        return [
            (
                "sending",
                start.provider,
                start.attempt,
                micros_from_moment(start.started_at),
                number_of(start.queue_id),
                start.key,
                self._token,
                start.attempt - 1,
                str(start.before),
            )
            for start in starts
        ]

    def recordings(self, changes: Sequence[Change], now: datetime) -> list[Recording]:
        """
        The arguments of `record`; notes of changes without an attempt get `now`.

        Raises:
            ValueError: The table does not allow the move.
        """
        return [self._recording(change, now) for change in changes]

    def notes(
        self, queue_id: str, lines: Sequence[tuple[int | None, str]], now: datetime
    ) -> list[Values]:
        """
        Lines for a letter's story, as rows.

        Raises:
            UnknownQueueId: The text is no queue id.
        """
        number, at = number_of(queue_id), micros_from_moment(now)
        return [(number, at, key, line) for key, line in lines]

    def leased(self, leased: Sequence[tuple[str, int]]) -> list[Values]:
        """The arguments of `give_back`, and with a moment before them of `renew`."""
        return [(number_of(queue_id), key, self._token) for queue_id, key in leased]

    def renewals(self, leased: Sequence[tuple[str, int]], now: datetime) -> list[Values]:
        """The arguments of `renew`."""
        until = micros_from_moment(now) + self._lease_us
        return [(until, *values) for values in self.leased(leased)]

    def confirmations(self, starts: Sequence[AttemptStart], now: datetime) -> list[Values]:
        """The arguments of `confirm`."""
        until = micros_from_moment(now) + self._lease_us
        return [
            (until, number_of(s.queue_id), s.key, self._token, s.attempt, State.SENDING.value)
            for s in starts
        ]

    @classmethod
    def admit(cls, tx: Transaction, admissions: Sequence[Admission]) -> Sequence[Repeat | None]:
        """Insert letters, all of it or nothing; for each, what of it was there before."""
        marks = [a.marked for a in admissions if a.marked is not None]
        if marks and not are_new(tx, marks):
            return [cls._admit_one(tx, admission) for admission in admissions]
        cls._insert(tx, admissions)
        return [None] * len(admissions)

    @classmethod
    def _admit_one(cls, tx: Transaction, admission: Admission) -> Repeat | None:
        """Insert a letter for those of its recipients that have not had it."""
        one = admission.marked
        if one is None:
            cls._insert(tx, [admission])
            return None
        while True:
            found = find(tx, one)
            having = {
                row[_RECIPIENT_KEY]: found.had[address]
                for row in admission.recipients
                if (address := address_of(row[_FORWARD_PATH])) in found.had
            }
            if len(having) == len(admission.recipients) or keep(tx, one, found):
                break
        message = list(admission.message)
        message[_MARK] = found.free
        admission = admission._replace(message=tuple(message))
        if not having:
            cls._insert(tx, [admission])
            return None
        repeat = repeat_from(min(having.values()), tuple(having))
        at, client = admission.message[_ARRIVAL], admission.message[_CLIENT]
        kept = [row for row in admission.recipients if row[_RECIPIENT_KEY] not in having]
        if kept:
            cls._insert(tx, [admission._replace(recipients=kept)])
            line = f"{len(having)} of its recipients have it as {repeat.queue_id} already"
            note = (admission.number, at, None, line)
        else:
            line = f"came again from {client}; not sent again"
            note = (min(having.values()), at, None, line)
        tx.cursor.execute(tx.statements.insert_note, note)
        return repeat

    @staticmethod
    def _insert(tx: Transaction, admissions: Sequence[Admission]) -> None:
        cursor, statements = tx.cursor, tx.statements
        rows = [row for admission in admissions for row in admission.recipients]
        with tx.together():
            cursor.executemany(statements.insert_message, [a.message for a in admissions])
            cursor.executemany(statements.insert_content, [(a.number, a.body) for a in admissions])
            cursor.executemany(statements.insert_recipient, rows)
            if notes := [a.note for a in admissions if a.note is not None]:
                cursor.executemany(statements.insert_note, notes)
        tx.count(ACCEPTED, len(rows))

    @staticmethod
    def start(tx: Transaction, many: Sequence[Sequence[Values]]) -> Sequence[frozenset[int]]:
        """Mark recipients as being sent; the keys that are not ours any more."""
        rows = [values for one in many for values in one]
        missed = tx.missed(tx.statements.start, rows)
        lost = {place: rows[place][_KEY] for place in missed}
        return _by_call([len(one) for one in many], lost)

    @staticmethod
    def record(tx: Transaction, many: Sequence[Sequence[Recording]]) -> Sequence[frozenset[int]]:
        """Write next states and stories, drop contents; the keys that are not ours any more."""
        recordings = [recording for one in many for recording in one]
        missed = tx.missed(tx.statements.record, [recording.values for recording in recordings])
        for place in sorted(missed):
            _tell_late(tx, recordings[place])
        written = recordings
        if missed:
            written = [x for place, x in enumerate(recordings) if place not in missed]
        _tell(tx, written)
        lost = {place: recordings[place].key for place in missed}
        return _by_call([len(one) for one in many], lost)

    @classmethod
    def decide(cls, tx: Transaction, many: Sequence[Decision]) -> Sequence[frozenset[int]]:
        """As `record`, with the letters that follow; where a key is lost, nothing is written."""
        return [cls._decide(tx, decision) for decision in many]

    @staticmethod
    def renew(tx: Transaction, many: Sequence[Sequence[Values]]) -> Sequence[None]:
        """Put off the end of leases that are ours."""
        tx.cursor.executemany(tx.statements.renew, [values for one in many for values in one])
        return [None] * len(many)

    @staticmethod
    def confirm(tx: Transaction, many: Sequence[Sequence[Values]]) -> Sequence[frozenset[int]]:
        """Put off the end of leases under attempts that are begun; the keys that are not ours."""
        rows = [values for one in many for values in one]
        lost = {
            place: rows[place][_CONFIRMED_KEY] for place in tx.missed(tx.statements.confirm, rows)
        }
        return _by_call([len(one) for one in many], lost)

    @staticmethod
    def give_back(tx: Transaction, many: Sequence[Sequence[Values]]) -> Sequence[None]:
        """End leases that are ours; what is being sent stays."""
        values = [(*leased, "sending") for one in many for leased in one]
        tx.cursor.executemany(tx.statements.give_back, values)
        return [None] * len(many)

    @classmethod
    def _decide(cls, tx: Transaction, decision: Decision) -> frozenset[int]:
        recordings, admissions, notes, step = decision
        if step is not None and not take_step(tx, step):
            return _OVERTAKEN
        values = [recording.values for recording in recordings]
        missed = tx.missed(tx.statements.record, values, all_or_none=True) if values else _NO_KEYS
        if missed:
            return frozenset(recordings[place].key for place in missed)
        _tell(tx, recordings)
        if notes:
            tx.cursor.executemany(tx.statements.insert_note, notes)
        if admissions:
            cls._insert(tx, admissions)
        return _NO_KEYS

    def _recording(self, change: Change, now: datetime) -> Recording:
        before, after = change.before, change.after
        if not may_follow(before, after):
            raise ValueError(f"{before.value} is not followed by {after.value}")
        number, key, ended = number_of(change.queue_id), change.key, change.ended
        settled = after in SETTLED
        values = (
            str(after),
            int(settled),
            change.provider,
            joined(change.excluded),
            _due_micros(change),
            change.status,
            change.diagnostic,
            change.provider_message_id,
            int(change.warned),
            number,
            key,
            self._token,
            change.attempts,
            str(before),
        )
        at = now if ended is None else ended.ended_at
        return Recording(
            number,
            key,
            values,
            str(after) if settled else "",
            None if ended is None else attempt_values(number, key, change.attempts, ended),
            [(number, micros_from_moment(at), key, line) for line in change.notes],
            micros_from_moment(at),
        )


def _note(number: int, letter: NewLetter) -> Values:
    return (number, micros_from_moment(letter.arrival), None, told(letter.repairs))


def _due_micros(change: Change) -> int | None:
    if change.due_at is not None:
        return micros_from_moment(change.due_at)
    return NEVER_US if change.after is State.WAITING else None


def _by_call(lengths: Sequence[int], lost: Mapping[int, int]) -> Sequence[frozenset[int]]:
    """The lost keys of each call, from lost keys by place in the row of all calls."""
    if not lost:
        return [_NO_KEYS] * len(lengths)
    results, start = [], 0
    for length in lengths:
        places = range(start, start + length)
        results.append(frozenset(key for place, key in lost.items() if place in places))
        start += length
    return results


def _tell(tx: Transaction, recordings: Sequence[Recording]) -> None:
    """What goes with states that were written: stories, counts, and contents dropped."""
    attempts: list[Values] = []
    notes: list[Values] = []
    settled: dict[int, None] = {}
    for recording in recordings:
        if recording.settles:
            settled[recording.number] = None
            tx.count(recording.settles, 1)
            tx.announce(recording.settles, recording.number, recording.key, recording.at)
        if recording.attempt is not None:
            attempts.append(recording.attempt)
        notes += recording.notes
    tx.cursor.executemany(tx.statements.insert_attempt, attempts)
    if notes:
        tx.cursor.executemany(tx.statements.insert_note, notes)
    if settled:
        tx.drop_settled_contents(settled)


def tell_attempt(tx: Transaction, values: Values) -> None:
    """Write an attempt into the story, over what was guessed of the same attempt before."""
    row = dict(zip(ATTEMPT, values, strict=True))
    number, key, count = values[:3]
    same = (attempt.c.message_id == number, attempt.c.key == key, attempt.c.attempt == count)
    if tx.connection.execute(update(attempt).where(*same).values(row)).rowcount == 0:
        tx.cursor.execute(tx.statements.insert_attempt, values)


def _tell_late(tx: Transaction, recording: Recording) -> None:
    """What became of an attempt whose recipient is not ours any more, if it is there at all."""
    number, key = recording.number, recording.key
    there = select(recipient.c.key).where(recipient.c.message_id == number, recipient.c.key == key)
    # Locked: no other gateway forgets the letter while its story is written.
    found = tx.connection.execute(there.with_for_update())
    if recording.attempt is None or found.first() is None:
        return
    tell_attempt(tx, recording.attempt)
    text = "the attempt ended after its lease; what follows is decided elsewhere"
    late = (number, recording.attempt[_ENDED_AT], key, text)
    tx.cursor.executemany(tx.statements.insert_note, [*recording.notes, late])
