"""
What an account at the v2 service is, and what its letters can carry. Pure.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from providers.contract.capabilities import Bulk, MessageIds, ProviderCapabilities, Rate, Tracking
from providers.form_v2.wire.values import MAX_ADDRESSES
from providers.form_v2.zone import zone_from
from providers.http.base_url import BaseUrl
from providers.settings import Duration, ProviderSettings, RateLimit, SecretStr, Size


def _checked_zone(text: str) -> str:
    zone_from(text)
    return text


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
    sync_unsubscriptions: bool = Field(
        default=False,
        description="Tell the account who is on the suppression list by hand or for a complaint, "
        "and who is taken off it (unsubscribeEmail, subscribeEmail).",
    )
    timezone: Annotated[str, AfterValidator(_checked_zone)] = Field(
        default="Europe/Minsk",
        description="In which the account reads times of sending: a name, UTC, or as +03:00.",
    )
    batch_window: Duration = Field(
        default=timedelta(milliseconds=200),
        ge=timedelta(0),
        le=timedelta(seconds=10),
        description="How long letters are gathered for one call, while more are waiting.",
    )
    batch_size: int = Field(
        default=400,
        ge=1,
        le=MAX_ADDRESSES,
        description="Letters gathered at most; a call holds 500 of the same, 200 of different "
        "ones. 1: each letter goes alone.",
    )
    max_call_size: Size = Field(
        default=7_500_000,
        ge=1,
        description="Octets of one call with several letters; PHP takes 8 MB by default.",
    )
    results_within: Duration = Field(
        default=timedelta(seconds=5),
        ge=timedelta(0),
        description="How long after a batch was taken its results are asked for; who has none by "
        "then counts as accepted. 0s: nobody is asked.",
    )
    poll: Duration = Field(
        default=timedelta(minutes=1),
        ge=timedelta(0),
        description="When the fate of a batch or list letter is asked for first after the "
        "hand-over; the waits after it grow. `0s`: never. Single letters have none to ask for.",
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
    """What letters of this account can carry; every ability has a test in the contract suite."""
    return ProviderCapabilities(
        max_recipients=1,
        max_message_octets=settings.max_message_size,
        max_attachments=1,
        max_attachment_octets=settings.max_attachment_size,
        connections=settings.connections,
        rate=settings.rate,
        mailing_lists=True,
        schedules=True,
        tracking_switches=True,
        bulk=Bulk.PERSONAL if settings.batch_size > 1 else Bulk.NONE,
        tracking=Tracking.POLL,
        message_ids=MessageIds.BATCH,
        assumed=frozenset({"max_attachment_octets", "rate", "html", "schedules"}),
    )
