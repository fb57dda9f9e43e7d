"""
Settings of how letters leave: `retry` and `delivery`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator

from gateway.domain.retry import RetrySchedule
from providers.settings import Duration, Size, StrictModel


class RetrySettings(StrictModel):
    """When to try again."""

    first: Duration = Field(default=timedelta(seconds=30), description="Wait after one failure.")
    factor: float = Field(default=2.0, ge=1.0, description="Each wait is so many times the last.")
    longest: Duration = Field(default=timedelta(hours=1), description="No wait is longer.")
    give_up_after: Duration = Field(
        default=timedelta(days=2), description="Age at which a letter fails."
    )
    uncertain_after: Duration = Field(
        default=timedelta(minutes=5),
        description="Wait before a letter whose answer was lost is sent again.",
    )

    @model_validator(mode="after")
    def _waits_make_sense(self) -> Self:
        self.schedule()
        return self

    def schedule(self) -> RetrySchedule:
        """The same as a plain value."""
        return RetrySchedule(
            self.first, self.factor, self.longest, self.give_up_after, self.uncertain_after
        )


class DeliverySettings(StrictModel):
    """The active window, and how far ahead letters may be kept."""

    window: int = Field(
        default=1000, ge=1, description="Recipients in the active window of one provider."
    )
    hand_off_memory: Size = Field(
        default=64 << 20,
        description="Content of fresh letters kept in memory for their first attempt.",
    )
    stuck_after: Duration = Field(
        default=timedelta(minutes=5),
        description="A recipient due for so long and untouched makes readiness fail.",
    )
    probe_first: Duration = Field(
        default=timedelta(seconds=5),
        ge=timedelta(milliseconds=100),
        description="A provider that fails again and again, or refuses the account, is given no "
        "letters until a probe, which sends nothing, succeeds. The wait before the first; each in "
        "vain doubles it.",
    )
    probe_longest: Duration = Field(
        default=timedelta(minutes=5),
        ge=timedelta(milliseconds=100),
        description="No wait before a probe is longer.",
    )
    schedule_ahead: Duration = Field(
        default=timedelta(days=30),
        description="How far ahead `X-Mailquay-Send-At` may lie; a letter beyond it is refused.",
    )
