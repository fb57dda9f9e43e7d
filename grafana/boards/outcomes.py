"""*Delivery outcomes*: what became of letters, and what their senders were told."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from grafana.boards.style import INSTANCE, PROVIDER, RATE, board, figure, query, row, series


def outcomes() -> dashboard.Dashboard:
    """The board."""
    failed = f"mailquay_recipients_failed_total{{{PROVIDER}}}"
    accepted = f'mailquay_attempts_total{{{PROVIDER},outcome="accepted"}}'
    reports = f"mailquay_bounces_total{{{INSTANCE}}}"
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
                unit="reqps",
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
                unit="reqps",
            )
        )
    )
