"""
Settings of reports to senders: `bounces`.
"""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field, field_validator

from gateway.delivery.report_rules import PER_SENDER, TOTAL
from providers.contract.address import InvalidAddress, parse_address
from providers.settings import Duration, RateLimit, Size, StrictModel


class BouncesSettings(StrictModel):
    """Reports to senders about their letters."""

    from_: str | None = Field(
        default=None,
        alias="from",
        description="Whom reports are from: an address that every provider takes letters from. "
        "They also leave from it where a provider takes none from `<>`; without it senders get no "
        "reports there. Default: MAILER-DAEMON at `hostname`.",
    )
    delay_warning: Duration = Field(
        default=timedelta(hours=4),
        description="Age at which the sender of a letter that still waits is told so, once; `0s`: "
        "never.",
    )
    later: bool = Field(
        default=True,
        description="Report what a provider tells after it took a letter, too: a bounce, an "
        "expiry, a complaint. Off where providers send such reports themselves.",
    )
    return_content: Size = Field(
        default=50 << 10,
        description="The largest letter that comes back whole where its client asked for that "
        "(`RET=FULL`); of others the header does.",
    )
    postmaster: str | None = Field(
        default=None,
        description="Who gets a copy of each report of a failure or a complaint, with the "
        "letter's header.",
    )
    per_sender: RateLimit = Field(
        default=PER_SENDER,
        description="Reports to one sender; those beyond it show in log and metric only.",
    )
    total: RateLimit = Field(default=TOTAL, description="Reports in all, likewise.")

    @field_validator("from_", "postmaster")
    @classmethod
    def _everybody_can_write_there(cls, value: str | None) -> str | None:
        try:
            if value is not None and parse_address(value).needs_smtputf8:
                raise ValueError("not every provider can carry an address that is not ASCII")
        except InvalidAddress as error:
            raise ValueError(str(error)) from None
        return value
