"""
Form fields of the imitated v2 API as PHP reads them, and what it demands of them.

Brackets make arrays; fields past `max_input_vars` are dropped without a word (provider reference,
C.5). Knows no account and no letterbox; shares nothing with the adapter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from providers.contract.address import InvalidAddress, parse_address
from providers.sandbox.answers import ApiError
from providers.sandbox.forms import FormFile

MAX_INPUT_VARS = 1000  # PHP's default
MAX_ATTACHMENT_OCTETS = 2 << 20  # PHP's default of upload_max_filesize
ZONE = timezone(timedelta(hours=3))  # Europe/Minsk all year (C.1)

_SCHEDULE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d\Z", re.ASCII)
_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)\Z")
_MINUTE = timedelta(minutes=1)


def php_fields(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """
    The fields as PHP's `$_POST`: `a[0][b]` nests, `a[]` counts on, a later one takes its place.

    A name whose brackets do not close is kept as it is.
    """
    found: dict[str, Any] = {}
    for number, (name, value) in enumerate(pairs):
        if number >= MAX_INPUT_VARS:
            break
        match = _NAME.match(name)
        if match is None or not match[2]:
            found[name] = value
            continue
        keys = re.findall(r"\[([^\[\]]*)\]", match[2])
        place = _array(found, match[1])
        for key in keys[:-1]:
            place = _array(place, key or _next(place))
        place[keys[-1] or _next(place)] = value
    return found


def texts(fields: Mapping[str, Any]) -> dict[str, str]:
    """
    The fields that are no arrays.

    Raises:
        ApiError: One that must be a text is an array.
    """
    for name, value in fields.items():
        if not isinstance(value, str) and name != "delivery_list":
            raise ApiError(400, f"The {name} must be a string")
    return {name: value for name, value in fields.items() if isinstance(value, str)}


def demand(fields: Mapping[str, str], *names: str) -> None:
    """
    Check that these are there and not blank.

    Raises:
        ApiError: One is not.
    """
    for name in names:
        if not fields.get(name, "").strip():
            raise ApiError(400, f"The {name} field is required")


def demand_address(fields: Mapping[str, str], name: str) -> None:
    """
    Check that a field is one plain address.

    Raises:
        ApiError: It is not.
    """
    if not is_address(fields[name]):
        raise ApiError(400, f"The {name} must be a valid email address")


def demand_number(fields: Mapping[str, str], name: str) -> int:
    """
    The number that a field holds.

    Raises:
        ApiError: It holds none.
    """
    text = fields.get(name, "")
    if not (text.isascii() and text.isdigit()):
        raise ApiError(400, f"The {name} must be a number")
    return int(text)


def check_sending(fields: Mapping[str, str]) -> datetime | None:
    """
    Check the switches; the moment of sending, or `None` for at once.

    Raises:
        ApiError: A switch is neither 1 nor 0, the moment is none or has passed: what the service
            makes of one in the past nobody knows, so a client that sends one is wrong.
    """
    for name in ("track_open", "track_click"):
        if fields.get(name, "1") not in ("0", "1"):
            raise ApiError(400, f"The {name} field must be 1 or 0")
    if "d_schedule" not in fields:
        return None
    moment = _moment(fields["d_schedule"])
    if moment is None:
        raise ApiError(400, "The d_schedule does not match the format Y-m-d H:i")
    if moment < datetime.now(UTC) - _MINUTE:
        raise ApiError(400, "The d_schedule must be a date after now")
    return moment


def check_files(fields: Mapping[str, str], files: tuple[FormFile, ...]) -> None:
    """
    Check that there is one file at most, called `attachment`, within PHP's limit.

    Raises:
        ApiError: There is something else.
    """
    if "attachment" in fields or any(file.name != "attachment" for file in files):
        raise ApiError(400, "The attachment must be a file")
    if len(files) > 1:
        raise ApiError(400, "The attachment must be one file")
    if files and (not files[0].filename or len(files[0].content) > MAX_ATTACHMENT_OCTETS):
        raise ApiError(400, "The attachment failed to upload")


def is_address(text: str) -> bool:
    """Whether this is one plain address."""
    try:
        parse_address(text)
    except InvalidAddress:
        return False
    return True


def is_deliverable(text: str) -> bool:
    """Whether a batch takes it: `nobody@example` it does not (C.6)."""
    return is_address(text) and "." in text.rpartition("@")[2]


def _array(parent: dict[str, Any], key: str) -> dict[str, Any]:
    value = parent.get(key)
    if not isinstance(value, dict):
        value = parent[key] = {}
    return value


def _next(array: Mapping[str, Any]) -> str:
    numbers = [int(key) for key in array if key.isascii() and key.isdigit()]
    return str(max(numbers, default=-1) + 1)


def _moment(text: str) -> datetime | None:
    if not _SCHEDULE.match(text):
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=ZONE)
    except ValueError:
        return None
