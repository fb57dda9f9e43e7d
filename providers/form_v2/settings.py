"""
What an account at the v2 service is, and what a single letter of it can carry. Pure.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from providers.contract.capabilities import MessageIds, ProviderCapabilities, Rate
from providers.http.base_url import BaseUrl
from providers.settings import ProviderSettings, RateLimit, SecretStr, Size


class FormV2Settings(ProviderSettings):
    """One account."""

    kind: Literal["form_v2"] = "form_v2"
    base_url: BaseUrl = Field(description="Of the API, as https://app.example.com/api/v2.")
    token: SecretStr = Field(min_length=1, description="The token, sent in each form.")
    rate: RateLimit = Field(
        default=Rate(1), description="Calls; the service publishes no limit, so one to be safe."
    )
    track_open: bool | None = Field(
        default=None, description="Whether openings are tracked; without it the service does."
    )
    track_click: bool | None = Field(
        default=None, description="Whether clicks are tracked; without it the service does."
    )
    connections: int = Field(
        default=4,
        ge=1,
        le=256,
        description="Calls at once: 4 keep one a second going while answers take up to 4 s.",
    )
    max_attachment_size: Size = Field(
        default=2_000_000,
        description="The one attachment of a letter: what PHP takes by default, counted the "
        "smaller way. Raise it if the service takes more.",
    )


def capabilities_from(settings: FormV2Settings) -> ProviderCapabilities:
    """What sendEmail of this account can carry; every ability has a test in the contract suite."""
    return ProviderCapabilities(
        max_recipients=1,
        max_message_octets=settings.max_message_size,
        max_attachments=1,
        max_attachment_octets=settings.max_attachment_size,
        connections=settings.connections,
        rate=settings.rate,
        message_ids=MessageIds.RECIPIENT,
        assumed=frozenset({"max_attachment_octets", "rate", "html"}),
    )
