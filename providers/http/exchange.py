"""
One HTTP call as values: what is asked, what came back, or how far it got without an answer.

Pure; knows no library and no API. Secrets are not part of a request: the client puts them on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

MAX_ANSWER_OCTETS = 1 << 20

_TEXT_OCTETS = 2000


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """
    One call.

    Attributes:
        method: `GET`, `POST` …
        path: Relative to the API's base URL, beginning with `/`.
        headers: Beyond those of the connection and of the account.
        body: The octets to send; empty for none.
        query: Percent-encoded, without `?`. May hold a secret, as the body may.
        answer_octets: How much of the answer's body is read at most.
    """

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)
    query: str = field(default="", repr=False)
    answer_octets: int = MAX_ANSWER_OCTETS


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """
    What came back; `body` may be cut, empty, or a page of some proxy.

    `headers` has its names in lower case; of a name that came twice it holds the values joined
    by commas.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json_object(self) -> dict[str, Any] | None:
        """The body, if it is a JSON object; `None` for anything else."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    def text(self) -> str:
        """The beginning of the body as text, for a diagnostic."""
        return self.body[:_TEXT_OCTETS].decode("utf-8", "replace")


class Phase(Enum):
    """How far a call got that brought no answer."""

    WAIT = "wait"  # it did not even begin: all our connections were busy, or closed for good
    CONNECT = "connect"  # no connection, or none that took the first octet of the request
    SEND = "send"  # the request did not leave whole, so nobody can have acted on it
    ANSWER = "answer"  # the request left: it may have been acted on


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No answer came; `reason` is one line for the operator."""

    phase: Phase
    reason: str
