"""The end of a letter as its sender sees it: refused, expired, late, relayed, or nothing at all."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import smtplib

import pytest
import yaml

from providers.sandbox import credentials
from providers.sandbox.faults import Fault, FaultKind, FaultPlan
from providers.sandbox.letterbox import Letterbox, ReceivedLetter
from providers.sandbox.server import Sandbox
from providers.sandbox.smarthost import DEFAULT_EXTENSIONS, SandboxSmarthost
from tests.e2e.clients import queue_id_of
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import GatewayProcess, LogLine, form_v2, rest_v1, smarthost
from tests.support.reports import read_report

SENDER = "a@example.com"
LETTER = b"From: a@example.com\r\nTo: bob@example.org\r\nSubject: Order 77\r\n\r\nbody\r\n"


async def send(
    gateway: GatewayProcess,
    *to: str,
    sender: str = SENDER,
    mail: tuple[str, ...] = (),
    rcpt: tuple[str, ...] = (),
    letter: bytes = LETTER,
) -> str:
    """Hand in a letter with these parameters of MAIL and RCPT; its queue id."""

    def talk() -> str:
        with smtplib.SMTP("127.0.0.1", gateway.smtp_port, timeout=60) as smtp:
            smtp.ehlo("client.example.com")
            assert smtp.has_extn("dsn")
            smtp.mail(sender, mail)
            for address in to or ("bob@example.org",):
                code, text = smtp.rcpt(address, rcpt)
                assert code == 250, text
            code, text = smtp.data(letter)
            assert code == 250, text
            return text.decode()

    return queue_id_of(await asyncio.to_thread(talk))


def event(word: str, **fields: object) -> object:
    def fits(line: LogLine) -> bool:
        return line["event"] == word and fields.items() <= line.items()

    return fits


async def letters_to(box: Letterbox, address: str, count: int = 1) -> list[ReceivedLetter]:
    """Wait until so many letters for an address have arrived; all there are."""

    def found() -> list[ReceivedLetter]:
        return [letter for letter in box.letters if letter.recipient == address]

    await box.wait_until(lambda _: len(found()) >= count, timeout_s=60)
    return found()


async def settled(gateway: GatewayProcess, recipients: int) -> None:
    """Wait until this is all there ever was, and nothing of it is under way."""
    await gateway.wait_for_count(
        recipients, lambda line: line["event"] in ("failed", "handed_over")
    )
    await gateway.wait_for_metric(recipients, "mailquay_recipients_accepted")
    for state in ("waiting", "sending", "uncertain"):
        await gateway.wait_for_metric(0, "mailquay_recipients", state=state)


async def test_refused_letter_is_reported_to_its_sender(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """From nobody, with the server's words, ENVID and ORCPT; log, metric and story agree."""
    sandbox.faults.add(Fault(FaultKind.REFUSE, "smarthost", recipient="bob@"))
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    orcpt = "ORCPT=rfc822;Bob+2B1@example.org"
    queue_id = await send(gateway, mail=("ENVID=Q+2B7",), rcpt=(orcpt,))
    (letter,) = await letters_to(sandbox.letterbox, SENDER)
    assert letter.reverse_path == ""
    report = read_report(letter.content)
    assert report.status["Reporting-MTA"] == "dns; gateway.example.com"
    assert report.status["Original-Envelope-Id"] == "Q+7"
    (recipient,) = report.recipients
    assert recipient["Original-Recipient"] == "rfc822; Bob+1@example.org"
    assert recipient["Final-Recipient"] == "rfc822; bob@example.org"
    assert (recipient["Action"], recipient["Status"]) == ("failed", "5.0.0")
    assert recipient["Remote-MTA"] == "dns; [127.0.0.1]"
    assert recipient["Diagnostic-Code"] == "smtp; 550 No such recipient here"
    assert b"Subject: Order 77\r\n" in report.returned_header
    assert b"body" not in letter.content.partition(b"rfc822-headers")[2]
    line = await gateway.wait_for(event("reported", queue_id=queue_id))
    assert (line["reverse_path"], line["action"], line["recipients"]) == (SENDER, "failed", 1)
    counted = {"action": "failed", "result": "queued"}
    assert await gateway.metric("mailquay_bounces_total", **counted) == 1
    code, out, err = await gateway.command("trace", queue_id)
    assert code == 0, err
    assert f"report {line['report_id']} to {SENDER}: failed" in out
    code, out, err = await gateway.command("trace", line["report_id"])
    assert code == 0, err
    assert f"reporting on {queue_id}" in out


async def test_two_refused_recipients_are_one_report(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """One attempt, one report; who got the letter is not spoken of."""
    sandbox.faults.add(Fault(FaultKind.REFUSE, "smarthost", times=2, recipient="wrong"))
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    await send(gateway, "wrong1@example.org", "bob@example.org", "wrong2@example.org")
    await settled(gateway, 4)
    (letter,) = await letters_to(sandbox.letterbox, SENDER)
    told = [recipient["Final-Recipient"] for recipient in read_report(letter.content).recipients]
    assert told == ["rfc822; wrong1@example.org", "rfc822; wrong2@example.org"]


async def test_expired_letter_is_reported(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """Put off until it was too old: 5.4.7, and the last thing that was said."""
    sandbox.faults.add(Fault(FaultKind.DEFER, "smarthost", times=None, recipient="bob@"))
    retry = {"first": "100ms", "longest": "200ms", "give_up_after": "500ms"}
    gateway = make_gateway({"main": smarthost(sandbox)}, retry=retry)
    await gateway.start()
    await send(gateway)
    (letter,) = await letters_to(sandbox.letterbox, SENDER)
    (recipient,) = read_report(letter.content).recipients
    assert (recipient["Action"], recipient["Status"]) == ("failed", "5.4.7")
    assert recipient["Diagnostic-Code"].startswith("smtp; 450 ")


async def test_delay_is_warned_of_once_and_then_the_letter_arrives(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """After the set time, with the end in sight; a letter that then arrives needs no more words."""
    sandbox.faults.add(Fault(FaultKind.DEFER, "smarthost", times=5, recipient="bob@"))
    gateway = make_gateway({"main": smarthost(sandbox)}, bounces={"delay_warning": "300ms"})
    await gateway.start()
    await send(gateway)
    await letters_to(sandbox.letterbox, "bob@example.org")
    await settled(gateway, 2)
    (letter,) = await letters_to(sandbox.letterbox, SENDER)
    (recipient,) = read_report(letter.content).recipients
    assert (recipient["Action"], recipient["Status"]) == ("delayed", "4.0.0")
    assert recipient["Will-Retry-Until"]


async def test_letter_from_nobody_is_never_answered(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """RFC 5321 6.1; what became of it is in log and metric."""
    sandbox.faults.add(Fault(FaultKind.REFUSE, "smarthost", recipient="bob@"))
    gateway = make_gateway({"main": smarthost(sandbox)}, bounces={"from": "bounces@example.com"})
    await gateway.start()
    await send(gateway, sender="")
    line = await gateway.wait_for(event("not_reported"))
    assert line["reason"] == "null_reverse_path"
    await settled(gateway, 1)
    assert not sandbox.letterbox.letters
    counted = {"action": "failed", "result": "null_reverse_path"}
    assert await gateway.metric("mailquay_bounces_total", **counted) == 1


async def test_who_says_never_is_not_told(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """NOTIFY=NEVER."""
    sandbox.faults.add(Fault(FaultKind.REFUSE, "smarthost", recipient="bob@"))
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    await send(gateway, rcpt=("NOTIFY=NEVER",))
    await settled(gateway, 1)
    assert not sandbox.letterbox.letters


@pytest.mark.parametrize(
    ("words", "actions"),
    [
        ("FAILURE", ["failed"]),
        ("DELAY", ["delayed"]),
        ("DELAY,FAILURE", ["delayed", "failed"]),
        ("SUCCESS", []),
    ],
)
async def test_sender_hears_what_it_asked_for_and_no_more(
    sandbox: Sandbox, make_gateway: MakeGateway, words: str, actions: list[str]
) -> None:
    """RFC 3461 4.1: a letter that is late and then refused, by what NOTIFY names."""
    sandbox.faults.add(Fault(FaultKind.DEFER, "smarthost", times=None, recipient="bob@"))
    gateway = make_gateway(
        {"main": smarthost(sandbox)},
        retry={"first": "100ms", "longest": "200ms"},
        bounces={"delay_warning": "1ms"},
    )
    await gateway.start()
    await send(gateway, rcpt=(f"NOTIFY={words}",))
    await gateway.wait_for_count(3, event("deferred"))  # late from the second on at least
    if "delayed" in actions:
        await letters_to(sandbox.letterbox, SENDER)
    sandbox.faults.clear()
    sandbox.faults.add(Fault(FaultKind.REFUSE, "smarthost", times=None, recipient="bob@"))
    await settled(gateway, 1 + len(actions))
    letters = [read_report(letter.content) for letter in sandbox.letterbox.letters]
    assert [report.recipients[0]["Action"] for report in letters] == actions


async def test_header_alone_comes_back(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """RET=HDRS: every field as it was handed in, and nothing of the body (RFC 3461 4.3)."""
    sandbox.faults.add(Fault(FaultKind.REFUSE, "smarthost", recipient="bob@"))
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    await send(gateway, mail=("RET=HDRS",))
    (received,) = await letters_to(sandbox.letterbox, SENDER)
    returned = read_report(received.content).returned_header
    header, _, body = LETTER.partition(b"\r\n\r\n")
    assert header in returned
    assert body.strip() not in returned


async def test_whole_letter_comes_back(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """RET=FULL: octet for octet, and 8-bit where it was."""
    sandbox.faults.add(Fault(FaultKind.REFUSE, "smarthost", recipient="bob@"))
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    letter = LETTER + "Спасибо\r\n".encode()
    await send(gateway, mail=("RET=FULL", "BODY=8BITMIME"), letter=letter)
    (received,) = await letters_to(sandbox.letterbox, SENDER)
    assert letter.partition(b"\r\n\r\n")[2] in received.content
    assert received.parameters["BODY"] == "8BITMIME"
    report = read_report(received.content)
    assert report.returned.get_content_type() == "message/rfc822"


async def test_report_that_is_refused_ends_quietly(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """Neither the recipient nor the sender exists: two letters, both failed, and silence."""
    sandbox.faults.add(Fault(FaultKind.REFUSE, "smarthost", times=None))
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    await send(gateway)
    await settled(gateway, 2)
    assert await gateway.metric("mailquay_recipients", state="failed") == 2


async def test_success_is_reported_where_the_smarthost_will_not(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """NOTIFY=SUCCESS by a server without DSN: relayed."""
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    await send(gateway, rcpt=("NOTIFY=SUCCESS,FAILURE",))
    (letter,) = await letters_to(sandbox.letterbox, SENDER)
    assert read_report(letter.content).recipients[0]["Action"] == "relayed"


async def test_smarthost_with_dsn_gets_everything_and_reports_itself(
    make_gateway: MakeGateway,
) -> None:
    """RET, ENVID, NOTIFY and ORCPT travel on as they came; a second report would be ours."""
    box = Letterbox()
    server = SandboxSmarthost(
        box,
        FaultPlan(),
        username=credentials.SMTP_USERNAME,
        password=credentials.SMTP_PASSWORD,
        extensions=DEFAULT_EXTENSIONS | {"DSN"},
    )
    await server.start()
    try:
        settings = {
            "kind": "smarthost",
            "host": "127.0.0.1",
            "port": server.port,
            "tls": "off",
            "allow_plain_auth": True,
            "username": credentials.SMTP_USERNAME,
            "password": credentials.SMTP_PASSWORD,
        }
        gateway = make_gateway({"main": settings})
        await gateway.start()
        rcpt = ("NOTIFY=SUCCESS", "ORCPT=rfc822;bob@example.org")
        await send(gateway, mail=("RET=HDRS", "ENVID=Q7"), rcpt=rcpt)
        await settled(gateway, 1)
        (letter,) = box.letters
        wanted = {"RET": "HDRS", "ENVID": "Q7", "NOTIFY": "SUCCESS"}
        assert wanted.items() <= letter.parameters.items()
        assert letter.parameters["ORCPT"] == "rfc822;bob@example.org"
        assert not server.violations
        await gateway.stop()
    finally:
        await server.stop()


async def test_reports_to_one_sender_are_limited(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """A flood of failures is not answered with a flood: the rest shows in log and metric."""
    sandbox.faults.add(Fault(FaultKind.REFUSE, "smarthost", times=None, recipient="bob@"))
    gateway = make_gateway({"main": smarthost(sandbox)}, bounces={"per_sender": "1/h"})
    await gateway.start()
    await send(gateway)
    await gateway.wait_for(event("reported"))
    withheld = await send(gateway)
    line = await gateway.wait_for(event("not_reported", queue_id=withheld))
    assert (line["reason"], line["level"]) == ("rate_limited", "warning")
    await send(gateway, sender="other@example.com")
    await letters_to(sandbox.letterbox, "other@example.com")
    await settled(gateway, 5)
    assert len(await letters_to(sandbox.letterbox, SENDER)) == 1
    counted = {"action": "failed", "result": "rate_limited"}
    assert await gateway.metric("mailquay_bounces_total", **counted) == 1
    code, out, err = await gateway.command("trace", withheld)
    assert code == 0, err
    assert "no report (failed): the limit of reports is reached" in out


async def test_server_without_the_null_reverse_path_gets_reports_from_our_address(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """The report keeps its form, and when it fails in turn our address hears nothing."""
    sandbox.faults.add(Fault(FaultKind.REFUSE, "smarthost", times=2))
    gateway = make_gateway(
        {"main": smarthost(sandbox, null_reverse_path=False)},
        bounces={"from": "bounces@example.com"},
    )
    await gateway.start()
    await send(gateway)
    await settled(gateway, 2)
    assert not sandbox.letterbox.letters
    await send(gateway, "eve@example.org")
    await letters_to(sandbox.letterbox, "eve@example.org")
    sandbox.faults.add(Fault(FaultKind.REFUSE, "smarthost", recipient="bob@"))
    await send(gateway)
    (letter,) = await letters_to(sandbox.letterbox, SENDER)
    assert letter.reverse_path == "bounces@example.com"
    assert read_report(letter.content).recipients[0]["Action"] == "failed"


async def test_report_by_an_api_is_one_text_from_the_address_that_is_set(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """No API takes a multipart/report or the null reverse-path; nothing of the report is lost."""
    sandbox.faults.add(Fault(FaultKind.REFUSE, "rest_v1", recipient="bob@"))
    gateway = make_gateway(
        {"rest": rest_v1(sandbox, rate="50/s")}, bounces={"from": "bounces@example.com"}
    )
    await gateway.start()
    await send(gateway)
    (letter,) = await letters_to(sandbox.letterbox, SENDER)
    assert letter.from_email == "bounces@example.com"
    assert letter.subject == "Undelivered mail returned to sender"
    assert letter.header_fields["Auto-Submitted"] == "auto-replied"
    assert not letter.attachments
    for words in ("could not be delivered", "Action: failed", "Subject: Order 77"):
        assert words in letter.text


async def test_without_an_address_of_ours_an_api_carries_no_report(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """`check` and the start warn of it; then log and metric are all there is."""
    sandbox.faults.add(Fault(FaultKind.REFUSE, "form_v2", recipient="bob@"))
    gateway = make_gateway({"bulk": form_v2(sandbox)})
    await gateway.start()
    assert "bounces.from" in (await gateway.wait_for(event("senders_not_told")))["reason"]
    code, out, err = await gateway.command("check")
    assert code == 0
    assert "warning: no provider of route default takes letters from <>" in err
    assert "warning:" not in out
    code, out, _ = await gateway.command("check", "--json")
    assert code == 0
    assert [line for line in json.loads(out)["warnings"] if "bounces.from" in line]
    await send(gateway)
    line = await gateway.wait_for(event("not_reported", reason="no_carrier"))
    assert line["level"] == "warning"
    await settled(gateway, 1)


async def test_check_shows_the_settings_and_warns_of_nothing(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """Under the names that people write."""
    gateway = make_gateway({"main": smarthost(sandbox)}, bounces={"from": "bounces@example.com"})
    gateway.config_path.write_text(yaml.safe_dump(gateway.config), encoding="utf-8")
    code, out, err = await gateway.command("check")
    assert (code, err) == (0, "")
    assert "bounces.from " in out
    assert "bounces.delay_warning" in out


async def test_postmaster_gets_a_copy(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """With the header alone, whatever RET says."""
    sandbox.faults.add(Fault(FaultKind.REFUSE, "smarthost", recipient="bob@"))
    gateway = make_gateway(
        {"main": smarthost(sandbox)}, bounces={"postmaster": "postmaster@example.com"}
    )
    await gateway.start()
    await send(gateway, mail=("RET=FULL",))
    (copy,) = await letters_to(sandbox.letterbox, "postmaster@example.com")
    await letters_to(sandbox.letterbox, SENDER)
    assert copy.reverse_path == ""
    assert read_report(copy.content).returned_header


async def test_two_gateways_cannot_report_to_each_other_for_ever(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """
    Each sends by the other, from an address of its own, and neither knows the other's.

    The second gateway's report fails at the first, which was told NOTIFY=NEVER and is silent.
    """
    sandbox.faults.add(Fault(FaultKind.REFUSE, "smarthost", times=None))
    out = smarthost(sandbox, null_reverse_path=False)

    def beside(port: int) -> dict[str, object]:
        where = {"kind": "smarthost", "host": "127.0.0.1", "port": port, "tls": "off"}
        return {**where, "null_reverse_path": False}

    home = {"recipient_domain": "example.com"}
    first = make_gateway(
        {"out": out, "other": beside(1)},
        bounces={"from": "bounces@first.example.net"},
        routes=[
            {"name": "home", "when": home, "providers": ["out"]},
            {"name": "rest", "providers": ["other"]},
        ],
    )
    second = make_gateway(
        {"out": out, "other": beside(1)},
        bounces={"from": "bounces@second.example.net"},
        routes=[
            {"name": "home", "when": home, "providers": ["other"]},
            {"name": "rest", "providers": ["out"]},
        ],
    )
    await second.start()
    first.config["providers"]["other"] = beside(second.smtp_port)
    await first.start()
    second.config["providers"]["other"] = beside(first.smtp_port)
    second.config_path.write_text(yaml.safe_dump(second.config), encoding="utf-8")
    os.kill(second.pid, signal.SIGHUP)
    await second.wait_for(event("reloaded"))
    await send(first)
    await settled(first, 2)
    await settled(second, 2)
    reported = [[x for x in each.log if x["event"] == "reported"] for each in (first, second)]
    assert [len(lines) for lines in reported] == [0, 1]
    assert not sandbox.letterbox.letters
