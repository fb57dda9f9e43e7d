"""
The v2 formData API: `settings`, `wire` (pure), `client` (token and forms), `provider`.

Everything about the API itself stands in `wire`; see the provider reference, part C.
"""

from providers.form_v2.provider import FormV2
from providers.form_v2.settings import FormV2Settings

__all__ = ["FormV2", "FormV2Settings"]
