"""A front door on loopback sockets before an intake that records; each test on both event loops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvloop

from gateway.ingress.policy import FrontDoorRules
from gateway.ingress.server import FrontDoor, ListenerSpec
from tests.support.dialogue import Dialogue
from tests.support.fake_intake import FakeIntake
from tests.support.session_counts import SessionCounts


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The gateway runs on uvloop, its library was made for asyncio's: transports differ."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class House:
    """A front door that listens, and all around it."""

    def __init__(self, **rules: Any) -> None:
        self.rules = FrontDoorRules("gateway.example.com", **rules)
        self.intake = FakeIntake()
        self.counts = SessionCounts()
        listeners = (ListenerSpec("app", "127.0.0.1", 0),)
        self.door = FrontDoor(self.rules, self.intake, listeners, self.counts)
        self.port = 0
        self._dialogues: list[Dialogue] = []

    async def open(self) -> None:
        await self.door.start()
        self.port = self.door.ports["app"]

    async def dialogue(self) -> Dialogue:
        """A client that has just connected."""
        dialogue = await Dialogue.connect(self.port)
        self._dialogues.append(dialogue)
        return dialogue

    async def greeted(self) -> Dialogue:
        """A client that has said EHLO."""
        dialogue = await self.dialogue()
        await dialogue.hello()
        return dialogue

    async def gone(self, count: int) -> None:
        """Wait until so many connections have ended on our side too."""
        async with asyncio.timeout(60):
            while len(self.counts.disconnected_from) < count:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.001)

    async def close(self) -> None:
        for dialogue in self._dialogues:
            await dialogue.close()
        await self.door.stop()


OpenHouse = Callable[..., Awaitable[House]]


@pytest.fixture
async def open_house() -> AsyncIterator[OpenHouse]:
    """Opens front doors with rules of the test's own; all are closed after it."""
    houses: list[House] = []

    async def make(**rules: Any) -> House:
        house = House(**rules)
        houses.append(house)
        await house.open()
        return house

    yield make
    for house in houses:
        await house.close()


@pytest.fixture
async def house(open_house: OpenHouse) -> House:
    """A front door with the default rules."""
    return await open_house()
