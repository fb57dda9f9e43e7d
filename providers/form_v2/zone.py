"""
The time zone in which an account reads times of sending. Sits on the system's table of zones.
"""

from __future__ import annotations

import re
from datetime import UTC, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

_OFFSET = re.compile(r"([+-])(\d\d):?([0-5]\d)\Z", re.ASCII)
# The default must work on a system without the table, too: UTC+3 all year since 2011 (C.1).
_WITHOUT_TABLE = {"Europe/Minsk": timezone(timedelta(hours=3), "Europe/Minsk")}


def zone_from(text: str) -> tzinfo:
    """
    `Europe/Minsk`, `UTC`, `+03:00`.

    Raises:
        ValueError: No such zone, or none that this system knows.
    """
    if text == "UTC":
        return UTC
    if offset := _OFFSET.match(text):
        hours, minutes = int(offset[2]), int(offset[3])
        sign = -1 if offset[1] == "-" else 1
        return timezone(sign * timedelta(hours=hours, minutes=minutes))
    try:
        return ZoneInfo(text)
    except (KeyError, ValueError, OSError):  # not there, not a name, a folder
        if text in _WITHOUT_TABLE:
            return _WITHOUT_TABLE[text]
        raise ValueError(
            f"a time zone is written like Europe/Minsk, UTC or +03:00, and this system knows no "
            f"{text!r}"
        ) from None
