"""
Header fields as they are to be written: encoded words, folded lines, addresses, parameters.

The counterpart of `header`, `mailbox` and `parameter`, which read whatever comes: what is built
here is what the RFCs ask for, in ASCII, and no line is over 998 octets. For the few letters that
need mending; speed does not matter. Sits on `header` and `mailbox`.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote

from providers.contract.address import InvalidAddress, parse_address
from providers.mime.header import one_line
from providers.mime.mailbox import Mailbox

MAX_LINE = 998
"""Octets of a line without its CRLF (RFC 5321 4.5.3.1.6, RFC 5322 2.1.1)."""

_WORD_OCTETS = 45  # of text in an encoded word, which is 75 octets at most (RFC 2047 2)
_SECTION = re.compile(r"(?:%[0-9A-F]{2}|[^%]){1,20}")  # an escape is never cut in two
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*\Z")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]+\Z")
_SPECIAL = re.compile(r'(["\\])')


def encoded_words(text: str) -> bytes:
    """
    Text as encoded words (RFC 2047), a line each.

    Also right for text that is ASCII: neighbouring words are read as one, so that text without a
    blank can be folded.
    """
    octets = one_line(text).encode()
    words = []
    at = 0
    while at < len(octets):
        end = min(at + _WORD_OCTETS, len(octets))
        while end < len(octets) and octets[end] & 0xC0 == 0x80:
            end -= 1  # a character stays in one word (RFC 2047 5)
        words.append(b"=?utf-8?b?" + b64encode(octets[at:end]) + b"?=")
        at = end
    return b"\r\n ".join(words)


def unstructured(name: str, text: str, *, encode: bool = False) -> bytes:
    """A whole field of free text, its line end included; `encode` though it be ASCII."""
    text = one_line(text)
    value = encoded_words(text) if encode or not text.isascii() else text.encode()
    return folded(f"{name}: ".encode() + value + b"\r\n")


def mailboxes_value(mailboxes: Iterable[Mailbox], *, utf8: bool = False) -> bytes:
    """
    The value of an address field (RFC 5322 3.4), a mailbox a line.

    A local part beyond ASCII stands as it is where `utf8` allows that (RFC 6532), else its address
    becomes the name of an empty group (RFC 6857 3.1.6), as a name without an address does: it is
    shown, and nobody can write to it.
    """
    return b",\r\n\t".join(_mailbox(mailbox, utf8=utf8) for mailbox in mailboxes)


def parameters_value(value: str, parameters: Mapping[str, str]) -> bytes:
    """
    The value of Content-Type or Content-Disposition, a parameter a line.

    What is not ASCII or too long for a line goes the way of RFC 2231; in the value itself, which
    has no such way, each such character becomes a question mark.
    """
    pieces = [value.encode("ascii", "replace").decode()]
    for name, given in parameters.items():
        if _TOKEN.match(name):
            pieces += _parameter(name, one_line(given))
    return ";\r\n\t".join(pieces).encode("ascii")


def folded(field: bytes) -> bytes:
    """
    A header field, its lines over 998 octets folded.

    Folds stand where blanks are, else behind commas; only a word without either is cut, where
    unfolding leaves a blank. `field` ends with CRLF and begins with its name.
    """
    if max(map(len, field.split(b"\r\n"))) <= MAX_LINE:
        return field
    return b"\r\n".join(piece for line in field.split(b"\r\n") for piece in _folded_line(line))


def _folded_line(line: bytes) -> Iterator[bytes]:
    while len(line) > MAX_LINE:
        # Not before what follows the name: a first line of the name alone is nobody's friend.
        least = line.find(b":") + 2 if line[:1] not in b" \t" else 1
        at = max(line.rfind(b" ", least, MAX_LINE), line.rfind(b"\t", least, MAX_LINE))
        if at > least and line[least:at].strip():
            yield line[:at]
            line = line[at:]
            continue
        at = line.rfind(b",", least, MAX_LINE) + 1 or MAX_LINE
        yield line[:at]
        line = b" " + line[at:]
    yield line


def _mailbox(mailbox: Mailbox, *, utf8: bool) -> bytes:
    try:
        address = parse_address(mailbox.address).addr_spec
    except InvalidAddress:
        address = mailbox.address
    if not address.isascii() and not utf8:
        text = f"{mailbox.display_name} {address}".strip()
        return encoded_words(text) + b":;"
    name = one_line(mailbox.display_name)
    if not name:
        # A word alone would be read as the first half of the next one's name.
        return address.encode() if "@" in address else b"<" + address.encode() + b">"
    if not name.isascii() or len(name) > MAX_LINE // 2:
        written = encoded_words(name)
    elif _ATOMS.match(name):
        written = name.encode()
    else:
        written = b'"' + _SPECIAL.sub(r"\\\1", name).encode() + b'"'
    return written + (b" <" + address.encode() + b">" if address else b":;")


def _parameter(name: str, value: str) -> list[str]:
    if value.isascii() and len(value) <= MAX_LINE // 2:
        quoted = value if _TOKEN.match(value) else '"' + _SPECIAL.sub(r"\\\1", value) + '"'
        return [f"{name}={quoted}"]
    encoded = quote(value, safe="")
    sections = _SECTION.findall(encoded)
    if len(sections) == 1:
        return [f"{name}*=utf-8''{encoded}"]
    charset = ("utf-8''", *[""] * len(sections))
    return [f"{name}*{n}*={charset[n]}{section}" for n, section in enumerate(sections)]
