"""*Delivery outcomes*: what became of letters, and what their senders were told."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from grafana.boards.style import (
    A_SECOND,
    INSTANCE,
    PROVIDER,
    RATE,
    board,
    figure,
    query,
    row,
    series,
)


def outcomes() -> dashboard.Dashboard:
    """The board."""
    failed = f"mailquay_recipients_failed_total{{{PROVIDER}}}"
    accepted = f'mailquay_attempts_total{{{PROVIDER},outcome="accepted"}}'
    reports = f"mailquay_bounces_total{{{INSTANCE}}}"
    events = f"mailquay_events_total{{{PROVIDER}}}"
    delivered = f'mailquay_events_total{{{PROVIDER},event="delivered"}}'
    bounced = f'mailquay_events_total{{{PROVIDER},event="bounced"}}'
    complained = f'mailquay_events_total{{{PROVIDER},event="complained"}}'
    took = f"mailquay_delivery_seconds_bucket{{{PROVIDER}}}"
    calls = f"mailquay_webhook_calls_total{{{PROVIDER}}}"
    return (
        board("outcomes", "Delivery outcomes", "What became of letters, and who was told.")
        .with_panel(
            figure(
                "Failed",
                "Recipients given up within the time shown.",
                f"sum(increase({failed}[$__range]))",
                decimals=0,
            ).span(8)
        )
        .with_panel(
            figure(
                "Failure rate",
                "Failed recipients, of those handed over and failed. A provider may close an "
                "account that writes to many addresses which do not exist.",
                f"sum(rate({failed}[{RATE}])) / "
                f"((sum(rate({failed}[{RATE}])) + sum(rate({accepted}[{RATE}]))) > 0)",
                unit="percentunit",
                warn=0.02,
                bad=0.1,
            ).span(8)
        )
        .with_panel(
            figure(
                "Reports",
                "Reports called for within the time shown: failures, delays, relayed letters.",
                f"sum(increase({reports}[$__range]))",
                decimals=0,
            ).span(8)
        )
        .with_row(row("Before the provider"))
        .with_panel(
            series(
                "Given up",
                "Recipients that failed, by the provider that had them last.",
                query(f"sum by (provider) (rate({failed}[{RATE}]))", "{{provider}}"),
                unit=A_SECOND,
                stacked=True,
            )
        )
        .with_panel(
            series(
                "Reports to senders",
                "By what they report and whether they were sent, or why not.",
                query(
                    f"sum by (action, result) (rate({reports}[{RATE}]))", "{{action}} {{result}}"
                ),
                unit=A_SECOND,
            )
        )
        .with_row(row("After the provider"))
        .with_panel(
            series(
                "What became of letters",
                "As webhooks and statuses tell it, each thing that happened once.",
                query(f"sum by (event) (rate({events}[{RATE}]))", "{{event}}"),
                unit=A_SECOND,
                stacked=True,
            )
        )
        .with_panel(
            series(
                "Bounces and complaints",
                "Bounces of letters with a known fate, complaints of letters that arrived. Above "
                "5 % and 0.3 % providers and mailbox providers take measures.",
                query(
                    _share(bounced, delivered),
                    "bounced",
                ),
                query(
                    _share(complained, delivered),
                    "complained",
                ),
                unit="percentunit",
            )
        )
        .with_panel(
            series(
                "Time to delivery",
                "From the provider's acceptance to the delivery; where only a status told of it, "
                "to the question.",
                query(
                    f"histogram_quantile(0.5, sum by (le) (rate({took}[{RATE}])))",
                    "half within",
                ),
                query(
                    f"histogram_quantile(0.95, sum by (le) (rate({took}[{RATE}])))",
                    "95 % within",
                ),
                unit="s",
            )
        )
        .with_panel(
            series(
                "Webhook calls",
                "By what became of them; forged ones know no secret of ours.",
                query(f"sum by (result) (rate({calls}[{RATE}]))", "{{result}}"),
                unit=A_SECOND,
            )
        )
        .with_panel(
            series(
                "Suppressed",
                "Recipients a second that were sent nothing, by why they are on the list.",
                query(
                    f"sum by (reason) (rate(mailquay_suppressed_total{{{INSTANCE}}}[{RATE}]))",
                    "{{reason}}",
                ),
                unit=A_SECOND,
            )
        )
        .with_panel(
            series(
                "Questions",
                "Ids a second that providers were asked about, and those they answered about.",
                query(f"sum(rate(mailquay_statuses_asked_total{{{PROVIDER}}}[{RATE}]))", "asked"),
                query(
                    f"sum(rate(mailquay_statuses_answered_total{{{PROVIDER}}}[{RATE}]))",
                    "answered",
                ),
                unit=A_SECOND,
            )
        )
        .with_row(row("Who is told"))
        .with_panel(
            series(
                "Calls to applications",
                "Taken, refused for now or given up; given up ones wait for `mailquay webhooks "
                "replay`.",
                query(
                    "sum by (result) "
                    f"(rate(mailquay_webhook_deliveries_total{{{INSTANCE}}}[{RATE}])) "
                    "or on () vector(0)",
                    "{{result}}",
                ),
                unit=A_SECOND,
                span=8,
            )
        )
        .with_panel(
            series(
                "Webhooks of providers",
                "1 where the provider calls us, 0 where registering failed.",
                query(
                    f"min by (provider) (mailquay_webhook_registered{{{PROVIDER}}}) "
                    "or on () vector(0)",
                    "{{provider}}",
                ),
                span=8,
            )
        )
        .with_panel(
            series(
                "Spans",
                "For the collector of traces, where there is one: sent, refused, lost or too many.",
                query(
                    f"sum by (result) (rate(mailquay_trace_spans_total{{{INSTANCE}}}[{RATE}]))",
                    "{{result}}",
                ),
                unit=A_SECOND,
                span=8,
            )
        )
    )


def _share(some: str, others: str) -> str:
    """What part of some and others together some are; 0 where there are neither."""
    rate = f"sum(rate({some}[{RATE}]))"
    return f"{rate} / clamp_min({rate} + sum(rate({others}[{RATE}])), 1e-9)"
