"""
A letter for a server that takes less than the letter uses: ASCII header fields, 7-bit bodies.

What has an encoding in MIME gets it (RFC 2045, 2047, 2231), and after decoding the letter is the
same; what has none is named. Nothing within a seal is touched, and all that is ASCII already stays
octet for octet. Pure; sits on `structure` and `write`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass

from providers.contract.address import InvalidAddress, parse_address
from providers.contract.capabilities import Part, Shortfall
from providers.mime.header import decode_field, fields
from providers.mime.mailbox import Mailbox, parse_mailboxes
from providers.mime.parameter import media_type, parse_parameters
from providers.mime.structure import MAX_DEPTH, MAX_PARTS, part_ranges
from providers.mime.transfer import decoded
from providers.mime.write import folded, mailboxes_value, parameters_value, unstructured

_SEALED = frozenset(("multipart/signed", "multipart/encrypted"))
_LETTERS = frozenset(("message/rfc822", "message/global"))
_DIGEST = "multipart/digest"
_PLAIN_ENCODINGS = frozenset(("", "7bit", "8bit", "binary"))
_KNOWN_ENCODINGS = _PLAIN_ENCODINGS | {"quoted-printable", "base64"}

_ADDRESS_FIELDS = frozenset(
    (
        *("from", "sender", "reply-to", "to", "cc", "bcc", "disposition-notification-to"),
        *("resent-from", "resent-sender", "resent-reply-to", "resent-to", "resent-cc"),
        "resent-bcc",
    )
)
_PARAMETER_FIELDS = frozenset(("content-type", "content-disposition"))
# No encoded word may stand in these, and what they name must not be changed (RFC 6857 3.1.10).
_UNENCODABLE = frozenset(
    (
        *("message-id", "in-reply-to", "references", "resent-message-id"),
        *("received", "return-path", "date", "resent-date", "content-id"),
    )
)
_ENCODING = b"content-transfer-encoding"
_NOT_TEXT = ("image/", "audio/", "video/", "application/", "font/", "model/")
_HIGH = bytes(range(128, 256))
_BASE64_PAYS = 5  # one octet in so many above 127: from there on base64 is the shorter one


@dataclass(frozen=True, slots=True)
class Downgraded:
    """The letter as it may go, and what of it could not be kept."""

    content: bytes
    losses: tuple[Shortfall, ...] = ()


@dataclass(frozen=True, slots=True)
class Undowngradable:
    """Why it cannot be done without breaking the letter; `part` is what would break."""

    part: Part
    reason: str


def downgrade(content: bytes, *, bodies: bool) -> Downgraded | Undowngradable:
    """
    Make the header fields of a letter and of its parts ASCII, and its bodies, too, where asked.

    Args:
        content: A whole letter with CRLF line ends.
        bodies: For a server without 8BITMIME. Without it bodies stay as they are: the server lacks
            SMTPUTF8 alone.

    Returns:
        The letter, of which every field and part decodes to what it was; or what forbids it: a
        seal, an address whose local part is not ASCII, an encoding nobody knows. Where a DKIM
        signature no longer fits, that is a loss. Never raises; time is linear in the size.
    """
    rewriter = _Rewriter(content, bodies=bodies)
    try:
        rewriter.entity(0, len(content), 0, "text/plain")
    except _Refusal as refusal:
        return Undowngradable(refusal.part, str(refusal))
    result = b"".join(rewriter.out)
    if bodies and not result.isascii():
        reason = "octets above 127 stand where nothing can encode them"
        return Undowngradable(Part.OTHER_PART, reason)
    return Downgraded(result, tuple(dict.fromkeys(rewriter.losses)))


class _Refusal(Exception):
    """It cannot be done; never leaves this module."""

    def __init__(self, part: Part, reason: str) -> None:
        super().__init__(reason)
        self.part = part


class _Rewriter:
    """One pass over one letter; `out` are the pieces of the new one."""

    def __init__(self, content: bytes, *, bodies: bool) -> None:
        self.out: list[bytes] = []
        self.losses: list[Shortfall] = []
        self._content = content
        self._bodies = bodies
        self._parts_left = MAX_PARTS

    def entity(self, start: int, end: int, depth: int, default_type: str) -> None:
        """The letter or a part of it, header and body, that lies between two offsets."""
        octets = self._content[start:end]
        if octets.isascii():
            self.out.append(octets)
            return
        found, body = fields(self._content, start, end)
        header = _Header(found, default_type)
        if depth == 0 and header.has(b"dkim-signature"):
            text = "header field dkim-signature no longer fits: the letter was encoded anew"
            self.losses.append(Shortfall(Part.HEADER_FIELD, text))
        if body is None or self._content[body:end].isascii():
            self._header(header)
            if body is not None:
                self._body(self._content[body:end])
            return
        if header.content_type.startswith("multipart/"):
            self._multipart(header, body, end, depth)
        elif header.content_type in _LETTERS and depth < MAX_DEPTH:
            self._contains_others(header)
            self.entity(body, end, depth + 1, "text/plain")
        else:
            self._leaf(header, self._content[body:end])

    # Bodies.

    def _multipart(self, header: _Header, start: int, end: int, depth: int) -> None:
        if header.content_type in _SEALED:
            if self._bodies:
                raise _Refusal(Part.SEAL, "octets above 127 within a signature or encryption")
            # The header of a signed part may be UTF-8 as well. It is the signature that counts.
            self._header(header)
            self._body(self._content[start:end])
            return
        if depth >= MAX_DEPTH or not header.boundary.isascii():
            raise _Refusal(Part.OTHER_PART, "a multipart that cannot be taken apart")
        self._contains_others(header)
        default_type = "message/rfc822" if header.content_type == _DIGEST else "text/plain"
        at = start
        for part_start, part_end in part_ranges(self._content, header.boundary, start, end):
            if not self._parts_left:
                raise _Refusal(Part.OTHER_PART, f"more than {MAX_PARTS} parts")
            self._parts_left -= 1
            self._between(at, part_start)
            self.entity(part_start, part_end, depth + 1, default_type)
            at = part_end
        if at == start and self._bodies:
            raise _Refusal(Part.OTHER_PART, "a multipart that cannot be taken apart")
        self._between(at, end)

    def _between(self, start: int, end: int) -> None:
        """Delimiter lines, and what stands before the first and after the last part."""
        octets = self._content[start:end]
        if self._bodies and not octets.isascii():
            self.losses.append(Shortfall(Part.OTHER_PART, "text beside the parts is not ASCII"))
            octets = octets.decode("ascii", "replace").replace("\ufffd", "?").encode()
        self.out.append(octets)

    def _leaf(self, header: _Header, body: bytes) -> None:
        if not self._bodies:
            self._header(header)
            self._body(body)
            return
        encoding = decode_field(header.value(_ENCODING)).lower()
        encoding = encoding.partition(";")[0].strip()
        if encoding not in _KNOWN_ENCODINGS:
            raise _Refusal(Part.OTHER_PART, "octets above 127 in an encoding that nobody knows")
        content = body if encoding in _PLAIN_ENCODINGS else decoded(body, encoding)
        name, wire = _encoded(content, is_text=not header.content_type.startswith(_NOT_TEXT))
        if not header.has(b"content-type"):
            header.put(b"MIME-Version", b"1.0")
            header.put(b"Content-Type", b"text/plain; charset=" + _charset(content))
        header.put(b"Content-Transfer-Encoding", name)
        self._header(header)
        self._body(wire)

    def _contains_others(self, header: _Header) -> None:
        """The header of what is made of entities: once they are 7-bit, so is the whole."""
        if self._bodies and header.has(_ENCODING):
            header.put(b"Content-Transfer-Encoding", b"7bit")
        self._header(header)
        self._body(b"")

    def _body(self, octets: bytes) -> None:
        self.out += (b"\r\n", octets)

    # Header fields.

    def _header(self, header: _Header) -> None:
        for name, value in header.fields:
            if value.isascii():
                self.out += (name, b":", value.rstrip(b"\r"), b"\r\n")
            else:
                self.out.append(self._ascii_field(name.decode("ascii"), value))

    def _ascii_field(self, name: str, value: bytes) -> bytes:
        key = name.lower()
        if key in _PARAMETER_FIELDS:
            written = parameters_value(*parse_parameters(value))
            return folded(name.encode() + b": " + written + b"\r\n")
        if key in _ADDRESS_FIELDS:
            if b":" in value:
                text = f"header field {key}: the name of a group cannot be kept"
                self.losses.append(Shortfall(Part.HEADER_FIELD, text))
            mailboxes = parse_mailboxes(value)
            _check_addresses(mailboxes)
            return folded(name.encode() + b": " + mailboxes_value(mailboxes) + b"\r\n")
        if key in _UNENCODABLE:
            text = f"header field {key} is not ASCII, and travels as Downgraded-{name}"
            self.losses.append(Shortfall(Part.HEADER_FIELD, text))
            name = f"Downgraded-{name}"
        return unstructured(name, decode_field(value))


class _Header:
    """The fields of one header block, in order; what is changed keeps its place."""

    def __init__(self, found: Iterable[tuple[bytes, bytes]], default_type: str) -> None:
        self.fields = list(found)
        written, parameters = parse_parameters(self.value(b"content-type"))
        self.content_type = media_type(written) or default_type
        self.boundary = parameters.get("boundary", "")

    def has(self, name: bytes) -> bool:
        return any(key.lower() == name for key, _ in self.fields)

    def value(self, name: bytes) -> bytes:
        """The first value, empty without one; `name` in lower case."""
        return next((value for key, value in self.fields if key.lower() == name), b"")

    def put(self, name: bytes, value: bytes) -> None:
        """One field of that name, where the first of them stood or else at the end."""
        key, kept, found = name.lower(), [], False
        for field in self.fields:
            if field[0].lower() != key:
                kept.append(field)
            elif not found:
                found = True
                kept.append((field[0], b" " + value))
        self.fields = kept if found else [*kept, (name, b" " + value)]


def _check_addresses(mailboxes: Iterable[Mailbox]) -> None:
    """
    Whether all addresses can be written in ASCII.

    Raises:
        _Refusal: A local part is not ASCII, and only SMTPUTF8 could carry it.
    """
    for mailbox in mailboxes:
        if mailbox.address.isascii():
            continue
        try:
            needs_smtputf8 = parse_address(mailbox.address).needs_smtputf8
        except InvalidAddress:
            needs_smtputf8 = True
        if needs_smtputf8:
            raise _Refusal(Part.SMTPUTF8, "an address of the header needs SMTPUTF8")


def _encoded(content: bytes, *, is_text: bool) -> tuple[bytes, bytes]:
    """The shorter encoding and the octets in it; base64 for what are no lines of text."""
    high = len(content) - len(content.translate(None, _HIGH))
    if is_text and high * _BASE64_PAYS < len(content) and _has_whole_line_ends(content):
        wire = binascii.b2a_qp(content, istext=True)
        # Its soft line breaks are bare LF unless the first line end it meets is a CRLF.
        return b"quoted-printable", wire.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return b"base64", base64.encodebytes(content).replace(b"\n", b"\r\n")


def _has_whole_line_ends(content: bytes) -> bool:
    """Whether CR and LF stand in pairs only; quoted-printable would change the others."""
    pairs = content.count(b"\r\n")
    return content.count(b"\r") == pairs == content.count(b"\n")


def _charset(content: bytes) -> bytes:
    """What a text without a label is in; `unknown-8bit` is the honest word (RFC 1428)."""
    try:
        content.decode()
    except UnicodeDecodeError:
        return b"unknown-8bit"
    return b"utf-8"
