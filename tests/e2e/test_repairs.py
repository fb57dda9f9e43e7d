"""Letters as old devices write them: taken, made right, carried by a strict smarthost, told of."""

from __future__ import annotations

from email import message_from_bytes
from email.policy import default

from providers.sandbox.server import Sandbox
from tests.e2e.clients import queue_id_of
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import smarthost
from tests.support.dialogue import Dialogue

TEXT = "Отчёт о печати: " + "страница, " * 300


async def test_letter_of_an_old_device(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """T15, T18, T26: no line end, date, id or charset is right, and it arrives as it was meant."""
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    client = await Dialogue.connect(gateway.smtp_port)
    await client.hello()
    content = f"From: Принтер\nSubject: Отчёт\nDate: today\n\n{TEXT}\n".encode("windows-1251")
    reply = await client.letter(content)
    queue_id = queue_id_of(reply)
    await client.close()
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 1, 30)
    assert sandbox.smtp_violations == ()
    parsed = message_from_bytes(sandbox.letterbox.letters[0].content, policy=default)
    assert parsed["Subject"] == "Отчёт"
    assert parsed["From"] == "Принтер <a@example.com>"
    assert parsed["Date"].datetime is not None
    assert parsed["Message-ID"] == f"<{queue_id}@gateway.example.com>"
    assert parsed["X-Original-Date"] == "today"
    assert parsed.get_content().strip() == TEXT.strip()
    for repair in ("line_ends", "long_line", "date_broken", "from_broken", "charset_missing"):
        assert await gateway.metric("mailquay_repairs_total", repair=repair) == 1, repair
    assert await gateway.metric("mailquay_repairs_total", repair="nul") == 0
    _, story, _ = await gateway.command("trace", queue_id)
    told = " ".join(story.split())
    assert "this client needed whole line ends" in told
    assert await gateway.stop() == 0


async def test_signed_letter_is_refused_rather_than_broken(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """A seal stays whole: 554 5.6.2 in the session, and the session goes on."""
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    client = await Dialogue.connect(gateway.smtp_port)
    await client.hello()
    signed = (
        b"From: a@example.com\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: multipart/signed; boundary=B\r\n\r\n"
        b"--B\r\n\r\n" + b"x" * 2000 + b"\r\n--B\r\n\r\nsignature\r\n--B--"
    )
    assert (await client.letter(signed)).startswith("554 5.6.2 ")
    assert (await client.letter(signed.replace(b"x" * 2000, b"x"))).startswith("250 ")
    await client.close()
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 1, 30)
    assert await gateway.stop() == 0
