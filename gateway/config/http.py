"""
Settings of the HTTP side: `http`.
"""

from __future__ import annotations

from pydantic import Field

from gateway.config.fields import Port
from providers.http.base_url import BaseUrl
from providers.settings import StrictModel


class HttpSettings(StrictModel):
    """The HTTP side: metrics, health and webhooks."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: Port = Field(default=8025, description="Port to listen on; 0 takes a free one.")
    public_url: BaseUrl | None = Field(
        default=None,
        description="Where providers reach this HTTP side, as https://mail.example.com: the "
        "webhooks of accounts with a `webhook_secret` are registered there at each start.",
    )
