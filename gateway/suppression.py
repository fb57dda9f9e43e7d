"""
The suppression list as front door and delivery ask for it: a quick look at every letter.

Nearly all addresses pass a filter in memory, which follows the list in the spool, whoever changes
it; what it holds back is looked up. Sits on the spool and the planner's routes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import structlog

from gateway.domain.routing import RouteFacts
from gateway.domain.routing import Suppression as OnRoute
from gateway.domain.suppression import (
    Answer,
    Sieve,
    Suppression,
    SuppressionReason,
    gravest,
)
from gateway.errors import SpoolError
from gateway.planner import Planner
from gateway.spool.suppressions import SqlSuppressions
from providers.contract.address import Address
from providers.contract.clock import Clock

log = structlog.get_logger("gateway.suppression")

_LOOK_EVERY_S = 1.0
_PAGE = 5_000


@dataclass(frozen=True, slots=True)
class SuppressionRules:
    """Which reasons count, and how clients learn of it."""

    reasons: frozenset[SuppressionReason] = frozenset(SuppressionReason)
    answer: Answer = Answer.DSN


class SuppressionList:
    """
    Who is sent nothing.

    Args:
        store: Where the list is.
        planner: Its routes may be exempt.
        clock: For the looks at the list, one a second: so late other gateways' changes are seen.
        rules: What the operator wants.
    """

    def __init__(
        self,
        store: SqlSuppressions,
        planner: Planner,
        clock: Clock,
        rules: SuppressionRules = SuppressionRules(),
    ) -> None:
        self._store = store
        self._planner = planner
        self._clock = clock
        self._rules = rules
        self._sieve = Sieve()
        self._seen = 0
        self._complete = False

    def reconfigure(self, rules: SuppressionRules) -> None:
        """From now on go by these."""
        self._rules = rules

    async def start(self) -> None:
        """Read the beginning of the list; until `run` has the rest, every letter is looked up."""
        await self._look()

    async def run(self) -> None:
        """Follow the list until cancelled."""
        while True:
            if self._complete:
                await self._clock.sleep(_LOOK_EVERY_S)
            try:
                await self._look()
            except SpoolError as error:
                log.warning("suppressions_unknown", reason=error.reason)
                await self._clock.sleep(_LOOK_EVERY_S)

    @property
    def is_empty(self) -> bool:
        """Whether nobody is on it; synchronous and cheap."""
        return self._complete and self._sieve.is_empty

    def may_hold(self, address: Address) -> bool:
        """Whether it is worth to ask `of`; synchronous and cheap, and False is sure."""
        return not self._complete or self._sieve.may_hold(address.folded)

    async def of(self, addresses: Collection[Address]) -> Mapping[str, Suppression]:
        """
        Why these are sent nothing, by folded address; those that may be sent to are missing.

        Raises:
            SpoolError: The list cannot be read now.
        """
        found: dict[str, list[Suppression]] = {}
        for one in await self._store.of({address.folded for address in addresses}):
            if one.reason in self._rules.reasons:
                found.setdefault(one.address, []).append(one)
        return {address: gravest(some) for address, some in found.items()}

    def is_doubtful(
        self, reverse_path: Address | None, forward_path: Address, listener: str, user: str
    ) -> bool:
        """Whether `refuses` is to be asked before RCPT is answered; False is sure."""
        if self._rules.answer is not Answer.RCPT or not self.may_hold(forward_path):
            return False
        facts = RouteFacts(
            reverse_path, forward_path, listener, size=0, has_attachments=False, user=user
        )
        for route in self._planner.routes:
            if not route.condition.may_hold(facts):
                continue
            if route.suppression is OnRoute.IGNORE:
                return False  # the content may lead there: delivery looks again
            if not route.condition.asks_content:
                break
        return True

    async def refuses(self, forward_path: Address) -> bool:
        """Whether a recipient that is doubtful is refused; where the list cannot be read, not."""
        try:
            return bool(await self.of((forward_path,)))
        except SpoolError as error:
            log.warning("suppressions_unknown", reason=error.reason)
            return False  # delivery looks again

    async def _look(self) -> None:
        page = await self._store.changed(self._seen, _PAGE)
        for entry in page.entries:
            self._sieve.add(entry.address)
        self._seen = page.turn
        self._complete = self._complete or len(page.entries) < _PAGE
