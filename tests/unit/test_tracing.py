"""Traces of letters: whose they are, which spans there are, and what a collector's answer means."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from datetime import timedelta
from typing import get_args

import pytest
from pydantic import ValidationError

from gateway.config.tracing import TracingSettings
from gateway.domain.events import AttemptEnded, BatchEnded, LetterEvent, LetterReceived
from gateway.domain.trace_context import TraceContext
from gateway.observe.metrics import Metrics
from gateway.observe.tracing.exporter import Fate
from gateway.observe.tracing.otlp import Answer, Verdict, encode_span, read_answer
from gateway.observe.tracing.spans import Span, SpanKind, spans_from
from gateway.observe.tracing.tracer import Tracer
from providers.contract.outcome import DeliveryOutcome, Kind, Scope
from tests.support.letter_events import NOW, OF_A_LETTER, PARENT, TRACE


class Taken:
    """Stands in for the exporter."""

    def __init__(self) -> None:
        self.spans: list[str] = []

    def add(self, span: str) -> None:
        self.spans.append(span)


def a_tracer(sample: float = 1.0) -> tuple[Tracer, Taken]:
    taken = Taken()
    return Tracer(taken, sample), taken  # type: ignore[arg-type]


def spans(event: LetterEvent) -> tuple[Span, ...]:
    numbers = itertools.count(1)
    return spans_from(event, TRACE, lambda: f"{next(numbers):016x}")


def test_the_application_s_trace_is_gone_on_with() -> None:
    """Its id and its decision are kept, whatever our share is; the span is ours."""
    for sampled in (True, False):
        named = replace(PARENT, sampled=sampled)
        begun = a_tracer(sample=0.5)[0].begin(named)
        assert (begun.trace_id, begun.sampled) == (named.trace_id, sampled)
        assert begun.span_id != named.span_id


def test_without_one_a_share_of_letters_is_traced() -> None:
    """None, all, and about half: decided by the id, so that others can decide the same."""
    for sample, least, most in ((0.0, 0, 0), (1.0, 400, 400), (0.5, 100, 300)):
        tracer, _ = a_tracer(sample)
        begun = [tracer.begin(None) for _ in range(400)]
        assert least <= sum(context.sampled for context in begun) <= most
        assert len({context.trace_id for context in begun}) == 400
        assert all(
            context.sampled == (int(context.trace_id[16:], 16) < sample * 2**64)
            for context in begun
        )


def test_every_event_of_a_letter_has_its_span() -> None:
    """In the letter's trace, with its names, an id of its own, and no address in it."""
    assert {type(event) for event in OF_A_LETTER} == set(get_args(LetterEvent))
    for event in OF_A_LETTER:
        for span in spans(event):
            assert span.context.trace_id == TRACE.trace_id
            assert span.started_at <= span.ended_at
            told = encode_span(span)
            assert '"mailquay.queue_id"' in told
            assert '"mailquay.message_id"' in told
            assert "@example" not in told


def test_a_reception_encloses_its_commit() -> None:
    """From the end of the data to the reply; it is what the application's span has called."""
    event = next(event for event in OF_A_LETTER if isinstance(event, LetterReceived))
    reception, commit = spans(event)
    assert (reception.name, reception.kind) == ("receive", SpanKind.SERVER)
    assert (reception.context, reception.parent_id) == (TRACE, PARENT.span_id)
    assert reception.ended_at - reception.started_at == timedelta(seconds=2)
    assert (commit.name, commit.parent_id) == ("commit", TRACE.span_id)
    assert commit.started_at == NOW + timedelta(seconds=1)
    (first,) = spans(replace(event, parent=None, admitted_at=None))
    assert first.parent_id == ""


def test_an_attempt_tells_provider_and_outcome() -> None:
    """All that was not accepted is trouble, with its enhanced status code."""
    event = next(event for event in OF_A_LETTER if isinstance(event, AttemptEnded))
    (span,) = spans(event)
    assert (span.name, span.kind, span.trouble) == ("attempt", SpanKind.CLIENT, "")
    assert span.parent_id == TRACE.span_id
    assert span.attributes["mailquay.provider"] == "main"
    assert span.attributes["mailquay.outcome"] == "accepted"
    put_off = DeliveryOutcome(Kind.DEFERRED, Scope.RECIPIENT, "4.2.1", "busy")
    (span,) = spans(replace(event, outcome=put_off))
    assert span.trouble == "deferred 4.2.1"
    assert "mailquay.provider_message_id" not in span.attributes


def test_only_letters_that_are_traced_are_told_of() -> None:
    """Other events, letters without a trace, and those that are not sampled cost no span."""
    tracer, taken = a_tracer()
    tracer.see(BatchEnded(NOW, "main", 7))
    (received, *_) = OF_A_LETTER
    tracer.see(replace(received, trace=None))
    tracer.see(replace(received, trace=replace(TRACE, sampled=False)))
    assert taken.spans == []
    tracer.see(received)
    assert [json.loads(span)["name"] for span in taken.spans] == ["receive", "commit"]


def test_a_span_s_text_is_one_run_of_ascii() -> None:
    """Whatever a provider or a client wrote, a request stays one JSON document."""
    context = TraceContext(TRACE.trace_id, TRACE.span_id, sampled=True)
    told = encode_span(
        Span("x", context, "", NOW, NOW, attributes={"a": '"\u2028é\ud800', "b": True})
    )
    assert told.isascii()
    first, second = json.loads(told)["attributes"]
    assert first["value"] == {"stringValue": '"\u2028é\ud800'}
    assert second["value"] == {"boolValue": True}


@pytest.mark.parametrize(
    ("code", "retry_after", "body", "answer"),
    [
        (200, "", b"{}", Answer(Verdict.TAKEN)),
        (200, "", b"", Answer(Verdict.TAKEN)),
        (204, "", b"[]", Answer(Verdict.TAKEN)),
        (200, "", b'{"partialSuccess":{}}', Answer(Verdict.TAKEN)),
        (200, "", b'{"partialSuccess":{"rejectedSpans":"3"}}', Answer(Verdict.TAKEN, 3)),
        (200, "", b'{"partialSuccess":{"rejectedSpans":-3}}', Answer(Verdict.TAKEN)),
        (503, "7", b"", Answer(Verdict.AGAIN, wait_s=7)),
        (429, "Fri, 02 Jan 2026 00:00:00 GMT", b"", Answer(Verdict.AGAIN)),
        (502, "٣", b"", Answer(Verdict.AGAIN)),
        (307, "", b"", Answer(Verdict.REFUSED)),
        (400, "", b"", Answer(Verdict.REFUSED)),
        (500, "9", b"", Answer(Verdict.REFUSED)),
    ],
)
def test_a_collector_s_answer(code: int, retry_after: str, body: bytes, answer: Answer) -> None:
    """As OTLP over HTTP has it: four codes are for later, all others are final."""
    assert read_answer(code, retry_after, body) == answer


def test_every_fate_of_spans_is_a_series_at_zero() -> None:
    """Metrics know the words without the exporter, which brings httpx."""
    metrics = Metrics(providers={}, listeners=(), reply_reasons=())
    shown = {
        sample.labels["result"]: sample.value
        for sample in metrics.trace_spans.collect()[0].samples
        if sample.name.endswith("_total")
    }
    assert shown == dict.fromkeys(map(str, Fate), 0.0)
    metrics.spans_ended(Fate.OVERFLOW, 7)
    assert 'mailquay_trace_spans_total{result="overflow"} 7.0' in metrics.render().decode()


def test_settings_lead_to_the_collector() -> None:
    """The path is added where it is not there; header fields as OpenTelemetry writes them."""
    assert TracingSettings().url() == ""
    for endpoint in (
        "http://collector:4318",
        "http://collector:4318/",
        "http://collector:4318/v1/traces",
    ):
        assert TracingSettings(endpoint=endpoint).url() == "http://collector:4318/v1/traces"
    given = TracingSettings(
        endpoint="https://otlp.example.com/otlp", headers="authorization=Basic%20ZHVtbXk=,x-team=7"
    )
    assert given.url() == "https://otlp.example.com/otlp/v1/traces"
    assert given.header_fields() == {"authorization": "Basic ZHVtbXk=", "x-team": "7"}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"endpoint": "collector:4318"}, "endpoint"),
        ({"endpoint": "http://user@collector:4318"}, "without a user"),
        ({"endpoint": "http://collector:99999"}, "0-65535"),
        ({"endpoint": "http://collector:4318?key=1"}, "without"),
        ({"endpoint": "http://collector:4318", "headers": "a=s3cret"}, "https"),
        ({"headers": "s3cret"}, "headers"),
        ({"headers": "a=s3cret%0D%0AX: 1"}, "headers"),
        ({"headers": "a b=s3cret"}, "headers"),
        ({"sample": 1.5}, "sample"),
    ],
)
def test_settings_that_cannot_be_meant(given: dict[str, object], reason: str) -> None:
    """Refused with the reason, and without the secret; headers cannot hold a line end."""
    with pytest.raises(ValidationError, match=reason) as refused:
        TracingSettings(**given)  # type: ignore[arg-type]
    assert "s3cret" not in str(refused.value)
    assert TracingSettings(
        endpoint="http://collector:4318", headers="a=s3cret", allow_insecure=True
    ).header_fields() == {"a": "s3cret"}
