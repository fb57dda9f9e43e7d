"""
Which providers may carry a letter: routes, capabilities and the letter's needs brought together.

The full parse of a letter is made only where the choice depends on it: on a route whose first
provider takes raw MIME, a scan of the header block is enough until that provider fails.
Sits under `ingress` and `delivery`, which both need the answer; `domain.routing` decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

from gateway.domain.instructions import (
    NO_INSTRUCTIONS,
    Instructions,
    Vocabulary,
    scheduled,
)
from gateway.domain.pauses import NO_PAUSES, Pauses
from gateway.domain.routing import Plan, Route, RouteFacts, Schedule, choose_route, plan
from providers.contract.address import Address
from providers.contract.capabilities import ProviderCapabilities
from providers.contract.envelope import Envelope
from providers.contract.message import Message
from providers.contract.options import NO_OPTIONS
from providers.mime import decode_field, find_field, header_block, needs_from, raw_needs_from


@dataclass(frozen=True, slots=True)
class Planned:
    """
    The plans for a letter's recipients, by key, as they were made at its arrival.

    They hold as long as `Planner.edition` is the same.
    """

    edition: object
    plans: Mapping[int, Plan]


@dataclass(slots=True)
class Planner:
    """
    Routes in order, the capabilities of every configured provider by name, and what is paused.

    One value for the whole gateway; `reconfigure`, `pause` and `avoid` change what all its users
    plan by, and with it the `edition`. `away` names providers that are given no letters at the
    moment.
    """

    routes: tuple[Route, ...]
    capabilities: Mapping[str, ProviderCapabilities]
    away: frozenset[str] = frozenset()
    pauses: Pauses = NO_PAUSES
    edition: object = field(default_factory=object)

    def reconfigure(
        self, routes: tuple[Route, ...], capabilities: Mapping[str, ProviderCapabilities]
    ) -> None:
        """From now on plan by these."""
        self.routes = routes
        self.capabilities = capabilities
        self.edition = object()

    def pause(self, pauses: Pauses) -> None:
        """From now on plan by these pauses."""
        self.pauses = pauses
        self.edition = object()

    def avoid(self, away: frozenset[str]) -> None:
        """From now on plan around these providers, which are given no letters."""
        self.away = away
        self.edition = object()

    def vocabulary(self, ahead: timedelta) -> Vocabulary:
        """What clients' instructions may speak of; no moment further ahead than this."""
        return Vocabulary(self.capabilities.keys(), {route.name for route in self.routes}, ahead)

    def message(
        self,
        content: bytes,
        envelope: Envelope,
        instructions: Instructions = NO_INSTRUCTIONS,
    ) -> Message:
        """The letter with its needs, known as far as choosing a first provider takes."""
        scanned = Message(content, raw_needs_from(content, envelope))
        if _chooses(instructions) or not self._scan_suffices(scanned):
            return parsed_message(content, envelope)
        return scanned

    def plan(
        self,
        message: Message,
        *,
        reverse_path: Address | None,
        forward_path: Address,
        listener: str,
        user: str = "",
        excluded: Iterable[str] = (),
        instructions: Instructions = NO_INSTRUCTIONS,
        queue_id: str = "",
    ) -> Plan | None:
        """
        Who may carry it to this recipient; `None` when no route's condition holds.

        With needs that are not complete, the first candidate is certain and the others are not.
        A letter that has a time gets providers that can keep it until then, where its route leaves
        that to them and one can; else the plan's options say nothing of it, and it is the gateway's
        to keep. `queue_id` decides among equal providers; without it the order is as written.
        """
        needs = message.needs
        facts = RouteFacts(
            reverse_path,
            forward_path,
            listener,
            needs.size,
            needs.attachments > 0,
            user,
            self._header(message.content),
        )
        route = self._route(facts, instructions)
        if route is None:
            return None
        made = self._plan(route, message, excluded, instructions, queue_id)
        return replace(made, pauses=self.pauses) if self.pauses else made

    def _plan(
        self,
        route: Route,
        message: Message,
        excluded: Iterable[str],
        instructions: Instructions,
        queue_id: str,
    ) -> Plan:
        needs, options, send_at = message.needs, instructions.options, instructions.send_at
        made = partial(
            plan, route, self.capabilities, needs, excluded, away=self.away, letter=queue_id
        )
        if send_at is not None and route.schedule is Schedule.PROVIDER:
            kept_there = scheduled(options, send_at)
            with_time = made(kept_there)
            if with_time.candidates:
                return with_time
        return made(options)

    def _header(self, content: bytes) -> dict[str, str]:
        """The header fields that routes ask for."""
        asked = {name for route in self.routes for name, _ in route.condition.header}
        if not asked:
            return {}
        header = header_block(content)
        found = {name: find_field(header, name) for name in asked}
        return {name: decode_field(value) for name, value in found.items() if value is not None}

    def _route(self, facts: RouteFacts, instructions: Instructions) -> Route | None:
        if instructions.route:
            named = (route for route in self.routes if route.name == instructions.route)
            route = next(named, None)
        else:
            route = choose_route(self.routes, facts)
        if route is not None and instructions.provider:
            return route.by(instructions.provider)
        return route

    def _scan_suffices(self, scanned: Message) -> bool:
        """Whether each route that could apply starts with a carrier of raw MIME that can."""
        for route in self.routes:
            if route.condition.has_attachments is not None:
                return False
            there = (name for name in route.providers if name not in self.away)
            first = next(there, route.providers[0])
            for name in {first} | route.equal_to(first):
                carrier = self.capabilities.get(name)
                if carrier is None or not carrier.raw_mime or carrier.shortfalls(scanned.needs):
                    return False
            if route.condition.is_catch_all:
                break
        return True


def _chooses(instructions: Instructions) -> bool:
    """Whether they take part in choosing a provider."""
    return bool(
        instructions.options is not NO_OPTIONS
        or instructions.provider
        or instructions.route
        or instructions.send_at
    )


def parsed_message(content: bytes, envelope: Envelope) -> Message:
    """The letter with all its needs, from a full parse."""
    return Message(content, needs_from(content, envelope))
