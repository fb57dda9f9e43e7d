"""Spans on their way: a collector that is slow, wrong or away costs spans, counted, and no more."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from starlette.responses import Response

from bench.ports import free_port
from gateway.domain.trace_context import TraceContext
from gateway.observe.tracing import exporter as exporting
from gateway.observe.tracing.exporter import Collector as Target
from gateway.observe.tracing.exporter import Exporter
from gateway.observe.tracing.otlp import Envelope, encode_span
from gateway.observe.tracing.spans import Span
from tests.support.collector import Collector, a_collector, attributes
from tests.support.manual_clock import ManualClock

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def a_span(number: int = 1) -> str:
    context = TraceContext(TRACE, f"{number:016x}", sampled=True)
    return encode_span(Span("attempt", context, "", NOW, NOW, attributes={"n": number}))


class Sending:
    """An exporter, what it counted, and the clock it waits by."""

    def __init__(self, url: str, timeout_s: float = 30.0) -> None:
        self.clock = ManualClock()
        self.counted: Counter[str] = Counter()
        self.changed = asyncio.Event()
        target = Target(f"{url}/v1/traces", {"authorization": "Bearer dummy"}, timeout_s)
        envelope = Envelope({"service.name": "shop's mail"}, "1.2.3")
        self.exporter = Exporter(target, envelope, self.clock, self._count)
        self.exporter.start()

    def _count(self, result: str, spans: int) -> None:
        self.counted[result] += spans
        self.changed.set()

    async def wait_for(self, **counted: int) -> None:
        async with asyncio.timeout(60):
            while +self.counted != Counter(counted):
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with a_collector() as made:
        yield made


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is gathered leaves at once, and the last words are short."""
    monkeypatch.setattr(exporting, "_GATHER_S", 0.01)
    monkeypatch.setattr(exporting, "_LAST_WORDS_S", 0.2)


async def test_spans_arrive_as_otlp_has_them(collector: Collector) -> None:
    """Read by OTLP's own definition; with who we are, and the fields that it asks for."""
    sending = Sending(collector.url)
    sending.exporter.add(a_span(7))
    await sending.wait_for(sent=1)
    (span,) = collector.spans
    assert span.trace_id.hex() == TRACE
    assert span.span_id.hex() == "0000000000000007"
    assert span.start_time_unix_nano == 1767323045678901000
    assert attributes(span) == {"n": 7}
    assert collector.resources == [{"service.name": "shop's mail"}]
    assert collector.requests[0]["authorization"] == "Bearer dummy"
    assert collector.requests[0]["content-type"] == "application/json"
    await sending.exporter.stop()


async def test_what_comes_fast_leaves_together_and_in_order(collector: Collector) -> None:
    """Requests of 256 spans at most; none is lost between them."""
    sending = Sending(collector.url)
    for number in range(1, 601):
        sending.exporter.add(a_span(number))
    await sending.wait_for(sent=600)
    assert [attributes(span)["n"] for span in collector.spans] == list(range(1, 601))
    assert len(collector.requests) == 3
    await sending.exporter.stop()


async def test_a_collector_that_is_busy_is_asked_again(collector: Collector) -> None:
    """429, 502, 503 and 504 are for later, after the seconds that it names at least."""
    sending = Sending(collector.url)
    collector.script.append(lambda: Response(status_code=503, headers={"Retry-After": "20"}))
    collector.script.append(lambda: Response(status_code=429))
    sending.exporter.add(a_span())
    for wait_s in (20, 2):
        await sending.clock.someone_sleeps()
        sending.clock.advance(wait_s - 0.5)
        assert sending.clock.sleepers == 1
        sending.clock.advance(0.5)
    await sending.wait_for(sent=1)
    await sending.exporter.stop()


async def test_what_a_collector_does_not_want_is_counted(collector: Collector) -> None:
    """Refused as a whole, or in part: not asked again, and the next spans go their way."""
    sending = Sending(collector.url)
    collector.script.append(lambda: Response(status_code=400))
    sending.exporter.add(a_span(1))
    await sending.wait_for(refused=1)
    partly = json.dumps({"partialSuccess": {"rejectedSpans": "1", "errorMessage": "no"}})
    collector.script.append(lambda: Response(partly))
    sending.exporter.add(a_span(2))
    sending.exporter.add(a_span(3))
    await sending.wait_for(refused=2, sent=1)
    collector.script.append(lambda: Response("no JSON"))
    sending.exporter.add(a_span(4))
    await sending.wait_for(refused=2, sent=2)
    await sending.exporter.stop()


async def test_a_collector_that_is_away_costs_counted_spans() -> None:
    """Nobody listens: four tries, then the spans are given up; what is too much is not kept."""
    sending = Sending(f"http://127.0.0.1:{free_port()}")
    sending.exporter.add(a_span())
    for _ in range(3):
        await sending.clock.someone_sleeps()
        sending.clock.advance(4)
    await sending.wait_for(unreachable=1)
    for number in range(exporting.MOST_WAITING + 5):
        sending.exporter.add(a_span(number + 1))
    await sending.wait_for(unreachable=1, overflow=5)
    await sending.exporter.stop()
    assert sending.counted["unreachable"] == 1 + exporting.MOST_WAITING


async def test_a_collector_that_hangs_holds_nobody(collector: Collector) -> None:
    """Its time is over; the end of the gateway waits a moment for it, and counts what is lost."""
    collector.held.clear()
    sending = Sending(collector.url, timeout_s=0.05)
    sending.exporter.add(a_span(1))
    await sending.clock.someone_sleeps()
    sending.exporter.add(a_span(2))
    await sending.exporter.stop()
    assert sending.counted == Counter(unreachable=2)


async def test_the_end_sends_what_waits(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop loses no span that the collector would take; a second one does nothing."""
    monkeypatch.setattr(exporting, "_LAST_WORDS_S", 60)
    sending = Sending(collector.url)
    sending.exporter.add(a_span(1))
    await sending.exporter.stop()
    await sending.exporter.stop()
    assert sending.counted == Counter(sent=1)
    assert len(collector.spans) == 1
