"""Addresses that are sent nothing: by command, seen by the daemon, told, exempt, kept in step."""

from __future__ import annotations

import asyncio
import json
import smtplib
import sys

from providers.sandbox.faults import Fault, FaultKind
from providers.sandbox.server import Sandbox
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import GatewayProcess, LogLine, form_v2, run, smarthost
from tests.support.reports import read_report

SENDER = "a@example.com"
LETTER = b"From: a@example.com\r\nTo: bob@example.org\r\nSubject: Order 77\r\n\r\nbody\r\n"


async def send(gateway: GatewayProcess, *to: str, letter: bytes = LETTER) -> dict[str, object]:
    """Hand in a letter; who of its recipients was refused."""

    def talk() -> dict[str, object]:
        with smtplib.SMTP("127.0.0.1", gateway.smtp_port, timeout=60) as smtp:
            return smtp.sendmail(SENDER, to or ("bob@example.org",), letter)

    return await asyncio.to_thread(talk)


def event(word: str, **fields: object) -> object:
    def fits(line: LogLine) -> bool:
        return line["event"] == word and fields.items() <= line.items()

    return fits


async def suppress(gateway: GatewayProcess, *words: str) -> str:
    code, out, err = await gateway.command("suppress", *words)
    assert code == 0, err
    return out


async def known(gateway: GatewayProcess) -> None:
    """Wait until the daemon has looked at the list: it does so once a second."""
    async with asyncio.timeout(60):
        while True:
            before = len(gateway.log)
            await send(gateway, "canary@example.org")
            line = await gateway.wait_for(
                lambda line: line.get("to") == "canary@example.org", since=before
            )
            if line["event"] == "suppressed":
                return


async def test_who_is_on_the_list_is_sent_nothing_and_the_sender_is_told(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """In any case of letters; the others get theirs; ledger, metric, trace and DSN say so."""
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    await suppress(gateway, "add", "BOB@Example.org", "canary@example.org", "--reason", "bounced")
    await known(gateway)
    assert not await send(gateway, "Bob@example.org", "eve@example.org")
    line = await gateway.wait_for(event("suppressed", to="Bob@example.org"))
    assert line["reason"] == "bounced"
    await gateway.wait_for(event("handed_over", to="eve@example.org"))

    def reports() -> list[object]:
        told = [read_report(x.content) for x in sandbox.letterbox.letters if x.recipient == SENDER]
        return [r for report in told for r in report.recipients]

    def bob() -> list[dict[str, str]]:
        return [r for r in reports() if "Bob@" in r["Final-Recipient"]]  # type: ignore[index]

    await sandbox.letterbox.wait_until(lambda _: bool(bob()), timeout_s=60)
    (told,) = bob()
    assert (told["Action"], told["Status"]) == ("failed", "5.7.1")
    assert "suppression list" in told["Diagnostic-Code"]
    assert {x.recipient for x in sandbox.letterbox.letters} <= {
        "eve@example.org",
        "canary@example.org",
        SENDER,
    }
    suppressed = await gateway.metric("mailquay_suppressed_total", reason="bounced")
    await gateway.wait_for_metric(suppressed, "mailquay_recipients", state="suppressed")
    code, out, _ = await gateway.command("queue", "stats", "--json")
    stats = json.loads(out)
    assert stats["accepted"] == sum(stats["states"].values())
    code, out, _ = await gateway.command("trace", line["queue_id"])
    assert code == 0
    assert "suppression list: bounced" in out


async def test_one_that_is_taken_off_gets_letters_again(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """At once: what the daemon holds in memory only says where to look."""
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    await suppress(gateway, "add", "bob@example.org", "canary@example.org")
    await known(gateway)
    assert "1 removed" in await suppress(gateway, "remove", "BOB@example.org")
    await send(gateway)
    await gateway.wait_for(event("handed_over", to="bob@example.org"))


async def test_a_route_for_what_people_ask_for_is_exempt(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """`suppression: ignore`: the password reset arrives, the newsletter does not."""
    routes = [
        {
            "name": "passwords",
            "when": {"header": {"X-Kind": ["password"]}},
            "providers": ["main"],
            "suppression": "ignore",
        },
        {"name": "default", "providers": ["main"]},
    ]
    gateway = make_gateway({"main": smarthost(sandbox)}, routes=routes)
    await gateway.start()
    await suppress(gateway, "add", "bob@example.org", "canary@example.org")
    await known(gateway)
    await send(gateway, letter=b"X-Kind: password\r\n" + LETTER)
    await gateway.wait_for(event("handed_over", to="bob@example.org"))
    await send(gateway)
    await gateway.wait_for(event("suppressed", to="bob@example.org"))


async def test_clients_can_be_told_at_rcpt(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """`answer: rcpt`: 550 5.7.1 for that recipient alone, pipelined or not; others get theirs."""
    gateway = make_gateway({"main": smarthost(sandbox)}, suppression={"answer": "rcpt"})
    await gateway.start()
    await suppress(gateway, "add", "bob@example.org", "--reason", "complained")
    refused: dict[str, object] = {}
    async with asyncio.timeout(60):
        while not refused:
            refused = await send(gateway, "eve@example.org", "bob@example.org", "joe@example.org")
    ((address, (code, text)),) = refused.items()  # type: ignore[misc]
    assert (address, code) == ("bob@example.org", 550)
    assert text.startswith(b"5.7.1 ")
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.smtp_port)
    group = b"EHLO c\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<bob@example.org>\r\n"
    group += b"RCPT TO:<kim@example.org>\r\nRCPT TO:<BOB@example.org>\r\nDATA\r\n"
    await reader.readline()
    writer.write(group)
    codes = []
    async with asyncio.timeout(60):
        while not codes or codes[-1] != b"354":
            line = await reader.readline()
            if line[3:4] == b" ":
                codes.append(line[:3])
        assert codes == [b"250", b"250", b"550", b"250", b"550", b"354"]
        writer.write(LETTER + b".\r\n")
        assert (await reader.readline()).startswith(b"250 ")
    writer.close()
    await gateway.wait_for(event("handed_over", to="kim@example.org"))
    counted = {"listener": "app", "code_class": "5xx", "reason": "suppressed"}
    assert await gateway.metric("mailquay_smtp_replies_total", **counted) == 3


async def test_what_is_switched_off_does_not_count(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """`bounced: false`: the entry stays and stops nobody; other reasons do."""
    gateway = make_gateway({"main": smarthost(sandbox)}, suppression={"bounced": False})
    await gateway.start()
    await suppress(gateway, "add", "bob@example.org", "--reason", "bounced")
    await suppress(gateway, "add", "canary@example.org")
    await known(gateway)
    await send(gateway)
    await gateway.wait_for(event("handed_over", to="bob@example.org"))


async def test_import_takes_csv_and_tells_what_is_wrong(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """By file and standard input; twice the same adds nothing; wrong lines are named."""
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    file = gateway.folder / "list.csv"
    file.write_text("comment,email,reason\nold,Bob@Example.org,bounced\n,eve@example.org,\n")
    assert "2 added" in await suppress(gateway, "import", str(file))
    assert json.loads(await suppress(gateway, "import", str(file), "--json")) == {
        "added": 0,
        "known": 2,
        "wrong": 0,
    }
    words = ("suppress", "import", "-", "-c", str(gateway.config_path))
    program = sys.executable
    given = b"joe@example.org\nnobody\n\nkim@example.org\n"
    code, out, err = await run(program, "-m", "gateway", *words, stdin=given)
    assert code == 65
    assert "2 added" in out
    assert "line 2:" in err
    listed = json.loads(await suppress(gateway, "list", "--json"))
    assert [(one["address"], one["reason"], one["comment"]) for one in listed] == [
        ("bob@example.org", "bounced", "old"),
        ("eve@example.org", "manual", ""),
        ("joe@example.org", "manual", ""),
        ("kim@example.org", "manual", ""),
    ]


async def test_the_account_is_kept_in_step_even_when_it_is_away_first(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """UnsubscribeEmail and subscribeEmail follow the list; a call that failed is made again."""
    gateway = make_gateway({"bulk": form_v2(sandbox, sync_unsubscriptions=True)})
    await gateway.start()
    account = sandbox.form_v2.account

    async def reached(wanted: bool) -> None:
        async with asyncio.timeout(60):
            while account.is_unsubscribed("bob@example.org") != wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # the account is another party and tells nobody

    sandbox.faults.add(Fault(FaultKind.THROTTLE, "form_v2", recipient="bob@"))
    await suppress(gateway, "add", "Bob@example.org")
    await gateway.wait_for(event("subscription_put_off", address="bob@example.org"))
    await gateway.wait_for(event("subscription_told", address="bob@example.org"), timeout_s=120)
    await reached(wanted=True)
    await suppress(gateway, "remove", "bob@example.org")
    await gateway.wait_for(event("subscription_told", subscribed=True))
    await reached(wanted=False)


async def test_a_letter_that_waits_is_looked_at_before_each_attempt(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """Put on the list after the letter was taken: the next attempt is not made."""
    sandbox.faults.add(Fault(FaultKind.DEFER, "smarthost", times=None, recipient="bob@"))
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    await send(gateway)
    await gateway.wait_for(event("deferred", to="bob@example.org"))
    await suppress(gateway, "add", "bob@example.org")
    await gateway.wait_for(event("suppressed", to="bob@example.org"))
    assert not [x for x in sandbox.letterbox.letters if x.recipient == "bob@example.org"]
