"""
The tree of body parts: where each begins and ends, and what its header says of it.

A tree may be as broken as it comes: boundaries unnamed, missing or never closed. Octets are copied
once for each leaf, and decoded when asked for. What the parts are *for* is `letter`'s to say. Sits
on `header`, `parameter` and `transfer`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from providers.mime.header import decode_field, fields
from providers.mime.parameter import media_type, parse_parameters, safe_filename
from providers.mime.transfer import decoded

# Far beyond what people send. Each level searches the octets below it once more, and each part
# costs as much as a small letter, so both are bounded; what lies beyond is left in one piece.
MAX_DEPTH = 32
MAX_PARTS = 1000

_MAX_BOUNDARY = 1000  # octets; RFC 2046 5.1.1 allows 70
_DELIMITER_END = re.compile(rb"(--)?[ \t]*+(?:\r?\n|\Z)")
# A delimiter line that nobody announced, known by the header field that follows it.
_LIKELY_DELIMITER = re.compile(
    rb"(?<![^\n])--([^\s](?:[^\r\n]{0,200}[^\s])?)[ \t]*+\r?\nContent-", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Part:
    """
    A body part, or the letter as a whole.

    Attributes:
        content_type: `type/subtype` in lower case; `text/plain` where it is missing or malformed.
        parameters: Those of Content-Type, decoded, by name in lower case.
        disposition: The value of Content-Disposition in lower case, empty without one.
        filename: Safe to store under; empty when none was given.
        content_id: Without angle brackets.
        encoding: Content-Transfer-Encoding in lower case.
        body: The octets as sent; `None` when all ends with the header. Empty for a multipart that
            was taken apart.
        parts: Of a multipart, in order.
        is_whole: False when a limit left some of a multipart unread.
    """

    content_type: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    disposition: str = ""
    filename: str = ""
    content_id: str = ""
    encoding: str = ""
    body: bytes | None = b""
    parts: tuple[Part, ...] = ()
    is_whole: bool = True

    @property
    def content(self) -> bytes:
        """The octets that were meant, the transfer encoding undone; decoded at each call."""
        return decoded(self.body or b"", self.encoding)

    @property
    def is_multipart(self) -> bool:
        """Whether it consists of parts, be they none."""
        return self.content_type.startswith("multipart/")

    @property
    def is_file(self) -> bool:
        """Whether its header marks it as a file: it has a name, or is not shown inline."""
        return bool(self.filename) or self.disposition not in ("", "inline")

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing in it to see."""
        return not self.parts and (not self.body or self.body.isspace())


def read_structure(content: bytes) -> tuple[list[tuple[bytes, bytes]], Part]:
    """
    Take a letter apart, whatever its state.

    Returns:
        The header fields of the letter, as written, and its tree.
    """
    found, body = fields(content, 0, len(content))
    return found, _Reader(content).part(found, body, len(content), 0, "text/plain")


class _Reader:
    """One pass over one letter; counts the parts on the way."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._parts_left = MAX_PARTS

    def part(
        self,
        found: list[tuple[bytes, bytes]],
        start: int | None,
        end: int,
        depth: int,
        default_type: str,
    ) -> Part:
        """The part with these header fields and its body between two offsets, `None` for none."""
        values: dict[bytes, bytes] = {}
        for name, value in found:
            if name[:8].lower() == b"content-":
                values.setdefault(name[8:].lower(), value)
        written, parameters = parse_parameters(values.get(b"type", b""))
        content_type = media_type(written) or default_type
        if content_type.startswith("multipart/") and start is not None:
            return self._multipart(content_type, parameters, start, end, depth)
        disposition, more = parse_parameters(values.get(b"disposition", b""))
        return Part(
            content_type,
            parameters,
            disposition,
            safe_filename(more.get("filename") or parameters.get("name") or ""),
            decode_field(values[b"id"]).strip("<> ") if b"id" in values else "",
            _encoding(values.get(b"transfer-encoding", b"")),
            None if start is None else self._content[start:end],
        )

    def _multipart(
        self, content_type: str, parameters: Mapping[str, str], start: int, end: int, depth: int
    ) -> Part:
        if depth == MAX_DEPTH:
            return Part(content_type, is_whole=False)
        default_type = "message/rfc822" if content_type == "multipart/digest" else "text/plain"
        parts: list[Part] = []
        is_whole = True
        boundary = parameters.get("boundary", "")
        for part_start, part_end in part_ranges(self._content, boundary, start, end):
            if not self._parts_left:
                is_whole = False
                break
            self._parts_left -= 1
            found, body = fields(self._content, part_start, part_end)
            parts.append(self.part(found, body, part_end, depth + 1, default_type))
        if not parts and is_whole and (text := self._content[start:end]).strip():
            return Part("text/plain", body=text)  # never a multipart, whatever it was called
        return Part(content_type, parameters, parts=tuple(parts), is_whole=is_whole)


def part_ranges(content: bytes, boundary: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where the parts of a multipart lie, by the boundary announced or by one that is there."""
    octets = boundary.encode()[:_MAX_BOUNDARY]
    if not octets or content.find(b"--" + octets, start, end) < 0:
        likely = _LIKELY_DELIMITER.search(content, start, end)
        if likely is None:
            return
        octets = likely[1]
    yield from _between(content, b"--" + octets, start, end)


def _between(content: bytes, delimiter: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """
    The ranges that delimiter lines begin, each without the line end before the next delimiter.

    The last one reaches to the end when it is not closed. Parts after a closing delimiter count:
    some programs that append files to a letter leave it where it was.
    """
    begin: int | None = None
    at = content.find(delimiter, start, end)
    while at >= 0:
        after = at + len(delimiter)
        starts_line = at == start or content[at - 1] == 10
        if starts_line and (line_end := _DELIMITER_END.match(content, after, end)):
            if begin is not None:
                yield begin, _before_line_end(content, begin, at)
            after = line_end.end()
            begin = None if line_end[1] else after
        at = content.find(delimiter, after, end)
    if begin is not None:
        yield begin, end


def _before_line_end(content: bytes, begin: int, at: int) -> int:
    if at - 2 >= begin and content[at - 2 : at] == b"\r\n":
        return at - 2
    return max(begin, at - 1)


def _encoding(raw: bytes) -> str:
    """The name of a transfer encoding, without what some put after it."""
    return decode_field(raw).lower().partition(";")[0].strip()
