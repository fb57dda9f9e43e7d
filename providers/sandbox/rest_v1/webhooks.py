"""
The imitated v1's webhooks: which are set, and how events and callbacks are sent to them.

They go over real HTTP, one after the other, and to loopback only: a sandbox never calls a stranger.
What was sent and what came of it is kept in `sent`. Copies, losses and another order are the
sender's to command, as no document promises that there are none.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import ssl
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx

MAX_KEPT = 10_000  # calls in the record
_TIMEOUT_S = 5.0

Order = Literal["kept", "reversed", "shuffled"]


@dataclass(frozen=True, slots=True)
class SentCall:
    """One call to a webhook; `status` is 0 where no answer came, with the reason beside it."""

    url: str
    body: Mapping[str, Any]
    status: int
    reason: str = ""


@dataclass(slots=True)
class WebhookSender:
    """
    Sends what is given to it.

    Attributes:
        copies: How often each call is made.
        lost: How many of the next calls are not made at all.
        held: Whether calls wait for `release`.
        sent: What was sent, the oldest forgotten first.
    """

    copies: int = 1
    lost: int = 0
    held: bool = False
    sent: deque[SentCall] = field(default_factory=lambda: deque(maxlen=MAX_KEPT))
    _waiting: deque[tuple[str, Mapping[str, Any]]] = field(default_factory=deque)
    _task: asyncio.Task[None] | None = None

    def put(self, url: str, body: Mapping[str, Any]) -> None:
        """Have a call made; needs a running loop."""
        if self.lost > 0:
            self.lost -= 1
            return
        self._waiting.extend([(url, body)] * self.copies)
        if not self.held:
            self._wake()

    def release(self, order: Order = "kept", seed: int = 0) -> int:
        """Send what was held, in that order; how many calls."""
        calls = list(self._waiting)
        if order == "reversed":
            calls.reverse()
        elif order == "shuffled":
            random.Random(seed).shuffle(calls)  # noqa: S311 - an order, no secret
        self._waiting = deque(calls)
        self.held = False
        self._wake()
        return len(calls)

    async def idle(self) -> None:
        """Wait until everything that is not held was sent."""
        while self._task is not None and not self._task.done():
            await asyncio.wait((self._task,))

    async def aclose(self) -> None:
        """Forget what waits; may be called twice."""
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    def _wake(self) -> None:
        if self._waiting and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._send_all(), name="sandbox webhooks")

    async def _send_all(self) -> None:
        async with httpx.AsyncClient(
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), trust_env=False, timeout=_TIMEOUT_S
        ) as client:
            while self._waiting and not self.held:
                url, body = self._waiting.popleft()
                self.sent.append(await _send(client, url, body))


async def _send(client: httpx.AsyncClient, url: str, body: Mapping[str, Any]) -> SentCall:
    if not is_loopback(url):
        return SentCall(url, body, 0, "the sandbox calls nobody beyond this machine")
    try:
        async with client.stream("POST", url, json=body) as answer:
            return SentCall(url, body, answer.status_code)
    except httpx.HTTPError as error:
        return SentCall(url, body, 0, str(error) or type(error).__name__)


def is_loopback(url: str) -> bool:
    """Whether a URL is plain HTTP to this machine, written as an address or as localhost."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    if parts.scheme != "http":
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
