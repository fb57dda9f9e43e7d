"""
Settings of traces sent to a collector: `tracing`; what is told of letters later is `tracking`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, model_validator

from gateway.config.smtp import is_loopback
from providers.settings import Duration, SecretStr, StrictModel

_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_FIELD_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?\Z")
_PATH = "/v1/traces"


class TracingSettings(StrictModel):
    """Traces of letters, sent to an OpenTelemetry collector by OTLP over HTTP."""

    endpoint: str | None = Field(
        default=None,
        max_length=2000,
        description="Where the collector takes OTLP over HTTP, as http://collector:4318; without "
        f"one nothing is traced. `{_PATH}` is added where it is not there.",
    )
    headers: SecretStr | None = Field(
        default=None,
        description="Header fields that it asks for, as `OTEL_EXPORTER_OTLP_HEADERS` has them: "
        "`name=value,name=value`, values percent-encoded.",
    )
    service_name: str = Field(
        default="mailquay", min_length=1, max_length=200, description="What we are called there."
    )
    sample: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of letters that are traced; a letter that its application put into a "
        "trace is traced where the application keeps that trace, whatever this says.",
    )
    timeout: Duration = Field(
        default=timedelta(seconds=10),
        ge=timedelta(milliseconds=100),
        le=timedelta(minutes=1),
        description="How long the collector may take to answer.",
    )
    allow_insecure: bool = Field(
        default=False, description="Send `headers` to other machines without TLS, too."
    )

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        given = self.header_fields()
        if self.endpoint is None:
            return self
        parts = urlsplit(self.endpoint)
        host, _ = parts.hostname or "", parts.port  # that refuses what is no number
        if parts.scheme not in {"https", "http"} or not host or parts.username is not None:
            raise ValueError("endpoint: http://host:4318 or https://host, without a user")
        if parts.query or parts.fragment:
            raise ValueError("endpoint: an address without ? and #")
        if given and parts.scheme == "http" and not is_loopback(host) and not self.allow_insecure:
            raise ValueError("endpoint: https, where headers are secrets, unless allow_insecure")
        return self

    def url(self) -> str:
        """Where spans go; empty when nothing is traced."""
        if self.endpoint is None:
            return ""
        base = self.endpoint.rstrip("/")
        return base if base.endswith(_PATH) else base + _PATH

    def header_fields(self) -> Mapping[str, str]:
        """
        The fields of `headers`, by name.

        Raises:
            ValueError: They are none; the text does not repeat them.
        """
        fields = {}
        text = "" if self.headers is None else self.headers.get_secret_value()
        for pair in filter(None, (pair.strip() for pair in text.split(","))):
            name, equals, value = pair.partition("=")
            name, value = name.strip(), unquote(value.strip())
            if not equals or not _FIELD_NAME.match(name) or not _FIELD_VALUE.match(value):
                raise ValueError("headers: name=value,name=value, in ASCII without line ends")
            fields[name] = value
        return fields
