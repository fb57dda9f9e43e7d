"""
The v1 JSON REST API: `settings`, `wire` (pure), `client` (account and connections), `provider`.

Everything about the API itself stands in `wire`; see the provider reference, part B.
"""

from providers.rest_v1.provider import RestV1
from providers.rest_v1.settings import RestV1Settings

__all__ = ["RestV1", "RestV1Settings"]
