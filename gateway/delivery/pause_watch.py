"""
Pauses as the spool has them, whoever made or ended them, followed with a look every second.

What a pause keeps back goes back to the spool; what has slept through one is woken. Sits beside
`lane`; the dispatcher's lanes are reached through two functions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from gateway.domain.pauses import pauses_from
from gateway.errors import SpoolError
from gateway.planner import Planner
from gateway.spool.protocol import Spool
from providers.contract.clock import Clock

log = structlog.get_logger("gateway.delivery")

LOOK_EVERY_S = 1.0
"""What other processes change in the spool is seen within this time."""

_ROUSE_LOOKS = 3
"""
After a pause has ended, letters are woken at so many looks: another gateway that has not seen it
yet, or a record on its way, may still put one off.
"""


@dataclass(slots=True)
class PauseWatch:
    """
    Has the planner go by the pauses of the moment.

    Attributes:
        spool: Where they are kept, and letters that sleep until one ends.
        planner: Told of them.
        clock: Between two looks.
        hand_back: Gives what was claimed and not begun back to the spool.
        expect: Has all lanes look at the spool now.
    """

    spool: Spool
    planner: Planner
    clock: Clock
    hand_back: Callable[[], Awaitable[None]]
    expect: Callable[[], None]
    _rouse: int = _ROUSE_LOOKS  # a former life may have ended between a pause's end and that

    async def run(self) -> None:
        """Follow them until cancelled."""
        while True:
            await self.clock.sleep(LOOK_EVERY_S)
            await self.look()
            if self._rouse:
                await self._wake_sleepers()

    async def look(self) -> None:
        """Go by the pauses as the spool has them now."""
        try:
            found = await self.spool.pauses()
        except SpoolError as error:
            log.warning("pauses_unknown", reason=error.reason)
            return
        before, pauses = self.planner.pauses, pauses_from(found)
        if pauses == before:
            return
        self.planner.pause(pauses)
        if pauses.ended_since(before):
            self._rouse = _ROUSE_LOOKS
        providers, routes = sorted(pauses.providers), sorted(pauses.routes)
        log.warning("pauses_changed", providers=providers, routes=routes)
        # What had not begun is claimed again, and looked at then.
        await self.hand_back()
        self.expect()

    async def _wake_sleepers(self) -> None:
        """Make due what waits for the end of a pause; what another pause keeps back waits again."""
        try:
            woken = await self.spool.wake(self.clock.now(), self.planner.pauses.providers)
        except SpoolError as error:
            log.warning("not_woken", reason=error.reason)
            return
        self._rouse -= 1
        if woken:
            log.info("woken", recipients=woken)
            self.expect()
