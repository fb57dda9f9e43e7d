"""
Settings of which letters leave by which providers: `routes`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from gateway.config.fields import Words, checked_name, one_or_many
from gateway.domain.routing import (
    Condition,
    Fidelity,
    Mode,
    OnThrottled,
    OnUncertain,
    Route,
    Schedule,
    Suppression,
)
from providers.contract.address import InvalidAddress, parse_address
from providers.settings import Duration, Size, StrictModel

_FIELD_NAME = re.compile(r"[!-9;-~]{1,77}\Z")  # RFC 5322 3.6.8


class WhenSettings(StrictModel):
    """When a route applies: every key given must hold, one of its values suffices."""

    sender: Words = Field(default=(), description="Reverse-paths.")
    sender_domain: Words = Field(
        default=(), description="Domains of the reverse-path; each subdomain is one of its own."
    )
    recipient_domain: Words = Field(default=(), description="Domains of the recipient, likewise.")
    listener: Words = Field(default=(), description="Names of listeners.")
    user: Words = Field(default=(), description="Names that clients logged in with.")
    header: dict[str, Words] = Field(
        default={},
        description='Header fields and what they hold: `{List-Id: "*", X-Campaign: [spring, '
        "autumn-*]}`; `*` stands for anything, in any case.",
    )
    size_over: Size | None = Field(default=None, description="Letters larger than this.")
    has_attachments: bool | None = Field(default=None, description="Whether files are attached.")

    @field_validator("header")
    @classmethod
    def _header_names_are_some(cls, value: dict[str, Words]) -> dict[str, Words]:
        for name, among in value.items():
            if not _FIELD_NAME.match(name):
                raise ValueError(f"{name!r} is no name of a header field")
            if not among:
                raise ValueError(f'{name}: what shall it hold? "*" stands for anything')
        return value

    @field_validator("sender")
    @classmethod
    def _senders_are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(parse_address(text).folded for text in value)
        except InvalidAddress as error:
            raise ValueError(str(error)) from None

    @field_validator("sender_domain", "recipient_domain")
    @classmethod
    def _domains_are_some(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(_domain, value))

    def condition(self) -> Condition:
        """The same as a plain value."""
        return Condition(
            senders=frozenset(self.sender),
            sender_domains=frozenset(self.sender_domain),
            recipient_domains=frozenset(self.recipient_domain),
            listeners=frozenset(self.listener),
            users=frozenset(self.user),
            header=tuple((name.lower(), among) for name, among in sorted(self.header.items())),
            size_over=self.size_over,
            has_attachments=self.has_attachments,
        )


Order = Annotated[
    tuple[str | Annotated[tuple[str, ...], Field(min_length=2)], ...], BeforeValidator(one_or_many)
]
"""Providers in their order; equal ones are a tuple."""


class RouteSettings(StrictModel):
    """A way for letters."""

    name: str = Field(description="Its name in logs and `explain`.")
    when: WhenSettings = Field(default=WhenSettings(), description="Which letters take it.")
    providers: Order = Field(
        min_length=1,
        description="Who carries them, in this order. Those in a list of their own are equal: of "
        "`[[a, b], c]` each letter has a or b first, by their `weight`, and then the other.",
    )
    mode: Mode = Field(
        default=Mode.QUEUE,
        description="`direct`: the client waits for the provider's verdict; the letter is durable "
        "all the same. A letter is direct when the routes of all its recipients are.",
    )
    direct_timeout: Duration = Field(
        default=timedelta(seconds=30),
        description="How long it waits; then the letter is queued. Clients give up after minutes.",
    )
    schedule: Schedule = Field(
        default=Schedule.GATEWAY,
        description="Who keeps a letter with `X-Mailquay-Send-At` until its time; `provider`: the "
        "first that can, the gateway where none can.",
    )
    suppression: Suppression = Field(
        default=Suppression.OBEY,
        description="`ignore`: its letters go to suppressed addresses too, as what a person has "
        "just asked for must.",
    )
    fidelity: Fidelity = Field(
        default=Fidelity.FAITHFUL, description="How much of a letter is guarded against loss."
    )
    on_uncertain: OnUncertain = Field(
        default=OnUncertain.RETRY, description="What to do when the answer was lost."
    )
    on_throttled: OnThrottled = Field(
        default=OnThrottled.WAIT, description="What to do when a provider is too busy."
    )

    _name_is_plain = field_validator("name")(checked_name)

    @model_validator(mode="after")
    def _providers_are_distinct(self) -> Self:
        self.route()
        return self

    def names(self) -> tuple[str, ...]:
        """All its providers."""
        return tuple(
            name for one in self.providers for name in ((one,) if isinstance(one, str) else one)
        )

    def route(self, weights: Mapping[str, int] = MappingProxyType({})) -> Route:
        """The same as a plain value, with the weights of providers; without one it is 1."""
        groups = (one for one in self.providers if not isinstance(one, str))
        return Route(
            name=self.name,
            providers=self.names(),
            equals=tuple(tuple((name, weights.get(name, 1)) for name in one) for one in groups),
            condition=self.when.condition(),
            fidelity=self.fidelity,
            on_uncertain=self.on_uncertain,
            on_throttled=self.on_throttled,
            mode=self.mode,
            direct_timeout=self.direct_timeout,
            schedule=self.schedule,
            suppression=self.suppression,
        )


def _domain(text: str) -> str:
    """A domain in the form that addresses have theirs, or a `ValueError`."""
    try:
        return parse_address(f"postmaster@{text}").domain
    except InvalidAddress:
        raise ValueError(
            f"{text!r} is no domain; every domain is named by itself, without @ and *"
        ) from None
