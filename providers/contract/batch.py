"""
Letters that leave in one call, for providers that take several at once.

The gateway gathers letters that wait for the same provider; the provider puts together what one
call can hold; each batch is then one attempt for every letter in it. Sits on `outcome`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

from providers.contract.outcome import DeliveryRequest

Place = Callable[[], Awaitable[None]]
"""Waits for a place in an account's pace and takes it; one call may follow."""


@dataclass(frozen=True, slots=True)
class Gathering:
    """
    How many letters to gather for a provider, and how long.

    Attributes:
        size: Letters at most; one means that nothing is gathered.
        window: How long a batch that has room waits, and only while more letters are waiting.
    """

    size: int
    window: timedelta

    def __post_init__(self) -> None:
        if self.size < 1 or self.window < timedelta(0):
            raise ValueError("a batch gathers one letter or more, and waits no time or some")


@dataclass(frozen=True, slots=True)
class Batch:
    """
    Letters that leave in one call: one recipient each, and no address twice.

    Attributes:
        requests: The letters, never none.
        prepared: What the provider made of them, for its own use; the gateway hands it back.
    """

    requests: tuple[DeliveryRequest, ...]
    prepared: object = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.requests:
            raise ValueError("a batch needs a letter")
