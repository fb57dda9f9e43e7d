"""
The smarthost adapter before a server that nobody here wrote: Postfix, with all that it offers.

Postfix relays what it takes to the sandbox, so that what arrives can be compared. It is told to
drop clients that pipeline where RFC 2920 does not let them.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bench import postfix
from bench.relays import Postfix
from gateway.clock import SystemClock
from providers.contract.message import Message
from providers.contract.outcome import DeliveryOutcome, Kind
from providers.mime import parse_letter
from providers.sandbox.faults import FaultPlan
from providers.sandbox.letterbox import Letterbox
from providers.sandbox.smarthost import EXTENSIONS, SandboxSmarthost
from providers.smarthost.provider import Smarthost
from providers.smarthost.settings import SmarthostSettings
from tests.support.builders import a_raw_message, a_request

# Whole, so that Postfix has nothing to add but its Received.
HEADER = (
    "From: news@example.com\r\nTo: list@example.org\r\nSubject: {}\r\n"
    "Date: Mon, 1 Jan 2024 12:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n"
)
STRICT = "smtpd_forbid_unauth_pipelining = yes\nsmtputf8_enable = yes\nmessage_size_limit = 0\n"


@pytest.fixture
async def next_hop() -> AsyncIterator[SandboxSmarthost]:
    """Where Postfix sends on to."""
    server = SandboxSmarthost(
        Letterbox(),
        FaultPlan(),
        username="nobody@example.com",
        password="dummy",
        require_auth=False,
        extensions=EXTENSIONS - {"AUTH", "STARTTLS"},
    )
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def provider(
    next_hop: SandboxSmarthost, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Smarthost]:
    """The adapter before a Postfix of its own; skipped where there is none to be had."""
    if os.geteuid() != 0 or not shutil.which("postfix"):
        pytest.skip("needs Postfix, and root to start it")
    monkeypatch.setattr(postfix, "_MAIN", postfix._MAIN + STRICT)
    # Not below pytest's folder, which lets nobody in: Postfix has users of its own.
    folder = Path(tempfile.mkdtemp(prefix="mailquay-postfix-", dir="/tmp"))
    folder.chmod(0o755)
    relay = Postfix()
    try:
        await relay.start(folder / "instance", next_hop.port)
        settings = SmarthostSettings(
            host="127.0.0.1", port=relay.port, tls="off", connections=2, hostname="gw.example.com"
        )
        built = Smarthost("main", settings, SystemClock())
        yield built
        await built.aclose()
    finally:
        await relay.stop()
        shutil.rmtree(folder)


def letter(subject: str, body: str | bytes) -> Message:
    octets = body if isinstance(body, bytes) else body.encode()
    fields = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
    return a_raw_message((HEADER.format(subject) + fields + "\r\n").encode() + octets)


async def send(provider: Smarthost, *letters: Message) -> list[DeliveryOutcome]:
    """All at once, each to a recipient of its own."""
    deadline = SystemClock().monotonic() + 120

    async def one(number: int, message: Message) -> DeliveryOutcome:
        request = a_request(f"user{number}@example.org", message=message)
        return (await provider.deliver(request, deadline=deadline)).outcomes[0]

    return await asyncio.gather(*(one(n, message) for n, message in enumerate(letters)))


async def test_many_letters(provider: Smarthost, next_hop: SandboxSmarthost):
    """Envelopes behind content are no violation, and each letter arrives once, for its own."""
    letters = [letter(f"letter {n}", f".\r\n..\r\nletter {n}\r\n") for n in range(40)]
    outcomes = await send(provider, *letters)
    assert [outcome.kind for outcome in outcomes] == [Kind.ACCEPTED] * 40
    assert "2 connections" in repr(provider)
    await next_hop.letterbox.wait_until(lambda box: len(box.letters) == 40, 60)
    arrived = {x.recipient: x.content for x in next_hop.letterbox.letters}
    for number, sent in enumerate(letters):
        assert arrived[f"user{number}@example.org"].endswith(sent.content)


async def test_large_and_eight_bit_letters(provider: Smarthost, next_hop: SandboxSmarthost):
    """By BDAT, which Postfix offers, beside letters that go by DATA: octet for octet."""
    lines = "строка из восьми бит\r\n.\r\n" * 40_000
    letters = [letter("large", lines), letter("small", "Спасибо\r\n"), letter("another", lines)]
    outcomes = await send(provider, *letters)
    assert [outcome.kind for outcome in outcomes] == [Kind.ACCEPTED] * 3
    assert "queued" in outcomes[0].diagnostic
    await next_hop.letterbox.wait_until(lambda box: len(box.letters) == 3, 60)
    arrived = {x.recipient: x for x in next_hop.letterbox.letters}
    for number, sent in enumerate(letters):
        got = arrived[f"user{number}@example.org"]
        assert got.content.endswith(sent.content)
        assert parse_letter(got.content).text == parse_letter(sent.content).text


async def test_the_probe_names_what_is_offered(provider: Smarthost):
    """What the tests above rely on is really there."""
    result = await provider.probe()
    assert result.ok
    assert {"PIPELINING", "CHUNKING", "8BITMIME", "SMTPUTF8"} <= set(result.detail.split())
