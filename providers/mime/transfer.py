"""
Content-Transfer-Encoding: the octets that were meant, out of those that were sent.

Gateways rewrap, strip and pad; old programs encode by halves. Nothing fails here: what is no code
is passed over or left as it stands, as readers of mail do. Sits on nothing.
"""

from __future__ import annotations

import binascii
import re

_NOT_BASE64 = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
)
_PADDING = re.compile(rb"=[=\s]*+")
_CLEAN_BASE64 = re.compile(rb"[A-Za-z0-9+/\s]*+\Z")
_BLANK_SOFT_BREAK = re.compile(rb"=[ \t]++(?=\r?\n)")
_BARE_CR = re.compile(rb"=\r(?!\n)")


def decoded(octets: bytes, encoding: str) -> bytes:
    """
    Undo a transfer encoding.

    Args:
        octets: The body of one part.
        encoding: As the header names it, in lower case. One that nobody knows is no encoding, as
            `7bit`, `8bit` and `binary` are none.
    """
    if encoding == "base64":
        return from_base64(octets)
    if encoding == "quoted-printable":
        return from_quoted_printable(octets)
    if encoding in ("x-uuencode", "uuencode", "x-uue", "uue"):
        return from_uuencode(octets)
    return octets


def from_base64(octets: bytes) -> bytes:
    """
    Decode base64 of which padding may be missing and which may hold anything between.

    Padding ends it, except where nothing but more base64 follows: some encode piece by piece, and
    list servers add plain lines that were never part of it.
    """
    pieces = [octets]
    padding = octets.find(b"=")
    if padding >= 0 and octets[padding:].strip(b"= \t\r\n"):
        pieces = _PADDING.split(octets)
        if not all(_CLEAN_BASE64.match(piece) for piece in pieces[1:]):
            del pieces[1:]
    return b"".join(map(_from_digits, pieces))


def from_quoted_printable(octets: bytes) -> bytes:
    """Decode quoted-printable; escapes that are none stay as they are (RFC 2045 6.7)."""
    if b"= " in octets or b"=\t" in octets:
        octets = _BLANK_SOFT_BREAK.sub(b"=", octets)
    if b"=\r" in octets:
        octets = _BARE_CR.sub(b"=3D\r", octets)  # binascii would skip to the next line end
    return binascii.a2b_qp(octets)


def from_uuencode(octets: bytes) -> bytes:
    """Decode the lines between `begin` and `end`; without them there is no code at all."""
    lines = iter(octets.splitlines())
    for line in lines:
        if line.startswith(b"begin "):
            break
    else:
        return octets
    found = bytearray()
    for line in lines:
        if line.rstrip() == b"end":
            break
        found += _from_uu_line(line)
    return bytes(found)


def _from_digits(octets: bytes) -> bytes:
    digits = octets.translate(None, _NOT_BASE64)
    surplus = len(digits) % 4
    if surplus == 1:
        return binascii.a2b_base64(digits[:-1])  # six bits make no octet
    return binascii.a2b_base64(digits + b"=" * (-surplus % 4))


def _from_uu_line(line: bytes) -> bytes:
    if not line:
        return b""
    try:
        return binascii.a2b_uu(line)
    except binascii.Error:
        # Some pad lines with anything: believe the count of octets that each line begins with.
        length = (((line[0] - 32) & 63) * 4 + 5) // 3
        try:
            return binascii.a2b_uu(line[:length])
        except binascii.Error:
            return b""
