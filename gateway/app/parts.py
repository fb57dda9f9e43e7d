"""
From settings to parts: each function makes one plain value or one part from the configuration.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from gateway.clock import SystemClock
from gateway.config import Settings
from gateway.delivery.aftermath import AftermathRules
from gateway.delivery.report_rules import ReportRules, gaps, mta_name
from gateway.domain.health import CircuitRules
from gateway.domain.webhook import Endpoint, key_from_secret
from gateway.suppression import SuppressionRules
from providers.contract.address import parse_address
from providers.contract.provider import ProbeResult, Provider
from providers.registry import PROVIDERS
from providers.settings import ProviderSettings


def build_providers(
    settings: Settings, kept: Mapping[str, Provider] | None = None
) -> dict[str, Provider]:
    """
    The configured providers by name, in the order written; no connection is made.

    Args:
        settings: The configuration.
        kept: Providers that run already and whose settings are the same: they are taken over.

    Raises:
        ProviderConfigError: Settings that only turn out wrong when used, as a missing CA file.
    """
    clock, running = SystemClock(), kept or {}
    return {
        name: running.get(name)
        or PROVIDERS[given.kind].build(name, _introduced(given, settings.hostname), clock)
        for name, given in settings.providers.items()
    }


def _introduced(given: ProviderSettings, hostname: str) -> ProviderSettings:
    """The same settings, with our name where they ask for one and the operator gave none."""
    if "hostname" in type(given).model_fields and "hostname" not in given.model_fields_set:
        return given.model_copy(update={"hostname": hostname})
    return given


async def probe_all(settings: Settings) -> dict[str, ProbeResult]:
    """Ask every provider whether it is there and takes our credentials; nothing is sent."""
    providers = build_providers(settings)
    try:
        results = await asyncio.gather(*(provider.probe() for provider in providers.values()))
    finally:
        await asyncio.gather(*(provider.aclose() for provider in providers.values()))
    return dict(zip(providers, results, strict=True))


def accounts_in_step(settings: Settings) -> tuple[str, ...]:
    """The providers that are told who is put on the suppression list, and who is taken off."""
    return tuple(
        name
        for name, given in settings.providers.items()
        if getattr(given, "sync_unsubscriptions", False)
    )


def aftermath_rules(settings: Settings) -> AftermathRules:
    """What follows from what providers tell later."""
    return AftermathRules(
        settings.suppression.reasons, accounts_in_step(settings), settings.bounces.later
    )


def webhook_endpoints(settings: Settings) -> dict[str, Endpoint]:
    """The webhooks of applications by name."""
    return {
        name: Endpoint(given.url, key_from_secret(given.secret.get_secret_value()))
        for name, given in settings.webhooks.items()
    }


def suppression_rules(settings: Settings) -> SuppressionRules:
    """Which reasons count, and how clients learn of it."""
    return SuppressionRules(settings.suppression.reasons, settings.suppression.answer)


def report_rules(settings: Settings) -> ReportRules:
    """How senders are told, as plain values."""
    bounces = settings.bounces
    hosts = {name: getattr(given, "host", "") for name, given in settings.providers.items()}
    return ReportRules(
        hostname=settings.hostname,
        from_=parse_address(bounces.from_) if bounces.from_ else None,
        delay_warning=bounces.delay_warning,
        return_octets=bounces.return_content,
        postmaster=parse_address(bounces.postmaster) if bounces.postmaster else None,
        per_sender=bounces.per_sender,
        total=bounces.total,
        remote_mtas={name: mta_name(host) for name, host in hosts.items() if host},
    )


def report_gaps(settings: Settings, providers: Mapping[str, Provider]) -> tuple[str, ...]:
    """Why reports may never reach their senders, a line for each thing to mend."""
    capabilities = {name: provider.capabilities for name, provider in providers.items()}
    return gaps(settings.effective_routes(), capabilities, report_rules(settings))


def circuit_rules(settings: Settings) -> CircuitRules:
    """When a provider is given no letters, as plain values."""
    delivery = settings.delivery
    first = delivery.probe_first.total_seconds()
    return CircuitRules(
        first_wait_s=first, longest_wait_s=max(first, delivery.probe_longest.total_seconds())
    )


def slow_after(settings: Settings) -> dict[str, float]:
    """Seconds after which a call to a provider is slow, for those that have such a bound."""
    return {
        name: given.slow_after.total_seconds()
        for name, given in settings.providers.items()
        if given.slow_after is not None
    }


def timeouts(settings: Settings) -> dict[str, float]:
    """Seconds that a call to each provider may take."""
    return {name: given.timeout.total_seconds() for name, given in settings.providers.items()}
