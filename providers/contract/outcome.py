"""
What became of handing a letter to a provider: one outcome for each recipient.

Expected trouble is a value. Adapters decide here, once, from codes and phases; what follows from an
outcome is decided by the gateway's disposition alone. Sits on `envelope`, `message` and
`capabilities`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from providers.contract.capabilities import Shortfall
from providers.contract.envelope import Envelope
from providers.contract.message import Message
from providers.contract.options import NO_OPTIONS, SendOptions


class Kind(StrEnum):
    """How it ended."""

    ACCEPTED = "accepted"  # the provider took responsibility
    DEFERRED = "deferred"  # not accepted, worth another try
    REJECTED = "rejected"  # not accepted, for good
    UNCERTAIN = "uncertain"  # sent, and the answer lost: it may have been accepted
    UNSUPPORTED = "unsupported"  # nothing was sent: this provider cannot carry it


class Scope(StrEnum):
    """What the outcome says something about: the narrowest that is surely true."""

    RECIPIENT = "recipient"
    MESSAGE = "message"
    PROVIDER = "provider"


class Cause(StrEnum):
    """Why a provider as a whole put a letter off; health and pacing depend on it."""

    OTHER = "other"
    UNREACHABLE = "unreachable"  # never got through: connect, TLS, greeting
    ACCOUNT = "account"  # credentials, funds or rights of the account
    THROTTLED = "throttled"  # too fast, or busy


_STATUS = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})\Z")
_CLASS_OF = {
    Kind.ACCEPTED: "2",
    Kind.DEFERRED: "4",
    Kind.UNCERTAIN: "4",
    Kind.REJECTED: "5",
    Kind.UNSUPPORTED: "5",
}


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """
    The outcome for one recipient.

    Attributes:
        kind: How it ended.
        scope: What it speaks of.
        status: Enhanced status code (RFC 3463); its class agrees with `kind`.
        diagnostic: What the provider said, one line, free of secrets; empty when it said nothing.
        provider_message_id: The provider's id of the letter, empty when unknown.
        retry_after: How long the provider asks to wait, if it did.
        cause: Why, where `scope` is the provider.
        losses: What the answer shows to have been lost beyond the declared shortfalls.
        notify_passed: Who accepted it was given NOTIFY along (RFC 3461 5.2.1), and will tell the
            sender of success where that is asked for.

    Raises:
        ValueError: Class and kind disagree, or the diagnostic has several lines.
    """

    kind: Kind
    scope: Scope
    status: str
    diagnostic: str = ""
    provider_message_id: str = ""
    retry_after: timedelta | None = None
    cause: Cause = Cause.OTHER
    losses: tuple[Shortfall, ...] = ()
    notify_passed: bool = False

    def __post_init__(self) -> None:
        match = _STATUS.match(self.status)
        if not match or match[1] != _CLASS_OF[self.kind]:
            raise ValueError(f"status {self.status!r} does not fit an outcome {self.kind.value!r}")
        if "\n" in self.diagnostic or "\r" in self.diagnostic:
            raise ValueError("a diagnostic is one line")
        if self.retry_after is not None and self.retry_after < timedelta(0):
            raise ValueError("retry_after lies in the past")


def accepted(provider_message_id: str = "", diagnostic: str = "") -> DeliveryOutcome:
    """The provider took the letter for this recipient; the id is empty when it named none."""
    return DeliveryOutcome(Kind.ACCEPTED, Scope.RECIPIENT, "2.0.0", diagnostic, provider_message_id)


@dataclass(frozen=True, slots=True)
class DeliveryRequest:
    """
    One attempt, as a provider gets it: no more recipients than its capabilities allow.

    `envelope` holds the recipients of this attempt only. `attempt` counts from 1 and is the
    highest among them. `options` are the client's wishes that this provider declared to know.
    """

    queue_id: str
    envelope: Envelope
    message: Message
    attempt: int = 1
    options: SendOptions = NO_OPTIONS


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """
    One outcome for each recipient key of the request: complete, and no extras.

    `remarks` are for the log, one line each and free of secrets: what the provider said beside.
    `took_s` is how many seconds the call took; whoever made it fills it in, no adapter does.
    """

    outcomes: Mapping[int, DeliveryOutcome]
    remarks: tuple[str, ...] = ()
    took_s: float = 0.0


def all_same(request: DeliveryRequest, outcome: DeliveryOutcome) -> DeliveryReport:
    """The same outcome for every recipient of the request."""
    return DeliveryReport({r.key: outcome for r in request.envelope.recipients})


def per_recipient(
    request: DeliveryRequest,
    outcomes: Mapping[int, DeliveryOutcome],
    remarks: tuple[str, ...] = (),
) -> DeliveryReport:
    """
    An outcome for each recipient key.

    Raises:
        ValueError: A recipient of the request has none, or a key is not of the request.
    """
    wanted = {r.key for r in request.envelope.recipients}
    if wanted != set(outcomes):
        raise ValueError(f"outcomes for {sorted(outcomes)}, but the request has {sorted(wanted)}")
    return DeliveryReport(dict(outcomes), remarks)
