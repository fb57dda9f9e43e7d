"""
Memory: little when idle; with many large letters at once a budget that holds.

MAILQUAY_TEST_LARGE says how many letters come at once, MAILQUAY_TEST_LARGE_MIB how large each is
and MAILQUAY_TEST_BUDGET_MIB what they may take; `make flood` takes 200 of 20 MiB and 256 MiB.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bench.measure import family, settled
from bench.sink import NUMBER_FIELD, OwnSink
from providers.sandbox.server import Sandbox
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import smarthost
from tests.support.dialogue import Dialogue

MIB = 1 << 20
IDLE = 64 * MIB
LETTERS = int(os.environ.get("MAILQUAY_TEST_LARGE", "24"))
LETTER = int(os.environ.get("MAILQUAY_TEST_LARGE_MIB", "4")) * MIB
BUDGET = int(os.environ.get("MAILQUAY_TEST_BUDGET_MIB", "16")) * MIB
LINES = (b"x" * 76 + b"\r\n") * 840  # 64 KiB, sent again and again: no client holds a letter
CONNECTIONS = 2
WITHIN_S = 600.0

reads_proc = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="reads Linux's /proc"
)


@reads_proc
async def test_an_idle_gateway_is_small(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """
    What no other process has a part in, with one provider, as a sidecar has it.

    Pages of libraries, 20 MiB, come on top; how many count here hangs on who else has them.
    """
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    await settled(gateway.pid, 10)
    assert sum(map(own_octets, family(gateway.pid))) < IDLE
    assert await gateway.stop() == 0


@pytest.fixture
async def sink() -> AsyncIterator[OwnSink]:
    """A smarthost that counts letters and keeps none."""
    running = OwnSink()
    await running.start()
    yield running
    await running.stop()


@reads_proc
async def test_large_letters_share_a_budget(sink: OwnSink, make_gateway: MakeGateway) -> None:
    """
    All begin at once; past the budget it is 452 4.3.1, memory stays bounded, and all get through.

    Nobody ends a letter before everybody has sent his, so that all of them are there together.
    """
    gateway = make_gateway(
        {
            "main": {
                "kind": "smarthost",
                "host": "127.0.0.1",
                "port": sink.port,
                "tls": "off",
                "connections": CONNECTIONS,
            }
        },
        smtp={
            "listeners": [{"name": "app", "host": "127.0.0.1", "port": 0}],
            "max_message_size": 2 * LETTER,
            "max_memory": BUDGET,
        },
        delivery={"hand_off_memory": BUDGET // 4},
    )
    await gateway.start()
    idle = peak_octets(gateway.pid)
    begun = time.monotonic()
    everybody_has_sent = asyncio.Barrier(LETTERS)
    retrying = asyncio.Semaphore(max(1, BUDGET // LETTER // 2))
    put_off = 0

    async def one(number: int) -> None:
        nonlocal put_off
        reply = await send(gateway.smtp_port, number, everybody_has_sent)
        while reply.startswith("452 4.3.1 "):
            put_off += 1
            async with retrying:
                reply = await send(gateway.smtp_port, number)
        assert reply.startswith("250 "), reply

    async with asyncio.timeout(WITHIN_S):
        await asyncio.gather(*map(one, range(LETTERS)))
        await sink.wait_for(LETTERS)
    grown = peak_octets(gateway.pid) - idle
    print(  # noqa: T201
        f"{LETTERS} letters of {LETTER // MIB} MiB at once, a budget of {BUDGET // MIB} MiB:"
        f" {put_off} times 452 4.3.1, all handed over after {time.monotonic() - begun:.0f} s;"
        f" memory grew by {grown // MIB} MiB from {idle // MIB} MiB,"
        f" and is {await gateway.metric('process_resident_memory_bytes') // MIB:.0f} MiB now"
    )
    assert sink.balance(LETTERS) == (0, 0)
    assert put_off >= LETTERS - BUDGET // LETTER - 1
    # What comes in, what is kept for its first attempt, what a connection reads from the disk, and
    # a few times the one letter that is being made ready for the spool.
    assert grown < BUDGET + BUDGET // 4 + (CONNECTIONS + 4) * LETTER
    told = await gateway.metric(
        "mailquay_smtp_replies_total", listener="app", code_class="4xx", reason="no_memory"
    )
    assert told == put_off
    assert await gateway.stop() == 0


async def send(port: int, number: int, gate: asyncio.Barrier | None = None) -> str:
    """One letter in a session of its own, its end held back until the gate opens; the reply."""
    client = await Dialogue.connect(port)
    client.timeout_s = WITHIN_S
    try:
        await client.hello()
        await client.to_data()
        await client.send(b"From: a@example.com\r\n%b: %d\r\n\r\n" % (NUMBER_FIELD, number))
        for _ in range(LETTER // len(LINES)):
            await client.send(LINES)
        if gate is not None:
            await gate.wait()
        await client.send(b".\r\n")
        return (await client.reply())[-1]
    finally:
        await client.close()


def own_octets(pid: int) -> int:
    """Memory of a process that stands in no file."""
    return _octets(pid, "smaps_rollup", "Anonymous:")


def peak_octets(pid: int) -> int:
    """The most that a process ever had in memory."""
    return _octets(pid, "status", "VmHWM:")


def _octets(pid: int, file: str, name: str) -> int:
    lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
