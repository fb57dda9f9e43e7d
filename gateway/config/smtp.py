"""
Settings of the front door: `smtp`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from gateway.config.fields import Port, Words, checked_name, off_is_a_word
from gateway.ingress.policy import LOOPBACK, Auth, Network, Tls, TlsProfile, open_relay
from providers.settings import Duration, RateLimit, Size, StrictModel

_MODE = re.compile(r"0?[0-7]{3}\Z")


def networks_from(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks from their texts; a `ValueError` names the first that is none."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def _checked_networks(value: tuple[str, ...]) -> tuple[str, ...]:
    if problem := open_relay(networks_from(value)):
        raise ValueError(problem)
    return value


class ListenerSettings(StrictModel):
    """One SMTP listener."""

    name: str = Field(description="Its name in logs, metrics and routes.")
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: Port = Field(default=2525, description="Port to listen on; 0 takes a free one.")
    socket: Path | None = Field(
        default=None, description="A socket file to listen on, instead of host and port."
    )
    socket_mode: str = Field(
        default="0660", description="Permissions of the file; who can open it may relay."
    )
    tls: Annotated[Tls, BeforeValidator(off_is_a_word)] = Field(
        default=Tls.OFF,
        description="`off`, `starttls` where clients ask, `required` before MAIL, or `implicit` "
        "from the first octet (port 465).",
    )
    tls_profile: TlsProfile = Field(
        default=TlsProfile.MODERN,
        description="`modern` is TLS 1.2 and newer; `old` takes TLS 1.0 and weak ciphers too, for "
        "devices that know nothing better.",
    )
    auth: Annotated[Auth, BeforeValidator(off_is_a_word)] = Field(
        default=Auth.OFF,
        description="`off`, `optional` for clients that are not in `networks`, or `required` of "
        "all.",
    )
    auth_without_tls: bool = Field(
        default=False,
        description="Take passwords in the clear from other machines; on this one they always may.",
    )
    networks: Words | None = Field(
        default=None, description="Its own networks, instead of `smtp.networks`."
    )
    proxy_networks: Words = Field(
        default=(),
        description="Proxies in these networks begin each connection with a PROXY header (version "
        "1 or 2), whose address is taken for the client's.",
    )
    max_message_size: Size | None = Field(
        default=None, ge=1024, description="Its own, instead of `smtp.max_message_size`."
    )
    max_recipients: int | None = Field(
        default=None, ge=1, description="Its own, instead of `smtp.max_recipients`."
    )

    _name_is_plain = field_validator("name")(checked_name)

    @field_validator("networks")
    @classmethod
    def _networks_are_no_open_relay(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if value is None else _checked_networks(value)

    @field_validator("proxy_networks")
    @classmethod
    def _proxies_are_few(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if open_relay(networks_from(value)):
            raise ValueError("who may name a client's address must be named narrowly")
        return value

    @field_validator("socket_mode")
    @classmethod
    def _mode_is_octal(cls, value: str) -> str:
        if not _MODE.match(value):
            raise ValueError('permissions are three octal digits in quotation marks, as "0660"')
        return value

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.socket is not None and self.proxy_networks:
            raise ValueError("proxy_networks: a socket file has no networks")
        return self


class SmtpSettings(StrictModel):
    """The front door."""

    listeners: tuple[ListenerSettings, ...] = Field(
        default=(ListenerSettings(name="app"),), min_length=1, description="Where letters come in."
    )
    networks: Words = Field(
        default=("127.0.0.0/8", "::1/128"),
        description="Clients in these networks may relay without AUTH; nobody else may.",
    )
    users_file: Path | None = Field(
        default=None,
        description="Who may authenticate: `name:hash[:allowed senders]`, see `mailquay passwd`.",
    )
    certificate: Path | None = Field(
        default=None, description="Certificate chain in PEM, for listeners with TLS."
    )
    private_key: Path | None = Field(
        default=None, description="Its private key in PEM, without a pass phrase."
    )
    max_message_size: Size = Field(
        default=25 << 20, ge=1024, description="Largest letter, advertised as SIZE."
    )
    max_recipients: int = Field(
        default=1000, ge=1, description="Recipients of one letter, advertised as RCPTMAX."
    )
    max_letters: int = Field(
        default=0, ge=0, description="Letters of one session, advertised as MAILMAX; 0: any number."
    )
    max_connections: int = Field(default=500, ge=1, description="Sessions at once, in all.")
    max_connections_per_address: int | None = Field(
        default=None,
        ge=1,
        description="Sessions at once from one address; half of `max_connections` where not set.",
    )
    max_errors: int = Field(
        default=20, ge=1, description="Wrong commands between two letters before a session is over."
    )
    max_commands: int = Field(
        default=10_000, ge=100, description="Commands between two letters before a session is over."
    )
    letters_per_address: RateLimit | None = Field(
        default=None, description="Letters that one client address may hand in, as `300/m`."
    )
    recipients_per_address: RateLimit | None = Field(
        default=None, description="Recipients that one client address may name."
    )
    letters_per_user: RateLimit | None = Field(
        default=None, description="Letters that one user may hand in."
    )
    recipients_per_user: RateLimit | None = Field(
        default=None, description="Recipients that one user may name."
    )
    auth_failures: int = Field(
        default=10, ge=1, description="Failed logins from one address before it is shut out."
    )
    auth_delay: Duration = Field(
        default=timedelta(seconds=1),
        description="What the first failed login waits for its reply; each next one twice that, "
        "10 s at most.",
    )
    auth_shut_out: Duration = Field(
        default=timedelta(minutes=15),
        description="How long an address is shut out, and when failures are forgotten.",
    )
    max_memory: Size = Field(
        default=256 << 20,
        ge=1 << 20,
        description="Content that all sessions together hold while it comes in; past it 452 4.3.1.",
    )
    command_timeout: Duration = Field(
        default=timedelta(minutes=5), description="Silence before a session is closed."
    )
    data_timeout: Duration = Field(
        default=timedelta(minutes=3),
        description="Time without progress within a letter before it is dropped.",
    )
    min_data_rate: Size = Field(
        default=100,
        ge=1,
        description="Octets a second that are progress, over `data_timeout`; less is a stalled "
        "letter.",
    )

    _networks_are_no_open_relay = field_validator("networks")(_checked_networks)

    @field_validator("listeners")
    @classmethod
    def _names_are_unique(cls, value: tuple[ListenerSettings, ...]) -> tuple[ListenerSettings, ...]:
        names = [listener.name for listener in value]
        if len(set(names)) != len(names):
            raise ValueError("two listeners have the same name")
        return value

    @model_validator(mode="after")
    def _listeners_have_what_they_need(self) -> Self:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("certificate and private_key: one without the other")
        for listener in self.listeners:
            if listener.tls is not Tls.OFF and self.certificate is None:
                raise ValueError(
                    f"listeners.{listener.name}: tls is {listener.tls}, and there is no "
                    f"smtp.certificate with its smtp.private_key"
                )
            if listener.auth is not Auth.OFF and self.users_file is None:
                raise ValueError(
                    f"listeners.{listener.name}: auth is {listener.auth}, and there is no "
                    f"smtp.users_file; make one with `mailquay passwd`"
                )
            if listener.auth is Auth.REQUIRED and _takes_no_password(listener):
                raise ValueError(
                    f"listeners.{listener.name}: AUTH is demanded and never offered to other "
                    f"machines; set tls, or auth_without_tls if nobody can listen on the way"
                )
        return self


def _takes_no_password(listener: ListenerSettings) -> bool:
    if listener.tls is not Tls.OFF or listener.auth_without_tls or listener.socket is not None:
        return False
    return not is_loopback(listener.host)


def is_loopback(host: str) -> bool:
    """Whether only clients on this machine can reach a listener on this address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return any(address in network for network in LOOPBACK)
