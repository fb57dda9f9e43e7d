"""
What arrived at the sandbox: letters as each imitated provider understood them, and the calls made.

Knows no protocol. Tests wait on it by event, never by time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ReceivedAttachment:
    """A file that came with a letter over an API."""

    filename: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class ReceivedLetter:
    """
    One letter for one recipient, accepted by an imitated provider.

    Over SMTP `content` holds the octets after dot-unstuffing and `reverse_path` the envelope's
    (empty for the null one); over the APIs `subject`, `text`, `html`, `header_fields` and
    `attachments` hold the fields that came.
    """

    provider: str
    provider_message_id: str
    recipient: str
    reverse_path: str = ""
    content: bytes = b""
    from_email: str = ""
    from_name: str = ""
    subject: str = ""
    text: str = ""
    html: str = ""
    header_fields: dict[str, str] = field(default_factory=dict)
    attachments: tuple[ReceivedAttachment, ...] = ()
    parameters: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Letterbox:
    """
    All letters that the sandbox accepted, in order, and counts by provider.

    `calls` are transactions and requests; `throttled` those that were told they come too fast.
    """

    letters: list[ReceivedLetter] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)
    throttled: dict[str, int] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, letter: ReceivedLetter) -> None:
        """Keep an accepted letter."""
        self.letters.append(letter)
        self._changed.set()

    def count_call(self, provider: str) -> None:
        """Count one transaction (MAIL) or request, whatever became of it."""
        self.calls[provider] = self.calls.get(provider, 0) + 1
        self._changed.set()

    def count_throttled(self, provider: str) -> None:
        """Count one answer that demands a slower pace."""
        self.throttled[provider] = self.throttled.get(provider, 0) + 1

    async def wait_until(
        self, enough: Callable[[Letterbox], bool], timeout_s: float = 60.0
    ) -> None:
        """
        Wait until `enough` holds.

        Raises:
            TimeoutError: It did not within `timeout_s` seconds.
        """
        async with asyncio.timeout(timeout_s):
            while not enough(self):
                self._changed.clear()
                await self._changed.wait()
