"""Metrics: there at zero, closed labels, fed by events, and the ledger as the spool has it."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families

from gateway.domain.events import (
    AttemptCutShort,
    AttemptEnded,
    AttemptLost,
    LetterCorrupt,
    LetterReceived,
    LetterTracked,
    StatusAsked,
    WebhookCalled,
    WebhookRegistered,
    WebhookResult,
)
from gateway.domain.lifecycle import State
from gateway.domain.trace_context import TraceContext
from gateway.domain.tracking import Source
from gateway.observe.metrics import Metrics
from gateway.spool.values import SpoolStats
from providers.contract.capabilities import Part, Shortfall
from providers.contract.outcome import DeliveryOutcome, Kind, Scope, accepted
from providers.contract.tracking import EventType, TrackingEvent

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def a_metrics() -> Metrics:
    return Metrics(
        providers={"main": "smarthost", "rest": "rest_v1"},
        listeners=["app"],
        reply_reasons=["queued", "relay_denied"],
    )


def values(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return values(metrics)[(name, frozenset(labels.items()))]


def an_end(outcome: DeliveryOutcome, state: State, **more: object) -> AttemptEnded:
    given: dict[str, object] = {
        "queue_id": "1K7QH3M2V0C01",
        "forward_path": "bob@example.org",
        "provider": "main",
        "attempt": 1,
        "arrival": NOW,
        "claimed_at": NOW,
        "started_at": NOW + timedelta(seconds=1),
        "ended_at": NOW + timedelta(seconds=3),
        "outcome": outcome,
        "state": state,
        "due_at": None,
        "expired": False,
        "losses": (),
    }
    return AttemptEnded(**(given | more))  # type: ignore[arg-type]


def test_every_series_is_there_at_zero_from_the_start() -> None:
    """`rate()` must see the first failure, and a board must not be empty after a start."""
    metrics = a_metrics()
    for provider in ("main", "rest"):
        for kind in Kind:
            assert (
                value(metrics, "mailquay_attempts_total", provider=provider, outcome=kind.value)
                == 0
            )
        for part in Part:
            assert value(metrics, "mailquay_losses_total", provider=provider, part=part.value) == 0
        assert value(metrics, "mailquay_uncertain_total", provider=provider) == 0
        assert value(metrics, "mailquay_attempt_seconds_count", provider=provider) == 0
        assert value(metrics, "mailquay_oldest_due_seconds", provider=provider) == 0
    for state in State:
        assert value(metrics, "mailquay_recipients", state=state.value) == 0
    assert value(metrics, "mailquay_messages_received_total", listener="app") == 0
    assert value(metrics, "mailquay_provider_info", provider="main", kind="smarthost") == 1


def test_all_names_have_the_prefix_and_help() -> None:
    """One prefix but for the process's usual ones, and nothing that an operator has to guess."""
    for family in text_string_to_metric_families(a_metrics().render().decode()):
        assert family.name.startswith(("mailquay_", "process_"))
        assert family.documentation.endswith(".")


def test_labels_of_letters_never_appear() -> None:
    """No address, domain or id may become a label: sets stay closed."""
    metrics = a_metrics()
    metrics.see(an_end(accepted("42"), State.HANDED_OVER))
    text = metrics.render().decode()
    assert "bob@example.org" not in text
    assert "1K7QH3M2V0C01" not in text


def test_events_are_counted() -> None:
    """Each event feeds what the table of metrics says."""
    metrics = a_metrics()
    lost = DeliveryOutcome(Kind.UNCERTAIN, Scope.MESSAGE, "4.4.2")
    refused = DeliveryOutcome(Kind.REJECTED, Scope.RECIPIENT, "5.1.1")
    loss = Shortfall(Part.DATE, "header field date cannot be given")
    metrics.see(LetterReceived(NOW, "Q", "app", "127.0.0.1", "a@example.com", 2, 5000, "<m>"))
    metrics.see(an_end(accepted(), State.HANDED_OVER, losses=(loss,)))
    metrics.see(an_end(lost, State.UNCERTAIN))
    metrics.see(an_end(refused, State.FAILED))
    metrics.see(AttemptCutShort(NOW, "Q", "bob@example.org", "main", 1))
    metrics.see(AttemptLost(NOW, "Q", 0, "main", accepted()))
    metrics.see(LetterCorrupt(NOW, "Q", "unreadable"))
    metrics.committed(0.002, 7)
    assert value(metrics, "mailquay_messages_received_total", listener="app") == 1
    assert value(metrics, "mailquay_message_size_bytes_sum") == 5000
    assert value(metrics, "mailquay_attempts_total", provider="main", outcome="accepted") == 2
    assert value(metrics, "mailquay_attempts_total", provider="main", outcome="uncertain") == 2
    assert value(metrics, "mailquay_uncertain_total", provider="main") == 2
    assert value(metrics, "mailquay_recipients_failed_total", provider="main") == 1
    assert value(metrics, "mailquay_losses_total", provider="main", part="date") == 1
    assert value(metrics, "mailquay_attempt_seconds_sum", provider="main") == 6
    assert value(metrics, "mailquay_handover_delay_seconds_sum", provider="main") == 3
    assert value(metrics, "mailquay_corrupt_letters_total") == 1
    assert value(metrics, "mailquay_spool_commit_letters_sum") == 7


TRACE = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True)
PROMETHEUS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2"


def exemplars(metrics: Metrics) -> dict[str, str]:
    """Trace ids, by the name of the series."""
    text, content_type = metrics.exposition(PROMETHEUS)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    return {
        sample.name: sample.exemplar.labels["trace_id"]
        for family in parse_openmetrics(text.decode())
        for sample in family.samples
        if sample.exemplar
    }


def test_latencies_name_the_trace_of_a_letter_that_took_so_long() -> None:
    """Of traces that are kept; who asks for the older format gets none, and loses nothing."""
    metrics = a_metrics()
    metrics.see(an_end(accepted(), State.HANDED_OVER, trace=replace(TRACE, sampled=False)))
    metrics.see(an_end(accepted(), State.HANDED_OVER))
    assert exemplars(metrics) == {}
    metrics.see(an_end(accepted(), State.HANDED_OVER, trace=TRACE))
    metrics.see(replace(a_tracked(EventType.DELIVERED), trace=TRACE))
    names = ("attempt_seconds", "handover_delay_seconds", "delivery_seconds")
    assert exemplars(metrics) == {f"mailquay_{name}_bucket": TRACE.trace_id for name in names}
    assert TRACE.trace_id not in metrics.render().decode()


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain;version=0.0.4", "text/html", "\xff"])
def test_who_does_not_ask_for_openmetrics_gets_text(accept: str) -> None:
    """Browsers, curl and old scrapers."""
    body, content_type = a_metrics().exposition(accept)
    assert content_type.startswith("text/plain")
    assert b"# EOF" not in body


@pytest.mark.parametrize("version", ["abc", "", "0.0.1", "1.0.0", "9" * 5000])
def test_no_version_of_openmetrics_makes_it_fail(version: str) -> None:
    """Whoever reaches the port can write anything there."""
    accept = f"Application/OpenMetrics-Text;version={version}"
    body, _ = a_metrics().exposition(accept)
    assert body.endswith(b"# EOF\n")


def test_a_provider_that_a_reload_took_away_is_counted_still() -> None:
    """Its last attempts end after it."""
    metrics = a_metrics()
    metrics.see(an_end(accepted(), State.HANDED_OVER, provider="gone"))
    metrics.see(an_end(accepted(), State.HANDED_OVER, provider="gone"))
    assert value(metrics, "mailquay_attempts_total", provider="gone", outcome="accepted") == 2


def test_spool_is_shown_as_it_stands() -> None:
    """States, what is overdue, and the two sides of the ledger."""
    metrics = a_metrics()
    metrics.set_stats(
        SpoolStats(
            accepted=6,
            settled={State.HANDED_OVER: 3, State.FAILED: 1},
            active={("main", State.WAITING): 1, ("rest", State.WAITING): 1},
            oldest_due={"main": NOW - timedelta(seconds=90), "rest": NOW + timedelta(seconds=5)},
            ages={},
            octets=4096,
        ),
        NOW,
    )
    assert value(metrics, "mailquay_recipients_accepted") == 6
    assert sum(value(metrics, "mailquay_recipients", state=s.value) for s in State) == 6
    assert value(metrics, "mailquay_recipients", state="waiting") == 2
    assert value(metrics, "mailquay_oldest_due_seconds", provider="main") == 90
    assert value(metrics, "mailquay_oldest_due_seconds", provider="rest") == 0
    assert value(metrics, "mailquay_spool_bytes") == 4096


def a_tracked(event: EventType, *, took_s: float = 30.0) -> LetterTracked:
    return LetterTracked(
        at=NOW,
        queue_id="1K7QH3M2V0C01",
        recipient_key=0,
        forward_path="bob@example.org",
        reverse_path="",
        message_id="",
        provider="main",
        told_by="rest",
        source=Source.WEBHOOK,
        event=TrackingEvent(event, "7", NOW + timedelta(seconds=took_s)),
        accepted_at=NOW,
        number=1,
    )


def test_what_became_of_letters_is_counted_at_their_carrier() -> None:
    """By the closed list of words, all at zero before; the way of a delivered letter is timed."""
    metrics = a_metrics()
    for word in EventType:
        assert value(metrics, "mailquay_events_total", provider="main", event=word.value) == 0
    for event in (EventType.DELIVERED, EventType.OPENED, EventType.COMPLAINED):
        metrics.see(a_tracked(event))
    metrics.see(a_tracked(EventType.DELIVERED, took_s=-2.0))  # a provider's clock is not ours
    assert value(metrics, "mailquay_events_total", provider="main", event="delivered") == 2
    assert value(metrics, "mailquay_events_total", provider="main", event="complained") == 1
    assert value(metrics, "mailquay_delivery_seconds_count", provider="main") == 2
    assert value(metrics, "mailquay_delivery_seconds_sum", provider="main") == 30


def test_calls_and_questions_are_counted() -> None:
    """Those of strangers too, without a name of their choice as a label."""
    metrics = a_metrics()
    for result in WebhookResult:
        assert value(metrics, "mailquay_webhook_calls_total", provider="", result=result) == 0
    metrics.see(WebhookCalled(NOW, "rest", WebhookResult.ACCEPTED, 3))
    metrics.see(StatusAsked(NOW, "rest", 5, 4))
    assert value(metrics, "mailquay_webhook_calls_total", provider="rest", result="accepted") == 1
    assert value(metrics, "mailquay_statuses_asked_total", provider="rest") == 5
    assert value(metrics, "mailquay_statuses_answered_total", provider="rest") == 4


def test_a_webhook_that_is_not_ours_to_register_raises_no_alert() -> None:
    """NaN is neither registered nor failing, and a reload keeps what was found."""
    metrics = a_metrics()
    name = "mailquay_webhook_registered"
    assert math.isnan(value(metrics, name, provider="rest"))
    metrics.see(WebhookRegistered(NOW, "rest", "no answer"))
    metrics.add_providers({"rest": "rest_v1"})
    assert value(metrics, name, provider="rest") == 0
    metrics.see(WebhookRegistered(NOW, "rest"))
    assert value(metrics, name, provider="rest") == 1
