"""
What an account at a v1 platform is, and what it can carry.

Pure. Sits on `smtp_headers` only for the names of the header fields that cannot be given.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Literal

from pydantic import Field

from providers.contract.capabilities import MessageIds, ProviderCapabilities, Rate, Tracking
from providers.http.base_url import BaseUrl
from providers.rest_v1.smtp_headers import NOT_GIVEN
from providers.settings import Duration, ProviderSettings, RateLimit, SecretStr, Size


class Payment(StrEnum):
    """Which of the account's credits a letter costs (provider reference, B.3)."""

    SUBSCRIBER_PRIORITY = "subscriber_priority"
    CREDIT_PRIORITY = "credit_priority"
    SUBSCRIBER = "subscriber"
    CREDIT = "credit"


class RestV1Settings(ProviderSettings):
    """One account at one brand of the platform."""

    kind: Literal["rest_v1"] = "rest_v1"
    base_url: BaseUrl = Field(description="Of the API, as https://api.example.com/v1.")
    reserve_url: BaseUrl | None = Field(
        default=None,
        description="Used only while no connection to base_url can be made; never after an answer.",
    )
    api_key: SecretStr = Field(min_length=1, description="The key, sent as a Bearer token.")
    rate: RateLimit = Field(
        default=Rate(5), description="The platform's limit of calls that are not GET."
    )
    payment: Payment | None = Field(
        default=None, description="Which credits to use; without it the platform's own default."
    )
    connections: int = Field(
        default=8,
        ge=1,
        le=256,
        description="Calls at once: 8 keep 5 a second going while answers take up to 1.6 s.",
    )
    webhook_secret: SecretStr | None = Field(
        default=None,
        min_length=1,
        description="Takes webhooks at `/webhooks/<provider>/<this secret>`: nothing else tells "
        "that a call is the platform's, so at least 20 characters that nobody can guess.",
    )
    poll: Duration = Field(
        default=timedelta(minutes=1),
        ge=timedelta(0),
        description="When a letter's status is asked for first after the hand-over; the waits "
        "after it grow. `0s`: never.",
    )
    max_attachment_size: Size = Field(
        default=5_000_000,
        description="All attachments of a letter together: the platform's 5 MB, counted the "
        "smaller way.",
    )


def capabilities_from(settings: RestV1Settings) -> ProviderCapabilities:
    """What this account can carry; every ability has a test in the contract suite."""
    return ProviderCapabilities(
        max_recipients=1,
        max_message_octets=settings.max_message_size,
        max_attachment_octets=settings.max_attachment_size,
        connections=settings.connections,
        rate=settings.rate,
        text_beside_html=True,
        reply_to=True,
        list_unsubscribe=True,
        passed_header_fields=True,
        dropped_header_fields=NOT_GIVEN,
        templates=True,
        mailing_lists=True,
        payments=True,
        tracking=Tracking.WEBHOOK_AND_POLL,
        message_ids=MessageIds.RECIPIENT,
        # Public clients do so; no document of the platform says it. That a letter may become a
        # campaign to a list is our own reading.
        assumed=frozenset(
            {"max_attachment_octets", "reply_to", "list_unsubscribe", "passed_header_fields"}
            | {"mailing_lists"}
        ),
    )
