"""
What the provider contract suite needs of each adapter: a strict emulator and a way to build it.

The suite itself (`test_provider.py`) knows adapters only through this protocol.
"""

from __future__ import annotations

from typing import Any, Protocol

from providers.contract.clock import Clock
from providers.contract.provider import Provider
from providers.sandbox.faults import FaultPlan
from providers.sandbox.letterbox import Letterbox


class ProviderHarness(Protocol):
    """One adapter beside its emulator, on loopback sockets."""

    kind: str
    secret: str  # the credential that must appear in no log line
    faults: FaultPlan
    letterbox: Letterbox

    async def start(self) -> None:
        """Start the emulator on a free loopback port."""
        ...

    async def stop(self) -> None:
        """Stop the emulator; safe when it never started or is down already."""
        ...

    def build(self, clock: Clock, **settings: Any) -> Provider:
        """The adapter with credentials the emulator accepts; `settings` overrides its defaults."""
        ...

    def build_unauthorised(self, clock: Clock) -> Provider:
        """The same with a wrong credential."""
        ...

    def build_unreachable(self, clock: Clock) -> Provider:
        """The same, pointed at a loopback port where nobody listens."""
        ...
