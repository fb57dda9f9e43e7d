"""SIGTERM under load: nothing more is taken, what is under way ends, the rest stays for later."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

from providers.sandbox.server import Sandbox
from tests.crash.accounts import compare, read_spool
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import LogLine, smarthost
from tests.support.dialogue import Dialogue
from tests.support.load import Load, a_load_letter
from tests.support.scripted_smtp import ScriptedClient, scripted_smtp

LETTER = b"From: a@example.com\r\nSubject: x\r\n\r\nbody\r\n"


def event(name: str) -> Callable[[LogLine], bool]:
    """Whether a log line tells this event."""
    return lambda line: line["event"] == name


async def test_sigterm_with_sessions_and_an_attempt_under_way(make_gateway: MakeGateway) -> None:
    """
    T2: the idle get 421, the letter in hand its 250, the attempt under way its end; in this order.
    """
    sent, go_on = asyncio.Event(), asyncio.Event()

    async def slow(client: ScriptedClient) -> None:
        await client.greet()
        while (await client.reader.readline()).startswith(b"MAIL "):
            await client.say("250 ok")
            await client.hear("RCPT ")
            await client.say("250 ok")
            await client.hear("DATA")
            await client.say("354 go on")
            await client.content()
            sent.set()
            await go_on.wait()
            await client.say("250 ok")

    async with scripted_smtp(slow) as port, asyncio.timeout(60):
        main = {"kind": "smarthost", "host": "127.0.0.1", "port": port, "tls": "off"}
        gateway = make_gateway({"main": {**main, "connections": 1}})
        await gateway.start()
        idle, busy, first = [await Dialogue.connect(gateway.smtp_port) for _ in range(3)]
        await first.hello()
        assert "queued as" in await first.letter(LETTER, "a@example.org")
        await sent.wait()
        await idle.hello()
        await busy.hello()
        await busy.to_data("b@example.org")
        os.kill(gateway.pid, signal.SIGTERM)
        await idle.expect("421 4.3.2")
        await busy.send(LETTER + b".\r\n")
        await busy.expect("250 2.0.0 Ok: queued as", "421 4.3.2")
        go_on.set()
        assert await gateway.stop() == 0
        for client in (idle, busy, first):
            await client.close()
    states = read_spool(gateway.folder / "spool.db").states
    state_of = {to: state for (_, to), state in states.items()}
    assert state_of["a@example.org"] == "handed_over"
    # Begun before the deliverer heard of the end, or left for the next start; never in between.
    assert state_of["b@example.org"] in {"handed_over", "waiting"}
    events = [line["event"] for line in gateway.log]
    assert events.index("draining") < events.index("handed_over") < events.index("stopped")


async def test_sigterm_under_load(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """T2: stopped in the middle of a crowd; clients go on after the start, no copy is doubled."""
    gateway = make_gateway({"main": smarthost(sandbox, rate="1/s")})
    await gateway.start()
    load = Load(lambda: gateway.smtp_port, map(a_load_letter, range(400)))
    load.start(8)
    await load.until(lambda load: len(load.taken) >= 150)
    assert await gateway.stop() == 0
    waiting = list(read_spool(gateway.folder / "spool.db").states.values()).count("waiting")
    assert waiting > 0, "the pace allows for less than was taken"
    gateway.config["providers"]["main"] = smarthost(sandbox)
    await gateway.start()
    async with asyncio.timeout(60):
        await load.complete()
        await gateway.wait_for_count(400, event("handed_over"))
    assert await gateway.stop() == 0
    book = read_spool(gateway.folder / "spool.db")
    books = compare(load, book, sandbox.letterbox)
    books.check()
    assert (books.second_copies, books.uncertain, books.sent_again) == (0, 0, 0)
