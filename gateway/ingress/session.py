"""
One SMTP session: commands and letters, each with what has to be waited for.

What is said stands in `dialogue`, what a line and the end of data are in `lines` and `reader`, the
wire and its time in `connection`; here they come together. Replies to pipelined commands (RFC 2920)
leave together, before the session waits for anything.
"""

from __future__ import annotations

import asyncio
from typing import cast

import structlog

from gateway.ingress import replies
from gateway.ingress.commands import BdatCommand
from gateway.ingress.connection import Connection, Ended
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


class Session(Connection):
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
        super().__init__(reception, listener, loop, rules or reception.rules)
        self._lines = LineReader()
        self._data: DataReader | ChunkReader | None = None
        self._begun: DataReader | None = None
        self._chunks: ChunkReader | None = None
        self._progress = 0
        self._progress_at = 0.0
        self._toward_quantum = 0
        self._no_memory = False
        self._between_commands = False
        self._over = False

    # What the event loop tells.

    def _begin(self) -> None:
        self._dialogue = Dialogue(
            self._reception,
            self._address,
            self._rules,
            listener=self._listener,
            tls=self._secured,
        )
        self._say(replies.greeting(self._rules.hostname))
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
        asleep = self._between_commands and self._waiter is not None
        if asleep and not self._choked and self._dialogue.doubtful is None:
            self._answer_at_once()
        else:
            self._wake()

    # What the reception asks.

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
        except Ended:
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
            except Ended:
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
            if not dialogue.expects_command:
                break
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
            if reply is replies.LOOKED_UP:
                self._wake()
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
        dialogue = self._dialogue
        if line is None:
            return await (self._letter() if dialogue.doubtful is None else self._look_up())
        reply = dialogue.answer(line)
        if reply is replies.LOOKED_UP:
            return await self._look_up()
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
        """The next line; `None` where the data of a letter comes instead, or a doubt is settled."""
        while True:
            if self._draining and not self._dialogue.within_letter:
                self._farewell = replies.SHUTTING_DOWN
            if self._gone or self._over or self._farewell is not None:
                raise Ended
            if self._begun is not None or self._dialogue.doubtful is not None:
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
        tls = self._reception.tls
        assert tls is not None  # noqa: S101 - the dialogue has looked
        await self._shake_hands(tls.contexts[self._rules.tls_profile])
        self._dialogue.secured()
        self._expect(self._rules.command_timeout_s)

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

    async def _look_up(self) -> Reply:
        """The reply to a RCPT whose recipient may be on the suppression list."""
        rcpt, suppressions = self._dialogue.take_doubtful(), self._reception.suppressions
        self._send()
        if suppressions is not None and await suppressions.refuses(rcpt.forward_path):
            return replies.SUPPRESSED
        return self._dialogue.welcome_recipient(rcpt)

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
            raise Ended  # it will send the letter again, not knowing that we have it
        envelope = self._dialogue.take_envelope()
        return self._refusal_of(data) or await self._take(envelope, data)

    def _refusal_of(self, data: DataReader | ChunkReader) -> Reply | None:
        if data.too_big:
            return replies.message_too_big(self._rules.max_message_size)
        return replies.NO_MEMORY if self._no_memory else None

    def _lateness(self) -> Reply:
        within = self._data or self._chunks
        return replies.IDLE if within is None else replies.DATA_STALLED

    def _clear(self) -> None:
        self._drop_chunks()

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
