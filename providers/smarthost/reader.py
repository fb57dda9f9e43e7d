"""
Octets from the server become replies, however TCP cut them.

Sans-IO: bytes in, `Reply` values out. Bounded: what is kept of an unfinished reply never exceeds
`MAX_REPLY`, whatever the server sends. Used by `dialogue`.
"""

from __future__ import annotations

from collections.abc import Iterator

from providers.smarthost.replies import Reply, one_line

# A final reply names a pair of at most some 350 octets for each of 100 recipients.
MAX_REPLY = 64 << 10

_CODES = {str(code).encode(): code for code in range(200, 600)}
_MARKS = (b" ", b"-", b"")  # the last line, more follow, a line of the code alone


class UnreadableReply(Exception):
    """What came is no reply of SMTP; the text is its beginning, one printable line."""


class ReplyReader:
    """
    Collects octets until replies are whole.

    After `UnreadableReply` the place of the next reply is unknown and the connection of no use.
    """

    def __init__(self) -> None:
        self._code = 0  # of the latest line
        self._rest = b""  # an unfinished line
        self._lines: list[str] = []  # of an unfinished reply
        self._size = 0  # octets of these lines

    def feed(self, data: bytes) -> Iterator[Reply]:
        """
        Take octets; yields the replies that they complete, and must be exhausted.

        A line may end in a bare LF, as RFC 5321 does not allow but some servers do.

        Raises:
            UnreadableReply: A line does not begin with a code, the codes within a reply differ, or
                it exceeds `MAX_REPLY` octets. The replies before it were yielded.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        for octets in lines:
            line = octets.removesuffix(b"\r")
            self._size += len(octets) + 1
            if self._size > MAX_REPLY:
                raise UnreadableReply(f"a reply without an end: {_shown(line)}")
            code, mark = _CODES.get(line[:3], 0), line[3:4]
            if not code or mark not in _MARKS:
                raise UnreadableReply(f"not a reply: {_shown(line)}")
            if self._lines and code != self._code:
                raise UnreadableReply(f"two codes in one reply: {_shown(line)}")
            self._code = code
            self._lines.append(str(line[4:], "utf-8", "replace"))
            if mark != b"-":
                reply = Reply(code, tuple(self._lines))
                self._lines = []
                self._size = 0
                yield reply
        if self._size + len(self._rest) > MAX_REPLY:
            raise UnreadableReply(f"a reply without an end: {_shown(self._rest)}")


def _shown(line: bytes) -> str:
    return one_line(line[:200].decode("utf-8", "replace"))
