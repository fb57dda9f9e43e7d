"""
Every metric there is, with its help text, and how events feed it.

No name is made up elsewhere; Grafana boards use nothing else. Labels come from closed sets only
(provider names, states, words of our enums), and every series is there at zero from the start, so
that `rate()` sees the first failure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from importlib.metadata import version
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from gateway.domain.events import (
    AttemptCutShort,
    AttemptEnded,
    AttemptLost,
    BatchEnded,
    CircuitChanged,
    Event,
    LetterCorrupt,
    LetterReceived,
    LetterRepeated,
    LetterTracked,
    RecipientFailed,
    RecipientSuppressed,
    SenderTold,
    StatusAsked,
    WebhookCalled,
    WebhookRegistered,
    WebhookResult,
)
from gateway.domain.health import CircuitState
from gateway.domain.lifecycle import State
from gateway.domain.notification import Action, Result
from gateway.domain.pauses import PauseKind
from gateway.domain.repair import Repair
from gateway.domain.suppression import SuppressionReason
from gateway.domain.trace_context import TraceContext
from gateway.spool.values import SpoolStats
from providers.contract.capabilities import Part
from providers.contract.outcome import Kind
from providers.contract.tracking import EventType

_PREFIX = "mailquay"
_OPENMETRICS = "application/openmetrics-text"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_DELAYS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1800, 7200, 86400)
_DELIVERIES = (1, 2.5, 5, 10, 30, 60, 120, 300, 900, 1800, 3600, 14400, 43200, 86400, 259200)
_SIZES = (1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20)
_LETTERS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500)
_BATCHES = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_CIRCUIT = {CircuitState.CLOSED: 0, CircuitState.HALF_OPEN: 1, CircuitState.OPEN: 2}
_WEBHOOK_RESULTS = ("taken", "refused", "given_up")
_SPAN_RESULTS = ("sent", "refused", "unreachable", "overflow")
_CODE_CLASSES = ("2xx", "3xx", "4xx", "5xx")


class _ProviderSeries(NamedTuple):
    """What every attempt of a provider touches, found once: to find it costs more than to count."""

    attempts: Mapping[Kind, Counter]
    attempt_seconds: Histogram
    handover_delay: Histogram


class Metrics:
    """
    All metrics of one gateway, in a registry of their own.

    Args:
        providers: Kind by name, of every configured provider.
        listeners: Names.
        reply_reasons: The closed list of the front door's reply reasons.
    """

    def __init__(
        self,
        *,
        providers: Mapping[str, str],
        listeners: Iterable[str],
        reply_reasons: Iterable[str],
    ) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._providers: set[str] = set()
        self._received: dict[str, Counter] = {}
        self._of_provider: dict[str, _ProviderSeries] = {}
        self._pausable: set[tuple[PauseKind, str]] = set()
        self._front_door(tuple(listeners), tuple(reply_reasons))
        self._spool()
        self._delivery()
        self._tracking()
        self.add_providers(providers)

    def _front_door(self, listeners: tuple[str, ...], reasons: tuple[str, ...]) -> None:
        self.smtp_connections = self._gauge(
            "smtp_connections", "SMTP sessions open now.", ("listener",)
        )
        self.smtp_sessions = self._counter("smtp_sessions", "SMTP sessions begun.", ("listener",))
        self.smtp_replies = self._counter(
            "smtp_replies",
            "SMTP replies given, by class of the code and reason.",
            ("listener", "code_class", "reason"),
        )
        self.messages_received = self._counter(
            "messages_received", "Letters taken: answered 250 after the commit.", ("listener",)
        )
        self.repairs = self._counter(
            "repairs", "Letters taken that needed mending, by what was mended.", ("repair",)
        )
        for repair in Repair:
            self.repairs.labels(repair.value)
        self.tls_failures = self._counter(
            "smtp_tls_failures", "TLS handshakes that did not come about.", ("listener",)
        )
        self.tls_certificate_expiry = self._gauge(
            "tls_certificate_expiry_timestamp_seconds",
            "When the front door's certificate expires; NaN where it has none.",
        )
        self.message_size = self._histogram("message_size_bytes", "Size of letters taken.", _SIZES)
        self.duplicates = self._counter(
            "duplicates",
            "Recipients that have a letter which came again, and are not sent it again.",
            ("listener",),
        )
        for listener in listeners:
            self.duplicates.labels(listener)
            self.smtp_connections.labels(listener)
            self.smtp_sessions.labels(listener)
            self.tls_failures.labels(listener)
            self.messages_received.labels(listener)
            for code_class in _CODE_CLASSES:
                for reason in reasons:
                    self.smtp_replies.labels(listener, code_class, reason)

    def _spool(self) -> None:
        self.recipients_accepted = self._gauge(
            "recipients_accepted", "Recipients ever taken by this spool."
        )
        self.recipients = self._gauge(
            "recipients",
            "Recipients by state; settled states count all there ever were in this spool.",
            ("state",),
        )
        self.oldest_due = self._gauge(
            "oldest_due_seconds",
            "How long the longest overdue recipient has waited untouched; 0 when none has.",
            ("provider",),
        )
        self.paused = self._gauge(
            "paused", "1 while a provider or a route is paused by hand.", ("kind", "name")
        )
        self.spool_bytes = self._gauge("spool_bytes", "What the spool takes on disk.")
        self.spool_free_bytes = self._gauge(
            "spool_free_bytes",
            "Room that the spool's disk has left; NaN where the spool is on a server.",
        )
        self.ready = self._gauge("ready", "1 while letters can come in and leave, as /readyz says.")
        self.spool_commit_seconds = self._histogram(
            "spool_commit_seconds", "Time of one commit, its sync included.", _SECONDS
        )
        self.spool_commit_letters = self._histogram(
            "spool_commit_letters", "Letters admitted by one commit.", _LETTERS
        )
        self.corrupt = self._counter("corrupt_letters", "Stored letters that could not be read.")
        for state in State:
            self.recipients.labels(state.value)

    def _delivery(self) -> None:
        self.attempts = self._counter(
            "attempts", "Attempts for one recipient each, by outcome.", ("provider", "outcome")
        )
        self.attempt_seconds = self._histogram(
            "attempt_seconds", "Time from start to end of an attempt.", _SECONDS, ("provider",)
        )
        self.handover_delay = self._histogram(
            "handover_delay_seconds",
            "Time from the end of a letter's data to its acceptance by the provider.",
            _DELAYS,
            ("provider",),
        )
        self.batch_recipients = self._histogram(
            "batch_recipients",
            "Recipients in one call, of providers that take several letters at once.",
            _BATCHES,
            ("provider",),
        )
        self.failed = self._counter(
            "recipients_failed", "Recipients given up, by last provider.", ("provider",)
        )
        self.webhook_deliveries = self._counter(
            "webhook_deliveries",
            "Calls to applications' webhooks: taken, refused for now, or given up.",
            ("webhook", "result"),
        )
        self.suppressed = self._counter(
            "suppressed",
            "Recipients that were sent nothing: the address is on the suppression list.",
            ("reason",),
        )
        for reason in SuppressionReason:
            self.suppressed.labels(reason.value)
        self.uncertain = self._counter(
            "uncertain",
            "Attempts whose answer was lost: the provider may have accepted.",
            ("provider",),
        )
        self.losses = self._counter(
            "losses",
            "Parts of letters that a provider could not carry and a route let go.",
            ("provider", "part"),
        )
        self.bounces = self._counter(
            "bounces",
            "Reports that recipients called for, by the gravest of them and by what became of it.",
            ("action", "result"),
        )
        for action in Action:
            for result in Result:
                self.bounces.labels(action.value, result.value)
        self.throttled_seconds = self._counter(
            "provider_throttled_seconds",
            "Time that the next letter waited for the account's pace.",
            ("provider",),
        )
        self.circuit = self._gauge(
            "provider_circuit_state",
            "0: it is given letters; 1: a few, it comes back; 2: none, it is probed.",
            ("provider",),
        )
        self.provider_info = self._gauge(
            "provider_info", "A configured provider.", ("provider", "kind")
        )
        self.build_info = self._gauge("build_info", "The running version.", ("version",))
        self.build_info.labels(version("mailquay")).set(1)
        self.trace_spans = self._counter(
            "trace_spans",
            "Spans for the collector of traces: sent, refused by it, lost while it was away, or "
            "too many at once.",
            ("result",),
        )
        for spans_result in _SPAN_RESULTS:
            self.trace_spans.labels(spans_result)

    def _tracking(self) -> None:
        self.events = self._counter(
            "events",
            "What providers told of letters after the hand-over, each thing that happened once.",
            ("provider", "event"),
        )
        self.delivery_seconds = self._histogram(
            "delivery_seconds",
            "Time from a letter's acceptance by the provider to its delivery; where only a status "
            "told of it, to the question.",
            _DELIVERIES,
            ("provider",),
        )
        self.webhook_calls = self._counter(
            "webhook_calls",
            "Calls of providers, by what became of them; provider is empty for names we do not "
            "know.",
            ("provider", "result"),
        )
        self.webhook_registered = self._gauge(
            "webhook_registered",
            "1 where the provider calls us, 0 where registering failed; NaN where that is not ours "
            "to do.",
            ("provider",),
        )
        self.statuses_asked = self._counter(
            "statuses_asked", "Ids that providers were asked about.", ("provider",)
        )
        self.statuses_answered = self._counter(
            "statuses_answered", "Ids that providers answered about.", ("provider",)
        )
        for result in WebhookResult:
            self.webhook_calls.labels("", result.value)

    def add_providers(self, providers: Mapping[str, str]) -> None:
        """Show all series of these providers, kind by name, from now on."""
        for provider in set(providers) - self._providers:
            self.webhook_registered.labels(provider).set(math.nan)
        self._providers |= set(providers)
        self._show_pausable(PauseKind.PROVIDER, providers)
        for provider, kind in providers.items():
            self.provider_info.labels(provider, kind).set(1)
            for outcome in Kind:
                self.attempts.labels(provider, outcome.value)
            for part in Part:
                self.losses.labels(provider, part.value)
            for happening in EventType:
                self.events.labels(provider, happening.value)
            for result in WebhookResult:
                self.webhook_calls.labels(provider, result.value)
            for metric in (
                self.oldest_due,
                self.attempt_seconds,
                self.handover_delay,
                self.batch_recipients,
                self.failed,
                self.uncertain,
                self.throttled_seconds,
                self.circuit,
                self.delivery_seconds,
                self.statuses_asked,
                self.statuses_answered,
            ):
                metric.labels(provider)

    def add_webhooks(self, endpoints: Iterable[str]) -> None:
        """Show all series of these webhooks of applications from now on."""
        for endpoint in endpoints:
            for result in _WEBHOOK_RESULTS:
                self.webhook_deliveries.labels(endpoint, result)

    def webhook_answered(self, endpoint: str, result: str) -> None:
        """Count a call to an application's webhook."""
        self.webhook_deliveries.labels(endpoint, result).inc()

    def spans_ended(self, result: str, spans: int) -> None:
        """Count what became of spans."""
        self.trace_spans.labels(result).inc(spans)

    def add_routes(self, routes: Iterable[str]) -> None:
        """Show all series of these routes from now on."""
        self._show_pausable(PauseKind.ROUTE, routes)

    def _show_pausable(self, kind: PauseKind, names: Iterable[str]) -> None:
        for name in names:
            self._pausable.add((kind, name))
            self.paused.labels(kind.value, name)

    def see(self, event: Event) -> None:
        """Count one event."""
        match event:
            case LetterReceived():
                self._see_received(event)
            case LetterRepeated():
                self.duplicates.labels(event.listener).inc(event.recipients)
            case AttemptEnded():
                self._see_attempt(event)
            case RecipientFailed() | RecipientSuppressed():
                self._see_unsent(event)
            case AttemptLost():
                self.attempts.labels(event.provider, event.outcome.kind.value).inc()
            case AttemptCutShort():
                self.attempts.labels(event.provider, Kind.UNCERTAIN.value).inc()
                self.uncertain.labels(event.provider).inc()
            case BatchEnded():
                self.batch_recipients.labels(event.provider).observe(event.recipients)
            case SenderTold():
                self.bounces.labels(event.action.value, event.result.value).inc()
            case LetterCorrupt():
                self.corrupt.inc()
            case CircuitChanged():
                self.circuit.labels(event.provider).set(_CIRCUIT[event.state])
            case LetterTracked() | WebhookCalled() | StatusAsked() | WebhookRegistered():
                self._see_told(event)

    def _see_received(self, event: LetterReceived) -> None:
        received = self._received.get(event.listener)
        if received is None:
            received = self.messages_received.labels(event.listener)
            self._received[event.listener] = received
        received.inc()
        self.message_size.observe(event.size)
        for repair in event.repairs:
            self.repairs.labels(repair.value).inc()

    def _see_unsent(self, event: RecipientFailed | RecipientSuppressed) -> None:
        if isinstance(event, RecipientSuppressed):
            self.suppressed.labels(event.reason.value).inc()
        else:
            self.failed.labels(event.provider).inc()

    def _see_attempt(self, event: AttemptEnded) -> None:
        provider, outcome = event.provider, event.outcome
        series = self._series(provider)
        series.attempts[outcome.kind].inc()
        exemplar = _exemplar(event.trace)
        series.attempt_seconds.observe(_seconds(event.started_at, event.ended_at), exemplar)
        if outcome.kind is Kind.ACCEPTED:
            series.handover_delay.observe(_seconds(event.arrival, event.ended_at), exemplar)
        elif outcome.kind is Kind.UNCERTAIN:
            self.uncertain.labels(provider).inc()
        if event.state is State.FAILED:
            self.failed.labels(provider).inc()
        for loss in event.losses:
            self.losses.labels(provider, loss.part.value).inc()

    def _series(self, provider: str) -> _ProviderSeries:
        series = self._of_provider.get(provider)
        if series is None:
            series = self._of_provider[provider] = _ProviderSeries(
                {kind: self.attempts.labels(provider, kind.value) for kind in Kind},
                self.attempt_seconds.labels(provider),
                self.handover_delay.labels(provider),
            )
        return series

    def _see_told(
        self, event: LetterTracked | WebhookCalled | StatusAsked | WebhookRegistered
    ) -> None:
        match event:
            case LetterTracked():
                self._see_tracked(event)
            case WebhookCalled():
                self.webhook_calls.labels(event.provider, event.result.value).inc()
            case StatusAsked():
                self.statuses_asked.labels(event.provider).inc(event.asked)
                self.statuses_answered.labels(event.provider).inc(event.answered)
            case WebhookRegistered():
                self.webhook_registered.labels(event.provider).set(0 if event.reason else 1)

    def _see_tracked(self, event: LetterTracked) -> None:
        provider, happening = event.provider, event.event
        self.events.labels(provider, happening.event_type.value).inc()
        if happening.event_type is EventType.DELIVERED and event.accepted_at is not None:
            # Providers tell whole seconds, and their clocks are not ours.
            took = max(0.0, _seconds(event.accepted_at, happening.timestamp))
            self.delivery_seconds.labels(provider).observe(took, _exemplar(event.trace))

    def committed(self, seconds: float, letters: int) -> None:
        """One commit of the spool."""
        self.spool_commit_seconds.observe(seconds)
        self.spool_commit_letters.observe(letters)

    def set_stats(self, stats: SpoolStats, now: datetime) -> None:
        """Show the spool as it stands."""
        counts = dict.fromkeys(State, 0) | dict(stats.settled)
        for (_, state), count in stats.active.items():
            counts[state] += count
        for state, count in counts.items():
            self.recipients.labels(state.value).set(count)
        self.recipients_accepted.set(stats.accepted)
        for provider in self._providers:
            since = stats.oldest_due.get(provider)
            self.oldest_due.labels(provider).set(max(0.0, _seconds(since, now)) if since else 0.0)
        paused = {(pause.kind, pause.name) for pause in stats.pauses}
        for key in self._pausable:
            self.paused.labels(key[0].value, key[1]).set(key in paused)
        self.spool_bytes.set(stats.octets)

    def set_certificate(self, expires_at: datetime | None) -> None:
        """Show when the front door's certificate expires."""
        self.tls_certificate_expiry.set(expires_at.timestamp() if expires_at else float("nan"))

    def render(self) -> bytes:
        """The exposition in Prometheus' text format."""
        return generate_latest(self.registry)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """
        The exposition as the client wants it, with its content type.

        Args:
            accept: The value of Accept. Who takes OpenMetrics gets it, with exemplars on latencies:
                the trace of a letter that took so long. The library's own choice fails on versions
                that are no numbers.
        """
        if _OPENMETRICS not in accept.lower():
            return self.render(), CONTENT_TYPE_LATEST
        from prometheus_client.openmetrics import exposition  # noqa: PLC0415 (for who asks for it)

        body: bytes = exposition.generate_latest(self.registry)  # type: ignore[no-untyped-call]  # theirs
        return body, exposition.CONTENT_TYPE_LATEST

    def _counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(f"{_PREFIX}_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(f"{_PREFIX}_{name}", text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: Iterable[float], labels: tuple[str, ...] = ()
    ) -> Histogram:
        return Histogram(
            f"{_PREFIX}_{name}", text, labels, registry=self.registry, buckets=tuple(buckets)
        )


def _exemplar(trace: TraceContext | None) -> dict[str, str] | None:
    """Only of traces that are kept: the others lead nowhere."""
    return {"trace_id": trace.trace_id} if trace is not None and trace.sampled else None


def _seconds(since: datetime, until: datetime) -> float:
    return (until - since).total_seconds()
