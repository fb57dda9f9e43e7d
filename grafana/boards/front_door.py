"""*Front door*: who comes, what they are answered, and what they bring."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from grafana.boards.style import (
    A_SECOND,
    INSTANCE,
    RATE,
    board,
    buckets,
    figure,
    quantiles,
    query,
    row,
    series,
)


def front_door() -> dashboard.Dashboard:
    """The board."""
    replies = f"mailquay_smtp_replies_total{{{INSTANCE}}}"
    refused = f'mailquay_smtp_replies_total{{{INSTANCE},code_class=~"4xx|5xx"}}'
    return (
        board("front-door", "Front door", "Sessions, replies by reason, sizes of letters.")
        .with_panel(
            figure(
                "Open sessions",
                "SMTP sessions open now.",
                f"sum(mailquay_smtp_connections{{{INSTANCE}}})",
                warn=400,
            ).span(5)
        )
        .with_panel(
            figure(
                "New sessions",
                "Begun a second.",
                f"sum(rate(mailquay_smtp_sessions_total{{{INSTANCE}}}[{RATE}]))",
                unit=A_SECOND,
            ).span(5)
        )
        .with_panel(
            figure(
                "Put off",
                "Replies of 4xx a second: clients try again. The reasons are below.",
                f'sum(rate(mailquay_smtp_replies_total{{{INSTANCE},code_class="4xx"}}[{RATE}]))',
                unit=A_SECOND,
                warn=0.1,
                bad=5,
            ).span(5)
        )
        .with_panel(
            figure(
                "Refused",
                "Replies of 5xx a second: clients give up.",
                f'sum(rate(mailquay_smtp_replies_total{{{INSTANCE},code_class="5xx"}}[{RATE}]))',
                unit=A_SECOND,
                warn=0.1,
                bad=5,
            ).span(5)
        )
        .with_panel(
            figure(
                "Middle size",
                "Half of the letters are smaller.",
                "histogram_quantile(0.5, sum by (le) "
                f"(rate(mailquay_message_size_bytes_bucket{{{INSTANCE}}}[{RATE}])))",
                unit="bytes",
            ).span(4)
        )
        .with_row(row("Sessions"))
        .with_panel(
            series(
                "Open sessions",
                "By listener.",
                query(
                    f"sum by (listener) (mailquay_smtp_connections{{{INSTANCE}}})", "{{listener}}"
                ),
                stacked=True,
            )
        )
        .with_panel(
            series(
                "Letters",
                "Taken a second, by listener.",
                query(
                    "sum by (listener) "
                    f"(rate(mailquay_messages_received_total{{{INSTANCE}}}[{RATE}]))",
                    "{{listener}}",
                ),
                unit=A_SECOND,
                stacked=True,
            )
        )
        .with_row(row("Replies"))
        .with_panel(
            series(
                "By class",
                "All replies, by the first digit of their code.",
                query(f"sum by (code_class) (rate({replies}[{RATE}]))", "{{code_class}}"),
                unit=A_SECOND,
                stacked=True,
            )
        )
        .with_panel(
            series(
                "Refusals by reason",
                "The ten most frequent reasons of 4xx and 5xx.",
                query(f"topk(10, sum by (reason) (rate({refused}[{RATE}])))", "{{reason}}"),
                unit=A_SECOND,
            )
        )
        .with_row(row("Letters"))
        .with_panel(
            buckets(
                "Sizes",
                "Octets of letters taken.",
                "mailquay_message_size_bytes",
                INSTANCE,
                unit="bytes",
            )
        )
        .with_panel(
            series(
                "Sizes",
                "Percentiles.",
                *quantiles("mailquay_message_size_bytes", INSTANCE),
                unit="bytes",
            )
        )
        .with_panel(
            series(
                "What letters needed",
                "Letters a second that were mended before they were stored, by what was mended.",
                query(
                    "topk(10, sum by (repair) "
                    f"(rate(mailquay_repairs_total{{{INSTANCE}}}[{RATE}])))",
                    "{{repair}}",
                ),
                unit=A_SECOND,
            )
        )
        .with_panel(
            series(
                "Came again",
                "Recipients a second whose letter was here already: their client had no answer, or "
                "did not believe it. They are not sent a second one.",
                query(
                    f"sum by (listener) (rate(mailquay_duplicates_total{{{INSTANCE}}}[{RATE}]))",
                    "{{listener}}",
                ),
                unit=A_SECOND,
            )
        )
        .with_row(row("Who gets in"))
        .with_panel(
            figure(
                "Certificate",
                "How long the front door's certificate is good for; none where it has none.",
                f"min(mailquay_tls_certificate_expiry_timestamp_seconds{{{INSTANCE}}}) - time()",
                unit="s",
                warn=14 * 86400,
                bad=3 * 86400,
                below=True,
            )
            .height(8)
            .span(4)
        )
        .with_panel(
            series(
                "TLS handshakes that failed",
                "By listener: clients that are too old, or do not trust the certificate.",
                query(
                    "sum by (listener) "
                    f"(rate(mailquay_smtp_tls_failures_total{{{INSTANCE}}}[{RATE}]))",
                    "{{listener}}",
                ),
                unit=A_SECOND,
                span=10,
            )
        )
        .with_panel(
            series(
                "Logins",
                "A second: good ones, failed ones, and those of addresses that are shut out.",
                query(
                    f"sum by (reason) (rate(mailquay_smtp_replies_total{{{INSTANCE},"
                    f'reason=~"authenticated|auth_failed|auth_busy|auth_shut_out"}}[{RATE}]))',
                    "{{reason}}",
                ),
                unit=A_SECOND,
                span=10,
            )
        )
    )
