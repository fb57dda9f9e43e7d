"""
The v2 formData API (provider reference, part C).

`wire` is the API itself, pure: values, forms, answers. `settings` is the account, `client` its
connections and its token. On them stand `account`, the eight methods, and `provider`, the gateway's
view: `letters`, `batches` and `sharing` make calls of letters, `inquiry` asks what became of them,
`results` and `tracking` make outcomes and events of the answers.
"""

from providers.form_v2.account import FormV2Account
from providers.form_v2.provider import FormV2
from providers.form_v2.settings import FormV2Settings

__all__ = ["FormV2", "FormV2Account", "FormV2Settings"]
