"""
Which accounts tell of whose letters, as plain values that the composition root makes.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from providers.contract.tracking import LetterSource, StatusSource, WebhookRegistry, WebhookSource


@dataclass(frozen=True, slots=True)
class Account:
    """
    An account that tells what became of letters.

    Attributes:
        name: In the configuration.
        carriers: The providers whose letters its ids name: itself, and smarthosts of the account.
        asks: After how long letters of each carrier are asked about first; who is missing is not.
        webhooks: Reads its calls.
        statuses: Is asked about letters of ours.
        letters: Is asked which letter an id belongs to.
        registry: Is told where to call.
        secret: Of the path of its webhook; empty: it has none.
        url: Its webhook as the account shall call it, secret included; empty: not registered by us.
    """

    name: str
    carriers: frozenset[str]
    asks: Mapping[str, timedelta] = field(default_factory=dict)
    webhooks: WebhookSource | None = None
    statuses: StatusSource | None = None
    letters: LetterSource | None = None
    registry: WebhookRegistry | None = None
    secret: str = field(default="", repr=False)
    url: str = field(default="", repr=False)

    def admits(self, secret: str) -> bool:
        """Whether a caller knows the secret; takes the same time however much of it is right."""
        return bool(self.secret) and hmac.compare_digest(
            secret.encode(errors="replace"), self.secret.encode()
        )


Accounts = Mapping[str, Account]
"""By name."""
