"""A legacy application reaches the v1 platform's own abilities through SMTP."""

from __future__ import annotations

import os

from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.rest_v1.lists import MailingList
from providers.sandbox.rest_v1.templates import WELCOME_ID
from providers.sandbox.server import Sandbox
from tests.e2e.clients import by_smtplib
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import GatewayProcess, rest_v1, smarthost

PLAIN = (
    b"From: Example Shop <news@example.com>\r\nTo: bob@example.org\r\n"
    b"Message-ID: <1@example.com>\r\nSubject: Hi\r\n%b\r\nplain body\r\n"
)


async def started(sandbox: Sandbox, make_gateway: MakeGateway) -> GatewayProcess:
    gateway = make_gateway({"main": smarthost(sandbox), "rest": rest_v1(sandbox)})
    await gateway.start()
    return gateway


async def test_a_template_letter(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """Passes over the smarthost, which knows no templates, and is filled in and paid as wished."""
    gateway = await started(sandbox, make_gateway)
    fields = (
        b"X-Mailquay-Template: %d\r\n" % WELCOME_ID
        + b'X-Mailquay-Params: {"name": "Bob", "code": 77}\r\nX-Mailquay-Payment: credit\r\n'
        + b"X-Order: 7\r\n"
    )
    await by_smtplib(
        gateway.smtp_port,
        "news@example.com",
        ["bob@example.org", "eve@example.org"],
        PLAIN % fields,
    )
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 2)
    assert {letter.recipient for letter in sandbox.letterbox.letters} == {
        "bob@example.org",
        "eve@example.org",
    }
    for letter in sandbox.letterbox.letters:
        assert letter.provider == "rest_v1"
        assert letter.text == "Hi Bob, your code is 77"
        assert letter.parameters == {"template": str(WELCOME_ID), "payment": "credit"}
    line = await gateway.wait_for(lambda line: line["event"] == "handed_over")
    assert line["provider"] == "rest"
    assert await gateway.metric("mailquay_losses_total", provider="rest", part="header_field") >= 1


async def test_a_list_letter(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """Delivered once to everybody on the list, though its answer is lost on the way."""
    sandbox.rest_v1.lists.found[7] = clients = MailingList(7, "Clients")
    for n in range(3):
        sandbox.rest_v1.recipients.put(clients, f"{n}@example.com", {})
    gateway = await started(sandbox, make_gateway)
    fault = Fault(FaultKind.DROP_AFTER, "rest_v1", method="PATCH /email/campaigns/*/deliver")
    sandbox.faults.add(fault)
    await by_smtplib(
        gateway.smtp_port,
        "news@example.com",
        ["bob@example.org"],
        PLAIN % b"X-Mailquay-List: 7\r\n",
    )
    await gateway.wait_for(lambda line: line["event"] == "handed_over")
    while sandbox.rest_v1.advance():
        pass
    found = [letter.recipient for letter in sandbox.letterbox.letters]
    assert found == [f"{n}@example.com" for n in range(3)]
    assert len(sandbox.rest_v1.campaigns.found) == 1
    code, out, err = await gateway.command("trace", "campaign:70")
    assert code == os.EX_OK, err
    assert "bob@example.org" in out
