"""
The end of a letter's octets: from chunks off the wire to content, exact at any chunk boundary.

Sans-IO. After 354, data ends at CRLF.CRLF and nowhere else, so that no other sequence can smuggle a
second letter in (trap T18). After BDAT (RFC 3030) it ends where its size says, whatever the octets
are. A letter costs one search, one look at its line ends and one join, whatever the number of its
lines. `session` feeds both readers; what they gather is in `content`.
"""

from __future__ import annotations

from gateway.ingress.content import GatheredContent

_END = b"\r\n.\r\n"
_LINE_OF_DOT = b"\r\n."


class DataReader(GatheredContent):
    """
    Collects what follows 354 until the line with a lone dot; dots for transparency are removed.

    Attributes:
        ended: The end was seen.
    """

    __slots__ = ("_carry", "_dots", "ended")

    def __init__(self, max_octets: int) -> None:
        # Of the lines that dots make longer, `..` grows most: from three octets to four.
        super().__init__(max_octets, max_octets * 4 // 3 + len(_END), dots_are_doubled=True)
        # The last octets seen, where an end may have begun. The line with 354 ended before them.
        self._carry = b"\r\n"
        self._dots = False
        self.ended = False

    def feed(self, chunk: bytes) -> bytes | None:
        """
        Read on.

        Returns:
            `None` while the end is not seen; else what follows it, the next commands. Not to be
            called again after that.
        """
        end = self._find_end(chunk)
        if end is None:
            self._keep(chunk)
            return None
        self.ended = True
        self._keep(chunk[:end])
        if not self._swallowing:
            self._drop_last(len(_END) - len(b"\r\n"))
            self._finish(dots=self._dots)
        return chunk[end:]

    def _find_end(self, chunk: bytes) -> int | None:
        """How many octets of the chunk belong to the data, its end included."""
        carry = self._carry
        self._carry = chunk[-4:] if len(chunk) >= 4 else (carry + chunk)[-4:]
        seam = carry + chunk[:4]
        dot = seam.find(_LINE_OF_DOT)
        if dot >= 0:
            found = seam.find(_END, dot)
            self._dots = self._dots or found != dot
            if found >= 0:
                return found + len(_END) - len(carry)
        # To look for one octet is the fastest search there is, and base64 has no dots at all.
        any_dot = chunk.find(b".")
        dot = chunk.find(_LINE_OF_DOT, max(0, any_dot - 2)) if any_dot >= 0 else -1
        if dot < 0:
            return None
        found = chunk.find(_END, dot)
        self._dots = self._dots or found != dot
        return None if found < 0 else found + len(_END)


class ChunkReader(GatheredContent):
    """
    Collects the chunks of one letter, one BDAT after another.

    Attributes:
        ended: The chunk that was announced last is whole.
    """

    __slots__ = ("_last", "_missing", "ended")

    def __init__(self, max_octets: int) -> None:
        super().__init__(max_octets, max_octets, dots_are_doubled=False)
        self._missing = 0
        self._last = False
        self.ended = True

    def expect(self, octets: int, *, last: bool) -> None:
        """A BDAT was read: so many octets belong to the letter, and with `last` they end it."""
        self._missing = octets
        self._last = last
        self.ended = False
        if self.held + octets > self._max_octets:
            self.too_big = True
            self.swallow()

    def feed(self, chunk: bytes) -> bytes | None:
        """
        Read on; to be called with what there is, be it nothing, after each `expect`.

        Returns:
            `None` while the chunk is not whole; else what follows it, the next commands.
        """
        missing = self._missing
        if len(chunk) < missing:
            self._missing = missing - len(chunk)
            self._keep(chunk)
            return None
        self._missing = 0
        self.ended = True
        self._keep(chunk[:missing])
        if self._last:
            self._finish(dots=False)
        return chunk[missing:]
