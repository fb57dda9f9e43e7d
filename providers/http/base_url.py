"""
An API's base URL as settings hold it. Pure; sits on nothing.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator


def parse_base_url(text: str) -> str:
    """
    A base URL without a trailing slash, ready to have paths appended.

    Raises:
        ValueError: It is not an absolute http or https URL, or holds credentials, a query or a
            fragment.
    """
    parts = urlsplit(text.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("a base URL begins with https:// (or http://) and a host name")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("a base URL holds no credentials, query or fragment")
    if not parts.hostname.isascii() or not parts.path.isascii():
        raise ValueError("a base URL is ASCII: write the host name as A-labels")
    _ = parts.port  # urlsplit checks it when asked
    return text.strip().rstrip("/")


BaseUrl = Annotated[str, AfterValidator(parse_base_url)]
