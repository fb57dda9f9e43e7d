"""
The content of a letter as it is gathered: chunks in, one run of octets with CRLF line ends out.

Sans-IO. What DATA's reader and BDAT's have in common: the limit on what is kept, the look at line
ends, and their repair, so that no bare CR or LF goes on to anybody (trap T18). Works on whole
chunks with what C does fast. `reader` says which octets are content.
"""

from __future__ import annotations

import re
from io import IncrementalNewlineDecoder

_LINE_OF_DOT = b"\r\n."
_MOST_CHUNKS = 1024
_BLOCK_OCTETS = 2 << 20
# Clients whose lines end with a bare LF (smtplib given such octets) double the dots behind it too.
_DOUBLED_DOT = re.compile(rb"(?<!\r)\n\.\.")
# The whole run from its first CR on: without the look behind, a long run costs its square.
_DOUBLED_CR = re.compile(rb"(?<!\r)\r{2,}+\n")


class GatheredContent:
    """
    Collects content up to a limit.

    Args:
        max_octets: Largest content to take, as RFC 1870 counts: CRLF line ends, dots removed.
        most_on_the_wire: More octets than this cannot become so little content.
        dots_are_doubled: At the start of lines (RFC 5321 4.5.2), as they are in DATA alone.

    Attributes:
        too_big: The content is larger than that. It was read to its end and is not kept.
        repairs: How many bare CR and bare LF the content held; known at the end.
        held: Octets kept at the moment.
    """

    __slots__ = (
        "_blocks",
        "_chunks",
        "_content",
        "_dots_are_doubled",
        "_line_ends",
        "_loose",
        "_max_octets",
        "_room",
        "_swallowing",
        "held",
        "repairs",
        "too_big",
    )

    def __init__(self, max_octets: int, most_on_the_wire: int, *, dots_are_doubled: bool) -> None:
        self._dots_are_doubled = dots_are_doubled
        self._max_octets = max_octets
        self._room = most_on_the_wire
        self._chunks: list[bytes] = []
        self._blocks: list[bytes] = []
        self._loose = 0
        self._line_ends = IncrementalNewlineDecoder(None, translate=False)
        self._swallowing = False
        self._content = b""
        self.held = 0
        self.repairs = 0
        self.too_big = False

    def content(self) -> bytes:
        """
        Give the content away: CRLF line ends only, empty or ended by CRLF.

        For once, after the end was seen; nothing is held from then on. Empty when the letter was
        too big or swallowed.
        """
        content, self._content, self.held = self._content, b"", 0
        return content

    def swallow(self) -> None:
        """Keep nothing of this letter: what is held goes, the rest is read and dropped."""
        self._swallowing = True
        self._chunks.clear()
        self._blocks.clear()
        self.held = 0

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
        self._loose += len(chunk)
        if self._loose >= _BLOCK_OCTETS or len(self._chunks) == _MOST_CHUNKS:
            # Chunks of a few octets would take many times their size in memory. Those of large
            # letters would leave it full of holes, none of them large enough for a letter.
            self._blocks.append(b"".join(self._chunks))
            self._chunks.clear()
            self._loose = 0

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

    def _finish(self, *, dots: bool) -> None:
        """Make the content of what is held; `dots` that some of its lines begin with one more."""
        if self._swallowing:
            return
        content = b"".join((*self._blocks, *self._chunks))
        self._blocks.clear()
        self._chunks.clear()
        if dots:
            content = _without_dots(content)
        self._line_ends.decode("", final=True)
        if self._line_ends.newlines not in (None, "\r\n"):
            self.repairs = _bare_line_ends(content)
            if self._dots_are_doubled:
                content = _DOUBLED_DOT.sub(b"\n.", content)
            content = _with_whole_line_ends(content)
        if content and not content.endswith(b"\r\n"):
            content += b"\r\n"
        self.held = len(content)
        if self.held > self._max_octets:
            self.too_big = True
            self.held = 0
        else:
            self._content = content


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
