"""
The v2 formData API (provider reference, part C).

`wire` is the API itself, pure: values, forms, answers. `settings` is the account, `client` its
connections and its token. On them stand `account`, the eight methods, and `provider`, the gateway's
view: `letters` and `batches` make calls of letters, `results` makes outcomes of what became of
them.
"""

from providers.form_v2.account import FormV2Account
from providers.form_v2.provider import FormV2
from providers.form_v2.settings import FormV2Settings

__all__ = ["FormV2", "FormV2Account", "FormV2Settings"]
