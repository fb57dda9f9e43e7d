"""A client that waits for a verdict: alone, holding nobody's room, heard of when it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.ingress import replies
from gateway.ingress.submission import Reply
from tests.ingress.conftest import House, OpenHouse

MIB = 1 << 20


class LateVerdict:
    """One that comes when the test says so."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.come = asyncio.Event()
        self.client_left: Callable[[], bool] = bool
        self.given = asyncio.Event()

    async def reply(self, client_left: Callable[[], bool]) -> Reply:
        self.client_left = client_left
        self.asked.set()
        await self.come.wait()
        self.given.set()
        return replies.handed_over([("b@example.org", "12345")], "Q0001", 0)


async def test_the_verdict_is_the_reply(house: House) -> None:
    """The session waits for it, and goes on after it."""
    verdict = house.intake.verdict = LateVerdict()
    dialogue = await house.greeted()
    await dialogue.to_data()
    await dialogue.send(b"Subject: a\r\n\r\nhi\r\n.\r\nNOOP\r\n")
    await verdict.asked.wait()
    assert not verdict.client_left()
    verdict.come.set()
    await dialogue.expect("250 2.0.0 Ok: <b@example.org:12345>", "250 2.0.0 Ok")


async def test_others_do_not_notice(house: House) -> None:
    """T10: a provider that hangs holds those that wait for it, and nobody else."""
    verdict = house.intake.verdict = LateVerdict()
    waiting = await house.greeted()
    await waiting.to_data()
    await waiting.send(b"Subject: a\r\n\r\nhi\r\n.\r\n")
    await verdict.asked.wait()
    house.intake.verdict = None
    other = await house.greeted()
    assert (await other.letter(b"Subject: b\r\n\r\nhi")).startswith("250 2.0.0 Ok: queued as")
    verdict.come.set()
    await waiting.expect("250 2.0.0 Ok: <b@")


async def test_who_waits_holds_no_memory(open_house: OpenHouse) -> None:
    """T10: its letter is on disk; the room for contents is others' again."""
    house = await open_house(max_message_size=MIB, max_memory=MIB)
    verdict = house.intake.verdict = LateVerdict()
    waiting = await house.greeted()
    await waiting.to_data()
    await waiting.send(b"x" * (MIB - 100) + b"\r\n.\r\n")
    await verdict.asked.wait()
    house.intake.verdict = None
    other = await house.greeted()
    assert (await other.letter(b"y" * (MIB - 100))).startswith("250 2.0.0 Ok: queued as")
    verdict.come.set()
    await waiting.expect("250 2.0.0 Ok: <b@")


async def test_a_client_that_leaves_is_noticed(house: House) -> None:
    """What it would have been told goes another way."""
    verdict = house.intake.verdict = LateVerdict()
    dialogue = await house.greeted()
    await dialogue.to_data()
    await dialogue.send(b"Subject: a\r\n\r\nhi\r\n.\r\n")
    await verdict.asked.wait()
    await dialogue.reset()
    async with asyncio.timeout(60):
        while not verdict.client_left():  # noqa: ASYNC110 - a lost client makes no event
            await asyncio.sleep(0)
    verdict.come.set()
    await verdict.given.wait()
