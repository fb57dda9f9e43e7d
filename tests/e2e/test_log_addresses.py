"""`log.addresses: hashed` in the real daemon: the whole way of a letter, and nobody is named."""

from __future__ import annotations

import asyncio
import smtplib

from gateway.observe.addresses import AddressMarks
from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.server import Sandbox
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import smarthost

KEY = "dummy-key-for-tests-only"


async def test_the_log_names_nobody(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """Taken, put off with the server's words, failed and reported; the marks can be looked for."""
    sandbox.faults.add(Fault(FaultKind.DEFER, "smarthost", times=1, recipient="bob@"))
    sandbox.faults.add(Fault(FaultKind.REFUSE, "smarthost", times=1, recipient="bob@"))
    log = {"format": "json", "addresses": "hashed", "address_key": KEY}
    gateway = make_gateway({"main": smarthost(sandbox)}, log=log)
    await gateway.start()

    def talk() -> None:
        with smtplib.SMTP("127.0.0.1", gateway.smtp_port, timeout=60) as smtp:
            smtp.sendmail("anna@example.com", "Bob@example.org", b"Subject: x\r\n\r\nx\r\n")

    await asyncio.to_thread(talk)
    await gateway.wait_for(lambda line: line["event"] == "reported")
    marks = AddressMarks(KEY.encode())
    failed = await gateway.wait_for(lambda line: line["event"] == "failed")
    assert failed["to"] == marks.mark("bob@example.org")
    assert marks.mark("anna@example.com") in str(gateway.log)
    for name in ("bob@", "anna@"):
        assert name not in str(gateway.log).lower()
