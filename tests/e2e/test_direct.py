"""Direct mode with the real daemon: verdicts of providers in the session, and stops in between."""

from __future__ import annotations

import asyncio
import json
import smtplib
from typing import Any

import pytest

from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.server import Sandbox
from tests.e2e.clients import by_smtplib
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import GatewayProcess, LogLine, form_v2, rest_v1, smarthost
from tests.support.dialogue import Dialogue

LETTER = b"From: a@example.com\r\nTo: a@example.org\r\nMessage-ID: <1@a>\r\n\r\nbody\r\n"
PROVIDERS = {"smarthost": smarthost, "rest_v1": rest_v1, "form_v2": form_v2}


def direct(**more: Any) -> dict[str, Any]:
    return {"routes": [{"name": "all", "providers": ["it"], "mode": "direct", **more}]}


def event(name: str) -> Any:
    def fits(line: LogLine) -> bool:
        return line["event"] == name

    return fits


async def send(gateway: GatewayProcess, *to: str) -> str:
    recipients = list(to or ("a@example.org",))
    return await by_smtplib(gateway.smtp_port, "a@example.com", recipients, LETTER)


async def stories(gateway: GatewayProcess, what: str) -> list[dict[str, Any]]:
    code, out, err = await gateway.command("trace", what, "--json")
    assert code == 0, err
    found: list[dict[str, Any]] = json.loads(out)
    return found


async def state(gateway: GatewayProcess, what: str) -> list[str]:
    return [r["state"] for story in await stories(gateway, what) for r in story["recipients"]]


@pytest.mark.parametrize("kind", PROVIDERS)
async def test_ids_come_back_in_the_session(
    sandbox: Sandbox, make_gateway: MakeGateway, kind: str
) -> None:
    """What an application reads from smtp.msndr.net it reads here, whoever carries the letter."""
    gateway = make_gateway({"it": PROVIDERS[kind](sandbox)}, **direct())
    await gateway.start()
    reply = await send(gateway, "a@example.org", "b@example.org")
    (story,) = await stories(gateway, "<1@a>")
    ids = [(r["forward_path"], r["provider_message_id"]) for r in story["recipients"]]
    assert reply == "250 2.0.0 Ok: " + ",".join(f"<{address}:{id_}>" for address, id_ in ids)
    if kind != "form_v2":  # there two recipients go in one call, which has an id as a whole
        letters = sandbox.letterbox.letters
        assert sorted((x.recipient, x.provider_message_id) for x in letters) == sorted(ids)
    handed_over = {"listener": "app", "code_class": "2xx", "reason": "handed_over"}
    assert await gateway.metric("mailquay_smtp_replies_total", **handed_over) == 1


@pytest.mark.parametrize("kind", PROVIDERS)
async def test_a_refusal_is_seen_by_the_client(
    sandbox: Sandbox, make_gateway: MakeGateway, kind: str
) -> None:
    """T12: a 5xx with the provider's words, the story kept, nobody told twice."""
    sandbox.faults.add(Fault(FaultKind.REFUSE, kind, times=None))
    gateway = make_gateway({"it": PROVIDERS[kind](sandbox)}, **direct())
    await gateway.start()
    reply = await send(gateway)
    assert reply[:2] == "55"
    assert " Refused: " in reply
    assert await state(gateway, "<1@a>") == ["failed"]
    assert not [line for line in gateway.log if line["event"] == "reported"]


async def test_partly_refused_is_no_error(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """T7: the client must not send again what one recipient has."""
    sandbox.faults.add(Fault(FaultKind.REFUSE, "smarthost", recipient="wrong@", times=None))
    gateway = make_gateway({"it": smarthost(sandbox)}, **direct())
    await gateway.start()
    reply = await send(gateway, "a@example.org", "wrong@example.org")
    assert reply.startswith("250 2.0.0 Ok: <a@example.org:")
    line = await gateway.wait_for(event("reported"))
    assert line["recipients"] == 1


async def test_stopped_while_a_client_waits(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """SIGTERM: the client hears that its letter is queued, and it is, once."""
    sandbox.faults.add(Fault(FaultKind.HANG, "smarthost", times=None))
    gateway = make_gateway({"it": smarthost(sandbox, timeout="3s")}, **direct())
    await gateway.start()
    client = await Dialogue.connect(gateway.smtp_port)
    assert isinstance(client, Dialogue)
    await client.hello()
    await client.to_data("a@example.org")
    await client.send(LETTER + b".\r\n")
    await gateway.wait_for(event("received"))
    stopping = asyncio.create_task(gateway.stop())
    await client.expect("250 2.0.0 Ok: queued as ", "421 ")
    await client.close()
    assert await stopping == 0
    assert await state(gateway, "<1@a>") in (["uncertain"], ["waiting"])
    sandbox.faults.clear()
    await gateway.start()
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 1, timeout_s=60)


async def test_killed_while_a_client_waits(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """T13: durable before anybody waits; what the client never heard of is not lost either."""
    sandbox.faults.add(Fault(FaultKind.HANG, "smarthost"))
    gateway = make_gateway({"it": smarthost(sandbox)}, **direct())
    await gateway.start()
    sending = asyncio.create_task(send(gateway))
    await gateway.wait_for(event("received"))
    await gateway.kill()
    with pytest.raises((OSError, smtplib.SMTPServerDisconnected)):
        await sending
    await gateway.start()
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 1, timeout_s=60)


async def test_a_hanging_provider_costs_its_client_the_time_out(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """T10: and a client that does not wait for it nothing."""
    sandbox.faults.add(Fault(FaultKind.HANG, "smarthost", times=None))
    gateway = make_gateway({"it": smarthost(sandbox)}, **direct(direct_timeout="1s"))
    await gateway.start()
    sending = asyncio.create_task(send(gateway))
    await gateway.wait_for(event("received"))
    queued = LETTER.replace(b"Message-ID", b"X-Mailquay-Mode: queue\r\nMessage-ID")
    reply = await by_smtplib(gateway.smtp_port, "a@example.com", ["b@example.org"], queued)
    assert reply.startswith("250 2.0.0 Ok: queued as ")
    assert (await sending).startswith("250 2.0.0 Ok: queued as ")
