"""
Where drills take place: gateways as child processes, a sandbox in this one, and letters to send.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from providers.contract.capabilities import Rate
from providers.sandbox.letterbox import Letterbox
from providers.sandbox.server import Sandbox
from tests.drills.series import Recorder, Series
from tests.e2e.gateway_process import GatewayProcess

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Finding:
    """
    What a drill found.

    Attributes:
        drill: Its name.
        promise: What it is about.
        measured: The figures in words, for the table.
        kept: Whether the promise was kept.
        figures: The same figures by name, for tests.
        series: Its course.
    """

    drill: str
    promise: str
    measured: str
    kept: bool
    figures: Mapping[str, float]
    series: Series


@dataclass
class Ground:
    """
    One drill's own.

    Attributes:
        folder: For spools and configurations.
        sandbox: The providers.
        stack: Ends what was started.
        recorder: Watches what arrives.
        answered_at: By recipient, when its letter was answered with 250, on the monotonic clock.
        intake_s: By recipient, seconds from the end of the letter to that answer.
    """

    folder: Path
    sandbox: Sandbox
    stack: AsyncExitStack
    recorder: Recorder = field(init=False)
    answered_at: dict[str, float] = field(default_factory=dict)
    intake_s: dict[str, float] = field(default_factory=dict)
    _gateways: list[GatewayProcess] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.recorder = Recorder(self.sandbox.letterbox, lambda: len(self.answered_at))

    @property
    def letterbox(self) -> Letterbox:
        return self.sandbox.letterbox

    async def gateway(self, providers: dict[str, dict[str, Any]], **config: Any) -> GatewayProcess:
        """Start a gateway; it is stopped with the drill."""
        folder = self.folder / f"gateway{next(_numbers)}"
        folder.mkdir()
        gateway = GatewayProcess(folder, providers, **config)
        self.stack.push_async_callback(gateway.stop)
        await gateway.start()
        self._gateways.append(gateway)
        return gateway

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
        await _reply(reader)
        await _replies(reader, b"EHLO drill.example.com\r\n", writer, 1)
        self.recorder.begin()
        begun = time.monotonic()
        for number in range(count):
            recipient = f"r{next(_numbers)}@example.org"
            envelope = f"MAIL FROM:<{sender}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n"
            await _replies(reader, envelope.encode(), writer, 3)
            ended = time.monotonic()
            letter = _letter(sender, recipient, *fields)
            (reply,) = await _replies(reader, letter + b".\r\n", writer, 1)
            assert reply.startswith("250"), reply
            mine.append(recipient)
            self.answered_at[recipient] = now = time.monotonic()
            self.intake_s[recipient] = now - ended
            if every_s:
                pause = begun + (number + 1) * every_s - now
                await asyncio.sleep(max(0.0, pause))  # the load's own pace
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        return mine

    async def arrive(self, recipients: Sequence[str], timeout_s: float = 120) -> None:
        """Wait until each of them has its letter."""
        missing = set(recipients)

        def all_there(box: Letterbox) -> bool:
            self.recorder.catch_up()
            missing.difference_update(self.recorder.arrived_at)
            return not missing

        await self.letterbox.wait_until(all_there, timeout_s=timeout_s)

    async def all_arrived(self, timeout_s: float = 300) -> None:
        """Wait until every letter sent is at a provider."""
        await self.arrive(list(self.answered_at), timeout_s)

    def lost(self) -> int:
        """How many letters were answered with 250 and never arrived."""
        self.recorder.catch_up()
        return len(self.answered_at.keys() - self.recorder.arrived_at.keys())

    def copies(self) -> int:
        """Letters that arrived more often than once, each further one counted."""
        self.recorder.catch_up()
        return self.recorder.copies

    def series(self) -> Series:
        """The drill's course so far, circuits as the gateways log them."""
        circuits: dict[str, list[tuple[datetime, str]]] = {}
        for gateway in self._gateways:
            for line in gateway.log:
                if line["event"] == "circuit":
                    at = datetime.fromisoformat(line["at"])
                    circuits.setdefault(line["provider"], []).append((at, line["state"]))
        return self.recorder.series(circuits)


def _letter(sender: str, recipient: str, *fields: str) -> bytes:
    lines = [f"From: {sender}", f"To: {recipient}", f"Subject: Drill for {recipient}", *fields]
    return "\r\n".join([*lines, "", f"Hello {recipient}", ""]).encode()


async def _replies(
    reader: asyncio.StreamReader, commands: bytes, writer: asyncio.StreamWriter, count: int
) -> Sequence[str]:
    """The last lines of the replies to pipelined commands."""
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
        on = Ground(folder, sandbox, stack)
        watcher = asyncio.create_task(on.recorder.run())
        try:
            yield on
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
