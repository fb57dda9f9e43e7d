"""
Which providers may carry a letter: routes, capabilities and the letter's needs brought together.

The full parse of a letter is made only where the choice depends on it: on a route whose first
provider takes raw MIME, a scan of the header block is enough until that provider fails.
Sits under `ingress` and `delivery`, which both need the answer; `domain.routing` decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.domain.routing import Plan, Route, RouteFacts, choose_route, plan
from providers.contract.address import Address
from providers.contract.capabilities import ProviderCapabilities
from providers.contract.envelope import Envelope
from providers.contract.message import Message
from providers.mime import needs_from, raw_needs_from


@dataclass(slots=True)
class Planner:
    """
    Routes in order, and the capabilities of every configured provider by name.

    One value for the whole gateway; `reconfigure` changes what all its users plan by.
    """

    routes: tuple[Route, ...]
    capabilities: Mapping[str, ProviderCapabilities]

    def reconfigure(
        self, routes: tuple[Route, ...], capabilities: Mapping[str, ProviderCapabilities]
    ) -> None:
        """From now on plan by these."""
        self.routes = routes
        self.capabilities = capabilities

    def message(self, content: bytes, envelope: Envelope) -> Message:
        """The letter with its needs, known as far as choosing a first provider takes."""
        scanned = Message(content, raw_needs_from(content, envelope))
        return scanned if self._scan_suffices(scanned) else parsed_message(content, envelope)

    def plan(
        self,
        message: Message,
        *,
        reverse_path: Address | None,
        forward_path: Address,
        listener: str,
        excluded: Iterable[str] = (),
    ) -> Plan | None:
        """
        Who may carry it to this recipient; `None` when no route's condition holds.

        With needs that are not complete, the first candidate is certain and the others are not.
        """
        needs = message.needs
        facts = RouteFacts(reverse_path, forward_path, listener, needs.size, needs.attachments > 0)
        route = choose_route(self.routes, facts)
        return plan(route, self.capabilities, needs, excluded) if route else None

    def _scan_suffices(self, scanned: Message) -> bool:
        """Whether each route that could apply starts with a carrier of raw MIME that can."""
        for route in self.routes:
            if route.condition.has_attachments is not None:
                return False
            first = self.capabilities.get(route.providers[0])
            if first is None or not first.raw_mime or first.shortfalls(scanned.needs):
                return False
            if route.condition.is_catch_all:
                break
        return True


def parsed_message(content: bytes, envelope: Envelope) -> Message:
    """The letter with all its needs, from a full parse."""
    return Message(content, needs_from(content, envelope))
