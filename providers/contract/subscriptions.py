"""
Accounts that keep a list of their own of who wants no mailings, and can be told of ours.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from providers.contract.outcome import DeliveryOutcome


@runtime_checkable
class SubscriptionKeeper(Protocol):
    """A provider that keeps mailings from addresses."""

    @property
    def keeps_in_step(self) -> bool:
        """Whether its operator wants it to be told of every change of our list."""
        ...

    async def set_subscription(
        self, address: str, *, subscribed: bool, deadline: float
    ) -> DeliveryOutcome:
        """
        Keep all mailings from an address, or lift that again.

        Args:
            address: An addr-spec.
            subscribed: False keeps them from it. Saying the same again is harmless.
            deadline: Monotonic seconds.

        Returns:
            `accepted` when it is done; else why not. Takes a place in the account's pace. Never
            raises for trouble; cancelled, it may have been done all the same.
        """
        ...
