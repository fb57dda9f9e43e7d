"""
Settings of how long it is asked what became of letters: `tracking`.
"""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from providers.settings import Duration, StrictModel


class TrackingSettings(StrictModel):
    """What became of letters: how often and how long providers are asked."""

    poll_longest: Duration = Field(
        default=timedelta(hours=6),
        ge=timedelta(seconds=1),
        description="Each wait between two questions about a letter is twice the last, and no "
        "longer than this; four times that once its fate is known.",
    )
    poll_for: Duration = Field(
        default=timedelta(days=3),
        ge=timedelta(0),
        description="Letters older than this are asked about no more, and events of letters "
        "that nobody knows are forgotten.",
    )
    look_up_after: Duration = Field(
        default=timedelta(seconds=30),
        ge=timedelta(0),
        description="When a webhook names a letter that is not known by then, the provider is "
        "asked which it is: it may be one whose answer was lost.",
    )
