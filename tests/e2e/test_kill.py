"""Killed in the middle of a crowd of letters: nothing that was answered 250 is lost."""

from __future__ import annotations

import asyncio
from collections import Counter

from providers.sandbox.server import Sandbox
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import GatewayProcess, smarthost

LETTERS = 500
SESSIONS = 10
KILLS = (120, 300)


class Load:
    """
    Sessions that send numbered letters until each has its 250, over restarts.

    `answered` holds the numbers that got a 250. A letter whose session broke before that is sent
    again, as any client would, so it may arrive twice; what got its 250 is never sent again.
    """

    def __init__(self, gateway: GatewayProcess) -> None:
        self.answered: set[int] = set()
        self.sent_again: set[int] = set()
        self.progress = asyncio.Condition()
        self._gateway = gateway
        self._todo = list(range(LETTERS))

    async def session(self) -> None:
        while self._todo or len(self.answered) < LETTERS:
            if not self._todo:
                return
            number = self._todo.pop()
            try:
                await self._send(number)
            except (OSError, asyncio.IncompleteReadError):
                self.sent_again.add(number)
                self._todo.append(number)
                await asyncio.sleep(0.05)  # a client's own pause before it connects again

    async def _send(self, number: int) -> None:
        port = self._gateway.smtp_port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await reader.readuntil(b"\r\n")
            for command, lines in (
                (b"HELO c.example.com\r\n", 1),
                (b"MAIL FROM:<a@example.com>\r\n", 1),
                (b"RCPT TO:<r%d@example.org>\r\n" % number, 1),
                (b"DATA\r\n", 1),
                (b"Subject: %d\r\n\r\nbody\r\n.\r\n" % number, 1),
            ):
                writer.write(command)
                for _ in range(lines):
                    reply = await reader.readuntil(b"\r\n")
            assert reply.startswith(b"250 2.0.0 Ok: queued as "), reply
        finally:
            writer.close()
        async with self.progress:
            self.answered.add(number)
            self.progress.notify_all()

    async def until_answered(self, count: int) -> None:
        async with self.progress:
            await self.progress.wait_for(lambda: len(self.answered) >= count)


async def test_every_letter_answered_250_is_handed_over(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """
    T13: kill -9 twice in the middle of 500 letters, restart, compare the accounts.

    Second copies only for letters that were uncertain, or that the client sent again itself.
    """
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    load = Load(gateway)
    async with asyncio.timeout(120):
        sessions = [asyncio.create_task(load.session()) for _ in range(SESSIONS)]
        for count in KILLS:
            await load.until_answered(count)
            await gateway.kill()
            await gateway.start()
        await asyncio.gather(*sessions)
        await sandbox.letterbox.wait_until(
            lambda box: len({letter.recipient for letter in box.letters}) == LETTERS, 60
        )
    await _settled(gateway)
    copies = Counter(letter.recipient for letter in sandbox.letterbox.letters)
    assert {f"r{number}@example.org" for number in load.answered} <= set(copies)
    assert len(load.answered) == LETTERS
    uncertain = {line["to"] for line in gateway.log if line["event"] == "uncertain"}
    again = {f"r{number}@example.org" for number in load.sent_again}
    assert {address for address, count in copies.items() if count > 1} <= uncertain | again


async def _settled(gateway: GatewayProcess) -> None:
    """Wait until nothing is under way, and see that the ledger balances."""
    async with asyncio.timeout(30):
        while True:
            waiting = [
                await gateway.metric("mailquay_recipients", state=state)
                for state in ("waiting", "sending", "uncertain")
            ]
            if not any(waiting):
                break
            await asyncio.sleep(0.2)  # another process's state, which sends no event
    accepted = await gateway.metric("mailquay_recipients_accepted")
    assert accepted == await gateway.metric("mailquay_recipients", state="handed_over")
