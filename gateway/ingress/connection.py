"""
The wire of one SMTP connection: what comes in and goes out, and the time both may take.

aiosmtpd's protocol with its own input and output: stock aiosmtpd looks itself through at every
connection, logs every line, reads data line by line and answers a surprise with a permanent 500
that names a class. It knows no command: `session` builds on it.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from typing import cast

import structlog
from aiosmtpd.smtp import SMTP

from gateway.ingress import policy, replies
from gateway.ingress.policy import FrontDoorRules
from gateway.ingress.reception import Reception
from gateway.ingress.submission import Reply

log = structlog.get_logger("gateway.ingress")

HANDSHAKE_TIMEOUT_S = 30.0
TLS_SHUTDOWN_TIMEOUT_S = 5.0  # many clients never answer the end of TLS


class Ended(Exception):
    """There is no more to come from this client."""


class Connection(SMTP):
    """
    The protocol of one connection.

    Whoever builds on it says what begins with it (`_begin`), what its client is late with
    (`_lateness`) and what ends with it (`_clear`), and calls `_finish` once. While it waits for
    something other than its client, `_taking` is true.
    """

    def __init__(
        self,
        reception: Reception,
        listener: str,
        loop: asyncio.AbstractEventLoop,
        rules: FrontDoorRules,
    ) -> None:
        # Not SMTP's own: it goes through all attributes of itself and of a handler, which costs
        # more than a letter. Neither has anything for us, nor has a StreamReader.
        super(SMTP, self).__init__(None, loop=loop)  # type: ignore[arg-type] # None is foreseen
        self.loop = loop
        self._handler_coroutine = None
        self._reception = reception
        self._rules = rules
        self._listener = listener
        self._opening: asyncio.Task[None] | None = None
        self._address = ""
        self._seated = False
        self._secured = False
        self._refusal: Reply | None = None
        self._out: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._farewell: Reply | None = None
        self._reading_paused = False
        self._draining = False
        self._taking = False
        self._eof = False
        self._gone = False
        self._done = False
        self._choked = False

    def _begin(self) -> None:
        """The client may be greeted."""
        raise NotImplementedError

    def _lateness(self) -> Reply:
        """What a client is told whose time is over."""
        raise NotImplementedError

    def _clear(self) -> None:
        """The session is over."""
        raise NotImplementedError

    def stalled_for(self) -> float:
        """Seconds since the letter that it is reading last made progress."""
        raise NotImplementedError

    def give_way(self) -> None:
        """Drop what is held of the letter, and put it off at its end."""
        raise NotImplementedError

    def arrive(self, address: str) -> Reply | None:
        """
        Take a seat for a client whose connection is still being opened, by the current task.

        Without it that is done when the connection is made.

        Returns:
            What it will be turned away with, if it is; the session says it once it can.
        """
        self._opening = asyncio.current_task()
        self._take_seat(address)
        return self._refusal

    def give_up(self) -> None:
        """The connection of a client that has arrived was not made."""
        self._gone = self._done = True
        self._leave_when_over()

    def _take_seat(self, address: str) -> None:
        self._address = address
        self._seated = True
        self._refusal = self._reception.enter(self, self._listener, address)

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the client, or turn it away."""
        self.transport = self._wire = cast("asyncio.Transport", transport)
        self._opening = None
        self._secured = transport.get_extra_info("sslcontext") is not None
        if not self._seated:
            self._take_seat(policy.client_address(transport.get_extra_info("peername")))
        rules = self._rules
        self._shortest_wait = min(rules.command_timeout_s, rules.data_timeout_s)
        self._expect(rules.command_timeout_s)
        self._timer = self.loop.call_later(self._shortest_wait, self._watch)
        if self._refusal:
            self._say(self._refusal)
            self._finish()
        else:
            self._begin()

    def eof_received(self) -> bool:
        """The client sends no more, but may still read: what it sent is answered."""
        self._eof = True
        self._wake()
        return not self._secured  # TLS has no half-closed connections

    def pause_writing(self) -> None:
        """The client does not read what we say."""
        self._choked = True

    def resume_writing(self) -> None:
        """It does again."""
        self._choked = False
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone; a letter being taken is taken on."""
        if self._gone:
            return
        self._gone = True
        self._timer.cancel()
        super(SMTP, self).connection_lost(error)
        self._wake()
        self._leave_when_over()

    # What the reception asks.

    def drain(self) -> None:
        """End after the letter under way, or at once where there is none."""
        self._draining = True
        self._wake()

    def abort(self) -> None:
        """End now, without a word to the client."""
        if self._opening is not None:
            self._opening.cancel()
            return
        self._wire.abort()
        if self._taking and self._handler_coroutine is not None:
            self._handler_coroutine.cancel()

    # Input, output, time.

    def _say(self, reply: Reply) -> None:
        self._out.append(reply.line())
        self._reception.observer.replied(self._listener, reply)

    def _send(self) -> None:
        """Let what was said go out."""
        if self._out and not self._wire.is_closing():
            self._wire.write(b"".join(self._out))
        self._out.clear()

    async def _more(self) -> None:
        """Wait for more input; raises `Ended` where there will be none."""
        self._send()
        if self._choked:
            await self._until_read()
        if self._gone or self._eof or self._farewell is not None:
            raise Ended
        if self._reading_paused and not self._wire.is_closing():
            self._reading_paused = False
            self._wire.resume_reading()
        await self._event()

    async def _until_read(self) -> None:
        """Wait while the client does not read what we said."""
        while self._choked and not self._gone:
            await self._event()

    def _event(self) -> asyncio.Future[None]:
        """Whatever happens next."""
        self._waiter = self.loop.create_future()
        return self._waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _expect(self, seconds: float) -> None:
        self._deadline = self.loop.time() + seconds

    def _watch(self) -> None:
        """Look whether the client is late; one timer for a session is cheaper than one a wait."""
        now = self.loop.time()
        if now >= self._deadline and not self._taking:
            if self._choked or self._done:
                self._wire.abort()  # it does not read what we say, our last words perhaps
                return
            self._farewell = self._lateness()
            self._wake()
        wait = self._deadline - now
        self._timer = self.loop.call_later(
            min(wait, self._shortest_wait) if wait > 0 else self._shortest_wait, self._watch
        )

    async def _let_wait(self, seconds: float) -> None:
        """Let time pass before the next reply; not when the client has gone meanwhile."""
        over = False

        def ring() -> None:
            # Not told by the clock: a loop may ring a moment before the time it was given.
            nonlocal over
            over = True
            self._wake()

        timer = self.loop.call_later(seconds, ring)
        try:
            while not over and not self._gone:
                await self._event()
        finally:
            timer.cancel()

    async def _shake_hands(self, context: ssl.SSLContext) -> None:
        """Go on under TLS; raises `Ended` where it does not come about."""
        self._reading_paused = False
        try:
            wire = await self.loop.start_tls(
                self._wire,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
                ssl_shutdown_timeout=TLS_SHUTDOWN_TIMEOUT_S,
            )
        except (OSError, ssl.SSLError) as error:
            self._reception.observer.handshake_failed(self._listener)
            log.info(
                "tls_failed",
                listener=self._listener,
                client=self._address,
                reason=handshake_trouble(error),
            )
            self._wire.abort()
            self.connection_lost(None)
            raise Ended from error
        if wire is None:  # the client went while the handshake was at its end
            self.connection_lost(None)
            raise Ended
        self.transport = self._wire = wire
        self._secured = True

    def _internal_error(self, error: Exception) -> Reply:
        """Log a surprise; the client learns no more than what to look for in the log."""
        reference = secrets.token_hex(4)
        log.error(
            "session_failed",
            reference=reference,
            listener=self._listener,
            client=self._address,
            exc_info=error,
        )
        return replies.internal_error(reference)

    def _finish(self) -> None:
        self._done = True
        self._clear()
        if not self._wire.is_closing():
            self._wire.write(b"".join(self._out))
            self._wire.close()
        self._leave_when_over()

    def _leave_when_over(self) -> None:
        if self._gone and self._done:
            self._reception.leave(self, self._listener, self._address)


def handshake_trouble(error: BaseException) -> str:
    """Why TLS did not come about, in OpenSSL's word or the system's."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not TLS").replace("_", " ").lower()
    return getattr(error, "strerror", None) or "the client went away"
