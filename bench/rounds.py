"""
The rounds of a workload, taken in turns by the relays, and the account of each.

All relays of a workload are up the whole time; all but one are idle. The first round of each is not
timed: it wakes what starts late, and memory is watched in it. A relay that fails a round is out of
the workload; the others go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from bench import measure
from bench.child import ChildFailed
from bench.load import LoadFailed, open_loop, own_clients, smtp_source
from bench.relays import Mailquay, Relay
from bench.sampling import sampled
from bench.sink import OwnSink, Sink, SmtpSink
from bench.workloads import Workload

_ROUND_WITHIN_S = 30.0
_SETTLES_WITHIN_S = 3.0
_LATE_S = 0.010

Figures = Mapping[str, float]
"""What one round gave, by the names that head the report's columns."""


@dataclass(slots=True)
class Account:
    """
    What one relay did in one workload.

    Attributes:
        started_s: From the start of its process to its first 220.
        idle_octets: PSS before the first letter.
        peak_octets: Largest PSS in the first round and after each other.
        lost: Letters answered 250 that never came to the sink; `None` when a load broke off and
            nobody knows how many were answered.
        duplicated: Letters that came again.
        failure: Why it is out, empty when it is not.
        profile: Where its time went, in lines; empty when it was not sampled.
    """

    relay: str
    started_s: float = 0.0
    idle_octets: int = 0
    peak_octets: int = 0
    rounds: list[Figures] = field(default_factory=list)
    lost: int | None = 0
    duplicated: int | None = 0
    failure: str = ""
    profile: list[str] = field(default_factory=list)

    def see_memory(self, octets: int) -> None:
        """Remember the most."""
        self.peak_octets = max(self.peak_octets, octets)

    @property
    def figures(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.rounds[0]) if self.rounds else ()

    def median(self, figure: str) -> float:
        """The median over the rounds."""
        return statistics.median(figures[figure] for figures in self.rounds)

    def spread(self, figure: str) -> tuple[float, float]:
        """The least and the most over the rounds."""
        values = [figures[figure] for figures in self.rounds]
        return min(values), max(values)

    def ratio(self, other: Account, figure: str) -> float | None:
        """The median of the ratios round by round, `None` when there is none to tell."""
        ratios = [
            mine[figure] / theirs[figure]
            for mine, theirs in zip(self.rounds, other.rounds, strict=False)
            if theirs[figure]
        ]
        return statistics.median(ratios) if ratios else None


async def run(
    workload: Workload,
    relays: Mapping[str, Relay],
    *,
    rounds: int,
    folder: Path,
    own_tools: bool,
    profile: bool,
    say: Callable[[str], None],
) -> tuple[Account, ...]:
    """
    Run one workload.

    Args:
        workload: The load.
        relays: By the names they have in the report; none of them runs.
        rounds: Timed rounds of each.
        folder: Where relays keep their files; it exists and is empty.
        own_tools: Whether load and sink are ours even for a closed loop; an open loop's always are.
        profile: Whether to sample one more round of each Mailquay.
        say: Told how it goes.

    Returns:
        One account for each relay, in the same order.
    """
    contenders = [
        _Contender(name, relay, workload, folder / name, own_tools=own_tools)
        for name, relay in relays.items()
    ]
    async with contextlib.AsyncExitStack() as stack:
        for contender in contenders:
            await stack.enter_async_context(contender.up())
        for number in range(rounds + 1):
            for contender in contenders:
                if not contender.account.failure:
                    await (contender.timed_round() if number else contender.first_round())
                    say(f"{workload.name} {number}/{rounds} {contender.told()}")
        for contender in contenders:
            if profile and not contender.account.failure:
                await contender.sampled_round()
    return tuple(contender.account for contender in contenders)


class _Contender:
    """A relay with a sink of its own and its account."""

    def __init__(
        self, name: str, relay: Relay, workload: Workload, folder: Path, *, own_tools: bool
    ) -> None:
        self.account = Account(name)
        self._relay = relay
        self._workload = workload
        self._folder = folder
        self._own_tools = own_tools or workload.rate > 0
        self._sent: int | None = 0  # None: a load broke off, nobody knows how many were answered

    @contextlib.asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        """Sink and relay while the block runs; the balance is struck when the relay has ended."""
        self._folder.mkdir()
        self._sink: Sink = OwnSink() if self._own_tools else SmtpSink(self._folder)
        try:
            await self._sink.start()
            try:
                await self._start()
                yield
            finally:
                await self._relay.stop()
            if self._sent is None:
                self.account.lost = self.account.duplicated = None
            else:
                self.account.lost, self.account.duplicated = self._sink.balance(self._sent)
        finally:
            await self._sink.stop()

    async def first_round(self) -> None:
        """Wakes what starts late, and watches memory."""
        peak = measure.Peak()
        await self._round(measure.watched(self._relay.pid, peak))
        self.account.see_memory(peak.octets)

    async def timed_round(self) -> None:
        """Its figures go to the account."""
        pid = self._relay.pid
        before_s = measure.cpu_seconds(pid)
        figures = await self._round(contextlib.nullcontext())
        if figures:
            used_s = measure.cpu_seconds(pid) - before_s
            per_1000 = used_s * 1000 / self._workload.load.letters
            self.account.rounds.append({**figures, "CPU s/1000": per_1000})
            self.account.see_memory(measure.pss_octets(pid))

    async def sampled_round(self) -> None:
        """Where its time goes, for a relay whose stacks can be read."""
        if isinstance(self._relay, Mailquay):
            await self._round(sampled(self._relay.pid, self._folder, self.account.profile))

    def told(self) -> str:
        """The last round in a line."""
        account = self.account
        if account.failure:
            return f"{account.relay}: {account.failure}"
        last = account.rounds[-1] if account.rounds else {}
        figures = ", ".join(f"{name} {value:.4g}" for name, value in last.items())
        return f"{account.relay}: {figures or 'warm'}"

    async def _start(self) -> None:
        began = time.perf_counter()
        try:
            await self._relay.start(self._folder / "relay", self._sink.port)
        except ChildFailed as error:
            self.account.failure = str(error)
            return
        self.account.started_s = time.perf_counter() - began
        await measure.settled(self._relay.pid, _SETTLES_WITHIN_S)
        self.account.idle_octets = measure.pss_octets(self._relay.pid)

    async def _round(self, around: AbstractAsyncContextManager[None]) -> Figures:
        """The load within `around`, until all is quiet; failure, and no figures, when it fails."""
        before = self._sink.count
        try:
            async with asyncio.timeout(_ROUND_WITHIN_S), around:
                figures = await self._load()
        except TimeoutError:
            came, letters = self._sink.count - before, self._workload.load.letters
            self.account.failure = f"{came} of {letters} letters in {_ROUND_WITHIN_S:g} s"
            return {}
        except (ChildFailed, LoadFailed, OSError) as error:
            self.account.failure = str(error)
            return {}
        await measure.settled(self._relay.pid, _SETTLES_WITHIN_S)
        return figures

    async def _load(self) -> Figures:
        first, self._sent = self._sent or 0, None
        return await (self._open_loop(first) if self._workload.rate else self._closed_loop(first))

    async def _closed_loop(self, first: int) -> Figures:
        load, port = self._workload.load, self._relay.port
        all_came = asyncio.create_task(self._sink.wait_for(first + load.letters))
        began = time.perf_counter()
        try:
            if self._own_tools:
                await own_clients(port, load, first)
            else:
                await smtp_source(port, load, self._folder / "source")
            accepted = time.perf_counter()
            self._sent = first + load.letters
            delivered = await all_came
        finally:
            all_came.cancel()
        return {
            "accepted/s": load.letters / (accepted - began),
            "delivered/s": load.letters / (delivered - began),
        }

    async def _open_loop(self, first: int) -> Figures:
        assert isinstance(self._sink, OwnSink)
        load = self._workload.load
        with _no_collections():
            sent = await open_loop(self._relay.port, load, rate=self._workload.rate, first=first)
            self._sent = first + load.letters
            await self._sink.wait_for(self._sent)
        arrivals = self._sink.arrivals
        accept = _percentiles(letter.answered - letter.ended for letter in sent)
        end_to_end = _percentiles(arrivals[letter.number] - letter.ended for letter in sent)
        return {
            "accept p50 ms": accept[50],
            "accept p99 ms": accept[99],
            "end to end p50 ms": end_to_end[50],
            "end to end p99 ms": end_to_end[99],
            "late": sum(letter.ended - letter.due > _LATE_S for letter in sent),
        }


@contextlib.contextmanager
def _no_collections() -> Iterator[None]:
    """No garbage collection of ours while we look at the clock."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _percentiles(seconds: Iterable[float]) -> dict[int, float]:
    """The 1st to the 99th, in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {n: cut * 1000 for n, cut in enumerate(cuts, start=1)}
