"""*Overview*: is mail flowing? The board to have open, and the first to look at when asked."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from grafana.boards.style import (
    A_SECOND,
    INSTANCE,
    PROVIDER,
    RATE,
    board,
    figure,
    quantiles,
    query,
    row,
    series,
)


def overview() -> dashboard.Dashboard:
    """The board."""
    attempts = f"mailquay_attempts_total{{{PROVIDER}}}"
    accepted = f'mailquay_attempts_total{{{PROVIDER},outcome="accepted"}}'
    waiting = f'mailquay_recipients{{{INSTANCE},state=~"waiting|sending|uncertain|held"}}'
    return (
        board("overview", "Overview", "Is mail flowing? How much, how fast, how well, what waits.")
        .with_panel(
            figure(
                "Ready",
                "The chosen gateways that take letters and have none stuck, of all chosen. "
                "`/readyz` of the other names its reasons.",
                f"avg(mailquay_ready{{{INSTANCE}}})",
                unit="percentunit",
                warn=1,
                bad=0.5,
                below=True,
            )
        )
        .with_panel(
            figure(
                "Letters in",
                "Letters taken a second: answered with 250 after the commit.",
                f"sum(rate(mailquay_messages_received_total{{{INSTANCE}}}[{RATE}]))",
                unit=A_SECOND,
            )
        )
        .with_panel(
            figure(
                "Handed over",
                "Recipients a second whose letter a provider accepted.",
                f"sum(rate({accepted}[{RATE}]))",
                unit=A_SECOND,
            )
        )
        .with_panel(
            figure(
                "Accepted",
                "Share of attempts that a provider accepted. Low: see Providers for who refuses.",
                f"sum(rate({accepted}[{RATE}])) / (sum(rate({attempts}[{RATE}])) > 0)",
                unit="percentunit",
                warn=0.98,
                bad=0.9,
                below=True,
            )
        )
        .with_panel(
            figure(
                "Waiting",
                "Recipients not settled yet, those on their way counted.",
                f"sum({waiting})",
                warn=10_000,
            )
        )
        .with_panel(
            figure(
                "Oldest due",
                "How long the longest overdue recipient has waited untouched. More than minutes: "
                "more comes in than leaves, or a provider hangs.",
                f"max(mailquay_oldest_due_seconds{{{PROVIDER}}})",
                unit="s",
                warn=60,
                bad=300,
            )
        )
        .with_panel(
            figure(
                "Uncertain",
                "Answers lost within the time shown: the provider may have accepted. They are the "
                "only letters that can arrive twice.",
                f"sum(increase(mailquay_uncertain_total{{{PROVIDER}}}[$__range]))",
                warn=1,
                bad=50,
                decimals=0,
            )
        )
        .with_panel(
            figure(
                "Ledger",
                "Accepted less the sum of all states: zero, or something was lost or doubled.",
                f"sum(mailquay_recipients_accepted{{{INSTANCE}}}) "
                f"- sum(mailquay_recipients{{{INSTANCE}}})",
                bad=1,
                decimals=0,
            )
        )
        .with_row(row("Flow"))
        .with_panel(
            series(
                "In and out",
                "Letters taken and recipients handed over. A letter can have many recipients.",
                query(
                    f"sum(rate(mailquay_messages_received_total{{{INSTANCE}}}[{RATE}]))",
                    "letters in",
                ),
                query(f"sum(rate({accepted}[{RATE}]))", "recipients handed over"),
                unit=A_SECOND,
            )
        )
        .with_panel(
            series(
                "What waits",
                "Recipients that are not settled, by state.",
                query(f"sum by (state) ({waiting})", "{{state}}"),
                stacked=True,
            )
        )
        .with_panel(
            series(
                "From 250 to acceptance",
                "Time from the end of a letter's data to its acceptance by a provider.",
                *quantiles("mailquay_handover_delay_seconds", PROVIDER),
                unit="s",
            )
        )
        .with_panel(
            series(
                "Oldest due",
                "By provider; above the line an alert is raised.",
                query(
                    f"max by (provider) (mailquay_oldest_due_seconds{{{PROVIDER}}})", "{{provider}}"
                ),
                unit="s",
                threshold=300,
            )
        )
        .with_row(row("How it ends"))
        .with_panel(
            series(
                "Attempts by outcome",
                "Accepted, deferred (tried again), rejected (for good), uncertain (answer lost), "
                "unsupported (this provider cannot carry it).",
                query(f"sum by (outcome) (rate({attempts}[{RATE}]))", "{{outcome}}"),
                unit=A_SECOND,
                stacked=True,
            )
        )
        .with_panel(
            series(
                "Given up",
                "Recipients that failed, by the provider that had them last.",
                query(
                    "sum by (provider) "
                    f"(rate(mailquay_recipients_failed_total{{{PROVIDER}}}[{RATE}]))",
                    "{{provider}}",
                ),
                unit=A_SECOND,
            )
        )
    )
