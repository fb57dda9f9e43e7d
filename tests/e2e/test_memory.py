"""Memory: little when idle; with many large letters at once a budget that holds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bench.measure import pss_octets, settled
from providers.sandbox.server import Sandbox
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import smarthost
from tests.support.dialogue import Dialogue

MIB = 1 << 20
CLIENTS = 20
LETTER = (b"x" * 76 + b"\r\n") * (4 * MIB // 78)
BUDGET = 16 * MIB
IDLE = 64 * MIB


def peak_octets(pid: int) -> int:
    """The most that a process ever had in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


reads_proc = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="reads Linux's /proc"
)


@reads_proc
async def test_an_idle_gateway_is_small(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """Proportional set size of all its processes, with one provider, as a sidecar has it."""
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    await settled(gateway.pid, 10)
    assert pss_octets(gateway.pid) < IDLE
    assert await gateway.stop() == 0


@reads_proc
async def test_letters_beyond_the_budget_are_put_off(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """452 4.3.1 for what fits no more, memory bounded meanwhile, and all arrive when they retry."""
    gateway = make_gateway(
        {"main": smarthost(sandbox)},
        smtp={
            "listeners": [{"name": "app", "host": "127.0.0.1", "port": 0}],
            "max_message_size": "5MiB",
            "max_memory": BUDGET,
        },
        delivery={"hand_off_memory": "4MiB"},
    )
    await gateway.start()
    before = peak_octets(gateway.pid)
    everybody_has_sent = asyncio.Barrier(CLIENTS)
    replies: list[str] = []

    async def one(number: int) -> None:
        client = await Dialogue.connect(gateway.smtp_port)
        client.timeout_s = 120.0
        await client.hello()
        head = b"From: a@example.com\r\nMessage-ID: <%d@example.com>\r\n\r\n" % number
        await client.to_data()
        await client.send(head + LETTER)
        await everybody_has_sent.wait()
        await client.send(b".\r\n")
        replies.append((await client.reply())[-1])
        await client.close()

    await asyncio.gather(*(one(number) for number in range(CLIENTS)))
    put_off = [reply for reply in replies if reply.startswith("452 4.3.1 ")]
    taken = [reply for reply in replies if reply.startswith("250 ")]
    assert len(put_off) + len(taken) == CLIENTS
    assert len(taken) <= BUDGET // len(LETTER) + 1
    assert put_off
    # Less than was offered at once: without a budget that much would be held, and copies of it.
    assert peak_octets(gateway.pid) - before < CLIENTS * len(LETTER)
    client = await Dialogue.connect(gateway.smtp_port)
    client.timeout_s = 120.0
    await client.hello()
    for _ in put_off:
        assert (await client.letter(b"From: a@example.com\r\n\r\n" + LETTER)).startswith("250 ")
    await client.close()
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) == CLIENTS, 120)
    assert await gateway.stop() == 0
