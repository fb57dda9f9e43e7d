"""
The whole configuration as one checked value; what concerns several sections is checked here.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from typing import Self

from pydantic import Field, SerializeAsAny, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.config.bounces import BouncesSettings
from gateway.config.delivery import DeliverySettings, RetrySettings
from gateway.config.duplicates import DuplicatesSettings
from gateway.config.environment import Environment
from gateway.config.fields import checked_name
from gateway.config.http import HttpSettings
from gateway.config.log import LogSettings
from gateway.config.maildrop import MaildropSettings
from gateway.config.problems import told
from gateway.config.routes import RouteSettings
from gateway.config.smtp import SmtpSettings
from gateway.config.spool import SpoolSettings
from gateway.config.suppression import SuppressionSettings
from gateway.config.tracing import TracingSettings
from gateway.config.tracking import TrackingSettings
from gateway.config.webhooks import WebhookSettings
from gateway.domain.routing import Route
from gateway.ingress.maildrop import LISTENER
from gateway.ingress.submission import API
from providers.registry import PROVIDERS
from providers.settings import ProviderSettings

_HOSTNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?\Z")


def _own_name() -> str:
    name = socket.gethostname()
    return name if _HOSTNAME.match(name) else "localhost"


class Settings(BaseSettings):
    """The whole configuration."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    hostname: str = Field(
        default_factory=_own_name,
        description="Our name in the greeting, Received and Message-ID.",
    )
    smtp: SmtpSettings = SmtpSettings()
    http: HttpSettings = HttpSettings()
    spool: SpoolSettings = SpoolSettings()
    providers: dict[str, SerializeAsAny[ProviderSettings]] = Field(
        min_length=1, description="The accounts that letters can leave by."
    )
    routes: tuple[RouteSettings, ...] = Field(
        default=(), description="Tried in order; with none, all providers in the order written."
    )
    retry: RetrySettings = RetrySettings()
    bounces: BouncesSettings = BouncesSettings()
    delivery: DeliverySettings = DeliverySettings()
    duplicates: DuplicatesSettings = DuplicatesSettings()
    tracking: TrackingSettings = TrackingSettings()
    tracing: TracingSettings = TracingSettings()
    maildrop: MaildropSettings = MaildropSettings()
    webhooks: dict[str, WebhookSettings] = Field(
        default={}, description="Applications that are told what becomes of letters, by name."
    )
    suppression: SuppressionSettings = SuppressionSettings()
    log: LogSettings = LogSettings()

    @field_validator("hostname")
    @classmethod
    def _hostname_is_one(cls, value: str) -> str:
        if not _HOSTNAME.match(value):
            raise ValueError("a host name is letters, digits, dots and hyphens")
        return value

    @field_validator("providers", mode="before")
    @classmethod
    def _providers_by_kind(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        return {name: _provider_settings(str(name), given) for name, given in value.items()}

    @field_validator("webhooks")
    @classmethod
    def _webhook_names_are_plain(
        cls, value: dict[str, WebhookSettings]
    ) -> dict[str, WebhookSettings]:
        for name in value:
            checked_name(name)
        return value

    @model_validator(mode="after")
    def _routes_lead_somewhere(self) -> Self:
        listeners = {listener.name for listener in self.smtp.listeners}
        if LISTENER in listeners:
            raise ValueError(f"smtp.listeners: {LISTENER} is what letters of the maildrop come by")
        if API in listeners:
            raise ValueError(f"smtp.listeners: {API} is what letters of the HTTP API come by")
        listeners |= {LISTENER, API}
        names: set[str] = set()
        for route in self.routes:
            if route.name in names:
                raise ValueError(f"routes: two are called {route.name}")
            names.add(route.name)
            for provider in route.names():
                if provider not in self.providers:
                    known = ", ".join(self.providers)
                    raise ValueError(
                        f"routes.{route.name}: no provider is called {provider}; there are: {known}"
                    )
            for listener in route.when.listener:
                if listener not in listeners:
                    raise ValueError(f"routes.{route.name}: no listener is called {listener}")
        return self

    @model_validator(mode="after")
    def _trackers_are_there(self) -> Self:
        for name, given in self.providers.items():
            tracked_by = getattr(given, "tracked_by", None)
            other = self.providers.get(tracked_by) if tracked_by is not None else None
            if tracked_by is not None and (other is None or other.kind != "rest_v1"):
                raise ValueError(
                    f"providers.{name}.tracked_by: no provider of kind rest_v1 is called "
                    f"{tracked_by}"
                )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library names them
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment over the file, which comes in as arguments."""
        return Environment(settings_cls), init_settings

    def effective_routes(self) -> tuple[Route, ...]:
        """The routes as plain values; with none configured, one that tries all providers."""
        if not self.routes:
            return (Route("default", tuple(self.providers)),)
        weights = {name: given.weight for name, given in self.providers.items()}
        return tuple(route.route(weights) for route in self.routes)


def _provider_settings(name: str, given: object) -> object:
    checked_name(name)
    if isinstance(given, ProviderSettings) or not isinstance(given, Mapping):
        return given
    kind = given.get("kind")
    if not isinstance(kind, str) or kind not in PROVIDERS:
        known = ", ".join(PROVIDERS)
        raise ValueError(f"{name}.kind: one of {known} is needed, not {kind!r}")
    try:
        return PROVIDERS[kind].settings(**given)
    except ValidationError as error:
        # Told as one value error, each line with the key inside the provider.
        lines = (f"{name}.{key}: {text}" if key else f"{name}: {text}" for key, text in told(error))
        raise ValueError("\n".join(lines)) from None
