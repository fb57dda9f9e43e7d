"""
Settings of the HTTP side: `http`.
"""

from __future__ import annotations

from pydantic import Field

from gateway.config.fields import Port
from providers.settings import StrictModel


class HttpSettings(StrictModel):
    """The HTTP side: metrics and health."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: Port = Field(default=8025, description="Port to listen on; 0 takes a free one.")
