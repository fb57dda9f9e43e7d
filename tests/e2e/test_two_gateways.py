"""
Two gateways on one queue: shared, taken over from the dead, kept from the frozen, cut off from it.

Each drill ends with the accounts: what clients were told, what PostgreSQL holds and what the
provider got are laid side by side, and the ledger of metrics and `queue stats` balances.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.server import Sandbox
from tests.crash.accounts import Accounts, SpoolBook, compare, read_shared_spool
from tests.crash.campaign import faults_for_ever, mixed_letters
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import GatewayProcess, LogLine, smarthost
from tests.support.load import Load
from tests.support.postgresql import NoPostgresql, PostgresqlServer, execute

LEASE = "5s"
FOR_EVER = "5m"  # longer than any pause of the machine
HANGING = 4  # the smarthost's connections, all of them
PATIENCE = "15s"  # of an attempt that hangs, longer than a lease
SESSIONS = 6
UNDER_WAY = "SELECT count(*) FROM recipient WHERE settled = 0 AND forward_path NOT LIKE 'never%%'"
HELD_BY_ONE = "SELECT max(n) FROM (SELECT count(*) AS n FROM recipient GROUP BY lease) AS held"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    """A server that syncs, so that its crash is one."""
    try:
        server = PostgresqlServer(safe=True)
    except NoPostgresql as error:
        pytest.skip(str(error))
    server.start()
    yield server
    server.remove()


@dataclass(slots=True)
class Drill:
    """Two daemons, `one` and `other`, clients that go to those in `open_to`, and the books."""

    url: str
    one: GatewayProcess
    other: GatewayProcess
    open_to: list[GatewayProcess]
    sandbox: Sandbox
    load: Load

    @property
    def gateways(self) -> tuple[GatewayProcess, GatewayProcess]:
        return self.one, self.other

    async def fill_one(self) -> None:
        """Let `one` have letters in hand that it cannot get rid of: sent, or leased and waiting."""
        self.open_to.remove(self.other)
        for style in ("", "after"):
            self.sandbox.faults.add(Fault(FaultKind.HANG, "smarthost", HANGING // 2, style=style))
        self.load.start(SESSIONS)
        await self.load.until(lambda load: len(load.taken) >= 60, 90)
        assert execute(self.url, HELD_BY_ONE)[0][0] > HANGING
        self.open_to.append(self.other)

    async def all_arrive(self) -> None:
        """Wait until what was taken so far has arrived, but for those that never will."""
        wanted = {
            address
            for letter in self.load.taken.values()
            for address in letter.recipients
            if not address.startswith(("never", "wrong"))
        }
        await self.sandbox.letterbox.wait_until(
            lambda box: wanted <= {letter.recipient for letter in box.letters}, 120
        )

    async def settle(self) -> Accounts:
        """Finish the load, wait until nothing is left to do, check the ledger, stop, compare."""
        async with asyncio.timeout(180):
            await self.load.finish()
            while execute(self.url, UNDER_WAY)[0][0]:  # noqa: ASYNC110 (other processes' state)
                await asyncio.sleep(0.1)
        running = [gateway for gateway in self.gateways if gateway in self.open_to]
        ledgers = [await ledger_of(gateway) for gateway in running]
        for gateway in running:
            assert await gateway.stop() == 0
        books = compare(self.load, self._book(), self.sandbox.letterbox)
        books.check()
        assert books.letters > 0
        for ledger in ledgers:
            assert ledger["failed"] == books.failed
            assert ledger["waiting"] == books.waiting
            # Reports are letters of the queue too.
            assert ledger["handed_over"] >= books.handed_over
            accepted = ledger.pop("accepted")
            assert accepted == sum(ledger.values()) >= books.recipients
        return books

    def _book(self) -> SpoolBook:
        """
        The spool's side; a late answer is in its stories as it came, the doubt only in the logs.
        """
        book = read_shared_spool(self.url)
        logged = Counter(
            (line["queue_id"], line["to"])
            for gateway in self.gateways
            for line in filter(named("uncertain"), gateway.log)
        )
        return replace(book, uncertain=Counter(book.uncertain) | logged)


@pytest.fixture
def times() -> tuple[str, str]:
    """A lease, and the patience of an attempt; a drill that waits for neither has longer ones."""
    return LEASE, PATIENCE


@pytest.fixture
async def drill(
    server: PostgresqlServer, make_gateway: MakeGateway, times: tuple[str, str]
) -> AsyncIterator[Drill]:
    """Two gateways that run; clients go to both in turn, once the load is started."""
    lease, patience = times
    sandbox = Sandbox(rate=None, faults=faults_for_ever())
    await sandbox.start()
    with server.database() as url:
        config = {"spool": {"url": url, "lease": lease}}
        main = smarthost(sandbox, connections=HANGING, timeout=patience)
        one, other = (make_gateway({"main": main}, **config) for _ in range(2))
        await asyncio.gather(one.start(), other.start())
        open_to = [one, other]
        turn = itertools.count()
        load = Load(lambda: open_to[next(turn) % len(open_to)].smtp_port, mixed_letters())
        try:
            yield Drill(url, one, other, open_to, sandbox, load)
        finally:
            await load.abandon()
            for gateway in (one, other):
                await gateway.kill()
            await sandbox.stop()


async def ledger_of(gateway: GatewayProcess) -> dict[str, float]:
    """The ledger as `queue stats` has it, which the metrics must tell as well."""
    code, out, err = await gateway.command("queue", "stats", "--json")
    assert code == 0, err
    stats = json.loads(out)
    async with asyncio.timeout(60):
        while True:  # letters that are put off for ever go on moving between two states
            shown = {
                state: await gateway.metric("mailquay_recipients", state=state)
                for state in stats["states"]
            }
            if _at_rest(shown) == _at_rest(stats["states"]):
                break
            await asyncio.sleep(0.2)
    assert await gateway.metric("mailquay_recipients_accepted") == stats["accepted"]
    return {"accepted": stats["accepted"], **_at_rest(stats["states"])}


def _at_rest(states: dict[str, float]) -> dict[str, float]:
    moving = ("waiting", "sending", "uncertain", "held")
    still = {state: number for state, number in states.items() if state not in moving}
    return {**still, "waiting": sum(states[state] for state in moving)}


def named(event: str, **fields: Any) -> Callable[[LogLine], bool]:
    """Whether a log line tells this event with these fields."""
    wanted = {"event": event, **fields}
    return lambda line: wanted.items() <= line.items()


def told(gateway: GatewayProcess, event: str) -> int:
    """How many lines tell this event."""
    return sum(map(named(event), gateway.log))


async def until_ready(gateway: GatewayProcess, *, ready: bool) -> str:
    """Ask `/readyz` until it says so; what it says."""
    async with asyncio.timeout(60):
        while True:
            try:
                answer = await gateway.get("/readyz")
            except httpx.TransportError:
                pass  # slower than the client's patience
            else:
                if answer.status_code == (200 if ready else 503):
                    return answer.text
            await asyncio.sleep(0.1)  # another process's state, which sends no event


@pytest.mark.parametrize("times", [(FOR_EVER, FOR_EVER)], ids=["unhurried"])
async def test_two_share_a_queue(drill: Drill) -> None:
    """Both take and both deliver under load, and no copy is made twice."""
    drill.load.start(SESSIONS)
    await drill.load.until(lambda load: len(load.taken) >= 300, 120)
    books = await drill.settle()
    for gateway in drill.gateways:
        assert told(gateway, "received") > 0
        assert told(gateway, "handed_over") > 0
    assert (books.second_copies, books.uncertain, books.sent_again) == (0, 0, 0)
    assert books.failed > 0, "the load has recipients that are refused"


@pytest.mark.parametrize("times", [(LEASE, "30s")], ids=["patient"])
async def test_one_is_killed_with_leases(drill: Drill) -> None:
    """T5: what it had leased is the other's when the lease is over; what it sent is uncertain."""
    await drill.fill_one()
    drill.open_to.remove(drill.one)
    await drill.one.kill()
    await drill.all_arrive()
    books = await drill.settle()
    assert HANGING <= told(drill.other, "uncertain") <= books.uncertain
    assert books.second_copies <= books.uncertain


async def test_one_is_frozen_beyond_its_lease(drill: Drill) -> None:
    """T5: thawed, it sends nothing of what the other has taken over, and records nothing of it."""
    await drill.fill_one()
    drill.open_to.remove(drill.one)
    os.kill(drill.one.pid, signal.SIGSTOP)
    try:
        await drill.all_arrive()
    finally:
        os.kill(drill.one.pid, signal.SIGCONT)
    since = len(drill.one.log)
    drill.open_to.append(drill.one)
    await drill.one.wait_for(named("received"), since=since, timeout_s=60)
    await drill.one.wait_for_count(HANGING, named("attempt_lost"))
    books = await drill.settle()
    assert HANGING <= told(drill.other, "uncertain") <= books.uncertain
    assert books.second_copies <= books.uncertain


async def test_their_server_crashes_and_comes_back(drill: Drill, server: PostgresqlServer) -> None:
    """T1, T13: 4xx and not ready meanwhile; nothing answered 250 is lost; nobody has to help."""
    drill.load.start(SESSIONS)
    await drill.load.until(lambda load: len(load.taken) >= 60, 90)
    await asyncio.to_thread(server.stop, "immediate")
    try:
        await drill.load.until(lambda load: load.refusals.total() >= 20, 90)
        for gateway in drill.gateways:
            said = await until_ready(gateway, ready=False)
            assert "spool: the database cannot be reached" in said
            assert (await gateway.get("/livez")).status_code == 200
    finally:
        await asyncio.to_thread(server.start)
    for gateway in drill.gateways:
        await until_ready(gateway, ready=True)
    taken = len(drill.load.taken)
    await drill.load.until(lambda load: len(load.taken) >= taken + 60, 90)
    await drill.settle()
    # Before the trouble is known, and at MAIL as soon as it is.
    assert set(drill.load.refusals) <= {"451 4.3.0", "452 4.3.1"}
