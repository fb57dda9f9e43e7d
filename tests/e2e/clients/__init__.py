"""Real SMTP clients, each driven as an application would; all are loopback only."""

from __future__ import annotations

import asyncio
import shutil
import smtplib
from collections.abc import Awaitable, Callable

import pytest

from tests.e2e.gateway_process import run

Client = Callable[[int, str, list[str], bytes], Awaitable[str]]
"""(port, reverse-path, forward-paths, letter) → what the server said last; raises on refusal."""


async def by_smtplib(port: int, sender: str, to: list[str], letter: bytes) -> str:
    """Python's own client, the reply to the final dot."""

    def send() -> str:
        with smtplib.SMTP("127.0.0.1", port, timeout=60) as smtp:
            smtp.ehlo("client.example.com")
            smtp.mail(sender, ["BODY=8BITMIME"] if not letter.isascii() else [])
            for address in to:
                code, text = smtp.rcpt(address)
                assert code == 250, text
            code, text = smtp.data(letter)
            return f"{code} {text.decode()}"

    return await asyncio.to_thread(send)


async def by_swaks(port: int, sender: str, to: list[str], letter: bytes) -> str:
    """swaks, with the letter as a file."""
    code, out, err = await run(
        *("swaks", "--server", "127.0.0.1", "--port", str(port), "--from", sender),
        *("--to", ",".join(to), "--data", "-", "--suppress-data"),
        stdin=letter.replace(b"\r\n", b"\n"),
    )
    assert code == 0, out + err
    return next(line for line in out.splitlines() if "queued as" in line)


async def by_curl(port: int, sender: str, to: list[str], letter: bytes) -> str:
    """The smtp:// of curl."""
    recipients = [word for address in to for word in ("--mail-rcpt", address)]
    code, out, err = await run(
        *("curl", "-sS", "-v", "--crlf", "--url", f"smtp://127.0.0.1:{port}/client.example.com"),
        *("--mail-from", sender, *recipients, "--upload-file", "-"),
        stdin=letter.replace(b"\r\n", b"\n"),
    )
    assert code == 0, out + err
    return next(line for line in err.splitlines() if "queued as" in line)


def needed(program: str) -> pytest.MarkDecorator:
    """Skip where a program is not there; `make test` installs it where it runs as root."""
    return pytest.mark.skipif(
        shutil.which(program) is None, reason=f"{program} is not installed, and needs root to be"
    )


CLIENTS = [
    pytest.param(by_smtplib, id="smtplib"),
    pytest.param(by_swaks, id="swaks", marks=needed("swaks")),
    pytest.param(by_curl, id="curl", marks=needed("curl")),
]


def queue_id_of(reply: str) -> str:
    """The queue id in `… queued as <id>`."""
    return reply.rpartition("queued as")[2].split(maxsplit=1)[0]
