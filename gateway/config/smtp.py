"""
Settings of the front door: `smtp`.
"""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from gateway.config.fields import Port, checked_name, off_is_a_word
from providers.settings import Duration, Size, StrictModel

Off = Annotated[Literal["off"], BeforeValidator(off_is_a_word)]


class ListenerSettings(StrictModel):
    """One SMTP listener."""

    name: str = Field(description="Its name in logs, metrics and routes.")
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: Port = Field(default=2525, description="Port to listen on; 0 takes a free one.")
    tls: Off = Field(default="off", description="TLS of the listener; only `off` so far.")
    auth: Off = Field(default="off", description="AUTH of the listener; only `off` so far.")

    _name_is_plain = field_validator("name")(checked_name)


class SmtpSettings(StrictModel):
    """The front door."""

    listeners: tuple[ListenerSettings, ...] = Field(
        default=(ListenerSettings(name="app"),), min_length=1, description="Where letters come in."
    )
    networks: tuple[str, ...] = Field(
        default=("127.0.0.0/8", "::1/128"),
        description="Clients in these networks may relay; nobody else may.",
    )
    max_message_size: Size = Field(
        default=25 << 20, ge=1024, description="Largest letter, advertised as SIZE."
    )
    max_recipients: int = Field(default=1000, ge=1, description="Recipients of one letter.")
    max_connections: int = Field(default=500, ge=1, description="Sessions at once, in all.")
    max_memory: Size = Field(
        default=256 << 20,
        ge=1 << 20,
        description="Content that all sessions together hold while it comes in; past it 452 4.3.1.",
    )
    command_timeout: Duration = Field(
        default=timedelta(minutes=5), description="Silence before a session is closed."
    )
    data_timeout: Duration = Field(
        default=timedelta(minutes=3), description="Silence within a letter before it is dropped."
    )

    @field_validator("networks")
    @classmethod
    def _networks_are_no_open_relay(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            network = ipaddress.ip_network(text)
            if network.prefixlen < (8 if network.version == 4 else 16):
                raise ValueError(
                    f"{text} would let strangers relay; name the networks of your applications"
                )
        return value

    @field_validator("listeners")
    @classmethod
    def _names_are_unique(cls, value: tuple[ListenerSettings, ...]) -> tuple[ListenerSettings, ...]:
        names = [listener.name for listener in value]
        if len(set(names)) != len(names):
            raise ValueError("two listeners have the same name")
        return value
