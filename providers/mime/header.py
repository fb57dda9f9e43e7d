"""
The header block: where it ends, its fields one by one, and their values as text.

`header_block` and `find_field` serve the hot path: they search the octets and build nothing else.
`decode_field` makes text of whatever senders put into a field. Structured fields (addresses,
parameters) are read by `mailbox` and `parameter`. Sits on `charset` and `transfer`.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

from providers.mime.charset import text_from
from providers.mime.transfer import from_base64

# RFC 5322 2.2: printable ASCII but the colon; blanks before the colon are its obsolete syntax.
_FIELD = re.compile(rb"([!-9;-~]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)(?:\n|\Z)")
_FIELDS = re.compile(b"^" + _FIELD.pattern, re.MULTILINE)
# What mbox files and some pipes put before the first field.
_FROM_LINE = re.compile(rb">?From [^\n]*+\n")
_LINE_END = re.compile(rb"\r?\n")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_LINE_BREAK_OCTETS = re.compile(rb"\r\n|[\r\n]")
_VALUE = re.compile(rb"[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)")

# RFC 2047, and what is written in its name: blanks inside, any length, `?` left as it is in Q. The
# text ends where the next word begins even if its own end is missing, so that time stays linear.
_ENCODED_WORD = re.compile(
    rb"=\?[ \t]*+([^?\s]{1,60})[ \t]*+\?[ \t]*+([bBqQ])[ \t]*+\?"
    rb"((?:[^?=]|\?(?!=)|=(?!\?[^=?]))*+)\?="
)
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
_LINE_BREAK = re.compile("\r\n|[\t\n\x0b\x0c\r\x85\u2028\u2029]")


def header_block(content: bytes) -> bytes:
    """
    The header fields with their line ends, up to and without the empty line that ends them.

    `content[len(header_block(content)):]` begins with that empty line. Empty when the content
    begins with it; the whole content when there is none. Line ends may be CRLF or bare LF.
    """
    return content[: _header_end(content)]


def find_field(content: bytes, name: str) -> bytes | None:
    """
    The first value of a header field, without decoding anything.

    Args:
        content: A whole letter, or its header block.
        name: In any case.

    Returns:
        The value unfolded (the line ends removed, RFC 5322 2.2.3), without blanks around it;
        `None` when there is no such field.
    """
    header = header_block(content)
    line = b"\n" + name.lower().encode()
    lines = b"\n" + header.lower()
    at = lines.find(line)
    while at >= 0:
        if match := _VALUE.match(header, at + len(line) - 1):
            return unfolded(match[1])
        at = lines.find(line, at + 1)
    return None


def fields(content: bytes, start: int, end: int) -> tuple[list[tuple[bytes, bytes]], int | None]:
    """
    The header fields of a letter or a body part that lies between two offsets.

    Returns:
        Names as written with their raw values, in order, and the offset of the body. A line that is
        no field ends the header and belongs to the body, so that nothing is lost where the empty
        line was forgotten. The offset is `None` when the header is all there is.
    """
    at = start
    if from_line := _FROM_LINE.match(content, start, end):
        at = from_line.end()
    found = []
    while match := _FIELD.match(content, at, end):
        found.append((match[1], match[2]))
        at = match.end()
    if at == end:
        return found, None
    empty_line = _LINE_END.match(content, at, end)
    return found, empty_line.end() if empty_line else at


def whole_header(content: bytes) -> tuple[list[tuple[bytes, bytes]], int] | None:
    """
    The header fields of a letter of which nothing is wrong, faster than `fields`.

    Returns:
        The same fields, and the offset of the body behind the empty line. `None` when the letter
        has CR or LF alone, no empty line, or a line in its header that is no field.
    """
    end = content.find(b"\r\n\r\n") + 2
    if end < 2:
        return None
    found = _FIELDS.findall(content, 0, end)
    count = content.count
    folds = count(b"\n ", 0, end) + count(b"\n\t", 0, end)
    return (found, end + 2) if len(found) == count(b"\n", 0, end) - folds else None


def unfolded(raw: bytes) -> bytes:
    """A raw value on one line (RFC 5322 2.2.3), without the blanks around it."""
    raw = raw.strip(b" \t\r\n")
    if b"\n" in raw or b"\r" in raw:
        raw = _LINE_BREAK_OCTETS.sub(b" ", _FOLD.sub(b"", raw))
    return raw


def decode_field(raw: bytes | str) -> str:
    """
    The text of an unstructured value, display-name or file name.

    Encoded words (RFC 2047) are decoded wherever they stand, also inside words and quotes, and also
    such as are broken: blanks inside, no padding, characters split between neighbours. Raw octets
    above 127 are UTF-8 where they can be, and guessed otherwise.

    Returns:
        One line without control characters and without blanks around it.
    """
    octets = unfolded(_octets(raw) if isinstance(raw, str) else raw)
    if b"=?" in octets:
        return one_line("".join(_decoded_pieces(octets)))
    if octets.isascii() and b"\x1b" not in octets:  # nothing to guess: no ISO-2022 without ESC
        text = octets.decode("ascii")
        return text if text.isprintable() else one_line(text)
    return one_line(text_from(octets, None))


def one_line(text: str) -> str:
    """The text with tabs and line breaks as blanks, and other control characters removed."""
    if not text.isprintable():
        text = _CONTROL.sub("", _LINE_BREAK.sub(" ", text))
    return text.strip(" ")


def _header_end(content: bytes) -> int:
    """The offset of the empty line, or of the end."""
    if content.startswith((b"\r\n", b"\n")):
        return 0
    end = content.find(b"\n\r\n") + 1 or len(content)
    return content.find(b"\n\n", 0, end) + 1 or end


def _octets(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def _decoded_pieces(octets: bytes) -> Iterator[str]:
    """
    The text between encoded words and that of the words, in turn.

    Neighbouring words of one charset are decoded as one: a character may be split between them.
    """
    at = 0
    pending = bytearray()
    charset: str | None = None
    for word in _ENCODED_WORD.finditer(octets):
        label = word[1].partition(b"*")[0].lower().decode("latin-1")  # RFC 2231 5: a language
        between = octets[at : word.start()]
        apart = not at or between.strip()  # blanks between words are not shown, RFC 2047 6.2
        if pending and (apart or label != charset):
            yield text_from(bytes(pending), charset)
            pending.clear()
        if apart and between:
            yield text_from(between, None)
        charset = label
        pending += _word_octets(word[2], word[3])
        at = word.end()
    yield text_from(bytes(pending), charset)
    if at < len(octets):
        yield text_from(octets[at:], None)


def _word_octets(encoding: bytes, text: bytes) -> bytes:
    if encoding in b"Bb":
        return from_base64(text)
    return binascii.a2b_qp(text, header=True)
