"""
The end of data: from chunks off the wire to the content of a letter, exact at any chunk boundary.

Sans-IO. Data ends at CRLF.CRLF and nowhere else, so that no other sequence can smuggle a second
letter in (trap T18). Works on whole chunks with what C does fast: a letter costs one search, one
look at its line ends and one join, whatever the number of its lines. `session` feeds it.
"""

from __future__ import annotations

import re
from io import IncrementalNewlineDecoder

_END = b"\r\n.\r\n"
_LINE_OF_DOT = b"\r\n."
_MOST_CHUNKS = 1024
# The whole run from its first CR on: without the look behind, a long run costs its square.
_DOUBLED_CR = re.compile(rb"(?<!\r)\r{2,}+\n")


class DataReader:
    """
    Collects what follows 354 until the line with a lone dot.

    Args:
        max_octets: Largest content to take, as RFC 1870 counts: CRLF line ends, dots removed.

    Attributes:
        too_big: The content is larger than that. It was read to its end and is not kept.
        repairs: How many bare CR and bare LF the content held; known at the end.
        held: Octets kept at the moment.
        ended: The end was seen.
    """

    __slots__ = (
        "_blocks",
        "_carry",
        "_chunks",
        "_content",
        "_dots",
        "_line_ends",
        "_max_octets",
        "_room",
        "_swallowing",
        "ended",
        "held",
        "repairs",
        "too_big",
    )

    def __init__(self, max_octets: int) -> None:
        self._max_octets = max_octets
        # Of the lines that dots make longer, `..` grows most: from three octets to four.
        self._room = max_octets * 4 // 3 + len(_END)
        # The last octets seen, where an end may have begun. The line with 354 ended before them.
        self._carry = b"\r\n"
        self._chunks: list[bytes] = []
        self._blocks: list[bytes] = []
        self._dots = False
        self._line_ends = IncrementalNewlineDecoder(None, translate=False)
        self._swallowing = False
        self._content = b""
        self.ended = False
        self.held = 0
        self.repairs = 0
        self.too_big = False

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
            self._finish()
        return chunk[end:]

    def content(self) -> bytes:
        """
        Give the content away: CRLF line ends only, dots removed, empty or ended by CRLF.

        For once, after the end was seen; the reader holds nothing from then on. Empty when the
        letter was too big or swallowed.
        """
        content, self._content, self.held = self._content, b"", 0
        return content

    def swallow(self) -> None:
        """Keep nothing of this letter: what is held goes, the rest is read and dropped."""
        self._swallowing = True
        self._chunks.clear()
        self._blocks.clear()
        self.held = 0

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

    def _keep(self, chunk: bytes) -> None:
        if self._swallowing:
            return
        self.held += len(chunk)
        if self.held > self._room:
            self.too_big = True
            self.swallow()
            return
        # The standard library's universal newlines: one pass in C that tells CR, LF and CRLF apart.
        self._line_ends.decode(chunk.decode("latin-1"))
        self._chunks.append(chunk)
        if len(self._chunks) == _MOST_CHUNKS:
            # Chunks of a few octets would take many times their size in memory.
            self._blocks.append(b"".join(self._chunks))
            self._chunks.clear()

    def _finish(self) -> None:
        self._drop_last(len(_END) - len(b"\r\n"))
        content = b"".join((*self._blocks, *self._chunks))
        self._blocks.clear()
        self._chunks.clear()
        if self._dots:
            content = _without_dots(content)
        self._line_ends.decode("", final=True)
        if self._line_ends.newlines not in (None, "\r\n"):
            self.repairs = _bare_line_ends(content)
            content = _with_whole_line_ends(content)
        self.held = len(content)
        if self.held > self._max_octets:
            self.too_big = True
            self.held = 0
        else:
            self._content = content

    def _drop_last(self, octets: int) -> None:
        """Take octets off the end of what is held, without a copy of the rest."""
        parts = self._chunks or self._blocks
        while octets:
            last = parts.pop()
            if len(last) > octets:
                parts.append(last[:-octets])
                return
            octets -= len(last)
            parts = self._chunks or self._blocks


def _without_dots(content: bytes) -> bytes:
    """Undo the transparency of RFC 5321 4.5.2."""
    if content.startswith(b"."):
        content = content[1:]
    return content.replace(_LINE_OF_DOT, b"\r\n")


def _bare_line_ends(content: bytes) -> int:
    return content.count(b"\r") + content.count(b"\n") - 2 * content.count(b"\r\n")


def _with_whole_line_ends(content: bytes) -> bytes:
    """
    Make every line end a CRLF: bare LF, bare CR, and several CR before an LF.

    The last is what a CRLF becomes when it is written in text mode; read as two line ends, it would
    cut the header off after its first line.
    """
    if b"\r\r\n" in content:
        content = _DOUBLED_CR.sub(b"\r\n", content)
    return content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
