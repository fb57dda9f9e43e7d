"""
Commands out, replies in, on a connection that stands: an `asyncio.Protocol` under a deadline.

aiosmtplib opens connections (see `opening`) and then hands its transport over to this protocol by
`set_protocol`. Its own transaction waits for every reply, rewrites line ends by regular expression
and costs some 200 µs a letter; this one writes an envelope in one go where the server pipelines and
sends content as it is. It must not know what commands and replies mean.

Replies belong to commands by their order alone, so octets that nobody waits for end the connection.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque

from providers.smarthost.commands import END_OF_DATA, in_chunks
from providers.smarthost.reader import ReplyReader, UnreadableReply
from providers.smarthost.replies import Reply

AT_ONCE = 256 << 10
"""Octets of content given to the transport at a time."""

_QUIT_GRACE_S = 2.0  # how long a server may take to answer QUIT


class ConnectionLost(Exception):
    """The connection is gone; the text says how, one line."""


class NoAnswer(Exception):
    """The deadline passed and the server had not answered."""


class Dialogue(asyncio.Protocol):
    """
    The client's side of a connection on which a transaction may begin.

    One caller at a time. After any exception, and after a cancelled wait, the connection is of no
    more use and must be aborted.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._reader = ReplyReader()
        self._replies: deque[Reply] = deque()
        self._expected = 0  # replies that are still to come for what was written
        self._wanted = 0  # replies for which somebody waits
        self._trouble: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False
        self._deadline = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._is_closing = False  # the server said 421, and will answer nothing else
        self._quitting = False
        self._closed = self._loop.create_future()
        transport.set_protocol(self)

    @property
    def is_open(self) -> bool:
        """Whether commands can be sent, so far as is known on this side."""
        return self._trouble is None and not self._quitting and not self._transport.is_closing()

    # Out.

    def set_deadline(self, when: float) -> None:
        """Until when, in the loop's time, all that follows must be answered."""
        self._deadline = when
        # A timer that is set already looks again when it goes off: one for many letters.
        if when < self._timer_at:
            self._set_timer(when)

    def clear_deadline(self) -> None:
        """Nothing is waited for any more."""
        self._deadline = math.inf

    def send(self, *commands: str) -> None:
        """
        Write commands, which must not hold line ends, in one go; each has one reply to come.

        Raises:
            ConnectionLost: The connection is gone; nothing was written.
        """
        self._check()
        self._expected += len(commands)
        self._transport.write("\r\n".join((*commands, "")).encode())

    async def send_content(self, wire: bytes, *following: str) -> bool:
        """
        Write content and, last, the dot that ends it; one reply is to come.

        Large content is written as the network takes it. Behind content of at most `AT_ONCE` octets
        the commands that follow go in the same write, each with a reply of its own (RFC 2920 3.1).

        Returns:
            Whether all was written, the dot included. It was not when the server answered in the
            middle: it does not want the rest, and the connection is out of step.

        Raises:
            ConnectionLost: The connection went before the dot was written.
            NoAnswer: So did the deadline.
        """
        self._check()
        self._expected += 1 + len(following)
        if len(wire) <= AT_ONCE:
            end = b"\r\n".join((b".", *map(str.encode, following), b""))
            self._transport.writelines((wire, end))
            return True
        for piece in in_chunks(wire, AT_ONCE):
            if not await self._write(piece):
                return False
        self._transport.write(END_OF_DATA)
        return True

    async def begin_chunk(self, command: str, octets: memoryview) -> memoryview | None:
        """
        Write a BDAT command and what it announces, but for the last piece; one reply is to come.

        Returns:
            That piece, for `end_chunk`: until it is written the server has no whole chunk. `None`
            when the server answered in the middle; see `send_content`.

        Raises:
            ConnectionLost: The connection went before that.
            NoAnswer: So did the deadline.
        """
        self.send(command)
        *pieces, last = in_chunks(octets, AT_ONCE)
        for piece in pieces:
            if not await self._write(piece):
                return None
        return last

    def end_chunk(self, piece: memoryview) -> None:
        """Write the last piece of a chunk."""
        self._transport.write(piece)

    async def _write(self, piece: memoryview) -> bool:
        """Write what others follow; whether the server was silent until the network took it."""
        self._transport.write(piece)
        while self._paused and not self._replies:
            self._check()
            await self._wait()
        if self._replies:
            return False
        self._check()
        return True

    # In.

    async def answered(self, count: int = 1) -> None:
        """Wait until so many replies are there, or nothing more can come; see `take`."""
        self._wanted = count
        while len(self._replies) < count and self._trouble is None and not self._is_closing:
            await self._wait()

    def take(self) -> Reply:
        """
        The next reply of those that `answered` waited for.

        Raises:
            ConnectionLost: The connection went before it came.
            NoAnswer: So did the deadline.
            UnreadableReply: What came is none.
        """
        if not self._replies:
            self._check()
            raise ConnectionLost("the server answers no more")
        return self._replies.popleft()

    async def reply(self) -> Reply:
        """The one reply that is to come; raises as `take` does."""
        await self.answered()
        return self.take()

    # The end.

    def quit(self) -> None:
        """
        Say QUIT and close once it is answered, at the latest after two seconds.

        Returns at once; `closed` tells when it is done.
        """
        if not self.is_open:
            self._transport.abort()
            return
        self._quitting = True
        self._transport.write(b"QUIT\r\n")
        self.set_deadline(self._loop.time() + _QUIT_GRACE_S)

    def abort(self) -> None:
        """Break the connection; whatever was not sent yet is not sent."""
        self._fail(ConnectionLost("we broke the connection"))

    @property
    def closed(self) -> asyncio.Future[None]:
        """Done once the connection is closed, by whomever; not to be cancelled."""
        return self._closed

    # What asyncio calls.

    def data_received(self, data: bytes) -> None:
        """Keep the replies that are expected."""
        if self._quitting:
            self._transport.close()
            return
        if self._trouble is not None:
            return
        try:
            for reply in self._reader.feed(data):
                if self._expected == 0:
                    # Many a server says 421 behind the last reply it gives: that one still counts.
                    self._fail(ConnectionLost(f"the server said unasked: {reply}"))
                    return
                self._expected -= 1
                self._replies.append(reply)
                self._is_closing = self._is_closing or reply.code == 421
        except UnreadableReply as error:
            self._fail(error)
        # A group's replies may come in several pieces; who waits for them wants all.
        if len(self._replies) >= self._wanted or self._is_closing:
            self._wake()

    def eof_received(self) -> bool:
        """The server will say no more: close."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits learns of it."""
        text = f"the connection broke: {exc}" if exc else "the server closed the connection"
        self._fail(ConnectionLost(text))
        if not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        """The network is slower than we are."""
        self._paused = True

    def resume_writing(self) -> None:
        """The network took what it was given."""
        self._paused = False
        self._wake()

    # Waiting.

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _check(self) -> None:
        if self._trouble is not None:
            raise self._trouble

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._loop.call_at(when, self._look_at_clock)

    def _look_at_clock(self) -> None:
        self._timer, self._timer_at = None, math.inf
        if self._loop.time() >= self._deadline:
            self._fail(NoAnswer())
        elif self._deadline < math.inf:
            self._set_timer(self._deadline)

    def _fail(self, trouble: Exception) -> None:
        """No reply will come any more; those that came can still be read."""
        self.clear_deadline()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._trouble is None:
            self._trouble = trouble
        self._transport.abort()
        self._wake()
