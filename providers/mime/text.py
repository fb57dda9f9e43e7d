"""
The text of a body part: charset, line ends and flowed paragraphs.

Sits on `charset` and `structure`.
"""

from __future__ import annotations

import re

from providers.mime.charset import text_from
from providers.mime.structure import Part

# Where HTML names its own charset; it must do so near its beginning.
_META_CHARSET = re.compile(rb"<meta\s[^>]*?charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
_META_WITHIN = 1024


def text_of(part: Part) -> str:
    """
    The text of a text/plain or text/html part, its lines ended by LF, without NUL.

    HTML whose header names no charset may name it itself, unless it is UTF-8 anyway: programs that
    convert it forget that name. Text in `format=flowed` is given back as paragraphs (RFC 3676):
    whoever carries it next will not carry that parameter, and its soft line breaks, stuffed blanks
    and, under DelSp, added blanks would be seen.
    """
    octets = part.content
    label = part.parameters.get("charset")
    if label is None and part.content_type == "text/html":
        label = _own_charset(octets)
    text = text_from(octets, label).replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    if part.content_type == "text/plain" and part.parameters.get("format", "").lower() == "flowed":
        delete_space = part.parameters.get("delsp", "").lower() == "yes"
        return paragraphs(text, delete_space=delete_space)
    return text


def paragraphs(text: str, *, delete_space: bool) -> str:
    """
    Undo `format=flowed` (RFC 3676 4): join lines to paragraphs, remove stuffed blanks.

    Quoted lines keep their marks, and only lines of one depth flow together. The signature
    separator `-- ` never flows, and an empty line ends a paragraph even after a soft break.
    """
    joined: list[str] = []
    flowing: list[str] = []
    depth = 0

    def end_paragraph() -> None:
        if flowing:
            line = "".join(flowing)
            joined.append(">" * depth + (" " if depth and line else "") + line)
            flowing.clear()

    for line in text.split("\n"):
        unquoted = line.lstrip(">")
        stuffed = unquoted.removeprefix(" ")
        line_depth = len(line) - len(unquoted)
        if line_depth != depth or stuffed in ("", "-- "):
            end_paragraph()
        depth = line_depth
        if stuffed.endswith(" ") and stuffed != "-- ":
            flowing.append(stuffed[:-1] if delete_space else stuffed)
        else:
            flowing.append(stuffed)
            end_paragraph()
    end_paragraph()
    return "\n".join(joined)


def _own_charset(html: bytes) -> str | None:
    try:
        html.decode()
    except UnicodeDecodeError:
        meta = _META_CHARSET.search(html, 0, _META_WITHIN)
        return meta[1].decode("latin-1") if meta else None
    return None
