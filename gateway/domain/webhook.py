"""
A call to an application's webhook in the form of Standard Webhooks: signed, dated, with an id.

Pure. Source: the Standard Webhooks specification: the signature is HMAC-SHA256 over id, timestamp
and body joined by dots, in base64 behind `v1,`; the secret is base64 behind `whsec_`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gateway.domain.retry import RetrySchedule

MOST_ATTEMPTS = 12
SCHEDULE = RetrySchedule(first=timedelta(seconds=5), factor=4, longest=timedelta(hours=6))
"""Twelve attempts take about two days; then a call is a dead letter."""

_PREFIX = "whsec_"
_SHORTEST, _LONGEST = 24, 64  # octets of a secret, as the specification has it


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A webhook: where, and the key that calls are signed with."""

    url: str
    key: bytes = field(repr=False)


def key_from_secret(secret: str) -> bytes:
    """
    The octets of a secret.

    Raises:
        ValueError: It is none; the text does not repeat it.
    """
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a webhook's secret is whsec_ and base64") from None
    if not _SHORTEST <= len(key) <= _LONGEST:
        raise ValueError(f"a webhook's secret has {_SHORTEST} to {_LONGEST} octets in base64")
    return key


def build_body(event: str, at: datetime, data: Mapping[str, str]) -> bytes:
    """The body: type, timestamp and data, as JSON in UTF-8."""
    document = {"type": f"letter.{event}", "timestamp": at.isoformat(), "data": data}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def build_headers(key: bytes, call_id: str, now: datetime, body: bytes) -> dict[str, str]:
    """The header fields that let an application trust the body."""
    timestamp = str(int(now.timestamp()))
    signed = hmac.digest(key, f"{call_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return {
        "content-type": "application/json",
        "webhook-id": call_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }
