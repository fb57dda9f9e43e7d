"""
Content-Type and Content-Disposition: a value and its parameters, as senders really write them.

RFC 2045 5.1 is the syntax, RFC 2231 its way to long and non-ASCII values; RFC 2047 inside quotes
and raw octets are what most senders did instead. File names are made safe here. Sits on `header`
and `charset`.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from providers.mime.charset import text_from
from providers.mime.header import decode_field, one_line, unfolded

_VALUE_END = re.compile(rb"[;\s]")  # a blank too, for some forget the semicolon
# A parameter, or a word that is none: each match consumes something, so that time stays linear.
_PARAMETER = re.compile(
    rb"""[;\s]*+(?:([^\s;="]++)\s*+=\s*+(?:"((?:[^"\\]++|\\.)*+)"?|([^;"]*+))|[^;\s]++|\Z)"""
)
_QUOTED_PAIR = re.compile(rb'\\(["\\])')
_SECTION = re.compile(r"([^*]+)\*(?:(\d{1,4})(\*)?)?\Z")  # RFC 2231 3 and 4: a*, a*0, a*0*
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,127}/[a-z0-9!#$%&'*+.^_`|~-]{1,127}\Z")
_PATH = re.compile(r"[/\\]")
_MAX_OCTETS = 64 << 10
_MAX_FILENAME = 200  # characters; most file systems end at 255 octets


def parse_parameters(raw: bytes) -> tuple[str, dict[str, str]]:
    """
    Read the raw value of Content-Type or Content-Disposition.

    Returns:
        The value before the first parameter in lower case, and the parameters by name in lower
        case, decoded. Of a parameter in both spellings the one of RFC 2231 counts, of a repeated
        one the first. Of a field beyond 64 KiB the rest is not read.
    """
    if not raw:
        return "", {}
    line = unfolded(raw[:_MAX_OCTETS])
    value = _VALUE_END.split(line, maxsplit=1)[0]
    rest = line[len(value) :]
    plain: dict[str, bytes] = {}
    sections: dict[str, dict[int, tuple[bytes, bool]]] = {}
    for match in _PARAMETER.finditer(rest):
        if match[1] is None:
            continue
        name = match[1].decode("latin-1").lower()
        octets = match[3] if match[2] is None else _QUOTED_PAIR.sub(rb"\1", match[2])
        if "*" in name and (section := _SECTION.match(name)):
            # `name*` is the whole value, percent-encoded; without a number it is the first section
            extended = section[2] is None or section[3] is not None
            sections.setdefault(section[1], {}).setdefault(int(section[2] or 0), (octets, extended))
        else:
            plain.setdefault(name, octets)
    parameters = {name: decode_field(octets) for name, octets in plain.items()}
    for name, parts in sections.items():
        parameters[name] = _joined([parts[number] for number in sorted(parts)])
    return decode_field(value).lower(), parameters


def media_type(value: str) -> str:
    """`type/subtype` in lower case when the value is such a pair of tokens, else empty."""
    return value if _MEDIA_TYPE.match(value) else ""


def safe_filename(name: str) -> str:
    """
    A name that stays in its folder, one line, at most 200 characters; may be empty.

    Some old programs send the whole path, and some new ones would climb it.
    """
    base = _PATH.split(one_line(name))[-1].strip()
    if not base.strip("."):
        return ""
    if len(base) > _MAX_FILENAME:
        stem, dot, extension = base.rpartition(".")
        tail = dot + extension if stem and len(extension) <= 16 else ""
        base = base[: _MAX_FILENAME - len(tail)] + tail
    return base


def _joined(sections: list[tuple[bytes, bool]]) -> str:
    """The sections of a value in order (RFC 2231 4.1); the first one tells the charset."""
    first, extended = sections[0]
    charset: str | None = None
    if extended and first.count(b"'") >= 2:
        label, _, rest = first.split(b"'", 2)
        charset = label.decode("latin-1")
        sections[0] = (rest, True)
    octets = b"".join(
        unquote_to_bytes(octets) if extended else octets for octets, extended in sections
    )
    if any(extended for _, extended in sections):
        return one_line(text_from(octets, charset))
    return decode_field(octets)
