"""
Form bodies: urlencoded, and multipart with files.

Pure. No name or value can break out of its part, whatever a letter holds: httpx writes them as
browsers do (HTML, section 4.10.21.8). It must not know which fields an API has.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import httpx

_PLAIN = string.ascii_letters.encode() + string.digits.encode() + b"-._~"
_UNRESERVED = frozenset(_PLAIN)
_PERCENT = ord("%")


@dataclass(frozen=True, slots=True)
class FormFile:
    """
    A file to send: the part's name, the file's, its media type and its octets.

    Both `filename`, which is never empty (a part without is "no file chosen" to PHP and Rack, and
    would vanish), and `content_type` come as `providers.mime.Attachment` promises them.
    """

    name: str
    filename: str
    content_type: str
    content: bytes = field(repr=False)


def build_urlencoded(fields: Iterable[tuple[str, str]]) -> tuple[str, bytes]:
    """Content-Type and body of a form without files; UTF-8, percent-encoded, blanks too."""
    body = b"&".join(b"%b=%b" % (_encoded(name), _encoded(value)) for name, value in fields)
    return "application/x-www-form-urlencoded", body


def urlencoded_octets(text: str) -> int:
    """How many octets a name or value takes in such a form."""
    octets = text.encode()
    return len(octets) + 2 * len(octets.translate(None, _PLAIN))


def build_multipart(
    fields: Iterable[tuple[str, str]], files: Sequence[FormFile]
) -> tuple[str, bytes]:
    """
    Content-Type (with its boundary) and body of a form with files, at least one.

    Values travel as UTF-8, file names too (provider reference, B.3). Fields of the same name stand
    together, where the first of them stood.
    """
    values: dict[str, list[str]] = {}
    for name, value in fields:
        values.setdefault(name, []).append(value)
    request = httpx.Request(
        "POST",
        "http://form.invalid/",
        data=values,
        files=[(file.name, (file.filename, file.content, file.content_type)) for file in files],
    )
    return request.headers["Content-Type"], request.read()


def _encoded(text: str) -> bytes:
    """
    Percent-encode a text (RFC 3986 2.1).

    By one replacement for each different octet: urllib goes through a letter's HTML octet by octet,
    which takes two to four times as long.
    """
    octets = text.encode()
    foreign = set(octets) - _UNRESERVED
    if _PERCENT in foreign:  # before it becomes part of what replaces the others
        octets = octets.replace(b"%", b"%25")
    for octet in foreign - {_PERCENT}:
        octets = octets.replace(bytes((octet,)), b"%%%02X" % octet)
    return octets
