"""Providers that refuse, are down, throttle, drop: what becomes of the letters."""

from __future__ import annotations

import asyncio
import json

import pytest

from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.letterbox import Letterbox
from providers.sandbox.server import Sandbox
from tests.e2e.clients import by_smtplib, queue_id_of
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import GatewayProcess, LogLine, form_v2, rest_v1, smarthost

LETTER = b"From: a@example.com\r\nTo: a@example.org\r\nSubject: x\r\n\r\nbody\r\n"
PROVIDERS = {"smarthost": smarthost, "rest_v1": rest_v1, "form_v2": form_v2}


async def send(gateway: GatewayProcess, *to: str) -> str:
    reply = await by_smtplib(
        gateway.smtp_port, "a@example.com", list(to or ("a@example.org",)), LETTER
    )
    assert reply.startswith("250 2.0.0 Ok: queued as "), reply
    return queue_id_of(reply)


async def states(gateway: GatewayProcess, queue_id: str) -> dict[str, str]:
    """Recipients and their states, as the trace command tells them."""
    code, out, err = await gateway.command("trace", queue_id, "--json")
    assert code == 0, err
    (story,) = json.loads(out)
    return {r["forward_path"]: r["state"] for r in story["recipients"]}


def disposition(word: str, to: str = "") -> object:
    def fits(line: LogLine) -> bool:
        return line["event"] == word and to in line.get("to", "")

    return fits


def arrived(count: int) -> object:
    def enough(box: Letterbox) -> bool:
        return len(box.letters) >= count

    return enough


@pytest.mark.parametrize("kind", PROVIDERS)
async def test_refused_recipient_beside_good_ones(
    sandbox: Sandbox, make_gateway: MakeGateway, kind: str
) -> None:
    """One address is wrong: it fails alone, the others get their letter once."""
    sandbox.faults.add(Fault(FaultKind.REFUSE, kind, recipient="wrong@"))
    gateway = make_gateway({"it": PROVIDERS[kind](sandbox)})
    await gateway.start()
    queue_id = await send(gateway, "a@example.org", "wrong@example.org", "b@example.org")
    await sandbox.letterbox.wait_until(arrived(2))
    await gateway.wait_for(disposition("failed", "wrong@"))
    assert sorted(x.recipient for x in sandbox.letterbox.letters) == [
        "a@example.org",
        "b@example.org",
    ]
    await gateway.wait_for_count(2, disposition("handed_over"))
    assert await states(gateway, queue_id) == {
        "a@example.org": "handed_over",
        "b@example.org": "handed_over",
        "wrong@example.org": "failed",
    }


@pytest.mark.parametrize("kind", PROVIDERS)
async def test_provider_down_for_a_while_and_back(
    sandbox: Sandbox, make_gateway: MakeGateway, kind: str
) -> None:
    """Letters wait while nobody answers, and leave when somebody does."""
    gateway = make_gateway({"it": PROVIDERS[kind](sandbox)})
    await gateway.start()
    await sandbox.stop()
    queue_id = await send(gateway)
    await gateway.wait_for(disposition("deferred"))
    # The wait is short, and the next attempt may have begun before the command looks.
    (state,) = (await states(gateway, queue_id)).values()
    assert state in {"waiting", "sending"}
    await sandbox.start()
    await sandbox.letterbox.wait_until(arrived(1), timeout_s=60)
    await gateway.wait_for(disposition("handed_over"))


@pytest.mark.parametrize("kind", PROVIDERS)
async def test_throttled_letter_leaves_by_itself(
    sandbox: Sandbox, make_gateway: MakeGateway, kind: str
) -> None:
    """T19: nobody has to act."""
    sandbox.faults.add(Fault(FaultKind.THROTTLE, kind, times=2))
    gateway = make_gateway({"it": PROVIDERS[kind](sandbox)})
    await gateway.start()
    await send(gateway)
    await sandbox.letterbox.wait_until(arrived(1), timeout_s=60)
    line = await gateway.wait_for(disposition("deferred"))
    assert line["dsn"].startswith("4.")
    assert await gateway.metric("mailquay_attempts_total", provider="it", outcome="deferred") == 2


@pytest.mark.parametrize("kind", PROVIDERS)
async def test_lost_answer_is_uncertain_and_tried_again(
    sandbox: Sandbox, make_gateway: MakeGateway, kind: str
) -> None:
    """The only window for a second copy has a name, a metric and a policy."""
    sandbox.faults.add(Fault(FaultKind.DROP_AFTER, kind))
    gateway = make_gateway({"it": PROVIDERS[kind](sandbox)})
    await gateway.start()
    await send(gateway)
    await gateway.wait_for(disposition("uncertain"))
    await gateway.wait_for(disposition("handed_over"))
    assert len(sandbox.letterbox.letters) == 2
    assert await gateway.metric("mailquay_uncertain_total", provider="it") == 1


@pytest.mark.parametrize("kind", PROVIDERS)
async def test_lost_answer_is_left_to_a_person_where_the_route_says_so(
    sandbox: Sandbox, make_gateway: MakeGateway, kind: str
) -> None:
    """`on_uncertain: hold`: no second copy without a person who wants it."""
    sandbox.faults.add(Fault(FaultKind.GARBAGE, kind))
    gateway = make_gateway(
        {"it": PROVIDERS[kind](sandbox)},
        routes=[{"name": "careful", "providers": ["it"], "on_uncertain": "hold"}],
    )
    await gateway.start()
    queue_id = await send(gateway)
    await gateway.wait_for(disposition("uncertain"))
    assert await states(gateway, queue_id) == {"a@example.org": "uncertain"}
    code, out, err = await gateway.command("queue", "retry", queue_id)
    assert (code, out.strip()) == (0, "1 recipients are due now"), err
    await gateway.wait_for(disposition("handed_over"))
    assert len(sandbox.letterbox.letters) == 2


@pytest.mark.parametrize(
    ("fault", "first"),
    [(FaultKind.UNAUTHORISED, "smarthost"), (FaultKind.UNAUTHORISED, "rest_v1")],
)
async def test_failover_on_account_trouble(
    sandbox: Sandbox, make_gateway: MakeGateway, fault: FaultKind, first: str
) -> None:
    """The account is locked: proof that nothing was accepted, so the next provider gets it."""
    sandbox.faults.add(Fault(fault, first, times=None))
    second = "rest_v1" if first == "smarthost" else "smarthost"
    gateway = make_gateway({"one": PROVIDERS[first](sandbox), "two": PROVIDERS[second](sandbox)})
    await gateway.start()
    await send(gateway)
    await sandbox.letterbox.wait_until(arrived(1))
    line = await gateway.wait_for(disposition("handed_over"))
    assert line["provider"] == "two"
    assert [x.provider for x in sandbox.letterbox.letters] == [second]


async def test_failover_when_the_first_provider_is_not_there(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """Nobody listens at the first: the second has the letter within the same moment."""
    gateway = make_gateway(
        {"one": smarthost(sandbox, port=1), "two": rest_v1(sandbox)},
        retry={"first": "1h", "longest": "2h"},
    )
    await gateway.start()
    await send(gateway)
    await sandbox.letterbox.wait_until(arrived(1))
    assert sandbox.letterbox.letters[0].provider == "rest_v1"


async def test_hung_provider_does_not_hold_up_intake(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """T10: nothing at the front door waits for a provider."""
    sandbox.faults.add(Fault(FaultKind.HANG, "rest_v1", times=None))
    gateway = make_gateway({"it": rest_v1(sandbox, rate="50/s", timeout="30s")})
    await gateway.start()
    async with asyncio.timeout(60):
        for _ in range(20):
            await send(gateway)
    assert await gateway.metric("mailquay_messages_received_total", listener="app") == 20


async def test_readiness_fails_when_mail_is_stuck(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """T22: alive is not enough; what is due and untouched shows."""
    sandbox.faults.add(Fault(FaultKind.HANG, "rest_v1", times=None))
    gateway = make_gateway(
        {"it": rest_v1(sandbox, rate="50/s", timeout="30s", connections=1)},
        delivery={"window": 1, "stuck_after": "300ms"},
    )
    await gateway.start()
    assert (await gateway.get("/readyz")).status_code == 200
    assert await gateway.metric("mailquay_ready") == 1
    assert await gateway.metric("mailquay_spool_free_bytes") > 0
    for _ in range(3):
        await send(gateway)
    async with asyncio.timeout(10):
        # Another process's state, which sends no event: asked until it changes.
        while (answer := await gateway.get("/readyz")).status_code == 200:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    assert "stuck" in answer.json()["reasons"][0]
    assert (await gateway.get("/livez")).status_code == 200
    assert await gateway.metric("mailquay_oldest_due_seconds", provider="it") > 0.3
    assert await gateway.metric("mailquay_ready") == 0
