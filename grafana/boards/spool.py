"""*Spool*: what is kept, how fast it is written, and whether there is room."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from grafana.boards.style import (
    A_SECOND,
    INSTANCE,
    RATE,
    board,
    figure,
    quantiles,
    query,
    row,
    series,
)


def spool() -> dashboard.Dashboard:
    """The board."""
    commits = f"mailquay_spool_commit_seconds_count{{{INSTANCE}}}"
    return (
        board("spool", "Spool", "What is kept, how fast it is written, and whether there is room.")
        .with_panel(
            figure(
                "Room left",
                "On the disk of the fullest spool; none where it is on a database server. When "
                "none is left, clients get 452 4.3.1 and keep their letters.",
                f"min(mailquay_spool_free_bytes{{{INSTANCE}}})",
                unit="bytes",
                warn=2 * 2**30,
                bad=2**29,
                below=True,
            ).span(5)
        )
        .with_panel(
            figure(
                "Spool",
                "What it takes on disk, all chosen gateways together.",
                f"sum(mailquay_spool_bytes{{{INSTANCE}}})",
                unit="bytes",
            ).span(5)
        )
        .with_panel(
            figure(
                "Commit",
                "99 of 100 commits take less, their sync included.",
                "histogram_quantile(0.99, sum by (le) "
                f"(rate(mailquay_spool_commit_seconds_bucket{{{INSTANCE}}}[{RATE}])))",
                unit="s",
                warn=0.1,
                bad=1,
            ).span(5)
        )
        .with_panel(
            figure(
                "Letters a commit",
                "On average; more under load, where letters that come together share one sync.",
                f"sum(rate(mailquay_spool_commit_letters_sum{{{INSTANCE}}}[{RATE}])) "
                f"/ (sum(rate(mailquay_spool_commit_letters_count{{{INSTANCE}}}[{RATE}])) > 0)",
                decimals=1,
            ).span(5)
        )
        .with_panel(
            figure(
                "Corrupt",
                "Stored letters that could not be read, within the time shown. They are held.",
                f"sum(increase(mailquay_corrupt_letters_total{{{INSTANCE}}}[$__range]))",
                bad=1,
                decimals=0,
            ).span(4)
        )
        .with_row(row("What is kept"))
        .with_panel(
            series(
                "Recipients by state",
                "Those that are not settled.",
                query(
                    "sum by (state) (mailquay_recipients"
                    f'{{{INSTANCE},state=~"waiting|sending|uncertain|held"}})',
                    "{{state}}",
                ),
                stacked=True,
            )
        )
        .with_panel(
            series(
                "Settled",
                "Recipients a second that reached their end, by which.",
                query(
                    "sum by (state) (deriv(mailquay_recipients"
                    f'{{{INSTANCE},state!~"waiting|sending|uncertain|held"}}[{RATE}]))',
                    "{{state}}",
                ),
                unit=A_SECOND,
            )
        )
        .with_panel(
            series(
                "Oldest due",
                "How long the oldest letter of each provider has been due; what waits for its pace "
                "or for the provider grows old here.",
                query(
                    f"max by (provider) (mailquay_oldest_due_seconds{{{INSTANCE}}})",
                    "{{provider}}",
                ),
                unit="s",
                threshold=300,
                span=24,
            )
        )
        .with_row(row("Writing"))
        .with_panel(
            series(
                "Time of a commit",
                "Its sync included.",
                *quantiles("mailquay_spool_commit_seconds", INSTANCE),
                unit="s",
            )
        )
        .with_panel(
            series(
                "Commits",
                "A second.",
                query(f"sum by (instance) (rate({commits}[{RATE}]))", "{{instance}}"),
                unit="iops",
            )
        )
        .with_row(row("Room"))
        .with_panel(
            series(
                "On disk",
                "The spool, by gateway.",
                query(f"mailquay_spool_bytes{{{INSTANCE}}}", "{{instance}}"),
                unit="bytes",
                span=8,
            )
        )
        .with_panel(
            series(
                "Memory",
                "Resident memory of the gateway.",
                query(f"process_resident_memory_bytes{{{INSTANCE}}}", "{{instance}}"),
                unit="bytes",
                span=8,
            )
        )
        .with_panel(
            series(
                "Processor",
                "Cores that the gateway uses.",
                query(f"rate(process_cpu_seconds_total{{{INSTANCE}}}[{RATE}])", "{{instance}}"),
                unit="percentunit",
                span=8,
            )
        )
    )
