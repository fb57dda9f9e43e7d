"""
Renders the tables of settings, metrics and capabilities from the code; `make docs` runs it.

Tests hold the committed files to what this prints.
"""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any, get_args

from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from gateway.config import ENV_PREFIX, Settings
from gateway.ingress.replies import REASONS
from gateway.observe.metrics import Metrics
from providers.contract.capabilities import Rate
from providers.registry import PROVIDERS, capabilities_table
from providers.settings import render_duration, render_rate, render_size

FOLDER = Path(__file__).parent

SETTINGS_INTRODUCTION = f"""\
# Settings

Rendered from the models by `make docs`; do not edit.

A YAML file (`--config`, else `MAILQUAY_CONFIG`, else `./gateway.yaml`, else
`/etc/mailquay/gateway.yaml`), then the environment, which wins:
`{ENV_PREFIX}SMTP__MAX_CONNECTIONS=100` is `smtp.max_connections`.
Lists and mappings in the environment are JSON.
Durations are written `200ms`, `30s`, `5m`, `2h`, `7d`; sizes `64KiB`, `25MiB` or octets; rates
`5/s`, `300/m`.
Every secret can come from a file: `password_file` for `password`. Unknown keys are errors.

## Gateway
"""


def settings_page() -> str:
    """All settings of the gateway and of each kind of provider."""
    lines = [SETTINGS_INTRODUCTION, *_table(Settings, "")]
    for name, kind in PROVIDERS.items():
        lines += ["", f"## Provider `{name}`", "", "Keys below `providers.<name>`.", ""]
        lines += _table(kind.settings, "")
    return "\n".join(lines) + "\n"


def metrics_page() -> str:
    """All metrics."""
    metrics = Metrics(providers={"main": "smarthost"}, listeners=["app"], reply_reasons=REASONS)
    lines = [
        "# Metrics",
        "",
        "Rendered from the code by `make docs`; do not edit.",
        "Every series is there at zero from the start; labels come from closed sets.",
        "Beside them stand the process's own (`process_resident_memory_bytes`,",
        "`process_start_time_seconds` and the like), under their usual names.",
        (
            "Who asks for OpenMetrics, as Prometheus does, gets trace ids as exemplars on "
            "latencies ([opentelemetry.md](opentelemetry.md#exemplars))."
        ),
        "",
        (
            "Counting takes about one percent of a letter's processor time, and may take two: "
            "`python -m bench --metrics-cost` measures it (10 to 14 of 1060 to 1165 microseconds "
            "on two shared cores)."
        ),
        "",
        "| metric | type | labels | what it tells |",
        "|---|---|---|---|",
    ]
    lines += [
        _metric_row(metric)
        for metric in vars(metrics).values()
        if isinstance(metric, MetricWrapperBase)
    ]
    return "\n".join(lines) + "\n"


def _metric_row(metric: MetricWrapperBase) -> str:
    described = metric.describe()[0]
    suffix = "_total" if described.type == "counter" else ""
    labels = ", ".join(f"`{name}`" for name in metric._labelnames)  # noqa: SLF001 - no other way
    help_text = described.documentation
    return f"| `{described.name}{suffix}` | {described.type} | {labels} | {help_text} |"


def _table(model: type[BaseModel], prefix: str) -> list[str]:
    return ["| key | default | meaning |", "|---|---|---|", *_rows(model, prefix)]


def _rows(model: type[BaseModel], prefix: str) -> list[str]:
    rows: list[str] = []
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        inner = _model_in(field.annotation)
        if inner is not None and inner.__name__ != "ProviderSettings":
            many = "[]" if inner is not field.annotation else ""
            rows += _rows(inner, f"{key}{many}.")
            continue
        secret = "SecretStr" in str(field.annotation)
        note = f" Or `{name}_file`." if secret else ""
        description = (field.description or "").replace("|", "\\|")
        rows.append(f"| `{key}` | {_default(field)} | {description}{note} |")
    return rows


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _model_in(arg))), None)


def _default(field: Any) -> str:
    if field.default_factory is not None:
        return "of the machine"
    if field.default is PydanticUndefined:
        return "**required**"
    return _shown(field.default, field)


def _shown(value: Any, field: Any) -> str:
    if value is None or value in ((), ""):
        return "none"
    if isinstance(value, timedelta):
        return f"`{render_duration(value)}`"
    if isinstance(value, Rate):
        return f"`{render_rate(value)}`"
    if isinstance(value, SecretStr):
        return "none"
    if isinstance(value, Enum):
        return f"`{value.value}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int) and any("parse_size" in str(m) for m in field.metadata):
        return f"`{render_size(value)}`"
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value)
    return f"`{value}`"


def with_capabilities(text: str) -> str:
    """A page with the table of capabilities between its two marks as the code has it now."""
    before, opening, rest = text.partition("<!-- capabilities -->\n")
    _, closing, after = rest.partition("<!-- /capabilities -->")
    return before + opening + capabilities_table() + closing + after


PAGES = {"settings.md": settings_page, "metrics.md": metrics_page}
PROVIDERS_PAGE = FOLDER.parent / "providers" / "README.md"

if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
    text = PROVIDERS_PAGE.read_text(encoding="utf-8")
    PROVIDERS_PAGE.write_text(with_capabilities(text), encoding="utf-8")
