"""
Form bodies: urlencoded, and multipart with files.

Pure. No name or value can break out of its part, whatever a letter holds: httpx writes them as
browsers do (HTML, section 4.10.21.8). It must not know which fields an API has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

import httpx


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
    """Content-Type and body of a form without files; UTF-8, percent-encoded."""
    body = urlencode(list(fields)).encode("ascii")
    return "application/x-www-form-urlencoded", body


def build_multipart(
    fields: Iterable[tuple[str, str]], files: Sequence[FormFile]
) -> tuple[str, bytes]:
    """
    Content-Type (with its boundary) and body of a form with files, at least one.

    Values travel as UTF-8, file names too (provider reference, B.3); of fields with the same name
    the last one stays.
    """
    request = httpx.Request(
        "POST",
        "http://form.invalid/",
        data=dict(fields),
        files=[(file.name, (file.filename, file.content, file.content_type)) for file in files],
    )
    return request.headers["Content-Type"], request.read()
