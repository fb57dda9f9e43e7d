"""
What metrics cost: the processor time of counting one letter, beside that of the whole letter.

A gateway takes letters over 20 sessions, where a letter is cheapest and the share of metrics
largest; `rounds` measures its processor time, and its own metrics tell how often it counted. How
long each counting takes is measured here, by the same code.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from bench import rounds
from bench.child import ChildFailed
from bench.relays import Mailquay
from bench.workloads import WORKLOADS
from gateway.app.sessions import SessionCounts
from gateway.domain.events import AttemptEnded, LetterReceived
from gateway.domain.lifecycle import State
from gateway.ingress import replies
from gateway.observe.metrics import Metrics
from providers.contract.outcome import accepted

MOST = 0.02
"""The bar: metrics cost no more of a letter's processor time."""

_TIMES = 2000
_RUNS = 15

# What is counted, and the series that tells how often.
_COUNTED = {
    "reply": "mailquay_smtp_replies_total",
    "commit": "mailquay_spool_commit_seconds_count",
    "letter": "mailquay_messages_received_total",
    "attempt": "mailquay_attempts_total",
}


class _Scraped(Mailquay):
    """A relay whose metrics are read before it stops."""

    def __init__(self) -> None:
        super().__init__()
        self.totals: dict[str, float] = {}

    async def stop(self) -> None:
        """Read them, where they can be read, and stop it; see `Relay`."""
        try:
            with contextlib.suppress(httpx.HTTPError):
                self.totals = await _totals(self.http_port)
        finally:
            await super().stop()


async def measure(
    folder: Path, *, reps: int, letters: int | None, say: Callable[[str], None]
) -> dict[str, float]:
    """
    Measure both.

    Args:
        folder: For the gateway's files; it exists.
        reps: Timed rounds.
        letters: In a round; `None`: the workload's own.
        say: Told how it goes.

    Returns:
        `counting us` and `letter us`, processor microseconds of one letter, and `share`.

    Raises:
        ChildFailed: The gateway does not start, fails its load, or does not tell its metrics; or
            the kernel, which counts in steps of 10 ms, saw nothing of so few letters.
    """
    workload = WORKLOADS[0]
    load = replace(workload.load, letters=letters or workload.load.letters)
    relay = _Scraped()
    (account,) = await rounds.run(
        replace(workload, load=load),
        {"mailquay": relay},
        rounds=reps,
        folder=folder,
        own_tools=True,
        profile=False,
        say=say,
    )
    if account.failure:
        raise ChildFailed(account.failure)
    letter_s = account.median("CPU s/1000") / 1000
    if not relay.totals.get("letter") or not letter_s:
        raise ChildFailed("the gateway told no metrics, or its letters were too few to measure")
    counting_s = sum(
        seconds * relay.totals[name] / relay.totals["letter"]
        for name, seconds in counting_seconds().items()
    )
    return {
        "counting us": counting_s * 1e6,
        "letter us": letter_s * 1e6,
        "share": counting_s / letter_s,
    }


def lines(figures: Mapping[str, float]) -> list[str]:
    """The same for people."""
    share = figures["share"]
    return [
        f"counting a letter: {figures['counting us']:.1f} us",
        f"the whole letter: {figures['letter us']:.0f} us",
        f"share: {share:.1%}, bar {MOST:.0%}: {'met' if share <= MOST else 'MISSED'}",
    ]


def counting_seconds() -> dict[str, float]:
    """Processor seconds of counting each once, by the names of `_COUNTED`."""
    metrics = Metrics(
        providers={"main": "smarthost"}, listeners=["app"], reply_reasons=replies.REASONS
    )
    sessions = SessionCounts(metrics)
    received, ended = _events()
    reply = replies.queued_as(received.queue_id)
    return {
        "reply": _seconds(lambda: sessions.replied("app", reply)),
        "commit": _seconds(lambda: metrics.committed(0.002, 1)),
        "letter": _seconds(lambda: metrics.see(received)),
        "attempt": _seconds(lambda: metrics.see(ended)),
    }


def _seconds(count: Callable[[], None]) -> float:
    """The median of some runs: what disturbs one is not the cost."""
    runs = []
    for _ in range(_RUNS):
        began = time.process_time()
        for _ in range(_TIMES):
            count()
        runs.append((time.process_time() - began) / _TIMES)
    return statistics.median(runs)


def _events() -> tuple[LetterReceived, AttemptEnded]:
    now = datetime.now(UTC)
    received = LetterReceived(
        *(now, "34EKIL1FO00JV", "app", "127.0.0.1 (app.example.com)", "app@example.com"),
        *(1, 4300, "<1@example.com>"),
    )
    ended = AttemptEnded(
        queue_id=received.queue_id,
        forward_path="bob@example.com",
        provider="main",
        attempt=1,
        arrival=now,
        claimed_at=now,
        started_at=now + timedelta(milliseconds=2),
        ended_at=now + timedelta(milliseconds=5),
        outcome=accepted("1"),
        state=State.HANDED_OVER,
        due_at=None,
        expired=False,
        losses=(),
    )
    return received, ended


async def _totals(port: int) -> dict[str, float]:
    """How often a gateway counted, by the names of `_COUNTED`."""
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        text = (await client.get(f"http://127.0.0.1:{port}/metrics")).raise_for_status().text
    totals = dict.fromkeys(_COUNTED, 0.0)
    names = {series: name for name, series in _COUNTED.items()}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in names:
                totals[names[sample.name]] += sample.value
    return totals
