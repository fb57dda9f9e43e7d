"""
The whole v1 API for programs and people: lists, recipients, imports, campaigns, webhooks and more.

`operation` is one call as a value; `account`, `lists`, `recipients`, `imports`, `messages` and
`campaigns` make them, pure; `client` carries them out. `record` reads answers, `paging` walks
through collections, `errors` are what can go wrong. Sits beside `wire`, which translates letters.
"""

from providers.rest_v1.api.client import ImportPart, RestV1Api
from providers.rest_v1.api.errors import RestV1Error

__all__ = ["ImportPart", "RestV1Api", "RestV1Error"]
