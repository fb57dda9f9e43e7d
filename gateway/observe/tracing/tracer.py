"""
The tracer: begins the trace of a letter, or goes on with its application's, and sees what happens.

A reader of the event stream; `app` builds it where traces are asked for. It never waits.
"""

from __future__ import annotations

import secrets
from typing import get_args

from gateway.domain.events import Event, LetterEvent
from gateway.domain.trace_context import TraceContext
from gateway.observe.tracing.exporter import Exporter
from gateway.observe.tracing.otlp import encode_span
from gateway.observe.tracing.spans import spans_from

_OF_LETTERS = get_args(LetterEvent)
_LOW_HALF = 1 << 64


class Tracer:
    """
    Traces letters.

    Args:
        exporter: Takes the spans; started and stopped here.
        sample: Share of letters that are traced, of those whose applications say nothing.
    """

    def __init__(self, exporter: Exporter, sample: float) -> None:
        self._exporter = exporter
        self._bound = sample * _LOW_HALF

    def begin(self, parent: TraceContext | None) -> TraceContext:
        """The place in its trace of a letter's reception, part of what its application names."""
        if parent is not None:
            return TraceContext(parent.trace_id, _new_span_id(), parent.sampled)
        trace_id = secrets.token_hex(16)
        # By the id, as other tracers decide: who samples less keeps a part of what we keep.
        sampled = int(trace_id[16:], 16) < self._bound
        return TraceContext(trace_id, _new_span_id(), sampled)

    def see(self, event: Event) -> None:
        """Have its spans sent, where it is of a letter that is traced."""
        if not isinstance(event, _OF_LETTERS) or event.trace is None or not event.trace.sampled:
            return
        for span in spans_from(event, event.trace, _new_span_id):
            self._exporter.add(encode_span(span))

    def start(self) -> None:
        """Send from now on."""
        self._exporter.start()

    async def stop(self) -> None:
        """Send what waits, for a few seconds at most."""
        await self._exporter.stop()


def _new_span_id() -> str:
    return secrets.token_hex(8)
