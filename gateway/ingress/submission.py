"""
What the front door hands inward, and what comes back: a submission and a reply.

The seam between the SMTP session (`server`) and taking a letter (`intake`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from providers.contract.envelope import Envelope

API = "api"
"""What letters of the HTTP API come by, in logs, metrics and routes, as by a listener."""


@dataclass(frozen=True, slots=True)
class Client:
    """
    Who is connected.

    `address` is the IP address as text, `helo` what it called itself, `user` the authenticated
    name or empty.
    """

    address: str
    helo: str
    esmtp: bool
    tls: bool = False
    user: str = ""

    def __str__(self) -> str:
        """For the story of a letter: `192.0.2.1 (app.example.com)`, with the user in front."""
        user = f"{self.user} at " if self.user else ""
        return f"{user}{self.address or 'a local socket'} ({self.helo})"


@dataclass(frozen=True, slots=True)
class Submission:
    """
    A whole letter as it came.

    `content` has CRLF line ends only, ends with one, dots removed; `bare_line_ends` of them were a
    bare CR or LF.
    """

    envelope: Envelope
    content: bytes
    listener: str
    client: Client
    bare_line_ends: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """
    A reply of RFC 5321 4.2 with an enhanced status code (RFC 2034, 3463).

    `status` is empty where the RFC forbids one (greeting, EHLO, 354). `reason` is its name in
    metrics, from the closed list of `replies`. `text` is one line for the wire.
    """

    code: int
    status: str
    text: str
    reason: str

    def __post_init__(self) -> None:
        if self.status and self.status[0] != str(self.code)[0]:
            raise ValueError(f"status {self.status} does not fit reply {self.code}")
        if not self.text.isprintable():
            raise ValueError("the text of a reply is one line")

    def line(self) -> bytes:
        """The reply on the wire, with its line end."""
        status = f"{self.status} " if self.status else ""
        return f"{self.code} {status}{self.text}\r\n".encode("utf-8", "replace")


class Verdict(Protocol):
    """A letter that is durable, and whose client waits for what becomes of it."""

    @property
    def queue_id(self) -> str:
        """Of the letter."""
        ...

    async def reply(self, client_left: Callable[[], bool]) -> Reply:
        """
        Wait for a while, then say how it stands.

        Args:
            client_left: Whether nobody is there any more to hear it.

        Never raises but for cancellation.
        """
        ...


class Intake(Protocol):
    """What a session asks of the gateway behind it."""

    def refusal(self) -> Reply | None:
        """The reply to MAIL while no letter can be taken; synchronous and cheap."""
        ...

    async def take(self, submission: Submission) -> Reply | Verdict:
        """
        Take responsibility for a letter, or say why not.

        Returns:
            250 only when the letter is durable. Internal trouble is 451 or 452, never 5xx. In
            direct mode the letter is durable, and there is more to wait for.

        When cancelled (the client is gone) the letter may have been taken all the same.
        """
        ...
