"""
The connections to one account of the v1 API, with its key on every call.
"""

from __future__ import annotations

from providers.contract.clock import Clock
from providers.http.client import HttpClient
from providers.rest_v1.settings import RestV1Settings


def build_client(settings: RestV1Settings, clock: Clock) -> HttpClient:
    """
    A client for this account; nothing is connected yet.

    Raises:
        ProviderConfigError: The key cannot stand in a header field.
    """
    reserve = () if settings.reserve_url is None else (settings.reserve_url,)
    key = settings.api_key.get_secret_value()
    return HttpClient(
        (settings.base_url, *reserve),
        connections=settings.connections,
        clock=clock,
        headers=(("Authorization", f"Bearer {key}"), ("Accept", "application/json")),
        secret=key,
    )
