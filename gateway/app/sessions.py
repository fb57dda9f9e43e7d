"""
What SMTP sessions do, as metrics.
"""

from __future__ import annotations

from prometheus_client import Counter

from gateway.ingress.submission import Reply
from gateway.observe.metrics import Metrics


class SessionCounts:
    """A `SessionObserver`; a letter has five replies, so their series are kept."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._series: dict[tuple[str, int, str], Counter] = {}

    def connected(self, listener: str) -> None:
        """A session begins."""
        self._metrics.smtp_sessions.labels(listener).inc()
        self._metrics.smtp_connections.labels(listener).inc()

    def disconnected(self, listener: str) -> None:
        """A session has ended."""
        self._metrics.smtp_connections.labels(listener).dec()

    def replied(self, listener: str, reply: Reply) -> None:
        """A command or a letter was answered."""
        key = (listener, reply.code // 100, reply.reason)
        series = self._series.get(key)
        if series is None:
            labels = (listener, f"{key[1]}xx", reply.reason)
            series = self._series[key] = self._metrics.smtp_replies.labels(*labels)
        series.inc()

    def handshake_failed(self, listener: str) -> None:
        """TLS did not come about."""
        self._metrics.tls_failures.labels(listener).inc()
