"""Applications that are told: signed calls of the real daemon, made again until they are taken."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import smtplib

from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.server import Sandbox
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import GatewayProcess, LogLine, smarthost
from tests.support.application import Application

KEY = b"k" * 32
SECRET = "whsec_" + base64.b64encode(KEY).decode()


def a_gateway(
    sandbox: Sandbox, make_gateway: MakeGateway, application: Application
) -> GatewayProcess:
    hook = {"url": f"http://127.0.0.1:{application.port}/hook", "secret": SECRET}
    return make_gateway({"main": smarthost(sandbox)}, webhooks={"shop": hook})


async def send(gateway: GatewayProcess, to: str = "bob@example.org") -> None:
    def talk() -> None:
        with smtplib.SMTP("127.0.0.1", gateway.smtp_port, timeout=60) as smtp:
            smtp.sendmail("a@example.com", to, b"Subject: Order 77\r\n\r\nbody\r\n")

    await asyncio.to_thread(talk)


def event(word: str, **fields: object) -> object:
    def fits(line: LogLine) -> bool:
        return line["event"] == word and fields.items() <= line.items()

    return fits


async def test_applications_hear_what_became_of_a_letter(
    sandbox: Sandbox, make_gateway: MakeGateway, application: Application
) -> None:
    """Handed over and failed, each once, signed so that the application can check it."""
    sandbox.faults.add(Fault(FaultKind.REFUSE, "smarthost", times=None, recipient="wrong@"))
    gateway = a_gateway(sandbox, make_gateway, application)
    await gateway.start()
    await send(gateway)
    await send(gateway, "wrong@example.org")
    told = {one["data"]["recipient"]: one for one in await application.called(2)}
    assert told["bob@example.org"]["type"] == "letter.handed_over"
    assert told["bob@example.org"]["data"]["provider"] == "main"
    assert told["wrong@example.org"]["type"] == "letter.failed"
    assert told["wrong@example.org"]["data"]["status"].startswith("5.")
    headers, body = application.calls[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    signature = base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{signature}"
    labels = {"webhook": "shop", "result": "taken"}
    # The report to the sender is a letter too, and told of.
    await application.called(3)
    await gateway.wait_for_metric(3, "mailquay_webhook_deliveries_total", **labels)
    assert SECRET not in str(gateway.log)


async def test_a_call_that_is_refused_is_made_again_with_the_same_id(
    sandbox: Sandbox, make_gateway: MakeGateway, application: Application
) -> None:
    """A kill between the two loses nothing."""
    application.answers.append(500)
    gateway = a_gateway(sandbox, make_gateway, application)
    await gateway.start()
    await send(gateway)
    await gateway.wait_for(event("webhook_put_off", said="HTTP 500"))
    await gateway.kill()
    await gateway.start()
    await application.called(2)
    ids = {headers["webhook-id"] for headers, _ in application.calls}
    assert len(ids) == 1


async def test_dead_letters_are_replayed_by_command(
    sandbox: Sandbox, make_gateway: MakeGateway, application: Application
) -> None:
    """410 gives a call up at once; it stays until somebody says otherwise."""
    application.answers.append(410)
    gateway = a_gateway(sandbox, make_gateway, application)
    await gateway.start()
    await send(gateway)
    await gateway.wait_for(event("webhook_given_up"))
    code, out, _ = await gateway.command("webhooks", "list", "--dead", "--json")
    (dead,) = json.loads(out)
    assert (code, dead["endpoint"], dead["said"]) == (0, "shop", "HTTP 410")
    _, out, _ = await gateway.command("webhooks", "replay", str(dead["number"]))
    assert "1 calls are due now" in out
    await application.called(2)
    labels = {"webhook": "shop", "result": "taken"}
    await gateway.wait_for_metric(1, "mailquay_webhook_deliveries_total", **labels)
    _, out, _ = await gateway.command("webhooks", "list", "--json")
    assert json.loads(out) == []
