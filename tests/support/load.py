"""
Clients in numbers, with a memory: which letters were answered 250, which were not, and how.

Each session sends letter after letter and sends again what it has no 250 for, as any client would,
over restarts of the gateway. What it remembers is one side of the accounts; the other is what
arrived at the provider.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

PAUSE_S = 0.02  # a client's own, before it connects again


@dataclass(frozen=True, slots=True)
class LoadLetter:
    """A letter that tells its number: in its recipients' addresses, its subject and its end."""

    number: int
    recipients: tuple[str, ...]
    body: bytes

    @property
    def content(self) -> bytes:
        """Header and body as the client sends them; no line begins with a dot."""
        return b"From: a@example.com\r\nSubject: %d\r\n\r\n%s" % (self.number, self.body)


def a_load_letter(number: int, *recipients: str, octets: int = 100) -> LoadLetter:
    """A letter to these addresses, or to one of its own; its body has about so many octets."""
    line = b"%08d " % number * 8 + b"\r\n"
    body = line * max(1, octets // len(line)) + b"end of %d\r\n" % number
    return LoadLetter(number, recipients or (f"r{number}@example.org",), body)


class Refused(Exception):
    """A reply of class 4 where the client wanted to go on; it tries again later."""


class Load:
    """
    Sessions that send letters until each has its 250.

    Args:
        port: Where the gateway listens at the moment; asked before each connection.
        letters: What to send.
        hostname: Who has to greet: after a restart its old port may be somebody else's.

    Attributes:
        taken: By queue id, every letter that was answered 250. It is never sent again.
        doubtful: By number, how often a letter's end was sent and no 250 read: for each of these
            the gateway may have one letter more than the client knows of.
        refusals: How often which reply of class 4 was read, by code and enhanced status code.
    """

    def __init__(
        self,
        port: Callable[[], int],
        letters: Iterator[LoadLetter],
        hostname: str = "gateway.example.com",
    ) -> None:
        self.taken: dict[str, LoadLetter] = {}
        self.doubtful: Counter[int] = Counter()
        self.refusals: Counter[str] = Counter()
        self._port = port
        self._letters = letters
        self._hostname = hostname.encode()
        self._again: list[LoadLetter] = []
        self._stopping = False
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, sessions: int) -> None:
        """Open so many sessions."""
        for _ in range(sessions):
            task = asyncio.create_task(self._session())
            task.add_done_callback(lambda _: self._changed.set())
            self._tasks.append(task)

    async def send(self, letter: LoadLetter) -> None:
        """
        Open a session for a letter and wait for its 250.

        Cancelled, it leaves the session at work: the letter is sent as often as it takes.
        """
        self._again.append(letter)
        self.start(1)
        await asyncio.shield(self._tasks[-1])

    async def complete(self) -> None:
        """Wait until every letter has its 250; for letters that come to an end."""
        await asyncio.gather(*self._tasks)

    async def finish(self) -> None:
        """Begin no more letters and wait until each that was begun has its 250."""
        self._stopping = True
        await self.complete()

    async def abandon(self) -> None:
        """Break all sessions where they are."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def until(self, enough: Callable[[Load], bool], timeout_s: float = 90.0) -> None:
        """
        Wait until `enough` holds.

        Raises:
            TimeoutError: It did not within `timeout_s` seconds.
            Exception: What a session died of: a reply that no client should see.
        """
        async with asyncio.timeout(timeout_s):
            while not enough(self):
                for task in self._tasks:
                    if task.done():
                        task.result()
                self._changed.clear()
                await self._changed.wait()

    async def _session(self) -> None:
        while (letter := self._next()) is not None:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port())
            except OSError:
                self._again.append(letter)
                await asyncio.sleep(PAUSE_S)
                continue
            try:
                await self._talk(reader, writer, letter)
            except (OSError, asyncio.IncompleteReadError, Refused):
                await asyncio.sleep(PAUSE_S)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    def _next(self) -> LoadLetter | None:
        if self._again:
            return self._again.pop()
        return None if self._stopping else next(self._letters, None)

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: LoadLetter
    ) -> None:
        """One connection: letter after letter until it breaks or there are no more."""
        letter: LoadLetter | None = first
        try:
            greeting = await reader.readuntil(b"\r\n")
            if not greeting.startswith(b"220 " + self._hostname):
                raise Refused(greeting)
            await self._ask(reader, writer, b"HELO client.example.com\r\n")
            while letter is not None:
                await self._send(reader, writer, letter)
                letter = None
                letter = self._next()
        finally:
            if letter is not None:
                self._again.append(letter)
                self._changed.set()

    async def _send(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, letter: LoadLetter
    ) -> None:
        await self._ask(reader, writer, b"MAIL FROM:<a@example.com>\r\n")
        for address in letter.recipients:
            await self._ask(reader, writer, b"RCPT TO:<%s>\r\n" % address.encode())
        await self._ask(reader, writer, b"DATA\r\n", b"354")
        self.doubtful[letter.number] += 1
        reply = await self._ask(reader, writer, letter.content + b".\r\n")
        self.doubtful[letter.number] -= 1
        words = reply.decode().split()
        assert words[:-1] == ["250", "2.0.0", "Ok:", "queued", "as"], reply
        self.taken[words[-1]] = letter
        self._changed.set()

    async def _ask(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        octets: bytes,
        wanted: bytes = b"250",
    ) -> bytes:
        writer.write(octets)
        await writer.drain()
        reply = await reader.readuntil(b"\r\n")
        if reply.startswith(b"4"):
            self.refusals[b" ".join(reply.split()[:2]).decode()] += 1
            self._changed.set()
            raise Refused(reply)
        assert reply.startswith(wanted), reply
        return reply
