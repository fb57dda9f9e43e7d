"""
The v1 JSON REST API imitated whole (provider reference, part B): one account, strict and stateful.

`entrance` is the door that every call passes, `dialect` the habits on which the documents are
silent; `messages`, `templates`, `lists`, `recipients`, `imports`, `organizations`, `campaigns` and
`hooks` are the methods, `webhooks` sends what they tell; `control` is for tests and for people.
Knows the common letterbox and fault plan, never the adapter.
"""

from providers.sandbox.rest_v1.account import SandboxRestV1
from providers.sandbox.rest_v1.dialect import Dialect
from providers.sandbox.rest_v1.entrance import PROVIDER
from providers.sandbox.rest_v1.messages import FIRST_ID, MAX_ATTACHMENT_OCTETS

__all__ = ["FIRST_ID", "MAX_ATTACHMENT_OCTETS", "PROVIDER", "Dialect", "SandboxRestV1"]
