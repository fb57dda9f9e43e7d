"""
The tracer of a configuration, where it asks for one.

What it needs is imported then: a gateway without it pays nothing.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from gateway.config import Settings
from gateway.observe.metrics import Metrics
from providers.contract.clock import Clock

if TYPE_CHECKING:
    from gateway.observe.tracing.tracer import Tracer


def build_tracer(settings: Settings, metrics: Metrics, clock: Clock) -> Tracer | None:
    """The tracer, not started; `None` where nothing is traced."""
    given = settings.tracing
    if not given.url():
        return None
    from gateway.observe.tracing.exporter import Collector, Exporter  # noqa: PLC0415 (httpx: 4 MiB)
    from gateway.observe.tracing.otlp import Envelope  # noqa: PLC0415
    from gateway.observe.tracing.tracer import Tracer  # noqa: PLC0415

    ours = version("mailquay")
    resource = {
        "service.name": given.service_name,
        "service.version": ours,
        "service.instance.id": settings.hostname,
    }
    collector = Collector(given.url(), given.header_fields(), given.timeout.total_seconds())
    exporter = Exporter(collector, Envelope(resource, ours), clock, metrics.spans_ended)
    return Tracer(exporter, given.sample)
