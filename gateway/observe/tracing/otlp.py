"""
OTLP over HTTP in its JSON form: spans to octets, a collector's answer to what follows from it.

Pure. Source: the OpenTelemetry Protocol specification, sections OTLP/HTTP and JSON Protobuf
Encoding: ids are hexadecimal there, 64-bit numbers are text, enums are numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from gateway.observe.tracing.spans import Span, Value

CONTENT_TYPE = "application/json"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SAMPLED = 1
_ERROR = 2
_AGAIN = frozenset({429, 502, 503, 504})
_encode = json.JSONEncoder(separators=(",", ":")).encode


class Verdict(StrEnum):
    """What a collector says of spans."""

    TAKEN = "taken"
    REFUSED = "refused"
    AGAIN = "again"  # not now


@dataclass(frozen=True, slots=True)
class Answer:
    """
    A collector's answer.

    `rejected` counts spans that it did not take of those it was sent, where it took the rest;
    `wait_s` is how long it asks us to wait before we come again.
    """

    verdict: Verdict
    rejected: int = 0
    wait_s: float = 0.0


def encode_span(span: Span) -> str:
    """A span as JSON."""
    document: dict[str, object] = {
        "traceId": span.context.trace_id,
        "spanId": span.context.span_id,
        "name": span.name,
        "kind": int(span.kind),
        "flags": _SAMPLED,
        "startTimeUnixNano": _nanoseconds(span.started_at),
        "endTimeUnixNano": _nanoseconds(span.ended_at),
        "attributes": _attributes(span.attributes),
    }
    if span.parent_id:
        document["parentSpanId"] = span.parent_id
    if span.trouble:
        document["status"] = {"code": _ERROR, "message": span.trouble}
    return _encode(document)


class Envelope:
    """
    What stands around spans in each request: who sends them.

    Args:
        resource: Attributes of this process; `service.name` among them.
        version: Of the gateway.
    """

    def __init__(self, resource: Mapping[str, Value], version: str) -> None:
        told = _encode({"attributes": _attributes(resource)})
        scope = _encode({"name": "mailquay", "version": version})
        self._before = f'{{"resourceSpans":[{{"resource":{told},"scopeSpans":[{{"scope":{scope},'
        self._before += '"spans":['
        self._after = "]}]}]}"

    def body(self, spans: Iterable[str]) -> bytes:
        """A request for encoded spans; ASCII."""
        return f"{self._before}{','.join(spans)}{self._after}".encode()


def read_answer(code: int, retry_after: str, body: bytes) -> Answer:
    """
    Read a collector's answer.

    Args:
        code: Of HTTP.
        retry_after: The value of Retry-After; empty without. Only seconds are understood.
        body: As far as it was read; only what is JSON is understood.
    """
    if code in _AGAIN:
        seconds = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.0
        return Answer(Verdict.AGAIN, wait_s=seconds)
    if not 200 <= code < 300:
        return Answer(Verdict.REFUSED)
    try:
        rejected = int(json.loads(body)["partialSuccess"]["rejectedSpans"])
    except (ValueError, TypeError, KeyError, RecursionError):
        rejected = 0
    return Answer(Verdict.TAKEN, rejected=max(0, rejected))


def _attributes(values: Mapping[str, Value]) -> list[dict[str, object]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: Value) -> dict[str, object]:
    if isinstance(value, bool):
        return {"boolValue": value}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}


def _nanoseconds(moment: datetime) -> str:
    return f"{(moment - _EPOCH) // _MICROSECOND}000"
