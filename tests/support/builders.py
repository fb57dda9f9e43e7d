"""
Letters, envelopes and requests for tests: a whole one from no arguments, any part by its name.

`Needs` is told here from what the letter was made of, not read back from its bytes, so that a test
of an adapter does not hang on the MIME reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from email.message import EmailMessage
from email.policy import SMTP

from providers.contract.address import parse_address
from providers.contract.envelope import BodyType, Envelope, Notify, Recipient, Ret
from providers.contract.message import Message, Needs
from providers.contract.outcome import DeliveryRequest

SENDER = "news@example.com"
RECIPIENT = "bob@example.org"


@dataclass(frozen=True, slots=True)
class File:
    """An attachment for `a_message`."""

    name: str = "invoice.pdf"
    content: bytes = b"%PDF-1.4 \x00\xff dummy"
    content_type: str = "application/pdf"


def a_message(
    *,
    subject: str = "Order 77",
    text: str | None = "Thank you\n",
    html: str | None = None,
    attachments: Sequence[File] = (),
    sender: str = SENDER,
    to: str = RECIPIENT,
    header_fields: Sequence[tuple[str, str]] = (("Message-ID", "<order-77@example.com>"),),
    smtputf8: bool = False,
) -> Message:
    """
    A letter with these parts, encoded for a 7-bit transport, CRLF line ends.

    With both bodies it is a multipart/alternative; `header_fields` come on top of From, To and
    Subject. `smtputf8` lets the header go out as raw UTF-8 (RFC 6532).
    """
    letter = EmailMessage(policy=SMTP.clone(utf8=smtputf8))
    letter["From"] = sender
    letter["To"] = to
    letter["Subject"] = subject
    for name, value in header_fields:
        letter[name] = value
    if text is not None:
        letter.set_content(text, cte=None if text.isascii() else "base64")
    if html is not None and text is not None:
        letter.add_alternative(html, subtype="html", cte="base64")
    elif html is not None:
        letter.set_content(html, subtype="html", cte="base64")
    for file in attachments:
        maintype, _, subtype = file.content_type.partition("/")
        letter.add_attachment(file.content, maintype, subtype, filename=file.name)
    content = letter.as_bytes()
    names = {name.lower() for name, _ in header_fields}
    return Message(
        content,
        Needs(
            size=len(content),
            smtputf8=smtputf8,
            eight_bit=not content.isascii(),
            text=text is not None,
            html=html is not None,
            attachments=len(attachments),
            attachment_octets=sum(len(file.content) for file in attachments),
            reply_to="reply-to" in names,
            list_unsubscribe="list-unsubscribe" in names,
            header_fields=frozenset(names - {"reply-to", "list-unsubscribe"}),
        ),
    )


def a_raw_message(content: bytes) -> Message:
    """A letter of exactly these octets; its `Needs` hold what can be seen without parsing."""
    return Message(content, Needs(size=len(content), eight_bit=not content.isascii(), text=True))


def an_envelope(
    *recipients: str,
    reverse_path: str | None = SENDER,
    body: BodyType = BodyType.SEVEN_BIT,
    smtputf8: bool = False,
    ret: Ret | None = None,
    envid: str | None = None,
    orcpt: str | None = None,
    notify: frozenset[Notify] | None = None,
) -> Envelope:
    """An envelope to these forward-paths (keys from 0), or to one if none is given."""
    return Envelope(
        None if reverse_path is None else parse_address(reverse_path),
        tuple(
            Recipient(key, parse_address(forward_path), orcpt, notify)
            for key, forward_path in enumerate(recipients or (RECIPIENT,))
        ),
        body,
        smtputf8,
        ret,
        envid,
    )


def a_request(
    *recipients: str,
    message: Message | None = None,
    envelope: Envelope | None = None,
    queue_id: str = "Q0001",
    attempt: int = 1,
) -> DeliveryRequest:
    """
    An attempt to hand `message` to these recipients, or to those of `envelope`.

    The message's needs are completed by what only the envelope knows.
    """
    envelope = envelope if envelope is not None else an_envelope(*recipients)
    message = message if message is not None else a_message()
    addresses = [recipient.forward_path for recipient in envelope.recipients]
    if envelope.reverse_path is not None:
        addresses.append(envelope.reverse_path)
    needs = replace(
        message.needs,
        null_reverse_path=envelope.reverse_path is None,
        smtputf8=message.needs.smtputf8 or any(a.needs_smtputf8 for a in addresses),
    )
    return DeliveryRequest(queue_id, envelope, replace(message, needs=needs), attempt)
