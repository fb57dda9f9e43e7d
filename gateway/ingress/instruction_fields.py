"""
Instructions in a letter's header: found, and taken out, so that no provider ever sees one.

Pure, octets in and out. A letter without them costs one search of its header. What they mean is
`domain.instructions`'s to say; letters within the letter keep theirs. `intake` calls it, before
`trace` puts anything in front.
"""

from __future__ import annotations

import re

from gateway.domain.instructions import PREFIX
from providers.mime.header import decode_field

_PREFIX = PREFIX.lower().encode()
_AFTER_A_LINE = b"\n" + _PREFIX
# A field with its folds, wherever a line begins: also below a line that is no field, where readers
# differ on whether the header has ended. Blanks before the colon are RFC 5322 4.5's.
_FIELD = re.compile(
    rb"^(" + re.escape(_PREFIX) + rb"[!-9;-~]*+)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)(?:\n|\Z)",
    re.IGNORECASE | re.MULTILINE,
)
# A header begins with a field, or with the line that mbox files put before it.
_HEADER = re.compile(rb"(?:>?From [^\n]{0,998}+\n)?[!-9;-~]{1,998}+[ \t]*+:")


def take_out(content: bytes) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """
    Take the instructions out of a letter's header.

    Args:
        content: With CRLF line ends. A body without a header has none.

    Returns:
        The content without them (the same object where there are none), and their names and
        values in order: unfolded, and decoded where they are encoded words (RFC 2047).
    """
    if content.startswith(b"\r\n"):
        return content, ()
    # All line ends are CRLF here: one search, where `header_block` makes one for each kind.
    end = content.find(b"\r\n\r\n") + len(b"\r\n")
    header = content[:end] if end > 1 else content
    lowered = header.lower()
    if _AFTER_A_LINE not in lowered and not lowered.startswith(_PREFIX):
        return content, ()
    if not _HEADER.match(header):
        return content, ()
    fields = tuple(
        (name.decode("ascii"), decode_field(value)) for name, value in _FIELD.findall(header)
    )
    if not fields:
        return content, ()
    return _FIELD.sub(b"", header) + content[len(header) :], fields
