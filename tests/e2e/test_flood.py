"""
Thousands of idle connections, and clients that send slowly or not at all: others do not notice.

MAILQUAY_TEST_IDLE says how many are idle; `make flood` takes 10,000.
"""

from __future__ import annotations

import asyncio
import os
import resource

import pytest

from providers.sandbox.server import Sandbox
from tests.e2e.clients import by_smtplib
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import GatewayProcess, smarthost
from tests.support.dialogue import Dialogue

IDLE = int(os.environ.get("MAILQUAY_TEST_IDLE", "2000"))
LETTER = b"From: a@example.com\r\nTo: b@example.org\r\nSubject: x\r\n\r\n"
MIB = 1 << 20


@pytest.fixture
def many_files() -> None:
    """Room for as many sockets in this process; the gateway makes its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = IDLE + 500
    if hard < wanted:
        pytest.skip(f"{wanted} open files are needed, and {hard} allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


async def connect(gateway: GatewayProcess, turns: asyncio.Semaphore) -> Dialogue:
    """A client that has read its greeting and says no more."""
    async with turns:
        client = await Dialogue.connect(gateway.smtp_port)
        await client.expect("220 ")
        return client


async def memory(gateway: GatewayProcess) -> float:
    return await gateway.metric("process_resident_memory_bytes")


@pytest.mark.usefixtures("many_files")
async def test_idle_connections(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """They cost a few KiB each and nothing else; letters come in and go out beside them."""
    gateway = make_gateway({"main": smarthost(sandbox)})
    gateway.config["smtp"] = {
        "listeners": [{"name": "app", "port": 0}],
        "max_connections": IDLE + 100,
        "max_connections_per_address": IDLE + 100,
    }
    await gateway.start()
    await by_smtplib(gateway.smtp_port, "a@example.com", ["first@example.org"], LETTER)
    before = await memory(gateway)
    turns = asyncio.Semaphore(50)
    idle = await asyncio.gather(*(connect(gateway, turns) for _ in range(IDLE)))
    await gateway.wait_for_metric(IDLE, "mailquay_smtp_connections", listener="app")
    for number in range(20):
        reply = await by_smtplib(
            gateway.smtp_port, "a@example.com", [f"b{number}@example.org"], LETTER
        )
        assert reply.startswith("250 ")
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 21)
    grown = await memory(gateway) - before
    print(f"{IDLE} idle connections: {grown / IDLE:.0f} octets of memory each")  # noqa: T201
    assert grown < IDLE * 32_768 + 16 * MIB
    assert await idle[0].say("NOOP") == ["250 2.0.0 Ok"]
    assert await idle[-1].say("QUIT") == ["221 2.0.0 Bye"]
    await asyncio.gather(*(client.close() for client in idle))


async def test_senders_that_stall_give_way(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """
    Clients that stopped in the middle of large letters hold all memory: others get in all the same.

    They are put off at first, since who stopped may go on in a moment, and taken ten seconds later.
    """
    gateway = make_gateway({"main": smarthost(sandbox)})
    gateway.config["smtp"] = {
        "listeners": [{"name": "app", "port": 0}],
        "max_message_size": "4MiB",
        "max_memory": "8MiB",
    }
    await gateway.start()
    slow = [await Dialogue.connect(gateway.smtp_port) for _ in range(8)]
    for client in slow:
        await client.hello()
        await client.to_data()
        await client.send(LETTER + (b"x" * 76 + b"\r\n") * (MIB // 78))
    small = await by_smtplib(gateway.smtp_port, "a@example.com", ["small@example.org"], LETTER)
    assert small.startswith("250 ")
    large = LETTER + (b"y" * 76 + b"\r\n") * (2 * MIB // 78)
    async with asyncio.timeout(60):
        while not (  # noqa: ASYNC110 - a client that was told to come back later
            await by_smtplib(gateway.smtp_port, "a@example.com", ["large@example.org"], large)
        ).startswith("250 "):
            await asyncio.sleep(0.5)
    refused = 0
    for client in slow:
        await client.send(b".\r\n")
        reply = (await client.reply())[-1]
        assert reply.startswith(("250 2.0.0", "452 4.3.1")), reply
        refused += reply.startswith("452")
        await client.close()
    assert 1 <= refused < len(slow)
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) == len(slow) - refused + 2)
    held_back = await gateway.metric(
        "mailquay_smtp_replies_total", listener="app", code_class="4xx", reason="no_memory"
    )
    assert held_back >= refused
