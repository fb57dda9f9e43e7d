"""
What was mended of a letter at the front door: a closed list, for log, metric and story.

Pure words. `ingress` mends and names what it did; `observe` counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Repair(StrEnum):
    """Something that a client left undone or did wrong, by what was mended."""

    LINE_ENDS = "line_ends"
    NUL = "nul"
    LONG_LINE = "long_line"
    LONG_HEADER_LINE = "long_header_line"
    HEADER_MISSING = "header_missing"
    HEADER_END = "header_end"
    EIGHT_BIT_HEADER = "eight_bit_header"
    REPEATED_FIELD = "repeated_field"
    DATE_MISSING = "date_missing"
    DATE_BROKEN = "date_broken"
    MESSAGE_ID_MISSING = "message_id_missing"
    MESSAGE_ID_BROKEN = "message_id_broken"
    FROM_MISSING = "from_missing"
    FROM_BROKEN = "from_broken"
    MIME_VERSION_MISSING = "mime_version_missing"
    CONTENT_TYPE_BROKEN = "content_type_broken"
    ENCODING_BROKEN = "encoding_broken"
    CHARSET_MISSING = "charset_missing"

    @property
    def deed(self) -> str:
        """What the client needed, after `this client needed`."""
        return _DEEDS[self]


_DEEDS = {
    Repair.LINE_ENDS: "whole line ends in place of bare CR or LF",
    Repair.NUL: "NUL octets encoded or removed",
    Repair.LONG_LINE: "lines over 998 octets encoded",
    Repair.LONG_HEADER_LINE: "header lines over 998 octets folded",
    Repair.HEADER_MISSING: "a header",
    Repair.HEADER_END: "an empty line after the header",
    Repair.EIGHT_BIT_HEADER: "header fields encoded that held octets above 127",
    Repair.REPEATED_FIELD: "header fields joined or renamed that may stand only once",
    Repair.DATE_MISSING: "a Date",
    Repair.DATE_BROKEN: "a Date in good order",
    Repair.MESSAGE_ID_MISSING: "a Message-ID",
    Repair.MESSAGE_ID_BROKEN: "a Message-ID in good order",
    Repair.FROM_MISSING: "a From",
    Repair.FROM_BROKEN: "a From in good order",
    Repair.MIME_VERSION_MISSING: "a MIME-Version",
    Repair.CONTENT_TYPE_BROKEN: "a Content-Type in good order",
    Repair.ENCODING_BROKEN: "a Content-Transfer-Encoding in good order",
    Repair.CHARSET_MISSING: "a charset for its octets above 127",
}


def told(repairs: Iterable[Repair]) -> str:
    """One line for the story of a letter."""
    return f"this client needed {', '.join(repair.deed for repair in repairs)}"
