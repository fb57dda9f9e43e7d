"""
Settings of what is told: `log`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from providers.settings import StrictModel


class LogSettings(StrictModel):
    """What is told, and how."""

    format: Literal["auto", "json", "human"] = Field(
        default="auto", description="`auto`: human on a terminal, JSON elsewhere."
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least important that is told."
    )
