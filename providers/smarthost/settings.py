"""
What an operator says about a smarthost, and what follows from it where nothing is said.

Address, encryption and credentials of one account. Defaults that depend on one another (preset,
port, encryption) are filled in before validation, so that the model holds effective values and
`mailquay check` can print them. Sits on `providers.settings`.
"""

from __future__ import annotations

import re
import socket
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from providers.settings import Duration, ProviderSettings, RateLimit

# Provider reference, part A: 587 is in every set-up note, 465 speaks TLS from the first octet.
_PRESETS: dict[str, dict[str, Any]] = {"msndr": {"host": "smtp.msndr.net", "port": 587}}
_HOSTNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9])?\Z|\[[0-9A-Za-z.:-]+\]\Z")


def _own_name() -> str:
    name = socket.gethostname()
    return name if _HOSTNAME.match(name) else "localhost"


class Tls(StrEnum):
    """How a connection is encrypted."""

    OFF = "off"
    STARTTLS = "starttls"  # where the server offers it
    REQUIRED = "required"  # STARTTLS or nothing
    IMPLICIT = "implicit"  # from the first octet, port 465


class SmarthostSettings(ProviderSettings):
    """
    One account at an SMTP smarthost.

    Raises:
        pydantic.ValidationError: A key is unknown or missing, or two of them contradict each other;
            the texts name keys, never secrets.
    """

    kind: Literal["smarthost"] = "smarthost"
    preset: Literal["msndr"] | None = Field(
        default=None, description="Fills in host, port and tls of a known service."
    )
    host: str = Field(
        default="", description="Name or address of the server; needed without a preset."
    )
    port: int = Field(
        default=587,
        ge=1,
        le=65535,
        description="Default: 465 with tls implicit, else 587 with credentials, 25 without.",
    )
    tls: Tls = Field(
        default=Tls.REQUIRED,
        description="off, starttls (where offered), required (STARTTLS or nothing) or implicit. "
        "Default: implicit on port 465, else required with credentials, starttls without.",
    )
    verify_certificate: bool | None = Field(
        default=None,
        description="Check the server's certificate. Default: always, but for tls starttls without "
        "credentials, where an attacker could hide STARTTLS altogether.",
    )
    ca_file: Path | None = Field(
        default=None, description="PEM file of the private CA to trust instead of the system's."
    )
    username: str | None = Field(default=None, description="The account's name for AUTH.")
    password: SecretStr | None = Field(default=None, description="The account's password or key.")
    allow_plain_auth: bool = Field(
        default=False, description="Send the password over a connection that is not encrypted."
    )
    tracked_by: str | None = Field(
        default=None,
        description="The provider of kind rest_v1 that is the same account: it is asked what "
        "became of letters whose ids the server's reply names, and its webhooks tell of them. "
        "Without it the webhooks of the only rest_v1 provider do.",
    )
    hostname: str = Field(
        default_factory=_own_name, description="Our name in EHLO; default the machine's."
    )
    connections: int = Field(
        default=8,
        ge=1,
        le=1000,
        description="Parallel connections at most. One carries hundreds of letters a second; a few "
        "hide the round trips. Where the server turns one away beside others (421), those that "
        "stand are used, and more are tried after a minute.",
    )
    idle_timeout: Duration = Field(
        default=timedelta(seconds=30),
        description="How long an unused connection is kept; servers close them after minutes, "
        "middleboxes forget them silently and sooner.",
    )
    idle_check: Duration = Field(
        default=timedelta(seconds=10),
        description="A connection unused for longer is asked (RSET) whether it still stands, "
        "before a letter is sent down.",
    )
    letters_per_connection: int = Field(
        default=1000,
        ge=1,
        description="Then a new connection is opened: many servers refuse further letters at some "
        "number and slow the account down for it.",
    )
    chunking: bool = Field(
        default=True,
        description="Send letters over 256 KiB in chunks where the server offers CHUNKING: it can "
        "refuse one before all of it was sent.",
    )
    overlap: bool = Field(
        default=True,
        description="Where the server offers PIPELINING, send a waiting letter's envelope together "
        "with the content of the one before it (RFC 2920): half the round trips under load.",
    )
    rate: RateLimit | None = Field(
        default=None, description="Letters per time, such as 10/s; default: as fast as it takes."
    )
    null_reverse_path: bool = Field(
        default=True,
        description="Whether the server takes MAIL FROM:<>. With false, reports to senders leave "
        "from bounces.from, for services that take confirmed senders only.",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_defaults(cls, data: Any) -> Any:  # noqa: ANN401 - whatever YAML holds
        if not isinstance(data, dict):
            return data
        given = {key: value for key, value in data.items() if value is not None}
        if given.get("tls") is False:  # YAML reads a bare `off` so
            given["tls"] = "off"
        if "port" not in given and given.get("tls") == Tls.IMPLICIT:
            given["port"] = 465
        values = _PRESETS.get(str(given.get("preset")), {}) | given
        has_credentials = "username" in values
        values.setdefault("port", 587 if has_credentials else 25)
        if "tls" not in values:
            opportunistic = Tls.REQUIRED if has_credentials else Tls.STARTTLS
            values["tls"] = Tls.IMPLICIT if str(values["port"]) == "465" else opportunistic
        return values

    @field_validator("host")
    @classmethod
    def _host_is_one(cls, value: str) -> str:
        if not value.isprintable() or any(char.isspace() for char in value):
            raise ValueError("a host holds no blank and no control character")
        return value

    @field_validator("hostname")
    @classmethod
    def _hostname_is_one(cls, value: str) -> str:
        if not _HOSTNAME.match(value):
            raise ValueError("not a host name or an address literal such as [192.0.2.1]")
        return value

    @model_validator(mode="after")
    def _keys_agree(self) -> SmarthostSettings:
        if not self.host:
            raise ValueError("give a host, or a preset that knows one")
        if self.preset and not self.username:
            raise ValueError(f"the preset {self.preset} needs username and password")
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together: give both or neither")
        if self.username and self.tls is Tls.OFF and not self.allow_plain_auth:
            raise ValueError(
                "tls: off would send the password in clear text; use tls: required, "
                "or allow_plain_auth: true if the network is trusted"
            )
        return self

    @property
    def verifies_certificate(self) -> bool:
        """Whether the server's certificate is checked."""
        if self.verify_certificate is not None:
            return self.verify_certificate
        return self.username is not None or self.tls is not Tls.STARTTLS
