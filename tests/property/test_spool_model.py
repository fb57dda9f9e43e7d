"""
The spool against a model of it: a dictionary, two holders, a clock, and a restart now and then.

The model knows nothing of tables; whatever the machine does to both, lists, counts and answers
must agree.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.domain.lifecycle import SETTLED, State
from gateway.errors import UnknownQueueId
from gateway.spool.store import SqlSpool
from gateway.spool.values import Filter
from providers.contract.outcome import accepted
from tests.support.letters import CONTENT, a_change, a_letter, a_start
from tests.support.manual_clock import ManualClock

T = TypeVar("T")

LEASE = timedelta(minutes=5)
UNCERTAIN_AFTER = timedelta(minutes=7)
PROVIDERS = ("main", "backup")
GATEWAY, BESIDE = 0, 1
ENDS = (State.HANDED_OVER, State.FAILED, State.WAITING, State.UNCERTAIN)

holders = st.sampled_from([GATEWAY, BESIDE])
providers = st.sampled_from(PROVIDERS)


@dataclass
class Told:
    """What the model knows of a recipient; `due_at` is that of the spool's list."""

    provider: str
    state: State
    due_at: datetime | None
    attempts: int = 0
    holder: int | None = None
    lease_end: datetime | None = None

    def attention_at(self) -> datetime | None:
        return self.due_at if self.lease_end is None else self.lease_end

    def let_go(self, state: State, due_at: datetime | None) -> None:
        self.state, self.due_at = state, due_at
        self.holder = self.lease_end = None


class SpoolMachine(RuleBasedStateMachine):
    """Steps that callers of the spool make, in any order."""

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")  # noqa: S108 (syncs are not what is tested here)
        self.folder = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        self.told: dict[tuple[str, int], Told] = {}
        self.accepted = 0
        self.settled: Counter[State] = Counter()
        self.spools: list[SqlSpool] = []

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    @property
    def now(self) -> datetime:
        return self.clock.now()

    @initialize()
    def open(self) -> None:
        for exclusive in (True, False):
            opening = SqlSpool.open(
                f"sqlite:///{self.folder.name}/spool.db",
                clock=self.clock,
                uncertain_after=UNCERTAIN_AFTER,
                lease=LEASE,
                exclusive=exclusive,
            )
            self.spools.append(self.run(opening))

    def teardown(self) -> None:
        for spool in self.spools:
            self.run(spool.aclose())
        self.runner.close()
        self.folder.cleanup()

    @rule(seconds=st.sampled_from([1, 30, 299, 300, 421]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(of=st.lists(providers, min_size=1, max_size=3), leased=st.booleans())
    def admit(self, of: list[str], leased: bool) -> None:
        spool = self.spools[GATEWAY]
        addresses = [f"r{n}@example.org" for n in range(len(of))]
        letter = a_letter(spool, self.now, *addresses, providers=of, leased=leased)
        self.run(spool.admit(letter))
        for key, provider in enumerate(of):
            told = self.told[letter.queue_id, key] = Told(provider, State.WAITING, self.now)
            if leased:
                told.holder, told.lease_end = GATEWAY, self.now + LEASE
        self.accepted += len(of)

    @rule(holder=holders, provider=providers)
    def claim(self, holder: int, provider: str) -> None:
        claimed = self.run(self.spools[holder].claim(provider, self.now, 1000))
        due = {
            name: told
            for name, told in self.told.items()
            if told.provider == provider
            and (at := told.attention_at()) is not None
            and at <= self.now
        }
        cut_short = {name for name, told in due.items() if told.state is State.SENDING}
        assert {(c.queue_id, c.key) for c in claimed.cut_short} == cut_short
        assert claimed.corrupt == ()
        found = {
            (letter.queue_id, queued.recipient.key): (queued.state, queued.attempts)
            for letter in claimed.letters
            for queued in letter.recipients
        }
        assert found == {
            name: (told.state, told.attempts) for name, told in due.items() if name not in cut_short
        }
        for name, told in due.items():
            if name in cut_short:
                told.let_go(State.UNCERTAIN, self.now + UNCERTAIN_AFTER)
            else:
                told.holder, told.lease_end = holder, self.now + LEASE

    def some(self, data: st.DataObject) -> tuple[str, int]:
        return data.draw(st.sampled_from(sorted(self.told)))

    @precondition(lambda self: self.told)
    @rule(data=st.data(), holder=holders)
    def start(self, data: st.DataObject, holder: int) -> None:
        (queue_id, key) = name = self.some(data)
        told = self.told[name]
        before = told.state if told.state is State.UNCERTAIN else State.WAITING
        start = a_start(
            queue_id,
            self.now,
            key=key,
            attempt=told.attempts + 1,
            before=before,
            provider=told.provider,
        )
        lost = self.run(self.spools[holder].start([start]))
        if told.holder == holder and told.state is before:
            assert lost == frozenset()
            told.state, told.attempts = State.SENDING, told.attempts + 1
        else:
            assert lost == {key}

    @precondition(lambda self: self.told)
    @rule(data=st.data(), holder=holders, after=st.sampled_from(ENDS), provider=providers)
    def record(self, data: st.DataObject, holder: int, after: State, provider: str) -> None:
        (queue_id, key) = name = self.some(data)
        told = self.told[name]
        due_at = None if after in SETTLED else self.now + timedelta(seconds=30)
        change = a_change(
            queue_id,
            self.now,
            after,
            key=key,
            attempts=told.attempts,
            due_at=due_at,
            provider=provider,
        )
        lost = self.run(self.spools[holder].record([change]))
        if told.holder == holder and told.state is State.SENDING:
            assert lost == frozenset()
            told.let_go(after, due_at)
            told.provider = provider
            self.settled[after] += after in SETTLED
        else:
            assert lost == {key}

    @precondition(lambda self: self.told)
    @rule(data=st.data(), holder=holders)
    def a_sign(self, data: st.DataObject, holder: int) -> None:
        (queue_id, key) = name = self.some(data)
        told = self.told[name]
        spool = self.spools[holder]
        long_ago = self.now - timedelta(days=9)
        found = self.run(
            spool.find_uncertain(told.provider, f"R{key}@example.org", long_ago, self.now)
        )
        assert {(row.queue_id, row.key) for row in found} == {
            other
            for other, it in self.told.items()
            if it.state is State.UNCERTAIN and it.provider == told.provider and other[1] == key
        }
        settled = self.run(spool.settle(queue_id, key, accepted("id-78"), self.now))
        assert settled is (told.state is State.UNCERTAIN)
        if settled:
            told.let_go(State.HANDED_OVER, None)
            self.settled[State.HANDED_OVER] += 1

    @rule(holder=holders)
    def renew(self, holder: int) -> None:
        mine = [name for name, told in self.told.items() if told.holder == holder]
        self.run(self.spools[holder].renew(sorted(self.told), self.now))
        for name in mine:
            self.told[name].lease_end = self.now + LEASE

    @rule(holder=holders)
    def give_back(self, holder: int) -> None:
        self.run(self.spools[holder].give_back(sorted(self.told)))
        for told in self.told.values():
            if told.holder == holder and told.state is not State.SENDING:
                told.let_go(told.state, told.due_at)

    @rule(
        data=st.data(),
        holder=holders,
        command=st.sampled_from(["hold", "release", "retry", "remove"]),
    )
    def command(self, data: st.DataObject, holder: int, command: str) -> None:
        queue_id = self.some(data)[0] if self.told and data.draw(st.booleans()) else ""
        done = self.run(getattr(self.spools[holder], command)(Filter(queue_id=queue_id), self.now))
        waiting = {State.WAITING, State.UNCERTAIN}
        before, after, due_at = {
            "hold": (waiting, State.HELD, None),
            "release": ({State.HELD}, State.WAITING, self.now),
            "retry": (waiting, State.WAITING, self.now),
            "remove": (waiting | {State.HELD}, State.REMOVED, None),
        }[command]
        meant = [
            told
            for name, told in self.told.items()
            if told.state in before and queue_id in ("", name[0])
        ]
        assert done == len(meant)
        for told in meant:
            told.let_go(after, due_at)
            self.settled[after] += after in SETTLED

    @rule()
    def restart(self) -> None:
        for spool in self.spools:
            self.run(spool.aclose())
        self.spools.clear()
        self.open()
        recovery = self.run(self.spools[GATEWAY].recover(self.now))
        sending = {name for name, told in self.told.items() if told.state is State.SENDING}
        held = [told for told in self.told.values() if told.holder is not None]
        assert {(c.queue_id, c.key) for c in recovery.cut_short} == sending
        assert recovery.released == len(held) - len(sending)
        for told in held:
            if told.state is State.SENDING:
                told.let_go(State.UNCERTAIN, self.now + UNCERTAIN_AFTER)
            else:
                told.let_go(told.state, told.due_at)

    @rule()
    def purge(self) -> None:
        self.clock.advance(1)
        old = {
            queue_id
            for queue_id, _ in self.told
            if all(t.state in SETTLED for (of, _), t in self.told.items() if of == queue_id)
        }
        assert self.run(self.spools[GATEWAY].purge(self.now)) == len(old)
        self.told = {name: told for name, told in self.told.items() if name[0] not in old}

    @invariant()
    def lists_agree(self) -> None:
        if not self.spools:
            return
        rows = self.run(self.spools[BESIDE].list(Filter(states=frozenset(State)), 1000))
        assert {(r.queue_id, r.key): (r.provider, r.state, r.due_at, r.attempts) for r in rows} == {
            name: (told.provider, told.state, told.due_at, told.attempts)
            for name, told in self.told.items()
        }

    @invariant()
    def counts_agree(self) -> None:
        if not self.spools:
            return
        stats = self.run(self.spools[BESIDE].stats(self.now))
        active = Counter(
            (told.provider, told.state) for told in self.told.values() if told.state not in SETTLED
        )
        assert stats.active == active
        assert stats.accepted == self.accepted
        assert {state: n for state, n in stats.settled.items() if n} == +self.settled
        assert stats.accepted == sum(stats.settled.values()) + sum(stats.active.values())
        assert {key: sum(numbers) for key, numbers in stats.ages.items()} == active
        late: dict[str, datetime] = {}
        for told in self.told.values():
            at = told.attention_at()
            if at is not None and at <= self.now and told.state not in SETTLED:
                late[told.provider] = min(at, late.get(told.provider, at))
        assert stats.oldest_due == late

    @invariant()
    def contents_agree(self) -> None:
        for queue_id in {queue_id for queue_id, _ in self.told}:
            states = {t.state for (of, _), t in self.told.items() if of == queue_id}
            try:
                assert self.run(self.spools[BESIDE].content(queue_id)) == CONTENT
                kept = True
            except UnknownQueueId:
                kept = False
            assert kept is not states.issubset(SETTLED)


TestSpoolAgainstItsModel = SpoolMachine.TestCase
TestSpoolAgainstItsModel.settings = settings(max_examples=5, stateful_step_count=15, deadline=None)
