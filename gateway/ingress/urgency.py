"""
How urgent a letter is by its own words: newsletters and lists say so in their headers.

Pure. `intake` asks where the client gave no priority.
"""

from __future__ import annotations

from gateway.domain.window import Priority
from providers.mime import find_field, header_block

_LIST = b"\nlist-id:"
_PRECEDENCE = b"\nprecedence:"
_BULK = frozenset({b"bulk", b"list", b"junk"})


def priority_from(content: bytes) -> Priority:
    """
    How urgent a letter is whose client did not say.

    Args:
        content: With CRLF line ends; its first header field is our own trace field.

    Returns:
        `BULK` for letters of lists (RFC 2919, List-Id) and with Precedence bulk, list or junk (RFC
        2076 3.9); `NORMAL` for all others.
    """
    header = header_block(content).lower()
    if _LIST in header:
        return Priority.BULK
    if _PRECEDENCE not in header:
        return Priority.NORMAL
    return Priority.BULK if find_field(header, "precedence") in _BULK else Priority.NORMAL
