"""Killed in the middle of a crowd of letters: nothing that was answered 250 is lost."""

from __future__ import annotations

import asyncio
from collections import Counter

from providers.sandbox.server import Sandbox
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import GatewayProcess, smarthost
from tests.support.load import Load, a_load_letter

LETTERS = 500
SESSIONS = 10
KILLS = (120, 300)


async def test_every_letter_answered_250_is_handed_over(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """
    T13: kill -9 twice in the middle of 500 letters, restart, compare the accounts.

    Second copies only for letters that were uncertain, or that the client sent again itself.
    """
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    load = Load(lambda: gateway.smtp_port, map(a_load_letter, range(LETTERS)))
    async with asyncio.timeout(120):
        load.start(SESSIONS)
        for count in KILLS:
            await load.until(lambda load, count=count: len(load.taken) >= count)
            await gateway.kill()
            await gateway.start()
        await load.complete()
        await sandbox.letterbox.wait_until(
            lambda box: len({letter.recipient for letter in box.letters}) == LETTERS, 60
        )
    await _settled(gateway)
    copies = Counter(letter.recipient for letter in sandbox.letterbox.letters)
    assert {to for letter in load.taken.values() for to in letter.recipients} == set(copies)
    uncertain = {line["to"] for line in gateway.log if line["event"] == "uncertain"}
    again = {f"r{number}@example.org" for number, times in load.doubtful.items() if times}
    assert {address for address, count in copies.items() if count > 1} <= uncertain | again


async def _settled(gateway: GatewayProcess) -> None:
    """Wait until nothing is under way, and see that the ledger balances."""
    async with asyncio.timeout(60):
        while True:
            # Of one answer: between two a recipient may move from the one asked for to another.
            states = await gateway.series("mailquay_recipients", "state")
            if not any(states[state] for state in ("waiting", "sending", "uncertain")):
                break
            await asyncio.sleep(0.2)  # another process's state, which sends no event
    assert await gateway.metric("mailquay_recipients_accepted") == states["handed_over"]
