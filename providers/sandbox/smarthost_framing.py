"""
The imitated smarthost's octets: command lines and content taken apart, replies put on the wire.

Every line is answered the moment it is read, so that whatever still lies in the buffer was sent
without waiting for the reply: that is how commands pipelined without leave, text before 354 and
plain text behind STARTTLS are caught. It must not know what commands mean; that is its heir's,
`smarthost_session`.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from enum import Enum, auto
from typing import cast

from providers.sandbox.smarthost_syntax import Objection, longest_line, text_from_line

_END_OF_DATA = b"\r\n.\r\n"
_MAX_CONTENT = 64 << 20  # octets read of a letter at most, whatever SIZE says
# The others end a group (RFC 2920 3.1); what follows BDAT is its chunk (RFC 3030 2).
_PIPELINABLE = frozenset({"MAIL", "RCPT", "RSET"})
_BABBLE = b"x" * 65536
_MAX_BABBLE = 1 << 30


class Mode(Enum):
    """What the next octets are."""

    COMMAND = auto()
    AUTH = auto()  # a response of the AUTH exchange
    CONTENT = auto()
    CHUNK = auto()  # so many octets of content, whatever they are
    HANDSHAKE = auto()  # they wait until TLS stands
    DEAF = auto()  # nothing: read and never answered


class Framing(asyncio.Protocol):
    """A connection that hands whole lines and whole content to its heir."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.mode = Mode.COMMAND
        self.offered: frozenset[str] = frozenset()
        self.buffer = bytearray()
        self._searched = 0  # how far the content was searched for its end
        self._chunk = 0  # octets of the chunk that is being read
        self._babbled = 0  # octets of an endless reply
        self._paused = False

    # What the heir does.

    @abstractmethod
    def obey(self, verb: str, argument: str) -> None:
        """Carry out a command; may raise an `Objection`."""

    @abstractmethod
    def respond(self, response: str) -> None:
        """Take a response of the AUTH exchange; may raise an `Objection`."""

    @abstractmethod
    def content_begins(self) -> bool:
        """Some content came; whether to read on."""

    @abstractmethod
    def judge(self, wire: bytes) -> None:
        """Answer the final dot of this content, its dots still doubled; may raise."""

    @abstractmethod
    def take_chunk(self, octets: bytes) -> None:
        """Answer a chunk of content; may raise an `Objection`."""

    @abstractmethod
    def violate(self, rule: str) -> None:
        """Note a rule that the client broke."""

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take whatever is whole: a line, or content up to its end."""
        if self.mode is not Mode.DEAF:
            self.buffer += data
            self.proceed()

    def pause_writing(self) -> None:
        """The client does not read as fast as it is told."""
        self._paused = True

    def resume_writing(self) -> None:
        """The client took some of an endless reply: give it more."""
        self._paused = False
        if self._babbled:
            asyncio.get_running_loop().call_soon(self._go_on_babbling)

    # Octets in.

    def proceed(self) -> None:
        """Take what the buffer holds."""
        more = True
        while (
            more
            and (self.buffer or self._is_empty_chunk)
            and self.mode not in (Mode.DEAF, Mode.HANDSHAKE)
        ):
            try:
                more = self._take()
            except Objection as objection:
                self._object(objection)

    @property
    def _is_empty_chunk(self) -> bool:
        return self.mode is Mode.CHUNK and not self._chunk

    def _take(self) -> bool:
        if self.mode is Mode.CONTENT:
            return self._take_content()
        return self._take_chunk() if self.mode is Mode.CHUNK else self._take_line()

    def _take_line(self) -> bool:
        end = self.buffer.find(b"\n")
        verb = "AUTH" if self.mode is Mode.AUTH else self.buffer[:4].decode("latin-1").upper()
        if (end + 1 or len(self.buffer)) > longest_line(verb, self.offered):
            self.violate("a command line that is too long")
            self.close_after("500 5.5.2 Line too long")
            return False
        if end < 0:
            return False
        line = bytes(self.buffer[: end + 1])
        del self.buffer[: end + 1]
        text = text_from_line(line.removesuffix(b"\r\n"), utf8="SMTPUTF8" in self.offered)
        if self.mode is Mode.AUTH:
            self.respond(text)
            return True
        verb, _, argument = text.partition(" ")
        may_go_on = "PIPELINING" in self.offered and verb.upper() in _PIPELINABLE
        if self.buffer and not may_go_on and verb.upper() != "BDAT":
            rule = {"DATA": "text sent before 354", "STARTTLS": "plain text sent behind STARTTLS"}
            self._impatient(rule.get(verb.upper(), "commands sent before a reply"))
            return False
        self.obey(verb.upper(), argument)
        return True

    def begin_content(self) -> None:
        """What comes from here on is content."""
        self.mode = Mode.CONTENT
        self._searched = 0

    def _take_content(self) -> bool:
        if not self.content_begins():
            return False
        if self.buffer.startswith(b".\r\n"):
            end, after = 0, 3
        else:
            found = self.buffer.find(_END_OF_DATA, max(0, self._searched - len(_END_OF_DATA)))
            self._searched = len(self.buffer)
            if found < 0:
                if self._searched > _MAX_CONTENT:
                    self.close_after("552 5.3.4 Message too large")
                return False
            end, after = found + 2, found + len(_END_OF_DATA)
        wire = bytes(self.buffer[:end])
        del self.buffer[:after]
        self.mode = Mode.COMMAND
        if self.buffer and "PIPELINING" not in self.offered:
            self._impatient("commands sent before the final dot was answered")
            return False
        self.judge(wire)
        return True

    def begin_chunk(self, octets: int) -> None:
        """So many octets from here on are a chunk of content."""
        self.mode = Mode.CHUNK
        self._chunk = octets

    def _take_chunk(self) -> bool:
        if not self.content_begins() or len(self.buffer) < self._chunk:
            return False
        octets = bytes(self.buffer[: self._chunk])
        del self.buffer[: self._chunk]
        self.mode = Mode.COMMAND
        if self.buffer and "PIPELINING" not in self.offered:
            self._impatient("commands sent before the chunk was answered")
            return False
        self.take_chunk(octets)
        return True

    def _impatient(self, rule: str) -> None:
        self.violate(rule)
        self.close_after("503 5.5.0 Wait for the reply")

    def _object(self, objection: Objection) -> None:
        if objection.violation:
            self.violate(objection.violation)
        if self.mode is Mode.AUTH:
            self.mode = Mode.COMMAND
        self.reply(objection.code, objection.status, objection.text)

    # Octets out.

    def reply(self, code: int, status: str, text: str) -> None:
        """A reply of one line; `status` goes along where it was offered."""
        enhanced = f"{status} " if "ENHANCEDSTATUSCODES" in self.offered else ""
        self.line(f"{code} {enhanced}{text}")

    def line(self, line: str) -> None:
        """One line as it stands."""
        self.transport.write(line.encode() + b"\r\n")

    def close_after(self, line: str) -> None:
        """One last line."""
        self.line(line)
        self.buffer.clear()
        self.mode = Mode.DEAF
        self.transport.close()

    def abort(self) -> None:
        """Break the connection."""
        self.mode = Mode.DEAF
        self.transport.abort()

    def babble(self) -> None:
        """A reply line without an end, as fast as the client takes it."""
        self.mode = Mode.DEAF
        self.transport.write(b"250-")
        self._go_on_babbling()

    def _go_on_babbling(self) -> None:
        while not self._paused and self._babbled < _MAX_BABBLE:
            if self.transport.is_closing():
                return
            self.transport.write(_BABBLE)
            self._babbled += len(_BABBLE)
