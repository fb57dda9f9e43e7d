"""A connection without a socket, and a loop whose time a test turns: sessions as plain objects."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Any


class HandTurnedLoop:
    """The running event loop, but for its time, which stands still until `advance`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._now = 1000.0
        self._order = itertools.count()
        self._timers: list[tuple[float, int, HandTurnedTimer]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def time(self) -> float:
        return self._now

    def call_later(self, delay: float, callback: Callable[[], None]) -> HandTurnedTimer:
        timer = HandTurnedTimer(callback)
        if delay <= 0:
            self._loop.call_soon(timer.ring)  # due already, whatever the hands say
            return timer
        heapq.heappush(self._timers, (self._now + delay, next(self._order), timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Turn the hands forward and ring what is due on the way, each at its moment."""
        until = self._now + seconds
        while self._timers and self._timers[0][0] <= until:
            self._now, _, timer = heapq.heappop(self._timers)
            timer.ring()
        self._now = until

    @property
    def timers(self) -> int:
        """How many would still ring."""
        return sum(not timer.cancelled for _, _, timer in self._timers)


class HandTurnedTimer:
    """What `call_later` gives."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def ring(self) -> None:
        if not self.cancelled:
            self._callback()


class FakeTransport(asyncio.Transport):
    """
    The server's end of a connection; `sent` is what the client could read.

    Closing and aborting tell the protocol, as the real ones do, from the loop.
    """

    def __init__(self, protocol: asyncio.Protocol, peer: tuple[str, int]) -> None:
        super().__init__({"peername": peer})
        self._protocol = protocol
        self._changed = asyncio.Event()
        self.sent = b""
        self.writes = 0
        self.reading = True
        self.closing = False
        self.aborted = False
        self.lost = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closing, "written after close"
        self.sent += bytes(data)
        self.writes += 1
        self._changed.set()

    def pause_reading(self) -> None:
        assert self.reading, "paused twice"
        self.reading = False
        self._changed.set()

    def resume_reading(self) -> None:
        assert not self.reading, "resumed twice"
        self.reading = True
        self._changed.set()

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self.lose)

    def abort(self) -> None:
        self.aborted = True
        self.closing = True
        asyncio.get_running_loop().call_soon(self.lose)

    def lose(self) -> None:
        """The connection is gone."""
        if not self.lost:
            self.closing = self.lost = True
            self._protocol.connection_lost(None)
            self._changed.set()

    async def turn(self) -> None:
        """Let the session have its turn."""
        await asyncio.sleep(0)

    async def until(self, enough: Callable[[FakeTransport], bool]) -> None:
        """Wait until `enough` holds; a TimeoutError after a minute."""
        async with asyncio.timeout(60):
            while not enough(self):
                self._changed.clear()
                await self._changed.wait()

    async def until_sent(self, end: bytes) -> bytes:
        """Wait until what was sent ends so; returns it, and forgets it."""
        await self.until(lambda wire: wire.sent.endswith(end))
        sent, self.sent = self.sent, b""
        return sent
