"""
Settings of applications that are called: `webhooks`.
"""

from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from gateway.config.fields import Words
from gateway.config.smtp import is_loopback
from gateway.domain.webhook import key_from_secret
from providers.contract.tracking import EventType
from providers.settings import SecretStr, StrictModel

SETTLED = ("handed_over", "failed", "suppressed")
KNOWN = (*SETTLED, *(event.value for event in EventType if event.value not in SETTLED))


class WebhookSettings(StrictModel):
    """A webhook of an application, called in the form of Standard Webhooks."""

    url: str = Field(description="Where: https, or http on this machine.", max_length=2000)
    secret: SecretStr = Field(
        description="What calls are signed with: whsec_ and 24 to 64 octets in base64."
    )
    events: Words = Field(
        default=("handed_over", "failed", "suppressed", "delivered", "bounced", "complained"),
        min_length=1,
        description="What it is told of: " + ", ".join(f"`{word}`" for word in KNOWN) + ".",
    )
    allow_insecure: bool = Field(default=False, description="Call other machines without TLS, too.")

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        key_from_secret(self.secret.get_secret_value())
        if unknown := set(self.events) - set(KNOWN):
            raise ValueError(f"events: there is no {min(unknown)}; there are {', '.join(KNOWN)}")
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        if parts.scheme not in {"https", "http"} or not host or parts.username is not None:
            raise ValueError("url: https://host/path, without a user")
        if parts.scheme == "http" and not is_loopback(host) and not self.allow_insecure:
            raise ValueError("url: https, unless allow_insecure says that nobody listens")
        return self
