"""A start with 100,000 letters waiting: quick, in the memory of an empty one, at the pace."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.measure import pss_octets
from gateway.clock import SystemClock
from gateway.spool.store import SqlSpool
from providers.sandbox.server import Sandbox
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import GatewayProcess, smarthost
from tests.support.builders import an_envelope
from tests.support.letters import a_letter

LETTERS = 100_000
AT_ONCE = 1000
PER_SECOND = 40
ARRIVALS = 120
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Start:
    """What a start took: seconds until the first 220, octets of memory a while after it."""

    greeted_s: float
    octets: int


async def fill(path: Path) -> None:
    """Admit letters to a spool that is closed afterwards, a thousand in each commit."""
    spool = await SqlSpool.open(
        f"sqlite:///{path}",
        clock=SystemClock(),
        uncertain_after=timedelta(minutes=5),
        exclusive=True,
    )
    now = datetime.now(UTC)
    for first in range(0, LETTERS, AT_ONCE):
        await asyncio.gather(
            *(
                spool.admit(a_letter(spool, now, envelope=an_envelope(f"r{n}@example.org")))
                for n in range(first, first + AT_ONCE)
            )
        )
    await spool.aclose()


async def first_greeting(gateway: GatewayProcess) -> float:
    """Start it; seconds until a client reads 220."""
    began = time.monotonic()
    await gateway.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.smtp_port)
    assert (await reader.readline()).startswith(b"220 ")
    greeted_s = time.monotonic() - began
    writer.close()
    await writer.wait_closed()
    return greeted_s


async def test_start_with_a_long_queue(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """
    T24: the account's pace holds from the first second, and neither time nor memory grows.

    The bounds are for the slowest machine; what was measured is printed.
    """
    main = smarthost(sandbox, rate=f"{PER_SECOND}/s")
    empty = make_gateway({"main": main})
    without = Start(await first_greeting(empty), pss_octets(empty.pid))
    await empty.stop()
    full = make_gateway({"main": main})
    await fill(full.folder / "spool.db")
    began = time.monotonic()
    greeted_s = await first_greeting(full)
    for count in range(1, ARRIVALS + 1):
        await sandbox.letterbox.wait_until(lambda box, n=count: len(box.letters) >= n, 60)
        allowed = 1 + PER_SECOND * (time.monotonic() - began)
        assert len(sandbox.letterbox.letters) <= allowed
    loaded = Start(greeted_s, pss_octets(full.pid))
    for name, start in (("an empty queue", without), (f"{LETTERS} letters", loaded)):
        print(f"{name}: 220 after {start.greeted_s:.2f} s, PSS {start.octets / MIB:.1f} MiB")  # noqa: T201
    assert loaded.greeted_s < 3 * without.greeted_s + 10
    assert loaded.octets < without.octets + 24 * MIB
    assert await full.stop() == 0
    code, out, err = await full.command("queue", "stats", "--json")
    assert code == 0, err
    stats = json.loads(out)
    arrived = len(sandbox.letterbox.letters)
    assert stats["accepted"] == LETTERS
    assert stats["states"]["handed_over"] == arrived
    assert stats["states"]["waiting"] == LETTERS - arrived
    recipients = [letter.recipient for letter in sandbox.letterbox.letters]
    assert len(recipients) == len(set(recipients))
