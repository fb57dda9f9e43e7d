"""
What all settings share: durations, sizes and rates as people write them, secrets from files.

The adapters' settings models and the gateway's configuration build on it. It reads secret files and
nothing else. Sits on `contract`.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    PlainSerializer,
    SecretStr,
    model_validator,
)

from providers.contract.capabilities import Rate

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\Z")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB)?\Z", re.IGNORECASE)
_OCTETS = {"b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
_RATE = re.compile(r"(\d+)\s*/\s*(s|m|h|d)\Z")


def parse_duration(value: object) -> object:
    """`200ms`, `30s`, `5m`, `2h`, `7d`; a timedelta passes through."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str) and (match := _DURATION.match(value.strip())):
        return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])
    raise ValueError(f"a duration is written like 200ms, 30s, 5m, 2h or 7d, not {value!r}")


def parse_size(value: object) -> object:
    """`25MiB`, `64KiB`, `1GiB` or a plain number of octets."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and (match := _SIZE.match(value.strip())):
        return int(match[1]) * _OCTETS[(match[2] or "b").lower()]
    raise ValueError(f"a size is written like 25MiB, 64KiB or a number of octets, not {value!r}")


def parse_rate(value: object) -> object:
    """`5/s`, `300/m`; a `Rate` passes through."""
    if isinstance(value, Rate):
        return value
    if isinstance(value, str) and (match := _RATE.match(value.strip())) and int(match[1]) > 0:
        return Rate(int(match[1]), timedelta(seconds=_SECONDS[match[2]]))
    raise ValueError(f"a rate is written like 5/s or 300/m, not {value!r}")


def render_duration(value: timedelta) -> str:
    """The shortest spelling that `parse_duration` reads back."""
    seconds = value.total_seconds()
    for unit in ("d", "h", "m", "s"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{int(seconds / _SECONDS[unit])}{unit}"
    return f"{round(seconds * 1000)}ms" if seconds else "0s"


def render_size(value: int) -> str:
    """The shortest spelling that `parse_size` reads back."""
    for unit in ("GiB", "MiB", "KiB"):
        if value and value % _OCTETS[unit.lower()] == 0:
            return f"{value // _OCTETS[unit.lower()]}{unit}"
    return str(value)


def render_rate(value: Rate) -> str:
    """The spelling that `parse_rate` reads back."""
    period = render_duration(value.period)
    return f"{value.count}/{period.removeprefix('1')}"


Duration = Annotated[
    timedelta, BeforeValidator(parse_duration), PlainSerializer(render_duration, return_type=str)
]
Size = Annotated[int, BeforeValidator(parse_size), PlainSerializer(render_size, return_type=str)]
RateLimit = Annotated[
    InstanceOf[Rate], BeforeValidator(parse_rate), PlainSerializer(render_rate, return_type=str)
]


class StrictModel(BaseModel):
    """
    A settings model: unknown keys are errors, values are frozen, secrets may come from files.

    For every field of type `SecretStr`, the key with `_file` after it names a file that holds the
    secret; a line end after it is not part of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, data: Any) -> Any:  # noqa: ANN401 - whatever YAML holds
        if not isinstance(data, dict):
            return data
        values = dict(data)
        for name, info in cls.model_fields.items():
            key = f"{name}_file"
            if "SecretStr" not in str(info.annotation) or key not in values:
                continue
            if values.get(name) is not None:
                raise ValueError(f"give either {name} or {key}, not both")
            path = Path(str(values.pop(key)))
            try:
                values[name] = path.read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "not UTF-8 text"
                raise ValueError(f"{key}: cannot read {path}: {reason}") from None
            if not values[name]:
                raise ValueError(f"{key}: {path} is empty")
        return values


class ProviderSettings(StrictModel):
    """What every provider's settings hold beside its own."""

    kind: str
    max_message_size: Size | None = Field(
        default=None, description="A cap of our own, below what the provider takes."
    )
    timeout: Duration = Field(
        default=timedelta(seconds=60), description="How long one attempt may take."
    )
    slow_after: Duration | None = Field(
        default=None,
        description="An attempt that takes longer counts as a failure of the provider, whatever "
        "came of it: one that is slow all the time is given no letters for a while. Without it "
        "only `timeout` counts.",
    )
    weight: int = Field(
        default=1,
        ge=1,
        description="Its share of letters where a route has it beside equal providers: `[[a, b]]`.",
    )


__all__ = [
    "Duration",
    "ProviderSettings",
    "RateLimit",
    "SecretStr",
    "Size",
    "StrictModel",
    "parse_duration",
    "parse_rate",
    "parse_size",
    "render_duration",
    "render_rate",
    "render_size",
]
