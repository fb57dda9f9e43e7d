"""
A flood of webhooks while letters come in: what was answered 2xx against what is stored.

`python -m tests.e2e.webhook_flood --seconds 10` prints both rates; `test_webhook_flood` runs it for
a moment. One process sends webhooks, letters and plays the provider, as fast as one core can.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from gateway.app.spool import open_spool
from gateway.config import load
from providers.contract.tracking import EventType
from providers.sandbox.server import Sandbox
from tests.e2e.gateway_process import GatewayProcess, rest_v1, smarthost
from tests.support.load import Load, a_load_letter

SECRET = "not-to-be-guessed-0123456789"
DOMAIN = "told.example.org"
TOLD_OF = 50  # letters that the webhooks tell of
CALLERS = 16
SESSIONS = 5
FIRST_SECOND = 1_700_000_000

Happening = tuple[str, int]
"""The provider's id of a letter, and the Unix second when it was opened."""


@dataclass(frozen=True, slots=True)
class Flood:
    """What came of a flood; `lost` were answered 2xx and are not stored."""

    seconds: float
    answered: int
    refused: int
    letters: int
    lost: int

    def __str__(self) -> str:
        return (
            f"{self.answered / self.seconds:.0f} webhooks a second answered 2xx, "
            f"{self.refused} refused, {self.lost} lost; "
            f"{self.letters / self.seconds:.0f} letters a second taken meanwhile"
        )


async def flood(folder: Path, seconds: float) -> Flood:
    """Run a gateway under a flood for so long."""
    sandbox = Sandbox(rate=None)
    await sandbox.start()
    gateway = GatewayProcess(
        folder,
        {
            "rest": rest_v1(sandbox, rate="1000/s", webhook_secret=SECRET, poll="0s"),
            "main": smarthost(sandbox),
        },
        routes=[
            {"name": "told", "when": {"recipient_domain": [DOMAIN]}, "providers": ["rest"]},
            {"name": "default", "providers": ["main"]},
        ],
    )
    try:
        await gateway.start()
        return await _flood(sandbox, gateway, seconds)
    finally:
        if gateway.started:
            await gateway.kill()
        await sandbox.stop()


async def _flood(sandbox: Sandbox, gateway: GatewayProcess, seconds: float) -> Flood:
    told_of = (a_load_letter(n, f"r{n}@{DOMAIN}") for n in range(TOLD_OF))
    first = Load(lambda: gateway.smtp_port, told_of)
    first.start(5)
    await first.complete()
    handed_over = "handed_over"
    await gateway.wait_for_count(TOLD_OF, lambda line: line.get("event") == handed_over)
    ids = [str(number) for number in sandbox.rest_v1.messages.found]
    happenings = ((name, FIRST_SECOND + n) for n in itertools.count() for name in ids)
    letters = Load(lambda: gateway.smtp_port, map(a_load_letter, itertools.count(TOLD_OF)))
    answered: set[Happening] = set()
    began = time.monotonic()
    letters.start(SESSIONS)

    async def call_on() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.http_port)
        failures = 0
        while time.monotonic() - began < seconds:
            happening = next(happenings)
            writer.write(_request(happening))
            status = await _status(reader)
            if 200 <= status < 300:
                answered.add(happening)
            else:
                failures += 1
        writer.close()
        return failures

    refused = sum(await asyncio.gather(*(call_on() for _ in range(CALLERS))))
    took = time.monotonic() - began
    taken = len(letters.taken)
    await letters.finish()
    lost = answered - await _stored(gateway)
    return Flood(took, len(answered), refused, taken, len(lost))


def _request(happening: Happening) -> bytes:
    name, second = happening
    event = {"name": "opened", "timestamp": second}
    body = json.dumps({"message": {"id": int(name)}, "event": event}).encode()
    head = f"POST /webhooks/rest/{SECRET} HTTP/1.1\r\nHost: gateway.example.com\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _status(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").lower().split("\r\n")
    lengths = [line.partition(":")[2] for line in lines if line.startswith("content-length:")]
    await reader.readexactly(int(lengths[0]))
    return int(lines[0].split()[1])


async def _stored(gateway: GatewayProcess) -> set[Happening]:
    """What is in the spool, read beside the running gateway."""
    spool = await open_spool(load(gateway.config_path), exclusive=False)
    found: set[Happening] = set()
    try:
        number = 0
        while events := await spool.tracking.after(number, 1000):
            number = events[-1].number
            for tracked in events:
                assert tracked.event.event_type is EventType.OPENED
                second = int(tracked.event.timestamp.timestamp())
                happening = tracked.event.provider_message_id, second
                assert happening not in found, f"stored twice: {happening}"
                found.add(happening)
        return found
    finally:
        await spool.aclose()


def main() -> None:
    """Print what came of a flood."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(f"{asyncio.run(flood(Path(folder), options.seconds))}\n")


if __name__ == "__main__":
    main()
