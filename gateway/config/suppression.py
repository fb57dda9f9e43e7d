"""
Settings of addresses that are sent nothing: `suppression`.
"""

from __future__ import annotations

from pydantic import Field

from gateway.domain.suppression import Answer, SuppressionReason
from providers.settings import StrictModel


class SuppressionSettings(StrictModel):
    """
    The suppression list: what puts addresses on it, and what comes of that.

    What is switched off adds nothing, and what it has added before counts no more.
    """

    bounced: bool = Field(default=True, description="Addresses that were refused for good.")
    complained: bool = Field(
        default=True, description="Addresses whose readers called a letter spam."
    )
    unsubscribed: bool = Field(default=True, description="Addresses that unsubscribed.")
    answer: Answer = Field(
        default=Answer.DSN,
        description="How a client is told: `dsn`, by a report after the letter was taken; `rcpt`, "
        "by 550 5.7.1 to RCPT. A route with `suppression: ignore` that may apply makes it `dsn`.",
    )

    @property
    def reasons(self) -> frozenset[SuppressionReason]:
        """Those that count."""
        switches = {
            SuppressionReason.BOUNCED: self.bounced,
            SuppressionReason.COMPLAINED: self.complained,
            SuppressionReason.UNSUBSCRIBED: self.unsubscribed,
        }
        return frozenset(r for r in SuppressionReason if switches.get(r, True))
