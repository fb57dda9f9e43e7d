"""
What the gateway asks of an adapter: structural protocols, no base class to inherit.

Sits on every other module of the contract.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from providers.contract.batch import Batch, Gathering, Place
from providers.contract.capabilities import ProviderCapabilities, Shortfall
from providers.contract.outcome import Cause, DeliveryReport, DeliveryRequest


class Pace(Protocol):
    """
    The speed of one account, shared by everything that calls it.

    The caller takes a place before it starts a call, so that a letter which waits for its turn is
    not yet an attempt.
    """

    @property
    def per_second(self) -> float | None:
        """The pace of the moment, in calls a second; `None`: no limit is known."""
        ...

    def take(self, now: float) -> float:
        """
        Take a place, if one is free now.

        Args:
            now: Monotonic seconds.

        Returns:
            0.0 when the call may start at once; else the seconds after which to ask again, and
            nothing was taken.
        """
        ...

    def hold_off(self, now: float, seconds: float) -> None:
        """The provider asked to wait: no place is free for that long."""
        ...


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """
    Whether the provider can be reached and takes our credentials.

    `detail` is one line for the operator, without secrets; `cause` says what stands in the way.
    """

    ok: bool
    detail: str
    cause: Cause = Cause.OTHER


class Provider(Protocol):
    """
    One configured account at a provider.

    `name` is the one it has in the configuration, `kind` the adapter's.
    """

    @property
    def name(self) -> str:
        """The name in the configuration, the label of metrics."""
        ...

    @property
    def kind(self) -> str:
        """The adapter's name: `smarthost`, `rest_v1`, `form_v2`."""
        ...

    @property
    def capabilities(self) -> ProviderCapabilities:
        """What it can carry; constant, so far as no SMTP server says otherwise when asked."""
        ...

    @property
    def pace(self) -> Pace:
        """The account's pace; `deliver` relies on the caller having taken a place."""
        ...

    async def deliver(self, request: DeliveryRequest, *, deadline: float) -> DeliveryReport:
        """
        Hand over one letter.

        Args:
            request: At most `capabilities.max_recipients` recipients.
            deadline: Monotonic seconds; after it the report is made of what is known by then.

        Returns:
            One outcome per recipient. A failure is an outcome; an exception is a bug.

        On cancellation nothing is left half-sent on a connection that is used again; whether the
        provider accepted is then unknown, and the caller records `uncertain`.
        """
        ...

    async def probe(self) -> ProbeResult:
        """Check address and credentials; sends nothing to anybody. Never raises for trouble."""
        ...

    async def aclose(self) -> None:
        """Close all connections; may be called twice, and without use before."""
        ...


@runtime_checkable
class BulkProvider(Provider, Protocol):
    """A provider that takes several letters in one call; its capabilities say which."""

    @property
    def gathering(self) -> Gathering:
        """How many letters are worth waiting for, and how long."""
        ...

    def batches(self, requests: Sequence[DeliveryRequest]) -> tuple[Batch, ...]:
        """
        Put together what one call can hold.

        Args:
            requests: Letters for this provider, one recipient each.

        Returns:
            Batches in which each request stands once. A letter that cannot share a call is a batch
            by itself.

        Sends nothing, and may run in a thread.
        """
        ...

    async def deliver_many(
        self, batch: Batch, *, deadline: float, place: Place
    ) -> tuple[DeliveryReport, ...]:
        """
        Hand over the letters of one batch.

        Args:
            batch: One that `batches` made. The caller has taken a place in the pace for it.
            deadline: Monotonic seconds; after it the reports are made of what is known by then.
            place: Takes a place for each further call: the caller may share the account with
                others, of whom the provider knows nothing.

        Returns:
            A report for each request, in their order; see `Provider.deliver`.

        On cancellation what became of every letter of the batch is unknown.
        """
        ...


@runtime_checkable
class Rehearsing(Protocol):
    """A provider that can tell what it would lose of a letter beyond its declared shortfalls."""

    def rehearse(self, request: DeliveryRequest) -> tuple[Shortfall, ...]:
        """
        Put a letter into the provider's form, and send nothing.

        Args:
            request: At most `capabilities.max_recipients` recipients.

        Returns:
            What would come as losses with its outcome, or the one thing that forbids to send it.
        """
        ...
