"""
One SMTP connection: octets in, replies out, and the time both may take.

aiosmtpd's protocol with its own input, output and command loop: stock aiosmtpd looks itself through
at every connection, logs every line, reads data line by line and answers a surprise with a
permanent 500 that names a class. What is said stands in `dialogue`, what a line and the end of
data are in `lines` and `reader`; here is only what waits.

Replies to pipelined commands (RFC 2920) leave together, before the session waits for anything.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from typing import cast

import structlog
from aiosmtpd.smtp import SMTP

from gateway.ingress import policy, replies
from gateway.ingress.commands import BdatCommand
from gateway.ingress.credentials import TooManyChecks
from gateway.ingress.dialogue import Dialogue
from gateway.ingress.lines import LineFault, LineReader
from gateway.ingress.policy import FrontDoorRules
from gateway.ingress.reader import ChunkReader, DataReader
from gateway.ingress.reception import Reception
from gateway.ingress.sasl import Credentials
from gateway.ingress.submission import Reply, Submission
from providers.contract.envelope import Envelope

log = structlog.get_logger("gateway.ingress")

_MOST_AHEAD = 1 << 16  # octets of commands that may wait while a letter is being taken
_LARGEST_GROUP = 100  # replies; then others get their turn
_OF_A_LETTER = (b"MAIL", b"RCPT", b"DATA")
_PROGRESS = 64 << 10  # octets that show that a letter is moving

HANDSHAKE_TIMEOUT_S = 30.0
TLS_SHUTDOWN_TIMEOUT_S = 5.0  # many clients never answer the end of TLS


class _Ended(Exception):
    """There is no more to come from this client."""


class Session(SMTP):
    """
    The protocol of one connection.

    A letter whose end was not seen is not taken. One that is being taken is taken to the end,
    whether its client stays or not; only `abort` cuts that short, and the log tells.

    Args:
        reception: What it shares with others.
        listener: The name of the listener it came by.
        loop: The running one.
        rules: The listener's; the reception's where there are no others.
    """

    def __init__(
        self,
        reception: Reception,
        listener: str,
        loop: asyncio.AbstractEventLoop,
        rules: FrontDoorRules | None = None,
    ) -> None:
        # Not SMTP's own: it goes through all attributes of itself and of a handler, which costs
        # more than a letter. Neither has anything for us, nor has a StreamReader.
        super(SMTP, self).__init__(None, loop=loop)  # type: ignore[arg-type] # None is foreseen
        self.loop = loop
        self._handler_coroutine = None
        self._reception = reception
        self._rules = rules or reception.rules
        self._listener = listener
        self._opening: asyncio.Task[None] | None = None
        self._address: str | None = None
        self._refusal: Reply | None = None
        self._lines = LineReader()
        self._data: DataReader | ChunkReader | None = None
        self._begun: DataReader | None = None
        self._chunks: ChunkReader | None = None
        self._progress = 0
        self._progress_at = 0.0
        self._toward_quantum = 0
        self._no_memory = False
        self._out: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._farewell: Reply | None = None
        self._between_commands = False
        self._over = False
        self._reading_paused = False
        self._draining = False
        self._taking = False
        self._eof = False
        self._gone = False
        self._done = False
        self._choked = False

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
        self._refusal = self._reception.enter(self, self._listener, address)

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the client, or turn it away."""
        self.transport = self._wire = cast("asyncio.Transport", transport)
        self._opening = None
        if self._address is None:
            self._take_seat(policy.client_address(transport.get_extra_info("peername")))
        rules = self._rules
        self._dialogue = Dialogue(
            self._reception,
            self._address or "",
            rules,
            tls=transport.get_extra_info("sslcontext") is not None,
        )
        self._shortest_wait = min(rules.command_timeout_s, rules.data_timeout_s)
        self._expect(rules.command_timeout_s)
        self._timer = self.loop.call_later(self._shortest_wait, self._watch)
        if self._refusal:
            self._say(self._refusal)
            self._finish()
        else:
            self._say(replies.greeting(rules.hostname))
            self._handler_coroutine = self.loop.create_task(self._handle_client())

    def data_received(self, data: bytes) -> None:
        """Take input to the letter under way, or to the commands."""
        if self._data is not None:
            self._read_content(self._data, data)
            return
        self._lines.feed(data)
        if self._lines.pending > _MOST_AHEAD and not self._reading_paused:
            self._reading_paused = True
            self._wire.pause_reading()
        if self._between_commands and self._waiter is not None and not self._choked:
            self._answer_at_once()
        else:
            self._wake()

    def eof_received(self) -> bool:
        """The client sends no more, but may still read: what it sent is answered."""
        self._eof = True
        self._wake()
        return not self._dialogue.client.tls  # TLS has no half-closed connections

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

    def stalled_for(self) -> float:
        """Seconds since the letter that is being read last moved; none while it is being taken."""
        return 0.0 if self._taking else self.loop.time() - self._progress_at

    def give_way(self) -> None:
        """Drop what is held of the letter: others need the room, and it hardly moves."""
        data = self._data or self._chunks
        if data is not None:
            self._no_memory = True
            data.swallow()

    # The command loop.

    async def _handle_client(self) -> None:
        try:
            await self._talk()
        except _Ended:
            if self._farewell is not None and not self._gone:
                self._say(self._farewell)
        except Exception as error:  # noqa: BLE001 - logged; a session ends with a reply
            self._say(self._internal_error(error))
        finally:
            self._finish()

    async def _talk(self) -> None:
        while True:
            line = await self._next_line()
            try:
                reply = await self._answer(line)
            except _Ended:
                raise
            except Exception as error:  # noqa: BLE001 - logged; a surprise is a 451 (trap T11)
                reply = self._internal_error(error)
            if reply is None:
                continue
            if not self._give(reply):
                return

    def _answer_at_once(self) -> None:
        """
        Answer the commands of a letter while the command loop sleeps.

        To wake it costs more than such a command does. It is woken for all else, and at the end of
        the data.
        """
        lines, dialogue = self._lines, self._dialogue
        while len(self._out) < _LARGEST_GROUP and lines.follows(_OF_A_LETTER):
            line = lines.next()
            if line is None:
                break
            try:
                reply = dialogue.answer(line)
            except Exception as error:  # noqa: BLE001 - logged; a surprise is a 451 (trap T11)
                reply = self._internal_error(error)
            if reply is replies.SEND_DATA:
                self._begin_data()
                self._send()
                return
            if not self._give(reply):
                self._over = True
                break
        if self._over or lines.pending:
            self._wake()
        else:
            self._send()

    def _give(self, reply: Reply) -> bool:
        """Say a reply; whether the session goes on after it."""
        dialogue = self._dialogue
        self._say(reply)
        if reply is replies.RELAY_DENIED:
            log.info("relay_denied", listener=self._listener, client=dialogue.client.address)
        if reply.code in replies.LAST_CODES:
            return False
        if farewell := dialogue.has_gone_wrong:
            self._say(farewell)
            return False
        if self._chunks is None:
            # Between chunks the letter's own time runs on: a BDAT is no progress by itself.
            self._expect(self._rules.command_timeout_s)
        return True

    async def _answer(self, line: bytes | LineFault | None) -> Reply | None:
        """The reply to a line, after all that waits between the two; `None`: it was said."""
        if line is None:
            return await self._letter()
        dialogue = self._dialogue
        reply = dialogue.answer(line)
        if reply is replies.SEND_DATA:
            self._begin_data()
            return await self._letter()
        if dialogue.chunk is not None:
            return await self._chunk(dialogue.chunk, reply)
        if self._chunks is not None and not dialogue.within_letter:
            self._drop_chunks()
        if dialogue.credentials is not None:
            return await self._check(dialogue.credentials)
        if reply is replies.START_TLS:
            self._say(reply)
            await self._start_tls()
            return None
        return reply

    async def _next_line(self) -> bytes | LineFault | None:
        """The next line from the client; `None` where the data of a letter comes instead."""
        while True:
            if self._draining and not self._dialogue.within_letter:
                self._farewell = replies.SHUTTING_DOWN
            if self._gone or self._over or self._farewell is not None:
                raise _Ended
            if self._begun is not None:
                return None
            if len(self._out) >= _LARGEST_GROUP:
                self._send()
                await self._until_read()
                await asyncio.sleep(0)
            line = self._lines.next()
            if line is not None:
                return line
            self._between_commands = True
            await self._more()
            self._between_commands = False

    async def _start_tls(self) -> None:
        """Shake hands; whatever came in the clear behind STARTTLS is dropped and never obeyed."""
        self._send()
        self._lines.take_rest()
        self._reading_paused = False
        tls = self._reception.tls
        assert tls is not None  # noqa: S101 - the dialogue has looked
        try:
            wire = await self.loop.start_tls(
                self._wire,
                self,
                tls.contexts[self._rules.tls_profile],
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
                ssl_shutdown_timeout=TLS_SHUTDOWN_TIMEOUT_S,
            )
        except (OSError, ssl.SSLError) as error:
            self._tell_of_handshake(error)
            self._wire.abort()
            self.connection_lost(None)
            raise _Ended from error
        if wire is None:  # the client went while the handshake was at its end
            self.connection_lost(None)
            raise _Ended
        self.transport = self._wire = wire
        self._dialogue.secured()
        self._expect(self._rules.command_timeout_s)

    def _tell_of_handshake(self, error: Exception) -> None:
        self._reception.observer.handshake_failed(self._listener)
        log.info(
            "tls_failed",
            listener=self._listener,
            client=self._dialogue.client.address,
            reason=handshake_trouble(error),
        )

    async def _check(self, credentials: Credentials) -> Reply:
        """Have a password checked; a wrong one is answered late."""
        reception, dialogue = self._reception, self._dialogue
        about = {"listener": self._listener, "client": dialogue.client.address}
        self._send()
        if reception.credentials is None:
            return dialogue.refuse_credentials(replies.AUTH_FAILED)
        try:
            user = await reception.credentials.verify(credentials)
        except TooManyChecks:
            log.warning("auth_busy", **about)
            return dialogue.refuse_credentials(replies.AUTH_BUSY)
        if user is not None:
            log.info("authenticated", **about, user=user.name)
            return dialogue.welcome(user)
        # A name that is not ours may be a password typed into the wrong field.
        known = reception.credentials.knows(credentials.username)
        log.warning("auth_failed", **about, user=credentials.username if known else None)
        await self._let_wait(reception.limits.login_failed(dialogue.client.address))
        shut_out = reception.limits.is_shut_out(dialogue.client.address)
        if shut_out:
            log.warning("auth_shut_out", **about)
        return dialogue.refuse_credentials(
            replies.AUTH_SHUT_OUT if shut_out else replies.AUTH_FAILED
        )

    async def _let_wait(self, seconds: float) -> None:
        """Answer late; not when the client has gone meanwhile."""
        until = self.loop.time() + seconds
        timer = self.loop.call_later(seconds, self._wake)
        try:
            while self.loop.time() < until and not self._gone:
                await self._event()
        finally:
            timer.cancel()

    def _begin_data(self) -> None:
        """Say 354: what follows is content."""
        self._say(replies.SEND_DATA)
        self._begin_letter()
        self._begun = self._data = DataReader(self._rules.max_message_size)
        self._read_content(self._data, self._lines.take_rest())

    async def _letter(self) -> Reply:
        """Read the data that has begun, and have the letter taken."""
        data = cast("DataReader", self._begun)
        try:
            await self._whole(data)
            return await self._end_of_letter(data)
        finally:
            self._begun = None
            self._hold(0)

    async def _chunk(self, chunk: BdatCommand, reply: Reply) -> Reply:
        """
        Read the octets that follow BDAT, and have the letter taken when they are its last.

        They are read whatever becomes of them: what is content must never be taken for commands.
        """
        data = self._chunks
        if data is None:
            data = self._chunks = ChunkReader(self._rules.max_message_size)
            self._begin_letter()
        try:
            self._announce(data, chunk, kept=reply is replies.CHUNK_OK)
            self._data = data
            self._read_content(data, self._lines.take(chunk.octets))
            await self._whole(data)
            if reply is replies.CHUNK_OK:
                reply = self._refusal_of(data) or reply
            if reply is not replies.CHUNK_OK:
                self._chunks = None
                self._dialogue.refuse_chunks(reply, last=chunk.last)
            elif chunk.last:
                self._chunks = None
                reply = await self._end_of_letter(data)
            return reply
        finally:
            if self._chunks is None:
                self._hold(0)

    def _announce(self, data: ChunkReader, chunk: BdatCommand, *, kept: bool) -> None:
        """Make ready for the octets of a chunk; there may be no room for them."""
        data.expect(chunk.octets, last=chunk.last)
        full = not data.too_big and not self._reception.has_room(chunk.octets)
        self._no_memory = self._no_memory or full
        if full or not kept:
            data.swallow()

    async def _whole(self, data: DataReader | ChunkReader) -> None:
        """Wait for the end of content; what was read ahead of it is in already."""
        try:
            while not data.ended:
                await self._more()
        finally:
            self._data = None

    async def _end_of_letter(self, data: DataReader | ChunkReader) -> Reply:
        if self._gone:
            raise _Ended  # it will send the letter again, not knowing that we have it
        envelope = self._dialogue.take_envelope()
        return self._refusal_of(data) or await self._take(envelope, data)

    def _refusal_of(self, data: DataReader | ChunkReader) -> Reply | None:
        if data.too_big:
            return replies.message_too_big(self._rules.max_message_size)
        return replies.NO_MEMORY if self._no_memory else None

    def _drop_chunks(self) -> None:
        self._chunks = None
        self._hold(0)

    async def _take(self, envelope: Envelope, data: DataReader | ChunkReader) -> Reply:
        size = data.held
        self._send()
        self._taking = True
        try:
            # The content has no name here: intake makes another copy and can let this one go.
            taken = await self._reception.intake.take(
                Submission(
                    envelope, data.content(), self._listener, self._dialogue.client, data.repairs
                )
            )
            if isinstance(taken, Reply):
                reply = taken
            else:
                self._hold(0)  # it is on disk: who waits for a provider holds nobody's room
                reply = await taken.reply(lambda: self._gone)
        except asyncio.CancelledError:
            log.warning("taking_cut_short", **self._about(envelope, size))
            raise
        finally:
            self._taking = False
        if self._gone:
            log.info(
                "client_left_before_reply",
                **self._about(envelope, size),
                reply=f"{reply.code} {reply.text}",
            )
        return reply

    def _about(self, envelope: Envelope, size: int) -> dict[str, object]:
        """A letter that has no queue id yet, for the log."""
        return {
            "listener": self._listener,
            "client": self._dialogue.client.address,
            "reverse_path": str(envelope.reverse_path or ""),
            "recipients": len(envelope.recipients),
            "size": size,
        }

    def _begin_letter(self) -> None:
        """Its content follows, and its time begins."""
        self._no_memory = False
        self._progress = self._toward_quantum = 0
        self._progress_at = self.loop.time()
        self._expect(self._rules.data_timeout_s)

    def _note_progress(self, octets: int) -> None:
        """
        Give a letter that moves more time.

        A single octet buys none: who sends one now and then would hold a session, and with it what
        came before, for as long as he likes.
        """
        self._progress += octets
        if self._progress >= _PROGRESS:
            self._progress = 0
            self._progress_at = self.loop.time()
        self._toward_quantum += octets
        if self._toward_quantum >= self._rules.data_quantum:
            self._toward_quantum = 0
            self._expect(self._rules.data_timeout_s)

    def _read_content(self, data: DataReader | ChunkReader, chunk: bytes) -> None:
        self._note_progress(len(chunk))
        rest = data.feed(chunk)
        self._hold(data.held)
        if rest is not None:
            self._data = None
            self._lines.feed(rest)
            self._wake()
        elif not self._reception.has_room(0):
            self._no_memory = True
            data.swallow()
            self._hold(0)

    def _hold(self, octets: int) -> None:
        self._reception.hold(self, octets)

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
        """Wait for more input; raises `_Ended` where there will be none."""
        self._send()
        if self._choked:
            await self._until_read()
        if self._gone or self._eof or self._farewell is not None:
            raise _Ended
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
            within = self._data or self._chunks
            self._farewell = replies.IDLE if within is None else replies.DATA_STALLED
            self._wake()
        wait = self._deadline - now
        self._timer = self.loop.call_later(
            min(wait, self._shortest_wait) if wait > 0 else self._shortest_wait, self._watch
        )

    def _internal_error(self, error: Exception) -> Reply:
        """Log a surprise; the client learns no more than what to look for in the log."""
        reference = secrets.token_hex(4)
        log.error(
            "session_failed",
            reference=reference,
            listener=self._listener,
            client=self._dialogue.client.address,
            exc_info=error,
        )
        return replies.internal_error(reference)

    def _finish(self) -> None:
        self._done = True
        self._drop_chunks()
        if not self._wire.is_closing():
            self._wire.write(b"".join(self._out))
            self._wire.close()
        self._leave_when_over()

    def _leave_when_over(self) -> None:
        if self._gone and self._done:
            self._reception.leave(self, self._listener, self._address or "")


def handshake_trouble(error: BaseException) -> str:
    """Why TLS did not come about, in OpenSSL's word or the system's."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not TLS").replace("_", " ").lower()
    return getattr(error, "strerror", None) or "the client went away"
