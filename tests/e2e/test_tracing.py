"""Letters in their applications' traces: over retries, a kill, webhooks and reports, told once."""

from __future__ import annotations

import asyncio
import smtplib
from pathlib import Path
from typing import Any

import httpx

from bench.ports import free_port
from gateway.domain.trace_context import TraceContext
from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.server import Sandbox
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import GatewayProcess, LogLine, rest_v1, smarthost
from tests.support.collector import Collector, a_collector, attributes
from tests.support.prometheus import Prometheus

SMTP = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True)
HTTP = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", sampled=True)
UNKEPT = TraceContext("11111111111111111111111111111111", "2222222222222222", sampled=False)
TOKEN = "not-to-be-guessed-0123456789"
KEY = "collector-key-0123456789"
CHANCE = ("attempt deferred", "attempt_lost")


def traced(
    make_gateway: MakeGateway, sandbox: Sandbox, endpoint: str, **more: Any
) -> GatewayProcess:
    """A gateway with a provider that calls us, and a smarthost."""
    port = free_port()
    rest = rest_v1(sandbox, rate="1000/s", webhook_secret=TOKEN, poll="1h")
    return make_gateway(
        {"main": smarthost(sandbox), "rest": rest},
        http={
            "host": "127.0.0.1",
            "port": port,
            "public_url": f"http://127.0.0.1:{port}",
            "token": TOKEN,
        },
        routes=[
            {"name": "api", "when": {"listener": ["api"]}, "providers": ["rest"]},
            {"name": "all", "providers": ["main"]},
        ],
        tracing={"endpoint": endpoint, "headers": f"x-key={KEY}", **more},
    )


async def send(gateway: GatewayProcess, trace: TraceContext | None, *to: str) -> None:
    field = f"traceparent: {trace}\r\ntracestate: shop=1\r\n" if trace else ""

    def talk() -> None:
        with smtplib.SMTP("127.0.0.1", gateway.smtp_port, timeout=60) as smtp:
            letter = f"{field}Message-ID: <{to[0]}>\r\nSubject: Order 77\r\n\r\nbody\r\n"
            smtp.sendmail("a@example.com", to, letter)

    await asyncio.to_thread(talk)


async def post(gateway: GatewayProcess, trace: TraceContext, to: str) -> None:
    letter = {"from": {"address": "a@example.com"}, "to": [{"address": to}], "subject": "Order 78"}
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        answer = await client.post(
            f"http://127.0.0.1:{gateway.http_port}/api/letters",
            json=letter | {"text": "body"},
            headers={"authorization": f"Bearer {TOKEN}", "traceparent": str(trace)},
        )
    assert answer.status_code == 202, answer.text


def names(collector: Collector, trace: TraceContext) -> list[str]:
    """Spans of a trace, with their troubles."""
    return sorted(
        f"{span.name} {span.status.message}".strip()
        for span in collector.spans
        if span.trace_id.hex() == trace.trace_id
    )


async def test_a_letter_is_followed_to_its_end(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """Deferred, killed, handed over; refused and reported; accepted by an API and bounced later."""
    sandbox.faults.add(Fault(FaultKind.REFUSE, "smarthost", recipient="wrong@"))
    put_off = Fault(FaultKind.DEFER, "smarthost", times=None, recipient="bob@")
    sandbox.faults.add(put_off)
    async with a_collector() as collector:
        gateway = traced(make_gateway, sandbox, collector.url)
        await gateway.start()
        await gateway.wait_for(lambda line: line.get("event") == "webhook_registered")
        await send(gateway, SMTP, "bob@example.org", "wrong@example.org")
        await send(gateway, UNKEPT, "eve@example.org")
        await post(gateway, HTTP, "carol@example.org")
        # A kill takes the spans of its last moments with it: these are to be there before.
        refused = {"attempt", "attempt deferred 4.0.0", "attempt rejected 5.0.0", "report"}
        await collector.wait_until(lambda it: refused <= set(names(it, SMTP)))
        await collector.wait_until(lambda it: "attempt" in names(it, HTTP))
        await gateway.kill()
        sandbox.faults.clear()
        await gateway.start()
        (letter,) = sandbox.rest_v1.messages.found
        sandbox.rest_v1.messages.happen(letter, "hard_bounced")
        await collector.wait_until(lambda it: "tracked bounced" in names(it, HTTP))
        await collector.wait_until(lambda it: names(it, SMTP).count("attempt") == 2)
        _, told, _ = await gateway.command("trace", "bob@example.org")
        assert f"trace id {SMTP.trace_id}" in told
        await gateway.stop()
    check_spans(collector)
    check_log(gateway.log)
    for arrived in sandbox.letterbox.letters:
        assert b"trace" not in arrived.content.lower()
        assert not any("trace" in name.lower() for name in arrived.header_fields)
    assert KEY not in str(gateway.log)


def check_spans(collector: Collector) -> None:
    """Every span hangs below the application's; what it said not to keep is nowhere."""
    # How often it was put off, and whether the kill hit an attempt, is chance.
    told = [name for name in names(collector, SMTP) if not name.startswith(CHANCE)]
    assert told == [
        *("attempt", "attempt", "attempt rejected 5.0.0", "commit", "receive", "report")
    ]
    # That nobody can carry a report of the bounce may be told before the end, or not.
    told = [name for name in names(collector, HTTP) if name != "report no_carrier"]
    assert told == ["attempt", "commit", "receive", "tracked bounced"]
    assert names(collector, UNKEPT) == []
    spans = {span.span_id: span for span in collector.spans}
    assert len(spans) == len(collector.spans)
    for span in collector.spans:
        if span.name == "receive":
            assert span.parent_span_id.hex() in {SMTP.span_id, HTTP.span_id}
        else:
            above = spans[span.parent_span_id]
            assert (above.name, above.trace_id) == ("receive", span.trace_id)
            assert span.start_time_unix_nano >= above.start_time_unix_nano
        assert attributes(span)["mailquay.queue_id"]
    assert collector.requests[0]["x-key"] == KEY
    assert collector.resources[0]["service.name"] == "mailquay"


def check_log(log: list[LogLine]) -> None:
    """Every line of a letter names it in full, whichever part of the gateway wrote it."""
    lines = [line for line in log if "queue_id" in line]
    assert {"received", "deferred", "failed", "reported", "handed_over", "tracked"} <= {
        line["event"] for line in lines
    }
    traces = {context.trace_id for context in (SMTP, HTTP, UNKEPT)}
    for line in lines:
        assert line["message_id"], line
        assert line["trace_id"] in traces, line


async def test_a_collector_that_is_away_is_no_letter_s_business(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """Letters flow, the lost spans are counted, the stop waits for nobody; half are traced."""
    gateway = traced(make_gateway, sandbox, f"http://127.0.0.1:{free_port()}", sample=0.5)
    await gateway.start()
    for number in range(20):
        await send(gateway, None, f"r{number}@example.org")
    await gateway.wait_for_count(20, lambda line: line.get("event") == "handed_over")
    await gateway.wait_for(lambda line: line.get("event") == "traces_not_taken")
    lines = [line for line in gateway.log if line.get("event") == "handed_over"]
    assert len({line["trace_id"] for line in lines}) == 20
    assert await gateway.metric("mailquay_trace_spans_total", result="sent") == 0
    assert await gateway.stop() == 0
    lost = [line["spans"] for line in gateway.log if line.get("event") == "spans_lost"]
    assert 0 < sum(lost) < 60


async def test_a_slow_letter_is_found_by_the_exemplar_of_its_bucket(
    sandbox: Sandbox, make_gateway: MakeGateway, tmp_path: Path
) -> None:
    """A real Prometheus asks for OpenMetrics and keeps the trace ids of latencies."""
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    prometheus = Prometheus(tmp_path, [f"127.0.0.1:{gateway.http_port}"], exemplars=True)
    await prometheus.start()
    try:
        await send(gateway, SMTP, "bob@example.org")
        await send(gateway, UNKEPT, "eve@example.org")
        for name in ("attempt_seconds", "handover_delay_seconds"):
            found = await prometheus.exemplars(f"mailquay_{name}_bucket")
            assert {one["labels"]["trace_id"] for one in found} == {SMTP.trace_id}
        assert await prometheus.query("mailquay_attempts_total{outcome='accepted'}")
    finally:
        await prometheus.stop()
