"""
Where drills take place: gateways as child processes, a sandbox in this one, and letters to send.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from providers.contract.capabilities import Rate
from providers.sandbox.server import Sandbox
from tests.e2e.gateway_process import GatewayProcess

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a drill found: a row of the table, and whether the promise was kept."""

    drill: str
    promise: str
    measured: str
    kept: bool


@dataclass
class Ground:
    """
    One drill's own.

    Attributes:
        folder: For spools and configurations.
        sandbox: The providers.
        stack: Ends what was started.
    """

    folder: Path
    sandbox: Sandbox
    stack: AsyncExitStack
    sent: list[str] = field(default_factory=list)

    async def gateway(self, providers: dict[str, dict[str, Any]], **config: Any) -> GatewayProcess:
        """Start a gateway; it is stopped with the drill."""
        folder = self.folder / f"gateway{next(_numbers)}"
        folder.mkdir()
        gateway = GatewayProcess(folder, providers, **config)
        self.stack.push_async_callback(gateway.stop)
        await gateway.start()
        return gateway

    def letter(self, sender: str, recipient: str, *fields: str) -> bytes:
        """A letter with header fields of its own."""
        lines = [f"From: {sender}", f"To: {recipient}", f"Subject: Drill {len(self.sent)}", *fields]
        return "\r\n".join([*lines, "", f"Hello {recipient}", ""]).encode()

    async def send(
        self,
        gateway: GatewayProcess,
        count: int,
        *fields: str,
        sender: str = "app@example.com",
        every_s: float = 0.0,
    ) -> list[str]:
        """
        Send letters over one connection, each to an address of its own; all must get 250.

        Args:
            gateway: Where to.
            count: How many.
            fields: Further header fields.
            sender: Their reverse-path.
            every_s: The time between two of them; 0: as fast as they are taken.

        Returns:
            Their recipients.
        """
        mine: list[str] = []
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.smtp_port)
        await _replies(reader, b"EHLO drill.example.com\r\n", writer, 1, greeting=True)
        for _ in range(count):
            recipient = f"r{next(_numbers)}@example.org"
            envelope = f"MAIL FROM:<{sender}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n"
            await _replies(reader, envelope.encode(), writer, 3)
            letter = self.letter(sender, recipient, *fields)
            (reply,) = await _replies(reader, letter + b".\r\n", writer, 1)
            assert reply.startswith("250"), reply
            mine.append(recipient)
            self.sent.append(recipient)
            if every_s:
                await asyncio.sleep(every_s)  # the load's own pace
        writer.close()
        await writer.wait_closed()
        return mine

    def arrived(self) -> Counter[str]:
        """How often each address has its letter."""
        return Counter(letter.recipient for letter in self.sandbox.letterbox.letters)

    async def all_arrived(self, timeout_s: float) -> None:
        """Wait until every letter sent is at a provider."""
        await self.sandbox.letterbox.wait_until(
            lambda _: set(self.sent) <= self.arrived().keys(), timeout_s=timeout_s
        )

    def lost(self) -> list[str]:
        """Addresses whose letter was answered with 250 and never arrived."""
        return sorted(set(self.sent) - self.arrived().keys())

    def copies(self) -> int:
        """Letters that arrived more often than once, each further one counted."""
        return sum(count - 1 for count in self.arrived().values())


async def _replies(
    reader: asyncio.StreamReader,
    commands: bytes,
    writer: asyncio.StreamWriter,
    count: int,
    *,
    greeting: bool = False,
) -> Sequence[str]:
    """The last lines of the replies to pipelined commands."""
    if greeting:
        await _reply(reader)
    writer.write(commands)
    return [await _reply(reader) for _ in range(count)]


async def _reply(reader: asyncio.StreamReader) -> str:
    async with asyncio.timeout(60):
        while True:
            line = (await reader.readline()).decode()
            if line[3:4] != "-":
                return line.rstrip()


@asynccontextmanager
async def ground(folder: Path, *, rate: Rate | None = None) -> AsyncIterator[Ground]:
    """A sandbox, whose v1 has a limit or none, and what is started on it; all ends with it."""
    async with AsyncExitStack() as stack:
        sandbox = Sandbox(rate=rate)
        await sandbox.start()
        stack.push_async_callback(sandbox.stop)
        yield Ground(folder, sandbox, stack)
