"""
Where letters come from: Postfix's `smtp-source`, or our own clients.

Two manners. Closed loop: so many sessions, each sends its next letter when the last was answered;
what a relay can do at most. Open loop: letters leave at a given rate whatever the relay does; what
a sender waits for at a rate the relay can bear (a closed loop would send less to a slow relay, and
so be kind to it).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import cast

from bench.child import Child
from bench.sink import NUMBER_FIELD

_LINE_OCTETS = 4096
_FROM = "app@example.com"
_TO = "bob@example.com"
_DATE = format_datetime(datetime.now(UTC))  # without one, the gateway would have to add it
_TRANSACTION = (
    (f"MAIL FROM:<{_FROM}>\r\n".encode(), 250),
    (f"RCPT TO:<{_TO}>\r\n".encode(), 250),
    (b"DATA\r\n", 354),
)


class LoadFailed(Exception):
    """A letter was not answered with 250."""


@dataclass(frozen=True, slots=True)
class Load:
    """
    So many letters over so many sessions.

    Attributes:
        octets: Of a letter's body; its header comes on top.
        kept: Whether a session sends letter after letter; else each has a connection of its own.
    """

    letters: int
    octets: int
    sessions: int
    kept: bool = True


@dataclass(frozen=True, slots=True)
class Sent:
    """One letter of an open loop, moments as `time.perf_counter` tells them."""

    number: int
    due: float
    ended: float  # our last octet was written
    answered: float  # its 250 was read


async def smtp_source(port: int, load: Load, output: Path) -> None:
    """
    Send `load` by `smtp-source`, which speaks HELO and waits for each reply.

    Raises:
        ChildFailed: A letter was not answered with 250.
    """
    keep = ("-d",) if load.kept else ()
    child = await Child.start(
        (
            *("smtp-source", *keep, "-f", _FROM, "-t", _TO, "-M", "app.example.com"),
            *("-s", str(load.sessions), "-m", str(load.letters), "-l", str(load.octets)),
            f"127.0.0.1:{port}",
        ),
        output=output,
    )
    await child.ends()


async def own_clients(port: int, load: Load, first: int) -> None:
    """
    Send `load` by our own clients, in the same manner as `smtp-source`.

    `first` is the number of the first letter, see `bench.sink.NUMBER_FIELD`.

    Raises:
        LoadFailed: A letter was not answered with 250.
    """
    numbers = iter(range(first, first + load.letters))
    body = _body(load.octets)
    session = _kept_session if load.kept else _short_sessions
    async with _all_or_none() as group:
        for _ in range(load.sessions):
            group.create_task(session(port, numbers, body))


async def open_loop(port: int, load: Load, *, rate: float, first: int) -> tuple[Sent, ...]:
    """
    Send a letter each 1/rate seconds, each by a session that is free.

    A letter that finds none free leaves later than due; its `due` tells by how much.

    Raises:
        LoadFailed: A letter was not answered with 250.
    """
    idle: asyncio.Queue[_Client] = asyncio.Queue()
    body = _body(load.octets)
    sent: list[Sent] = []

    async def one(client: _Client, number: int, due: float) -> None:
        ended, answered = await client.send(number, body)
        sent.append(Sent(number, due, ended, answered))
        idle.put_nowait(client)

    async with contextlib.AsyncExitStack() as stack:
        for _ in range(load.sessions):
            idle.put_nowait(await stack.enter_async_context(_session(port)))
        group = await stack.enter_async_context(_all_or_none())
        began = time.perf_counter()
        for index in range(load.letters):
            due = began + index / rate
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            group.create_task(one(await idle.get(), first + index, due))
    return tuple(sent)


@contextlib.asynccontextmanager
async def _all_or_none() -> AsyncIterator[asyncio.TaskGroup]:
    """A group of tasks that fails with its first trouble, as `LoadFailed`."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except ExceptionGroup as failures:
        expected, surprises = failures.split((LoadFailed, OSError))
        if expected is None or surprises is not None:
            raise
        raise LoadFailed(str(expected.exceptions[0])) from failures


async def _kept_session(port: int, numbers: Iterator[int], body: bytes) -> None:
    async with _session(port) as client:
        for number in numbers:
            await client.send(number, body)


async def _short_sessions(port: int, numbers: Iterator[int], body: bytes) -> None:
    for number in numbers:
        await _kept_session(port, iter((number,)), body)


@contextlib.asynccontextmanager
async def _session(port: int) -> AsyncIterator[_Client]:
    """A session from HELO to QUIT; closed at once when the block fails."""
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_connection(_Client, "127.0.0.1", port)
    try:
        await client.expect(220)
        await client.say(b"HELO app.example.com\r\n", 250)
        yield client
        await client.say(b"QUIT\r\n", 221)
    finally:
        transport.close()


def _body(octets: int) -> bytes:
    """So many octets in lines of 80, and the end of data."""
    line = b"X" * 78 + b"\r\n"
    whole, rest = divmod(octets, len(line))
    last = b"X" * (rest - 2) + b"\r\n" if rest > 2 else b""
    return line * whole + last + b".\r\n"


class _Client(asyncio.Protocol):
    """
    One SMTP session that says a thing and waits for its reply.

    Streams would cost more per letter than a fast relay does, and so measure themselves.
    """

    def __init__(self) -> None:
        self._reply: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._read = b""
        self._replied = 0.0

    async def send(self, number: int, body: bytes) -> tuple[float, float]:
        """Send one letter; the moments of its last octet and of its 250."""
        for command, code in _TRANSACTION:
            await self.say(command, code)
        head = (
            f"From: <{_FROM}>\r\nTo: <{_TO}>\r\nDate: {_DATE}\r\nSubject: bench\r\n"
            f"Message-ID: <{number}.{id(self):x}@example.com>\r\n"
            f"{NUMBER_FIELD.decode()}: {number}\r\n\r\n"
        )
        self._transport.write(head.encode() + body)
        ended = time.perf_counter()
        await self.expect(250)
        return ended, self._replied

    async def say(self, octets: bytes, code: int) -> None:
        """Write, and wait for this reply."""
        self._transport.write(octets)
        await self.expect(code)

    async def expect(self, code: int) -> None:
        """
        Wait for this reply.

        Raises:
            LoadFailed: It is another one, or the connection is closed.
        """
        given = await self._reply
        self._reply = asyncio.get_running_loop().create_future()
        if given != code:
            raise LoadFailed(f"the relay answered {given} where {code} was due")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is of no asyncio class

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits for a reply."""
        if not self._reply.done():
            self._reply.set_exception(LoadFailed(f"the relay closed the connection: {exc}"))
            self._reply.exception()  # nobody may be waiting, after QUIT

    def data_received(self, data: bytes) -> None:
        """A reply is complete with a line that has a blank after its code."""
        self._replied = time.perf_counter()
        self._read += data
        last = self._read[:-2].rpartition(b"\r\n")[2]
        if self._read.endswith(b"\r\n") and last[3:4] == b" ":
            self._read = b""
            if not self._reply.done():
                self._reply.set_result(int(last[:3]))
        elif len(self._read) > _LINE_OCTETS:
            self._transport.abort()
