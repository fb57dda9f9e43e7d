"""`mailquay check`: is the configuration sound, what does it come to, do the providers answer."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.output import (
    ConfigOption,
    JsonOption,
    fail,
    print_json,
    print_line,
    print_table,
    warn,
)

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.domain.routing import Condition, Route
    from providers.contract.provider import ProbeResult


def check(
    config: ConfigOption = None,
    online: Annotated[
        bool, typer.Option("--online", help="Ask every provider; nothing is sent.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Validate the configuration; show listeners, providers, routes and effective values."""
    from gateway.app.front_door import front_door_gaps, load_security
    from gateway.app.parts import build_providers, probe_all, report_gaps
    from gateway.app.route_gaps import route_gaps
    from gateway.clock import SystemClock
    from gateway.config import load

    settings = load(config)
    security, providers = load_security(settings), build_providers(settings)
    warnings = (
        *front_door_gaps(settings, security, SystemClock().now()),
        *route_gaps(settings, providers, security),
        *report_gaps(settings, providers),
    )
    probes = asyncio.run(probe_all(settings)) if online else {}
    if as_json:
        print_json(
            {"settings": _effective(settings), "online": probes or None, "warnings": warnings}
        )
    else:
        _show(settings, probes)
    for warning in warnings:
        warn(warning)
    refused = [name for name, result in probes.items() if not result.ok]
    if refused:
        fail(f"does not answer as it should: {', '.join(refused)}", os.EX_UNAVAILABLE)


def _effective(settings: Settings) -> dict[str, Any]:
    """All values in force; pydantic masks secrets."""
    dumped: dict[str, Any] = settings.model_dump(mode="json", by_alias=True)
    return dumped


def _show(settings: Settings, probes: dict[str, ProbeResult]) -> None:
    print_table(
        ("listener", "address", "tls", "auth"),
        [
            (
                listener.name,
                str(listener.socket or f"{listener.host}:{listener.port}"),
                listener.tls.value,
                listener.auth.value,
            )
            for listener in settings.smtp.listeners
        ],
    )
    print_line()
    print_table(
        ("provider", "kind", "answers"),
        [
            (name, given.kind, _answer(probes.get(name)))
            for name, given in settings.providers.items()
        ],
    )
    print_line()
    print_table(
        ("route", "providers", "fidelity", "on uncertain", "when"),
        [
            (
                route.name,
                _way(route),
                route.fidelity.value,
                route.on_uncertain.value,
                _when(route.condition),
            )
            for route in settings.effective_routes()
        ],
    )
    print_line()
    print_table(("setting", "value"), list(_flat(_effective(settings))))


def _answer(result: ProbeResult | None) -> str:
    if result is None:
        return "not asked"
    return f"{'ok' if result.ok else 'FAILS'}: {result.detail}"


def _way(route: Route) -> str:
    """Its providers in order; equal ones with their weights."""
    weights = {name: weight for group in route.equals for name, weight in group}
    words: list[str] = []
    for place, name in enumerate(route.providers):
        if place:
            equal = route.providers[place - 1] in route.equal_to(name)
            words.append(" | " if equal else " → ")
        words.append(f"{name} ({weights[name]})" if name in weights else name)
    return "".join(words)


def _when(condition: Condition) -> str:
    """A route's conditions, in the words of its configuration."""
    asked = {
        "sender": condition.senders,
        "sender_domain": condition.sender_domains,
        "recipient_domain": condition.recipient_domains,
        "listener": condition.listeners,
        "user": condition.users,
        **{f"header {name}": patterns for name, patterns in condition.header},
        "size_over": () if condition.size_over is None else (str(condition.size_over),),
        "has_attachments": ()
        if condition.has_attachments is None
        else (condition.has_attachments,),
    }
    words = (
        f"{key}: {' | '.join(sorted(map(_word, among)))}" for key, among in asked.items() if among
    )
    return ", ".join(words) or "always"


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            rows += _flat(value, f"{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for number, item in enumerate(value):
                rows += _flat(item, f"{name}[{number}].")
        else:
            rows.append(
                (name, ", ".join(map(_word, value if isinstance(value, list) else [value])))
            )
    return rows


def _word(value: object) -> str:
    """A value as a configuration has it."""
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
