"""
What a client asked for beyond the letter itself: tracking, payment, a template, a list, a time.

The gateway reads them from instructions (X-Mailquay fields, the HTTP API), the adapters pass on
what their platform knows; what it does not know is a shortfall. Sits on nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class SendOptions:
    """
    Wishes of the client about how a provider sends this letter; `None` and empty: none uttered.

    Attributes:
        track_opens: Whether openings are tracked.
        track_clicks: Whether links are tracked.
        payment: Which of the account's credits pays, in the provider's word.
        template: The provider's id of a template that takes the place of the letter's body.
        params: What is filled into the template, by name; text, numbers or booleans.
        mailing_list: The provider's id of a list to which this letter is sent in its whole.
        tag: A word by which statistics are kept.
        send_at: The moment, with time zone, at which the provider shall send it. Only set where
            the route leaves scheduling to the provider; else the gateway keeps the letter itself.
    """

    track_opens: bool | None = None
    track_clicks: bool | None = None
    payment: str | None = None
    template: str | None = None
    params: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    mailing_list: str | None = None
    tag: str | None = None
    send_at: datetime | None = None

    def __post_init__(self) -> None:
        if self.params and self.template is None:
            raise ValueError("params are for a template, and none is named")
        if self.send_at is not None and self.send_at.tzinfo is None:
            raise ValueError("a moment without time zone is none")


NO_OPTIONS = SendOptions()
"""Nothing asked for: how most letters travel."""
