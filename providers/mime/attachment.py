"""
Files of a letter: their names, their octets, and whether the HTML body shows them.

Sits on `structure` and `header`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import unescape
from urllib.parse import unquote

from providers.mime.header import decode_field, find_field
from providers.mime.parameter import safe_filename
from providers.mime.structure import Part

LETTERS = frozenset(("message/rfc822", "message/global"))

_CID = re.compile(r"""\bcid:([^\s"'<>()\\]+)""", re.IGNORECASE)  # RFC 2392
_PATH = re.compile(r"[/\\]")
# Our own, for `mimetypes` reads whatever the machine has.
_EXTENSIONS = {
    "application/gzip": ".gz",
    "application/json": ".json",
    "application/ms-tnef": ".dat",
    "application/msword": ".doc",
    "application/pdf": ".pdf",
    "application/pgp-signature": ".asc",
    "application/pkcs7-mime": ".p7m",
    "application/pkcs7-signature": ".p7s",
    "application/rtf": ".rtf",
    "application/vnd.ms-excel": ".xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/xml": ".xml",
    "application/zip": ".zip",
    "audio/mpeg": ".mp3",
    "image/gif": ".gif",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/svg+xml": ".svg",
    "image/webp": ".webp",
    "message/global": ".eml",
    "message/rfc822": ".eml",
    "text/calendar": ".ics",
    "text/csv": ".csv",
    "text/html": ".html",
    "text/plain": ".txt",
    "text/vcard": ".vcf",
    "text/xml": ".xml",
    "video/mp4": ".mp4",
}


@dataclass(frozen=True, slots=True)
class Attachment:
    """
    A file of a letter.

    Attributes:
        filename: Decoded, never empty, one line, without folders.
        content_type: `type/subtype` in lower case, both tokens (RFC 2045 5.1).
        content: The decoded octets.
        content_id: Without angle brackets, empty when it has none.
    """

    filename: str
    content_type: str
    content: bytes
    content_id: str = ""


def attachments_from(
    parts: Sequence[Part], html: str | None
) -> tuple[tuple[Attachment, ...], tuple[Attachment, ...]]:
    """
    Decode files, those that the HTML body does not show first, those that it shows second.

    What its header says of a file (`inline`, `attachment`) is no guide: senders write either for
    either. The body shows what it names by Content-ID (RFC 2392), wherever the part stands.
    """
    if not parts:
        return (), ()
    shown = _content_ids(html or "")
    attached: list[Attachment] = []
    inline: list[Attachment] = []
    for part in parts:
        content = part.content
        name = part.filename or _name_for(part.content_type, content)
        file = Attachment(name, part.content_type, content, part.content_id)
        (inline if file.content_id in shown else attached).append(file)
    return tuple(attached), tuple(inline)


def _content_ids(html: str) -> frozenset[str]:
    """Every Content-ID that the document names, as written and unescaped."""
    written = {match[1] for match in _CID.finditer(html)}
    return frozenset(written | {unquote(unescape(name)) for name in written})


def _name_for(content_type: str, content: bytes) -> str:
    """A name for a file without one; an attached letter is named by its subject."""
    if content_type in LETTERS:
        subject = decode_field(find_field(content, "Subject") or b"")
        return f"{safe_filename(_PATH.sub('_', subject)) or 'message'}.eml"
    unknown = ".txt" if content_type.startswith("text/") else ".bin"
    return f"attachment{_EXTENSIONS.get(content_type, unknown)}"
