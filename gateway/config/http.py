"""
Settings of the HTTP side: `http`.
"""

from __future__ import annotations

from pydantic import Field

from gateway.config.fields import Port
from providers.http.base_url import BaseUrl
from providers.settings import SecretStr, StrictModel


class HttpSettings(StrictModel):
    """The HTTP side: metrics, health, webhooks and the API."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: Port = Field(default=8025, description="Port to listen on; 0 takes a free one.")
    token: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Who sends it as `Authorization: Bearer …` may use all of `/api`; without one "
        "there is no API.",
    )
    public_url: BaseUrl | None = Field(
        default=None,
        description="Where providers reach this HTTP side, as https://mail.example.com: the "
        "webhooks of accounts with a `webhook_secret` are registered there at each start.",
    )
