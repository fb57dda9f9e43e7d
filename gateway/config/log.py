"""
Settings of what is told: `log`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from providers.settings import SecretStr, StrictModel


class LogSettings(StrictModel):
    """What is told, and how."""

    format: Literal["auto", "json", "human"] = Field(
        default="auto", description="`auto`: human on a terminal, JSON elsewhere."
    )
    addresses: Literal["plain", "hashed"] = Field(
        default="plain",
        description="`hashed`: a mark stands in place of each address, the same for the same one.",
    )
    address_key: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="What marks are made with; without one they are others after each start.",
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least important that is told."
    )
