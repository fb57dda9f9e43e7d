"""
Command lines out of chunks off the wire.

Sans-IO, the sister of `reader`: that one has the data, this one everything before and after it.
Holds little: a line that grows too long is dropped while it comes.
"""

from __future__ import annotations

from enum import Enum

MAX_COMMAND_LINE = 2048
"""Octets of a command line without its line end; RFC 5321 4.5.3.1.4 asks for 512 with it."""


class LineFault(Enum):
    """A line that is no command line."""

    TOO_LONG = "too long"
    BARE_LF = "bare LF"
    NOT_TEXT = "not text"


class LineReader:
    """
    Splits input into lines that end with CRLF.

    A line that ends with a bare LF is a fault and not a line: who takes it for a line end gives an
    application that lets an LF through a second command it never meant.
    """

    __slots__ = ("_at", "_buffer", "_dropping")

    def __init__(self) -> None:
        self._buffer = b""
        self._at = 0
        self._dropping = False

    def feed(self, chunk: bytes) -> None:
        """Take more input; the caller stops reading when `pending` grows."""
        if not chunk:
            return
        if self._at == len(self._buffer):
            self._buffer, self._at = chunk, 0
        else:
            self._buffer, self._at = self._buffer[self._at :] + chunk, 0

    @property
    def pending(self) -> int:
        """Octets taken and not given out yet."""
        return len(self._buffer) - self._at

    def follows(self, prefixes: tuple[bytes, ...]) -> bool:
        """Whether what comes next begins so, as it stands."""
        return self._buffer.startswith(prefixes, self._at)

    def next(self) -> bytes | LineFault | None:
        """The next line without its line end, or what is wrong with it; `None`: not yet whole."""
        start = self._at
        if start == len(self._buffer):
            return None
        end = self._buffer.find(b"\n", start)
        if end < 0:
            return self._unfinished()
        self._at = end + 1
        if self._dropping or end - start > MAX_COMMAND_LINE + 1:
            self._dropping = False
            return LineFault.TOO_LONG
        if self._buffer[end - 1 : end] != b"\r":
            return LineFault.BARE_LF
        return self._buffer[start : end - 1]

    def take_rest(self) -> bytes:
        """Give out all that is pending: what follows is no command line."""
        rest = self._buffer[self._at :]
        self._buffer, self._at = b"", 0
        return rest

    def take(self, octets: int) -> bytes:
        """Give out at most so many octets of what is pending: they are no command line."""
        start = self._at
        self._at = min(start + octets, len(self._buffer))
        return self._buffer[start : self._at]

    def _unfinished(self) -> LineFault | None:
        if self._dropping or self.pending > MAX_COMMAND_LINE + 1:
            self._dropping = True
            self._buffer, self._at = b"", 0
            return None
        first = self._buffer[self._at : self._at + 1]
        # A TLS or SOCKS greeting need not hold a line end, and its client waits for an answer.
        if not (first.isalpha() or first.isspace()):
            return LineFault.NOT_TEXT
        return None
