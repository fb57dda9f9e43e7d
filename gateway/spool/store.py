"""
The spool on a SQL database: answers `protocol.Spool`.

Writes go through the batcher, reads through a few threads of their own, and so nothing here blocks
the event loop. What a write or a read does stands in `passage`, `claims`, `commands`, `pausing`,
`erasing`, `signs` and `reading`; here they are put together.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from pydantic import SecretStr
from sqlalchemy import Connection

from gateway.domain.duplicates import Repeat
from gateway.domain.lifecycle import SETTLED
from gateway.domain.pauses import Pause, PauseKind
from gateway.domain.queue_id import QueueIdSource, first_number_at
from gateway.errors import (
    SpoolError,
    SpoolUnavailable,
    UnknownQueueId,
)
from gateway.spool import commands, erasing, pausing, places, repeats, signs
from gateway.spool.batcher import MAX_WAITING_OCTETS, Batcher, OnCommit, OnHealth
from gateway.spool.bodies import Bodies, trouble_from_os_error
from gateway.spool.claims import Claims, Wanted
from gateway.spool.commands import HOLD, RELEASE, REMOVE, RETRY, Command, Step
from gateway.spool.engine import Engine
from gateway.spool.engines import open_engine
from gateway.spool.filing import Filing
from gateway.spool.following import FollowStep, read_letter_of, read_position
from gateway.spool.inquiries import forget_recipient
from gateway.spool.passage import Passage
from gateway.spool.reading import (
    find_letters,
    find_uncertain,
    matching_after,
    purgeable_after,
    read_content,
    read_list,
    read_stats,
    read_story,
    with_content,
)
from gateway.spool.repeats import Bound
from gateway.spool.rows import number_of
from gateway.spool.schema import ACCEPTED
from gateway.spool.statements import Statements
from gateway.spool.suppressions import SqlSuppressions
from gateway.spool.tracking_records import TrackingRecords
from gateway.spool.transaction import NO_OUTBOX, Outbox, Transaction, Writer
from gateway.spool.values import (
    AttemptStart,
    Change,
    Claimed,
    Erasure,
    Filter,
    Listed,
    NewLetter,
    QueuedMessage,
    Recovery,
    SpoolStats,
    Story,
)
from gateway.spool.webhooks import SqlWebhooks
from providers.contract.clock import Clock
from providers.contract.outcome import DeliveryOutcome

R = TypeVar("R")

_FILERS = 4  # large contents written, synced or removed at once


class SqlSpool:
    """
    A spool on a SQL database; built by `open`.

    Belongs to the event loop it was opened in. `tracking` is what is known of letters after they
    were handed over.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Clock,
        uncertain_after: timedelta,
        lease: timedelta,
        exclusive: bool,
        max_waiting_octets: int,
        outbox: Outbox,
        on_commit: OnCommit | None,
        on_health: OnHealth | None,
    ) -> None:
        token = secrets.randbits(62)
        self._clock = clock
        self._on_health = on_health
        self._ids = QueueIdSource(secrets.randbits(32))
        self._engine = engine
        self._closed = False
        self._readers = ThreadPoolExecutor(engine.readers, "spool-read")
        self._filers = ThreadPoolExecutor(_FILERS, "spool-file")
        self._bodies = Bodies(engine.large, self._filers) if engine.large else None
        self._passage = Passage(token, lease)
        self._claims = Claims(
            token,
            lease,
            uncertain_after,
            alone=exclusive and not engine.shared,
            bodies=self._bodies,
        )
        self._writer = Writer(engine, Statements(engine.dialect), self._free_files, outbox)
        self._batcher: Batcher[Transaction] = Batcher(
            begin=self._writer.begin,
            trouble_from=engine.trouble_from,
            probe=lambda tx, octets: engine.probe(tx.connection, octets),
            max_waiting_octets=max_waiting_octets,
            on_commit=on_commit,
            on_health=self._tell_health,
        )
        self._filing = Filing(self._bodies, self._filers, self._passage, self._batcher)
        self.tracking = TrackingRecords(self._batcher, self._read)

    @property
    def webhooks(self) -> SqlWebhooks:
        """Calls to applications that are to be made."""
        return SqlWebhooks(self._batcher.submit, self._read)

    @property
    def suppressions(self) -> SqlSuppressions:
        """Addresses that are sent nothing."""
        return SqlSuppressions(self._batcher.submit, self._read)

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        password: SecretStr | None = None,
        clock: Clock,
        uncertain_after: timedelta,
        lease: timedelta = timedelta(minutes=5),
        duplicates_window: timedelta = timedelta(hours=1),
        exclusive: bool,
        patience: timedelta = timedelta(seconds=5),
        max_waiting_octets: int = MAX_WAITING_OCTETS,
        outbox: Outbox = NO_OUTBOX,
        on_commit: OnCommit | None = None,
        on_health: OnHealth | None = None,
    ) -> SqlSpool:
        """
        Open the spool that a URL names.

        Args:
            url: `sqlite:////absolute/path`, `sqlite:///relative/path` or
                `postgresql://user@host/database`.
            password: For PostgreSQL; one that stands in the URL counts when there is none.
            clock: For moments that no caller gives.
            uncertain_after: The wait before a letter whose attempt was cut short is due again.
            lease: How long what was claimed is ours without `renew`.
            duplicates_window: How far back letters that come again are known at opening.
            exclusive: As a gateway, who makes it, brings it up to date and, on SQLite, has it
                alone; else as one who looks in beside it.
            patience: How long to wait for the lock of another process.
            max_waiting_octets: Contents that wait for the disk at once; one may always.
            outbox: By name, webhooks of applications, and the events that each wants.
            on_commit: Told of each commit: its seconds, and how many letters it admitted.
            on_health: Told why nothing can be written, and with `None` that it can again.

        Raises:
            SpoolUnavailable: Another gateway has it, there is none, or it cannot be used.
            SpoolFull: There is no room to make it.
            SpoolIncompatible: The database is something else, or of another version.
        """
        engine = await asyncio.to_thread(
            open_engine,
            url,
            password,
            exclusive=exclusive,
            patience=patience,
            lease=lease,
            marks_since=lambda: first_number_at(clock.now() - duplicates_window),
        )
        spool = cls(
            engine,
            clock=clock,
            uncertain_after=uncertain_after,
            lease=lease,
            exclusive=exclusive,
            max_waiting_octets=max_waiting_octets,
            outbox=outbox,
            on_commit=on_commit,
            on_health=on_health,
        )
        try:
            await asyncio.to_thread(spool._prepare, sweep=exclusive)
        except Exception as error:
            spool._close()
            trouble = engine.trouble_from(error)
            if trouble is None:
                raise
            raise trouble.error from error
        spool._batcher.start()
        return spool

    def announce_to(self, outbox: Outbox) -> None:
        """Note calls for these webhooks of applications from the next record on."""
        self._writer.announce_to(outbox)

    def trouble(self) -> SpoolError | None:
        """Why the last write failed, until one or a probe succeeds."""
        return self._batcher.trouble()

    def new_queue_id(self, now: datetime) -> str:
        """A fresh queue id."""
        return self._ids.next(now)

    async def admit(self, letter: NewLetter) -> Repeat | None:
        """Store a letter, or tell which of its recipients had it before."""
        self._check_open()
        return await self._filing.admit(letter)

    async def claim(
        self,
        provider: str,
        now: datetime,
        limit: int,
        *,
        urgent: int = 0,
        besides: frozenset[str] = frozenset(),
    ) -> Claimed:
        """Lease what is due for a provider."""
        wanted = Wanted(
            frozenset({provider}),
            strays=False,
            now=now,
            limit=limit,
            urgent=urgent,
            besides=besides,
        )
        return await self._batcher.submit(self._claims.claim, wanted)

    async def claim_strays(self, providers: frozenset[str], now: datetime, limit: int) -> Claimed:
        """Lease what is due for providers that are not these."""
        wanted = Wanted(providers, strays=True, now=now, limit=limit)
        return await self._batcher.submit(self._claims.claim, wanted)

    async def content(self, queue_id: str) -> bytes:
        """The content of a letter."""
        self._check_open()
        number = number_of(queue_id)
        found = await self._in_thread(self._readers, lambda: self._load(number))
        if found is None:
            raise UnknownQueueId(f"the content of {queue_id} is gone or damaged")
        return found

    async def start(self, starts: Sequence[AttemptStart]) -> frozenset[int]:
        """Record attempts before they are made."""
        return await self._batcher.submit(self._passage.start, self._passage.starts(starts))

    async def confirm(self, starts: Sequence[AttemptStart], now: datetime) -> frozenset[int]:
        """Keep the leases under attempts that have not been made yet."""
        confirmations = self._passage.confirmations(starts, now)
        return await self._batcher.submit(self._passage.confirm, confirmations)

    async def record(
        self, changes: Sequence[Change], letters: Sequence[NewLetter] = ()
    ) -> frozenset[int]:
        """Record next states, and admit the letters that follow from them."""
        recordings = self._passage.recordings(changes, self._clock.now())
        if not letters:
            return await self._batcher.submit(self._passage.record, recordings, patient=True)
        self._check_open()
        return await self._filing.decide(recordings, letters)

    async def note(
        self,
        queue_id: str,
        lines: Sequence[tuple[int | None, str]],
        letters: Sequence[NewLetter] = (),
    ) -> None:
        """Add to a letter's story, and admit the letters that go with it."""
        notes = self._passage.notes(queue_id, lines, self._clock.now())
        self._check_open()
        await self._filing.decide((), letters, notes)

    async def position(self, follower: str) -> int:
        """How far a follower of what is recorded here has come."""
        return await self._read(partial(read_position, name=follower))

    async def letter_of(self, queue_id: str, key: int) -> QueuedMessage | None:
        """
        A letter's record with one of its recipients, settled or not; `None` where it is gone.

        Raises:
            UnknownQueueId: The text is no queue id.
            UnreadableRow: The record is damaged.
        """
        return await self._read(partial(read_letter_of, number=number_of(queue_id), key=key))

    async def follow(
        self,
        step: FollowStep,
        notes: Sequence[tuple[str, int, str]] = (),
        letters: Sequence[NewLetter] = (),
    ) -> bool:
        """
        Take a step, with all that follows from it; whether nobody else took it before.

        Args:
            step: Whose, and how far.
            notes: For stories: queue id, key of the recipient, and a line.
            letters: Reports to admit.
        """
        now = self._clock.now()
        rows = [
            row
            for queue_id, key, line in notes
            for row in self._passage.notes(queue_id, ((key, line),), now)
        ]
        self._check_open()
        return not await self._filing.decide((), letters, rows, step)

    async def find_uncertain(
        self, provider: str, forward_path: str, since: datetime, until: datetime
    ) -> tuple[Listed, ...]:
        """Recipients whose answer is lost."""
        ask = partial(
            find_uncertain, provider=provider, forward_path=forward_path, since=since, until=until
        )
        return await self._read(ask)

    async def settle(self, queue_id: str, key: int, outcome: DeliveryOutcome, at: datetime) -> bool:
        """Let an uncertain recipient be handed over."""
        return await self._batcher.submit(signs.settle, signs.sign(queue_id, key, outcome, at))

    async def renew(self, leased: Sequence[tuple[str, int]], now: datetime) -> None:
        """Keep leases."""
        await self._batcher.submit(self._passage.renew, self._passage.renewals(leased, now))

    async def give_back(self, leased: Sequence[tuple[str, int]]) -> None:
        """End leases."""
        await self._batcher.submit(self._passage.give_back, self._passage.leased(leased))

    async def recover(self, now: datetime) -> Recovery:
        """Let go of the leases of a former life."""
        return await self._batcher.submit(self._claims.recover, now)

    async def hold(self, wanted: Filter, now: datetime) -> int:
        """Set aside."""
        return await self._by_hand(HOLD, wanted, now)

    async def release(self, wanted: Filter, now: datetime) -> int:
        """Let held ones wait again."""
        return await self._by_hand(RELEASE, wanted, now)

    async def retry(self, wanted: Filter, now: datetime) -> int:
        """Make due at once; what was uncertain waits from now on, its answer is given up."""
        return await self._by_hand(RETRY, wanted, now)

    async def remove(self, wanted: Filter, now: datetime) -> int:
        """Take out for good."""
        return await self._by_hand(REMOVE, wanted, now)

    async def erase(self, address: str, now: datetime) -> Erasure:
        """Take an address out of all records."""
        forms, done, after = erasing.forms_of(address), Erasure(), -1
        await self._batcher.submit(forget_recipient, erasing.spellings_of(forms))
        while True:
            numbers = await self._read(partial(erasing.erasable_after, forms=forms, after=after))
            if not numbers:
                return done
            done += await self._batcher.submit(erasing.erase, erasing.Step(forms, numbers, now))
            after = numbers[-1]

    async def scrub(self) -> bool:
        """Overwrite what was deleted."""
        self._check_open()
        return await self._in_thread(self._readers, self._scrub)

    async def pause(self, pause: Pause) -> bool:
        """Keep a pause."""
        return await self._batcher.submit(pausing.begin, pause)

    async def resume(self, kind: PauseKind, name: str) -> bool:
        """End a pause."""
        return await self._batcher.submit(pausing.end, (kind, name))

    async def pauses(self) -> tuple[Pause, ...]:
        """All pauses."""
        return await self._read(pausing.read_pauses)

    @property
    def shared(self) -> bool:
        """Whether several gateways may have it open at once."""
        return self._engine.shared

    async def reserve_places(
        self, provider: str, earliest: datetime, interval: timedelta, count: int
    ) -> datetime:
        """Take places in the pace of an account."""
        wanted = places.Reservation(provider, earliest, interval, count)
        return await self._batcher.submit(places.reserve, wanted)

    async def wake(self, now: datetime, spared: frozenset[str] = frozenset()) -> int:
        """Make due what waits for the end of a pause, some hundred at once."""
        woken = 0
        while number := await self._batcher.submit(pausing.wake, (now, spared)):
            woken += number
        return woken

    async def list(self, wanted: Filter, limit: int) -> tuple[Listed, ...]:
        """Recipients that the filter names."""
        return await self._read(lambda connection: read_list(connection, wanted, limit))

    async def page(
        self, wanted: Filter, limit: int, *, after: tuple[str, int] = ("", -1)
    ) -> tuple[Listed, ...]:
        """As `list`, past a queue id and a key; a queue id that is none raises `UnknownQueueId`."""
        queue_id, key = after
        past = (number_of(queue_id), key) if queue_id else None
        return await self._read(lambda connection: read_list(connection, wanted, limit, past))

    async def find(self, text: str, limit: int, *, before: str = "") -> tuple[str, ...]:
        """Queue ids of letters that a text names."""
        return await self._read(partial(find_letters, text=text, limit=limit, before=before))

    async def story(self, queue_id: str) -> Story:
        """All that is known of a letter."""
        return await self._read(lambda connection: read_story(connection, queue_id))

    async def stats(self, now: datetime) -> SpoolStats:
        """Counts."""
        return await self._read(lambda connection: self._count(connection, now))

    async def purge(self, arrived_before: datetime) -> int:
        """Forget old settled letters, some hundred at once."""
        forgotten, after = 0, -1
        while True:
            old = partial(purgeable_after, arrived_before=arrived_before, after=after)
            numbers = await self._read(old)
            if not numbers:
                return forgotten
            forgotten += await self._batcher.submit(commands.purge, numbers)
            after = numbers[-1]

    async def forget_marks(self, arrived_before: datetime, most: int) -> int:
        """Forget old marks, some hundred at once."""
        forgotten, bound = 0, Bound(first_number_at(arrived_before), most)
        while gone := await self._batcher.submit(repeats.forget, bound):
            forgotten += gone
        return forgotten

    async def aclose(self) -> None:
        """Finish what waits, then close."""
        if self._closed:
            return
        self._closed = True
        await self._filing.finish()
        await self._batcher.aclose()
        await asyncio.to_thread(self._close)

    def _tell_health(self, reason: str | None) -> None:
        if reason is None and self._bodies is not None:
            self._bodies.end_doubts()
        if self._on_health is not None:
            self._on_health(reason)

    async def _by_hand(self, command: Command, wanted: Filter, now: datetime) -> int:
        done, after = 0, (-1, -1)
        while True:
            next_ones = partial(matching_after, wanted=wanted, states=command.before, after=after)
            keys = await self._read(next_ones)
            if not keys:
                return done
            done += await self._batcher.submit(commands.carry_out, Step(command, keys, now))
            after = keys[-1]

    async def _read(self, ask: Callable[[Connection], R]) -> R:
        self._check_open()
        return await self._in_thread(self._readers, lambda: self._engine.read(ask))

    def _check_open(self) -> None:
        if self._closed:
            raise SpoolUnavailable("the spool is closed")

    async def _in_thread(self, executor: ThreadPoolExecutor, call: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(executor, call)

    def _load(self, number: int) -> bytes | None:
        """A content from its row or its file, in a reader's thread; `None` when it is not whole."""
        stored = self._engine.read(lambda connection: read_content(connection, number))
        body = stored.body
        if body is None and self._bodies is not None:
            try:
                body = self._bodies.read(number)
            except OSError as error:
                raise trouble_from_os_error(error).error from error
        return body if body is not None and len(body) == stored.size else None

    def _scrub(self) -> bool:
        try:
            return self._engine.scrub()
        except Exception as error:
            trouble = self._engine.trouble_from(error)
            if trouble is None:
                raise
            raise trouble.error from error

    def _count(self, connection: Connection, now: datetime) -> SpoolStats:
        octets = self._engine.octets(connection)
        if self._bodies is not None:
            octets += self._bodies.all_octets()
        return read_stats(connection, now, octets)

    def _free_files(self, numbers: Sequence[int]) -> None:
        if self._bodies is not None:
            self._bodies.remove_soon(numbers)

    def _prepare(self, *, sweep: bool) -> None:
        self._writer.seed_tally((ACCEPTED, *(state.value for state in SETTLED)))
        if sweep and self._bodies is not None:
            self._bodies.sweep(
                lambda numbers: self._engine.read(lambda c: with_content(c, numbers))
            )

    def _close(self) -> None:
        self._filers.shutdown()
        self._readers.shutdown()
        self._writer.close()
        self._engine.close()
