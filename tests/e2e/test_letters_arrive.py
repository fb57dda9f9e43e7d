"""A letter with everything in it goes in by real clients and arrives at each provider, equal."""

from __future__ import annotations

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP, default
from typing import Any

import pytest

from providers.sandbox.letterbox import ReceivedLetter
from providers.sandbox.server import Sandbox
from tests.e2e.clients import CLIENTS, Client, by_smtplib, queue_id_of
from tests.e2e.conftest import MakeGateway
from tests.e2e.gateway_process import form_v2, rest_v1, smarthost

SUBJECT = "Заказ № 77 – счёт и накладная"
TEXT = "Здравствуйте!\n\n.строка с точкой\n..две точки\nСпасибо — ждём вас снова.\n"
HTML = "<p>Здравствуйте!</p>\n<p>Спасибо — <b>ждём</b> вас снова.</p>\n"
FILES = [
    ("счёт.pdf", "application", "pdf", b"%PDF-1.4 \x00\x01\xff\r\n.\r\n" * 400),
    ("накладная.csv", "text", "csv", "№;сумма\r\n77;10,50\r\n".encode()),
]


def everything(files: int = 2, *, alternative: bool = True) -> bytes:
    """Cyrillic subject, text and HTML, attachments with Cyrillic names."""
    letter = EmailMessage(policy=SMTP)
    letter["From"] = "Магазин <shop@example.com>"
    letter["To"] = "Боб <bob@example.org>"
    letter["Subject"] = SUBJECT
    letter["Reply-To"] = "help@example.com"
    if alternative:
        letter.set_content(TEXT)
        letter.add_alternative(HTML, subtype="html")
    else:
        letter.set_content(HTML, subtype="html")
    for name, maintype, subtype, content in FILES[:files]:
        letter.add_attachment(content, maintype=maintype, subtype=subtype, filename=name)
    return letter.as_bytes()


def parts_over_smtp(letter: ReceivedLetter) -> dict[str, Any]:
    """The letter as a mail program would read it."""
    parsed = message_from_bytes(letter.content, policy=default)
    text, html = parsed.get_body(("plain",)), parsed.get_body(("html",))
    assert text is not None
    assert html is not None
    return {
        "subject": parsed["Subject"],
        "text": text.get_content().replace("\r\n", "\n"),
        "html": html.get_content().replace("\r\n", "\n"),
        "reply_to": parsed["Reply-To"],
        "files": [
            (part.get_filename(), part.get_content_type(), part.get_payload(decode=True))
            for part in parsed.iter_attachments()
        ],
    }


def files_over_api(letter: ReceivedLetter) -> list[tuple[str, str, bytes]]:
    """The files as the platform got them."""
    return [(file.filename, file.content_type, file.content) for file in letter.attachments]


EXPECTED_FILES = [(name, f"{main}/{sub}", content) for name, main, sub, content in FILES]


@pytest.mark.parametrize("client", CLIENTS)
async def test_by_smarthost(sandbox: Sandbox, make_gateway: MakeGateway, client: Client) -> None:
    """Bytes in = bytes out, but for the trace field put before them."""
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    sent = everything()
    reply = await client(gateway.smtp_port, "shop@example.com", ["bob@example.org"], sent)
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 1)
    (letter,) = sandbox.letterbox.letters
    assert letter.content.startswith(b"Received: from ")
    body = sent.partition(b"\r\n\r\n")[2]
    assert letter.content.partition(b"\r\n\r\n")[2].startswith(body)  # swaks ends it twice
    assert parts_over_smtp(letter) == {
        "subject": SUBJECT,
        "text": TEXT,
        "html": HTML,
        "reply_to": "help@example.com",
        "files": EXPECTED_FILES,
    }
    assert queue_id_of(reply).encode() in letter.content


@pytest.mark.parametrize("client", CLIENTS)
async def test_by_rest_v1(sandbox: Sandbox, make_gateway: MakeGateway, client: Client) -> None:
    """Both bodies, both files, Reply-To by smtp_headers."""
    gateway = make_gateway({"rest": rest_v1(sandbox, rate="50/s")})
    await gateway.start()
    await client(gateway.smtp_port, "shop@example.com", ["bob@example.org"], everything())
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 1)
    (letter,) = sandbox.letterbox.letters
    assert (letter.subject, letter.text, letter.html) == (SUBJECT, TEXT, HTML)
    assert (letter.from_email, letter.from_name) == ("shop@example.com", "Магазин")
    assert letter.recipient == "bob@example.org"
    assert letter.header_fields["Reply-To"] == "help@example.com"
    assert files_over_api(letter) == EXPECTED_FILES


@pytest.mark.parametrize("client", CLIENTS)
async def test_by_form_v2(sandbox: Sandbox, make_gateway: MakeGateway, client: Client) -> None:
    """One body and one file is what the platform takes; Reply-To it does not."""
    gateway = make_gateway({"bulk": form_v2(sandbox)})
    await gateway.start()
    sent = everything(1, alternative=False).replace(b"Reply-To: help@example.com\r\n", b"")
    await client(gateway.smtp_port, "shop@example.com", ["bob@example.org"], sent)
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 1)
    (letter,) = sandbox.letterbox.letters
    assert (letter.subject, letter.html) == (SUBJECT, HTML)
    assert (letter.from_email, letter.from_name) == ("shop@example.com", "Магазин")
    assert files_over_api(letter) == EXPECTED_FILES[:1]


async def test_letter_that_no_provider_can_carry_is_refused_whole(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """Two files are one too many for v2: 554 5.6.3 with the reason, and nothing is sent."""
    gateway = make_gateway({"bulk": form_v2(sandbox)})
    await gateway.start()
    reply = await by_smtplib(
        gateway.smtp_port, "shop@example.com", ["bob@example.org"], everything()
    )
    assert reply.startswith("554 5.6.3")
    assert "attachments" in reply
    assert not sandbox.letterbox.calls


async def test_letter_passes_by_whom_it_suits(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """The first provider of the route that can carry a letter gets it."""
    gateway = make_gateway({"bulk": form_v2(sandbox), "main": smarthost(sandbox)})
    await gateway.start()
    await by_smtplib(gateway.smtp_port, "shop@example.com", ["bob@example.org"], everything())
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 1)
    assert sandbox.letterbox.letters[0].provider == "smarthost"


async def test_envelope_is_truth(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """T8, T9: delivered is the set of RCPT, each once, whatever To and Cc say; Bcc is not shown."""
    letter = (
        b'From: a@example.com\r\nTo: "Doe, J" <a@example.org>, list:;\r\n'
        b"Cc: nobody@example.org\r\nSubject: x\r\n\r\nbody\r\n"
    )
    to = ["a@example.org", "hidden@example.org", "alias@other.example.org"]
    gateway = make_gateway({"main": smarthost(sandbox), "rest": rest_v1(sandbox, rate="50/s")})
    await gateway.start()
    await by_smtplib(gateway.smtp_port, "a@example.com", to, letter)
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 3)
    assert sorted(letter.recipient for letter in sandbox.letterbox.letters) == sorted(to)
    for received in sandbox.letterbox.letters:
        assert b"hidden@" not in received.content


async def test_several_recipients_by_api_get_one_letter_each(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """One API letter per recipient, and each shows its own address only."""
    to = [f"r{n}@example.org" for n in range(5)]
    gateway = make_gateway({"rest": rest_v1(sandbox, rate="50/s")})
    await gateway.start()
    letter = b"From: a@example.com\r\nSubject: x\r\n\r\nbody\r\n"
    reply = await by_smtplib(gateway.smtp_port, "a@example.com", to, letter)
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 5)
    assert sorted(letter.recipient for letter in sandbox.letterbox.letters) == to
    code, out, _ = await gateway.command("trace", queue_id_of(reply), "--json")
    assert code == 0
    for address in to:
        assert address in out


async def test_null_reverse_path_stays_null(sandbox: Sandbox, make_gateway: MakeGateway) -> None:
    """A bounce goes by SMTP, the only way that can say `<>`."""
    gateway = make_gateway({"rest": rest_v1(sandbox), "main": smarthost(sandbox)})
    await gateway.start()
    letter = b"From: MAILER-DAEMON@example.com\r\nTo: a@example.org\r\nSubject: x\r\n\r\nb\r\n"
    await by_smtplib(gateway.smtp_port, "", ["a@example.org"], letter)
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 1)
    (received,) = sandbox.letterbox.letters
    assert (received.provider, received.reverse_path) == ("smarthost", "")


async def test_missing_date_and_message_id_are_added(
    sandbox: Sandbox, make_gateway: MakeGateway
) -> None:
    """What old applications leave out is put in once, and the rest is left as it was."""
    gateway = make_gateway({"main": smarthost(sandbox)})
    await gateway.start()
    reply = await by_smtplib(
        gateway.smtp_port, "a@example.com", ["a@example.org"], b"Subject: x\r\n\r\nbody\r\n"
    )
    await sandbox.letterbox.wait_until(lambda box: len(box.letters) == 1)
    parsed = message_from_bytes(sandbox.letterbox.letters[0].content, policy=default)
    assert parsed["Date"].datetime is not None
    assert parsed["Message-ID"] == f"<{queue_id_of(reply)}@gateway.example.com>"
    assert parsed["Received"].startswith("from client.example.com")
