"""Letters for the v2 service leave together: how many in a call, and what a kill leaves open."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from providers.sandbox import credentials
from providers.sandbox.app import V2_PATH
from providers.sandbox.faults import Fault, FaultKind, FaultPlan
from providers.sandbox.form_v2 import SandboxFormV2
from providers.sandbox.letterbox import Letterbox
from providers.sandbox.listener import HttpListener
from providers.sandbox.server import Sandbox
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import GatewayProcess, form_v2
from tests.support.load import Load, a_load_letter

LETTERS = 2000


class Gatekeeper:
    """Lets no call through before it is opened, as a provider that is busy for a while."""

    def __init__(self, app: ASGIApp) -> None:
        self.opened = asyncio.Event()
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.opened.wait()
        await self._app(scope, receive, send)


class BusyService:
    """The imitated v2 service behind a gatekeeper."""

    def __init__(self) -> None:
        self.letterbox = Letterbox()
        self.account = SandboxFormV2(self.letterbox, FaultPlan(), credentials.V2_TOKEN)
        self.gate = Gatekeeper(Starlette(routes=[Mount(V2_PATH, routes=self.account.routes())]))
        self.listener = HttpListener(self.gate)

    @property
    def v2_url(self) -> str:
        return f"http://127.0.0.1:{self.listener.port}{V2_PATH}"


@pytest.fixture
async def service() -> AsyncIterator[BusyService]:
    service = BusyService()
    await service.listener.start()
    yield service
    service.gate.opened.set()
    await service.listener.stop()


async def test_2000_personal_letters_leave_in_a_fiftieth_of_the_calls(
    service: BusyService, make_gateway: MakeGateway
) -> None:
    """All calls count, the questions for results too; each letter arrives once, as its own."""
    settings = {"rate": "50/s", "connections": 1, "timeout": "5m"}
    provider = {
        "kind": "form_v2",
        "base_url": service.v2_url,
        "token": credentials.V2_TOKEN,
        **settings,
    }
    gateway = make_gateway({"bulk": provider})
    await gateway.start()
    load = Load(lambda: gateway.smtp_port, map(a_load_letter, range(LETTERS)))
    async with asyncio.timeout(400):
        load.start(20)
        await load.complete()
        service.gate.opened.set()
        await service.letterbox.wait_until(lambda box: len(box.letters) == LETTERS, 120)
        await handed_over(gateway, LETTERS)
    methods = service.account.methods
    assert methods.total() * 50 <= LETTERS, methods
    assert Counter(letter.recipient for letter in service.letterbox.letters) == dict.fromkeys(
        (f"r{number}@example.org" for number in range(LETTERS)), 1
    )
    for letter in service.letterbox.letters:
        assert letter.recipient == f"r{letter.subject}@example.org"
    calls = await gateway.metric("mailquay_batch_recipients_count", provider="bulk")
    letters = await gateway.metric("mailquay_batch_recipients_sum", provider="bulk")
    assert letters == LETTERS
    assert letters / calls >= 50


async def test_results_are_each_recipient_s_own(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """One bad address among many fails alone, by what statusBulkEmail tells of it."""
    sandbox.faults.add(Fault(FaultKind.REFUSE, "form_v2", recipient="r3@"))
    settings = form_v2(sandbox, batch_window="2s")
    gateway = make_gateway({"bulk": settings})
    await gateway.start()
    letter = a_load_letter(1, *(f"r{number}@example.org" for number in range(10)))
    load = Load(lambda: gateway.smtp_port, iter((letter,)))
    load.start(1)
    await load.complete()
    await handed_over(gateway, 9)
    failed = await gateway.wait_for(lambda line: line.get("event") == "failed")
    assert (failed["to"], failed["dsn"]) == ("r3@example.org", "5.1.0")
    assert sandbox.form_v2.methods["sendBulkEmail"] == 1
    assert not any(x.recipient == "r3@example.org" for x in sandbox.letterbox.letters)


async def test_killed_between_acceptance_and_record(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """T13: kill -9 while a batch waits for its answer: second copies of its letters alone."""
    sandbox.faults.add(Fault(FaultKind.HANG, "form_v2", style="after", method="sendBulkEmail"))
    gateway = make_gateway(
        {"bulk": form_v2(sandbox, connections=1, batch_window="1s", timeout="5m")}
    )
    await gateway.start()
    letters = 300
    load = Load(lambda: gateway.smtp_port, map(a_load_letter, range(letters)))
    async with asyncio.timeout(120):
        load.start(10)
        await load.complete()
        await sandbox.letterbox.wait_until(lambda _: bool(in_batches(sandbox)), 60)
        in_doubt = in_batches(sandbox)  # its call is not over, and holds the only connection
        await gateway.kill()
        await gateway.start()
        await handed_over(gateway, letters)
    uncertain = {line["to"] for line in gateway.log if line["event"] == "uncertain"}
    assert uncertain == in_doubt
    copies = Counter(letter.recipient for letter in sandbox.letterbox.letters)
    assert len(copies) == letters
    assert {address for address, count in copies.items() if count > 1} == uncertain
    assert max(copies.values()) == 2


def in_batches(sandbox: Sandbox) -> set[str]:
    """Who has a letter that came with others."""
    return {
        letter.recipient
        for letter in sandbox.letterbox.letters
        if "message_type" in letter.parameters
    }


async def handed_over(gateway: GatewayProcess, count: int) -> None:
    """Wait until so many recipients are handed over, by the gateway's log."""
    await gateway.wait_for_count(count, lambda line: line.get("event") == "handed_over", 120)
