"""
Settings of where letters are kept: `spool`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from gateway.spool.url import parse_spool_url
from providers.settings import Duration, StrictModel


class SpoolSettings(StrictModel):
    """Where letters are kept."""

    url: str = Field(
        default="sqlite:///var/mailquay.db",
        description="`sqlite:///relative`, `sqlite:////absolute`, or for several gateways on one "
        "queue `postgresql://user@host/database` with all that libpq knows, as `?sslmode=`.",
    )
    password: SecretStr | None = Field(
        default=None,
        description="Of the PostgreSQL user. One in the URL is taken out of it and never shown; "
        "with none, libpq's own ways stand (PGPASSFILE, peer, certificates).",
    )
    retention: Duration = Field(
        default=timedelta(days=7), description="How long records of settled letters are kept."
    )
    lease: Duration = Field(
        default=timedelta(minutes=5),
        ge=timedelta(seconds=5),
        description="How long a letter stays with a gateway that gives no sign of life, before "
        "others on the same queue take it over. The gateways' clocks must agree much better. "
        "At least `5s`; alone on SQLite, a restart lets go of all at once.",
    )

    @model_validator(mode="before")
    @classmethod
    def _password_stands_by_itself(cls, data: Any) -> Any:  # noqa: ANN401 - whatever YAML holds
        if not isinstance(data, dict) or not isinstance(data.get("url"), str):
            return data
        try:
            url = parse_spool_url(data["url"])
        except ValueError:
            return data  # told of the field
        if url.password is None:
            return data
        if data.get("password") is not None:
            raise ValueError("the password is given twice, in the url and by itself")
        return {**data, "url": url.text, "password": url.password}

    @field_validator("url")
    @classmethod
    def _engine_is_known(cls, value: str) -> str:
        parse_spool_url(value)
        return value

    @model_validator(mode="after")
    def _password_is_for_postgresql(self) -> Self:
        if self.password is not None and parse_spool_url(self.url).engine == "sqlite":
            raise ValueError("password: a SQLite file has none")
        return self
