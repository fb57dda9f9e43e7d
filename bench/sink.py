"""
The smarthost that takes every letter and throws it away, counting.

Two kinds: Postfix's `smtp-sink`, a process of its own, and ours in the bench's event loop, which
also knows each letter by its number and when its last octet came. Both speak SMTP with PIPELINING
and without TLS, and are all that a relay under test sees of the world.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

from bench.child import Child
from bench.ports import free_port

NUMBER_FIELD = b"X-Bench-Letter"
"""Header field by which our own load numbers its letters."""

_NUMBER = re.compile(rb"\r\n" + NUMBER_FIELD + rb": (\d+)\r\n")
_PRINTED = re.compile(rb"mesg=(\d+)\r")
_HEAD_OCTETS = 8192  # the relay's trace fields come before ours
_LINE_OCTETS = 4096
_POLL_EVERY_S = 0.002
_END_OF_DATA = b"\r\n.\r\n"
_BYE = b"221 2.0.0 Bye\r\n"
_OK = b"250 2.0.0 Ok\r\n"
_REPLIES = {
    b"EHLO": b"250-sink.example.com\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
    b"DATA": b"354 End data with <CR><LF>.<CR><LF>\r\n",
    b"QUIT": _BYE,
}


class Sink(Protocol):
    """Where relays hand over to."""

    port: int

    async def start(self) -> None:
        """Start it; from then on it has its port."""

    @property
    def count(self) -> int:
        """Letters that came whole, since the start."""

    async def wait_for(self, count: int) -> float:
        """Wait until so many have come; the moment, as `time.perf_counter` tells it."""

    def balance(self, sent: int) -> tuple[int, int]:
        """How many of `sent` letters never came, and how many came too often."""

    async def stop(self) -> None:
        """End it."""


class SmtpSink:
    """
    Postfix's `smtp-sink`.

    It prints its counters for each letter; they go to a file and its end is looked at, because a
    pipe would wake this process as often as the sink prints. Letters cannot be told apart, so that
    one lost and another doubled would cancel out.
    """

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._counters = folder / f"sink-{self.port}"
        self._child: Child | None = None
        self._fd = -1

    async def start(self) -> None:
        """
        Start it.

        Raises:
            ChildFailed: It ended or did not greet.
        """
        # It refuses to run as root, and names no user of its own.
        user = ("-u", "postfix") if os.geteuid() == 0 else ()
        command = ("smtp-sink", *user, "-c", f"127.0.0.1:{self.port}", "200")
        self._child = await Child.start(command, output=self._counters)
        await self._child.greets(self.port)
        self._fd = os.open(self._counters, os.O_RDONLY)

    @property
    def count(self) -> int:
        """The last number it printed."""
        size = os.fstat(self._fd).st_size
        found = _PRINTED.findall(os.pread(self._fd, 256, max(0, size - 256)))
        return int(found[-1]) if found else 0

    async def wait_for(self, count: int) -> float:
        """Look every 2 ms."""
        while self.count < count:  # noqa: ASYNC110 - another process counts
            await asyncio.sleep(_POLL_EVERY_S)
        return time.perf_counter()

    def balance(self, sent: int) -> tuple[int, int]:
        """By the counts alone."""
        return max(0, sent - self.count), max(0, self.count - sent)

    async def stop(self) -> None:
        """End it."""
        if self._fd >= 0:
            os.close(self._fd)
        if self._child is not None:
            await self._child.stop()


class OwnSink:
    """Ours, in this event loop."""

    def __init__(self) -> None:
        self.port = 0
        self.count = 0
        self.arrivals: dict[int, float] = {}
        """Letter number: when its last octet came first, as `time.perf_counter` tells it."""
        self._copies: Counter[int] = Counter()
        self._server: asyncio.Server | None = None
        self._sessions: set[SinkSession] = set()
        self._awaited: tuple[int, asyncio.Future[float]] | None = None

    async def start(self) -> None:
        """Listen on a free port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self.session, "127.0.0.1", 0, backlog=200)
        self.port = self._server.sockets[0].getsockname()[1]

    async def wait_for(self, count: int) -> float:
        """Told by the letter that completes the count."""
        if self.count >= count:
            return time.perf_counter()
        self._awaited = count, asyncio.get_running_loop().create_future()
        return await self._awaited[1]

    def balance(self, sent: int) -> tuple[int, int]:
        """By the letters' numbers."""
        return sent - len(self._copies), self.count - len(self._copies)

    async def stop(self) -> None:
        """Close it; a relay that keeps a connection for the next letter loses it."""
        if self._server is not None:
            self._server.close()
            for session in tuple(self._sessions):
                session.abort()
            await self._server.wait_closed()

    def session(self) -> SinkSession:
        """What answers one connection."""
        return SinkSession(self._take, self._sessions)

    def _take(self, number: int) -> None:
        now = time.perf_counter()
        self.count += 1
        self._copies[number] += 1
        self.arrivals.setdefault(number, now)
        if self._awaited is not None and self.count >= self._awaited[0]:
            future = self._awaited[1]
            self._awaited = None
            if not future.done():
                future.set_result(now)


class SinkSession(asyncio.Protocol):
    """One connection of a relay; says yes to everything."""

    def __init__(self, take: Callable[[int], None], sessions: set[SinkSession]) -> None:
        self._take = take
        self._sessions = sessions
        self._line = b""  # a command that has not ended yet
        self._in_content = False
        self._head = b""  # the beginning of a letter, where its number is
        self._tail = b""  # the last octets of it, where its end may have begun

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is of no asyncio class
        self._sessions.add(self)
        self._transport.write(b"220 sink.example.com ESMTP\r\n")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget it."""
        self._sessions.discard(self)

    def data_received(self, data: bytes) -> None:
        """Commands and content take turns, however they are cut into pieces."""
        while data:
            data = self._content(data) if self._in_content else self._commands(data)

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def _commands(self, octets: bytes) -> bytes:
        """Answer commands up to DATA, all in one write; returns what follows it."""
        octets = self._line + octets
        replies = []
        while not self._in_content:
            self._line, end, octets = octets.partition(b"\r\n")
            if not end:
                break
            verb = self._line[:4].upper()
            self._line = b""
            replies.append(_REPLIES.get(verb, _OK))
            if verb == b"DATA":
                self._in_content = True
                self._head = self._tail = b"\r\n"
        self._transport.write(b"".join(replies))
        if _BYE in replies or len(self._line) > _LINE_OCTETS:
            self._transport.close()
        return octets

    def _content(self, octets: bytes) -> bytes:
        """Look for the end of the letter; returns what follows it."""
        if (room := _HEAD_OCTETS - len(self._head)) > 0:
            self._head += octets[:room]
        octets = self._tail + octets
        end = octets.find(_END_OF_DATA)
        if end < 0:
            self._tail = octets[1 - len(_END_OF_DATA) :]
            return b""
        self._in_content = False
        numbered = _NUMBER.search(self._head)
        self._take(int(numbered[1]) if numbered else -1)
        self._transport.write(_OK)
        return octets[end + len(_END_OF_DATA) :]
