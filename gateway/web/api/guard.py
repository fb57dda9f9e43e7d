"""
Who may use the API, and how much of a request is read.

The token is compared in constant time; who keeps guessing is put off before it is compared. Bodies
are read up to a limit and within a time, whatever their header says.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from datetime import timedelta

from pydantic import SecretStr
from starlette.requests import ClientDisconnect, Request

from gateway.domain.allowance import Allowance
from gateway.web.api.problems import Problem
from providers.contract.capabilities import Rate

FAILURES = Rate(10, timedelta(minutes=1))
"""Wrong tokens from one address; all addresses together may have a hundred times as many."""

_BODY_WITHIN_S = 60.0


class Guard:
    """
    Looks at each request before anything is done.

    Args:
        token: Who has it may do all; its text is never shown. Without one nobody may.
        monotonic: Seconds, for the limit of failures.
    """

    def __init__(self, token: SecretStr | None, monotonic: Callable[[], float]) -> None:
        self.reconfigure(token)
        self._monotonic = monotonic
        self._failures = Allowance(FAILURES, Rate(FAILURES.count * 100, FAILURES.period))

    def reconfigure(self, token: SecretStr | None) -> None:
        """From now on ask for this one."""
        self._token = None if token is None else token.get_secret_value().encode()

    def check(self, request: Request) -> None:
        """
        Let the request pass.

        Raises:
            Problem: 401 without the right token, 429 after too many wrong ones.
        """
        address = request.client.host if request.client else ""
        now = self._monotonic()
        if not self._failures.has_room(address, now):
            raise Problem(429, "too many wrong tokens", headers={"Retry-After": "60"})
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        said = given.strip().encode("latin-1", "replace")
        token = self._token
        if token is None or scheme.lower() != "bearer" or not hmac.compare_digest(said, token):
            self._failures.take(address, now)
            raise Problem(401, "a bearer token is needed", headers={"WWW-Authenticate": "Bearer"})


async def read_body(request: Request, most: int) -> bytes:
    """
    The body of a request.

    Raises:
        Problem: 413 where it is larger, 408 where it does not come in time, 400 where its sender
            goes away.
    """
    chunks: list[bytes] = []
    octets = 0
    try:
        async with asyncio.timeout(_BODY_WITHIN_S):
            async for chunk in request.stream():
                octets += len(chunk)
                if octets > most:
                    raise Problem(413, f"the body is larger than {most} octets")
                chunks.append(chunk)
    except TimeoutError:
        raise Problem(408, "the body did not come in time") from None
    except ClientDisconnect:
        raise Problem(400, "the body is not whole") from None
    return b"".join(chunks)
