"""*Providers*: how each account does, how fast it answers, and what it holds back."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from grafana.boards.style import (
    A_SECOND,
    INSTANCE,
    PROVIDER,
    RATE,
    board,
    buckets,
    figure,
    quantiles,
    query,
    row,
    series,
)


def providers() -> dashboard.Dashboard:
    """The board."""
    attempts = f"mailquay_attempts_total{{{PROVIDER}}}"
    return (
        board("providers", "Providers", "How each account does: outcomes, answers, pace, losses.")
        .with_panel(
            figure(
                "Configured",
                "Accounts that letters can leave by.",
                f"count(count by (provider) (mailquay_provider_info{{{PROVIDER}}}))",
            ).span(4)
        )
        .with_panel(
            figure(
                "Accepted",
                "Share of attempts that were accepted.",
                f'sum(rate(mailquay_attempts_total{{{PROVIDER},outcome="accepted"}}[{RATE}])) '
                f"/ (sum(rate({attempts}[{RATE}])) > 0)",
                unit="percentunit",
                warn=0.98,
                bad=0.9,
                below=True,
            ).span(5)
        )
        .with_panel(
            figure(
                "Answers within",
                "95 of 100 attempts end within this time.",
                "histogram_quantile(0.95, sum by (le) "
                f"(rate(mailquay_attempt_seconds_bucket{{{PROVIDER}}}[{RATE}])))",
                unit="s",
                warn=5,
                bad=20,
            ).span(5)
        )
        .with_panel(
            figure(
                "Waiting for the pace",
                "Share of the time that a next letter waited for its account's limit, of the "
                "busiest account. At 1 the limit is all used: more mail only waits longer.",
                "max(sum by (provider) "
                f"(rate(mailquay_provider_throttled_seconds_total{{{PROVIDER}}}[{RATE}])))",
                unit="percentunit",
                warn=0.9,
            ).span(5)
        )
        .with_panel(
            figure(
                "Answers lost",
                "Within the time shown.",
                f"sum(increase(mailquay_uncertain_total{{{PROVIDER}}}[$__range]))",
                warn=1,
                bad=50,
                decimals=0,
            ).span(5)
        )
        .with_row(row("Outcomes"))
        .with_panel(
            series(
                "Accepted",
                "Recipients a second, by provider.",
                query(
                    "sum by (provider) "
                    f'(rate(mailquay_attempts_total{{{PROVIDER},outcome="accepted"}}[{RATE}]))',
                    "{{provider}}",
                ),
                unit=A_SECOND,
                stacked=True,
            )
        )
        .with_panel(
            series(
                "Not accepted",
                "Attempts that ended otherwise, by provider and outcome.",
                query(
                    "sum by (provider, outcome) "
                    f'(rate(mailquay_attempts_total{{{PROVIDER},outcome!="accepted"}}[{RATE}]))',
                    "{{provider}} {{outcome}}",
                ),
                unit=A_SECOND,
                stacked=True,
            )
        )
        .with_row(row("Answers"))
        .with_panel(
            buckets(
                "Time of attempts",
                "How long attempts took, from the start that is recorded to their end.",
                "mailquay_attempt_seconds",
                PROVIDER,
                unit="s",
            )
        )
        .with_panel(
            series(
                "Time of attempts, 95th percentile",
                "By provider.",
                quantiles("mailquay_attempt_seconds", PROVIDER, by="provider")[1],
                unit="s",
            )
        )
        .with_row(row("Pace and losses"))
        .with_panel(
            series(
                "Waiting for the pace",
                "Seconds of each second that the next letter waited for the account's limit.",
                query(
                    "sum by (provider) "
                    f"(rate(mailquay_provider_throttled_seconds_total{{{PROVIDER}}}[{RATE}]))",
                    "{{provider}}",
                ),
                unit="percentunit",
            )
        )
        .with_panel(
            series(
                "Lost in translation",
                "Parts of letters that a provider could not carry and a route let go.",
                query(
                    f"sum by (provider, part) (rate(mailquay_losses_total{{{PROVIDER}}}[{RATE}]))",
                    "{{provider}} {{part}}",
                ),
                unit=A_SECOND,
            )
        )
        .with_row(row("Given letters or not"))
        .with_panel(
            series(
                "Circuit",
                "0: it is given letters; 1: a few, it comes back; 2: none, it is probed.",
                query(
                    f"max by (provider) (mailquay_provider_circuit_state{{{PROVIDER}}})",
                    "{{provider}}",
                ),
                threshold=2,
                span=8,
            )
        )
        .with_panel(
            series(
                "Paused by hand",
                "1 while a provider or a route is paused; `mailquay queue resume` lets it go on.",
                query(f"max by (kind, name) (mailquay_paused{{{INSTANCE}}})", "{{kind}} {{name}}"),
                span=8,
            )
        )
        .with_panel(
            series(
                "Recipients in a call",
                "Of providers that take several letters at once.",
                *quantiles("mailquay_batch_recipients", PROVIDER),
                span=8,
            )
        )
    )
