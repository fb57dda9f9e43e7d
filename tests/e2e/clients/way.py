"""The ways into a front door, and what a client needs to know to take one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

REVERSE_PATH = "shop@example.com"
SUBJECT = "Заказ № 77 – счёт"
TEXT = "Здравствуйте!\n\n.строка с точкой\n..две точки\n.\nСпасибо — ждём вас снова.\n"


@dataclass(frozen=True, slots=True)
class Way:
    """
    One way in.

    Attributes:
        name: `plain`, `starttls`, `implicit` or `auth`; the last is AUTH over STARTTLS.
        port: Of the listener on 127.0.0.1.
        tls: `off`, `starttls` or `implicit`.
        username: Empty where nobody asks.
        password: The same.
        ca: The certificate that the client is to trust, and no other.
        folder: Where the client may leave files.
    """

    name: str
    port: int
    tls: str
    username: str
    password: str
    ca: Path
    folder: Path


def letter(to: str) -> bytes:
    """A letter as applications write it, for clients that are given one; LF line ends."""
    return (
        f"From: Shop <{REVERSE_PATH}>\n"
        f"To: {to}\n"
        "Subject: =?utf-8?B?0JfQsNC60LDQtyDihJYgNzcg4oCTINGB0YfRkdGC?=\n"
        "MIME-Version: 1.0\n"
        "Content-Type: text/plain; charset=utf-8\n"
        "Content-Transfer-Encoding: 8bit\n"
        f"\n{TEXT}"
    ).encode()
