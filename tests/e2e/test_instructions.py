"""Instructions given by real clients: obeyed, and seen by no provider and no recipient."""

from __future__ import annotations

import smtplib
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from typing import Any

import pytest

from providers.sandbox.server import Sandbox
from tests.e2e.clients import by_smtplib
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import form_v2, rest_v1, run, smarthost

INNER = b"Subject: inner\r\nX-Mailquay-Tag: stays\r\n\r\nhi\r\n"
LETTER = (
    b"x-mailquay-PRIORITY:\r\n\thigh\r\n"
    b"From: a@example.com\r\nTo: a@example.org\r\nMessage-ID: <1@a>\r\n"
    b"X-Mailquay-Tag: =?utf-8?B?b3NlbsK0?=\r\n =?utf-8?B?eA==?=\r\n"
    b"Subject: Order\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n"
    b"X-MAILQUAY-PAYMENT : credit\r\n"
    b"\r\n--b\r\nContent-Type: text/plain\r\n\r\nX-Mailquay-Tag: body\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\n" + INNER + b"--b--\r\n"
)


async def test_no_provider_sees_an_instruction(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """Odd case, folds, blanks before the colon; what is attached stays as it was, Bcc'd too."""
    gateway = make_gateway({"it": smarthost(sandbox)})
    await gateway.start()
    await by_smtplib(
        gateway.smtp_port, "a@example.com", ["a@example.org", "hidden@example.org"], LETTER
    )
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 2, timeout_s=60)
    for letter in sandbox.letterbox.letters:
        parsed = message_from_bytes(letter.content)
        assert not [name for name in parsed if "mailquay" in name.lower()]
        assert INNER in letter.content
        assert b"\r\n\r\nX-Mailquay-Tag: body\r\n" in letter.content


@pytest.mark.parametrize(("kind", "settings"), [("rest_v1", rest_v1), ("form_v2", form_v2)])
async def test_no_platform_sees_one_either(
    sandbox: Sandbox, make_gateway: MakeGateway, kind: str, settings: Any
) -> None:
    """Where extra header fields are passed on, ours are not among them."""
    plain = LETTER.partition(b"MIME-Version")[0] + b"X-Mailquay-Route: all\r\n\r\nhi\r\n"
    gateway = make_gateway({kind: settings(sandbox)}, routes=[{"name": "all", "providers": [kind]}])
    await gateway.start()
    await by_smtplib(gateway.smtp_port, "a@example.com", ["a@example.org"], plain)
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 1, timeout_s=60)
    (letter,) = sandbox.letterbox.letters
    assert not [name for name in letter.header_fields if "mailquay" in name.lower()]


async def test_a_wrong_one_is_refused_by_name(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """Every client shows the reply to its people."""
    gateway = make_gateway({"it": smarthost(sandbox)})
    await gateway.start()
    wrong = b"X-Mailquay-Send-At: tomorrow\r\n" + LETTER
    reply = await by_smtplib(gateway.smtp_port, "a@example.com", ["a@example.org"], wrong)
    assert reply.startswith("554 5.6.0 X-Mailquay-Send-At is no moment of RFC 3339")


async def test_a_stranger_instructs_nobody(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """Whoever may not relay does not get as far as the data."""
    listeners = {"listeners": [{"name": "app", "host": "127.0.0.1", "port": 0}]}
    gateway = make_gateway(
        {"it": smarthost(sandbox)}, smtp={**listeners, "networks": ["192.0.2.0/24"]}
    )
    await gateway.start()
    with (
        smtplib.SMTP("127.0.0.1", gateway.smtp_port, timeout=60) as smtp,
        pytest.raises(smtplib.SMTPSenderRefused),
    ):
        smtp.sendmail("a@example.com", ["a@example.org"], LETTER)


async def test_a_letter_waits_for_its_time_over_a_restart(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """Shown as waiting until then, not sent before, sent by whoever runs then."""
    gateway = make_gateway({"it": smarthost(sandbox)})
    await gateway.start()
    wanted = datetime.now(UTC) + timedelta(seconds=12)
    field = f"X-Mailquay-Send-At: {wanted.isoformat()}\r\n".encode()
    await by_smtplib(gateway.smtp_port, "a@example.com", ["a@example.org"], field + LETTER)
    await gateway.stop()
    assert sandbox.letterbox.letters == []
    code, out, _ = await gateway.command("queue", "list", "--json")
    assert code == 0
    assert wanted.isoformat(timespec="seconds")[:19] in out
    await gateway.start()
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 1, timeout_s=60)
    assert datetime.now(UTC) >= wanted


async def test_swaks_gives_instructions(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """As somebody on a command line would."""
    code, _, _ = await run("sh", "-c", "command -v swaks")
    if code:
        pytest.skip("swaks is not installed, and needs root to be")
    gateway = make_gateway({"it": smarthost(sandbox), "other": smarthost(sandbox)})
    await gateway.start()
    code, out, err = await run(
        *("swaks", "--server", "127.0.0.1", "--port", str(gateway.smtp_port)),
        *("--from", "a@example.com", "--to", "a@example.org"),
        *("--add-header", "X-Mailquay-Provider: other", "--add-header", "X-Mailquay-Mode: direct"),
    )
    assert code == 0, err
    assert "250 2.0.0 Ok: <a@example.org:" in out
    accepted = {"provider": "other", "outcome": "accepted"}
    assert await gateway.metric("mailquay_attempts_total", **accepted) == 1
