"""
A letter written anew where SMTP cannot carry it as it stands, so that it decodes to the same.

Lines over 998 octets, NUL, and raw octets above 127 in header fields, at any depth. Parts without
such trouble stay octet for octet, and nothing within a signature is touched at all. For the few
letters of which a scan says that they need it (`has_long_line` is that scan). Pure; sits on
`structure` and `write`.
"""

from __future__ import annotations

import binascii
import re
from base64 import encodebytes
from dataclasses import dataclass

from providers.mime.header import decode_field, fields
from providers.mime.mailbox import parse_mailboxes
from providers.mime.parameter import media_type, parse_parameters
from providers.mime.structure import MAX_DEPTH, MAX_PARTS, part_ranges
from providers.mime.transfer import decoded
from providers.mime.write import (
    MAX_LINE,
    folded,
    mailboxes_value,
    parameters_value,
    unstructured,
)

_SIGNED = "multipart/signed"
_LETTERS = frozenset(("message/rfc822", "message/global"))
_NO_ENCODING = frozenset(("", "7bit", "8bit", "binary"))
_KNOWN_ENCODINGS = _NO_ENCODING | {"quoted-printable", "base64"}
_ADDRESS_FIELDS = frozenset(
    f"{resent}{name}"
    for resent in ("", "resent-")
    for name in ("from", "sender", "reply-to", "to", "cc", "bcc")
)
_PARAMETER_FIELDS = frozenset(("content-type", "content-disposition"))
_FREE_TEXT = frozenset(("subject", "comments"))
_TOKEN = re.compile(r"[a-z0-9!#$%&'*+.^_`{|}~-]+\Z")
_ENDLESS_WORD = re.compile(rb"[^ \t\r\n]{900}")
_PLAIN = bytes(range(32, 127)) + b"\t\r\n"
_PIECE = re.compile(rb"[^\r\n]{1,%d}" % MAX_LINE)


class SealedPart(Exception):
    """A signed part needs to be changed, and must not be."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """
    The letter as it can be carried, and what there was to mend.

    `long_lines` of bodies, `long_header_lines`, `nuls`, `eight_bit_fields`: whether there were any.
    """

    content: bytes
    long_lines: bool
    long_header_lines: bool
    nuls: bool
    eight_bit_fields: bool


def has_long_line(octets: bytes, start: int = 0) -> bool:
    """
    Whether a line from `start` on is over 998 octets, its CRLF not counted.

    Looks for the last line end of each thousand octets and at nothing else.
    """
    length, find_last = len(octets), octets.rfind
    while length - start > MAX_LINE:
        end = find_last(b"\n", start, start + MAX_LINE + 2)
        if end < 0:
            return True
        start = end + 1
    return False


def rewrite(content: bytes, *, utf8: bool = False) -> Rewritten:
    """
    Write a letter anew where it must be.

    Args:
        content: A whole letter with CRLF line ends.
        utf8: Header fields may be UTF-8 (RFC 6532): the letter travels with SMTPUTF8.

    Returns:
        A letter of lines of at most 998 octets, without NUL, its header fields ASCII (or UTF-8),
        of which every part decodes to what it was. Where there is no way to encode (text around
        the parts of a multipart, parts beyond all limits), long lines are cut and NUL goes.

    Raises:
        SealedPart: Something within a multipart/signed would have to change.

    Time is linear in the size.
    """
    writer = _Writer(content, utf8=utf8)
    writer.entity(0, len(content), 0)
    return Rewritten(
        b"".join(writer.out),
        writer.long_lines,
        writer.long_header_lines,
        writer.nuls,
        writer.eight_bit_fields,
    )


class _Writer:
    """One pass over one letter; `out` are the pieces of the new one."""

    def __init__(self, content: bytes, *, utf8: bool) -> None:
        self.out: list[bytes] = []
        self.long_lines = False
        self.long_header_lines = False
        self.nuls = False
        self.eight_bit_fields = False
        self._content = content
        self._utf8 = utf8
        self._parts_left = MAX_PARTS

    def entity(self, start: int, end: int, depth: int) -> None:
        """The letter or a part of it, header and body, that lies between two offsets."""
        found, body = fields(self._content, start, end)
        values = {name.lower(): value for name, value in reversed(found)}
        written, parameters = parse_parameters(values.get(b"content-type", b""))
        content_type = media_type(written) or "text/plain"
        encoding = decode_field(values.get(b"content-transfer-encoding", b"")).lower()
        encoding = encoding.partition(";")[0].strip()
        if body is None:
            self._header(found)
        elif content_type.startswith("multipart/"):
            self._header(found)
            self.out.append(b"\r\n")
            self._multipart(content_type, parameters.get("boundary", ""), body, end, depth)
        elif content_type in _LETTERS and encoding in _NO_ENCODING and depth < MAX_DEPTH:
            self._header(found)
            self.out.append(b"\r\n")
            self.entity(body, end, depth + 1)
        else:
            self._leaf(found, content_type, encoding, self._content[body:end], depth)

    # Bodies.

    def _multipart(
        self, content_type: str, boundary: str, start: int, end: int, depth: int
    ) -> None:
        if content_type == _SIGNED:
            octets = self._content[start:end]
            if has_long_line(octets) or b"\0" in octets:
                raise SealedPart
            self.out.append(octets)
            return
        at = start
        if depth < MAX_DEPTH:
            for part_start, part_end in part_ranges(self._content, boundary, start, end):
                if not self._parts_left:
                    break
                self._parts_left -= 1
                self._between(at, part_start)
                self.entity(part_start, part_end, depth + 1)
                at = part_end
        self._between(at, end)

    def _between(self, start: int, end: int) -> None:
        """What no encoding reaches: delimiter lines, and what stands around the parts."""
        octets = self._content[start:end]
        if b"\0" in octets:
            self.nuls = True
        if has_long_line(octets):
            self.long_lines = True
        self.out.append(_cut(octets))

    def _leaf(
        self,
        found: list[tuple[bytes, bytes]],
        content_type: str,
        encoding: str,
        body: bytes,
        depth: int,
    ) -> None:
        long_lines, nuls = has_long_line(body), b"\0" in body
        if not long_lines and not nuls:
            self._header(found)
            self.out += (b"\r\n", body)
            return
        self.long_lines = self.long_lines or long_lines
        self.nuls = self.nuls or nuls
        if encoding not in _KNOWN_ENCODINGS:
            # Whoever reads it knows an encoding that we do not; or else it is none.
            self._header(found)
            self.out.append(b"\r\n")
            self.out.append(_cut(body))
            return
        plain = body if encoding in _NO_ENCODING else decoded(body, encoding)
        name, body = _encoded(plain, is_text=content_type.startswith(("text/", "message/")))
        kept = [field for field in found if field[0].lower() != b"content-transfer-encoding"]
        if depth == 0 and not any(key.lower() == b"mime-version" for key, _ in kept):
            kept.append((b"MIME-Version", b" 1.0\r"))
        kept.append((b"Content-Transfer-Encoding", b" " + name + b"\r"))
        self._header(kept)
        self.out += (b"\r\n", body)

    # Header fields.

    def _header(self, found: list[tuple[bytes, bytes]]) -> None:
        for name, value in found:
            self.out.append(self._field(name, value))

    def _field(self, name: bytes, value: bytes) -> bytes:
        key = name.decode("ascii")
        if b"\0" in value:
            self.nuls = True
            value = value.replace(b"\0", b"")
        value = value.rstrip(b"\r") + b"\r\n"
        if not value.isascii() and not (self._utf8 and _is_utf8(value)):
            self.eight_bit_fields = True
            return ascii_field(key, value, utf8=self._utf8)
        field = name + b":" + value
        if not has_long_line(field):
            return field
        self.long_header_lines = True
        if key.lower() in _FREE_TEXT and _ENDLESS_WORD.search(value):
            return unstructured(key, decode_field(value), encode=True)
        return folded(field)


def ascii_field(name: str, value: bytes, *, utf8: bool = False) -> bytes:
    """A header field in ASCII, whatever octets its value has; line end included."""
    key = name.lower()
    if key in _ADDRESS_FIELDS:
        written = mailboxes_value(parse_mailboxes(value), utf8=utf8)
    elif key in _PARAMETER_FIELDS:
        said, parameters = parse_parameters(value)
        # What is none means the default: RFC 2045 5.2, RFC 2183 2.8.
        known = media_type(said) or "text/plain" if key == "content-type" else _token(said)
        written = parameters_value(known, parameters)
    else:
        return unstructured(name, decode_field(value))
    return folded(name.encode() + b": " + written + b"\r\n")


def _token(word: str) -> str:
    return word if _TOKEN.match(word) else "attachment"


def _encoded(content: bytes, *, is_text: bool) -> tuple[bytes, bytes]:
    """The encoding for a body, and the body in it: text stays readable where it mostly is."""
    odd = len(content.translate(None, _PLAIN))
    # A line end other than CRLF, which an encoding brought here, only base64 takes on as it is.
    lines = content.count(b"\r\n")
    whole = lines == content.count(b"\r") == content.count(b"\n")
    if is_text and whole and odd * 6 < len(content):
        wire = binascii.b2a_qp(content, istext=True)
        # Its soft line breaks are bare LF unless the first line end it meets is a CRLF.
        return b"quoted-printable", wire.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return b"base64", encodebytes(content).replace(b"\n", b"\r\n")


def _cut(octets: bytes) -> bytes:
    """Lines of at most 998 octets, by force; NUL goes."""
    octets = octets.replace(b"\0", b"")
    return b"\r\n".join(b"\r\n".join(_PIECE.findall(line)) for line in octets.split(b"\r\n"))


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True
