"""
The front door as a service: listeners that start, drain and stop together.

`app` makes it; every connection becomes a `session`, and what sessions share is in `reception`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from gateway.ingress.policy import FrontDoorRules
from gateway.ingress.reception import Reception, SessionObserver
from gateway.ingress.session import Session
from gateway.ingress.submission import Intake

_BACKLOG = 1024  # connections that wait to be accepted; clients with one per letter come in bursts


@dataclass(frozen=True, slots=True)
class ListenerSpec:
    """Where to listen; port 0 takes a free one."""

    name: str
    host: str
    port: int


class FrontDoor:
    """
    SMTP servers that hand letters to one intake.

    `start` may be called once; `drain` and `stop` at any time after it, more than once too.
    """

    def __init__(
        self,
        rules: FrontDoorRules,
        intake: Intake,
        listeners: tuple[ListenerSpec, ...],
        observer: SessionObserver,
    ) -> None:
        self._listeners = listeners
        self._reception = Reception(rules, intake, observer)
        self._servers: dict[str, asyncio.Server] = {}

    async def start(self) -> None:
        """
        Listen.

        Raises:
            OSError: An address is taken or not ours; none is listened on then.
        """
        loop = asyncio.get_running_loop()
        try:
            for spec in self._listeners:
                self._servers[spec.name] = await loop.create_server(
                    partial(Session, self._reception, spec.name, loop),
                    spec.host,
                    spec.port,
                    backlog=_BACKLOG,
                )
        except BaseException:
            self._close()
            raise

    @property
    def ports(self) -> Mapping[str, int]:
        """The port of each listener, by its name, while it listens."""
        return {name: server.sockets[0].getsockname()[1] for name, server in self._servers.items()}

    async def drain(self, timeout_s: float) -> bool:
        """
        Accept no more; let sessions finish the letter they are at, end the others with 421.

        Returns:
            Whether all have ended within `timeout_s` seconds; `stop` ends the rest.
        """
        self._close()
        return await self._reception.drain(timeout_s)

    async def stop(self) -> None:
        """Close everything now; a letter that is being taken is cut short, and the log tells."""
        self._close()
        await self._reception.clear()

    def _close(self) -> None:
        for server in self._servers.values():
            server.close()
        self._servers.clear()
