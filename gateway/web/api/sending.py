"""
A request as a submission: JSON built into a letter, or a raw letter as it is.

What the library builds cannot be injected into: it refuses line ends in fields. Sits on `models`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from email.headerregistry import Address as HeaderAddress
from email.message import EmailMessage
from email.policy import SMTP

from gateway.domain.instructions import PREFIX
from gateway.domain.trace_context import parse_traceparent
from gateway.ingress.submission import API, Client, Submission
from gateway.web.api.models import EnvelopeQuery, LetterIn, MailboxIn
from gateway.web.api.problems import Problem
from providers.contract.address import Address, InvalidAddress, parse_address
from providers.contract.envelope import BodyType, Envelope, Recipient

_LINE_END = re.compile(rb"\r\n|\r|\n")
_KEY = re.compile(r"[!-~]{1,200}\Z")


def submission_from_letter(
    letter: LetterIn, client: Client, key: str, traceparent: str = ""
) -> Submission:
    """
    The submission that a JSON letter asks for.

    Raises:
        Problem: 422, a field cannot be written.
    """
    sender = letter.return_path or letter.sender.address
    addresses = [box.address for box in (*letter.to, *letter.cc, *letter.bcc)]
    try:
        content = _built(letter).as_bytes(policy=SMTP)
    except (ValueError, LookupError, TypeError) as error:
        raise Problem(422, f"the letter cannot be written: {error}") from None
    return _submission(_path(sender), addresses, content, client, key=key, traceparent=traceparent)


def submission_from_raw(
    content: bytes, envelope: EnvelopeQuery, client: Client, key: str, traceparent: str = ""
) -> Submission:
    """
    The submission of a raw letter (RFC 5322), whatever its line ends.

    Raises:
        Problem: 422, an address is none, or the letter is empty.
    """
    if not content:
        raise Problem(422, "the body is the letter, and there is none")
    sender = _path(envelope.sender) if envelope.sender else None
    content = _LINE_END.sub(b"\r\n", content)
    return _submission(sender, envelope.to, content, client, key=key, traceparent=traceparent)


def _submission(
    sender: Address | None,
    to: Sequence[str],
    content: bytes,
    client: Client,
    *,
    key: str,
    traceparent: str,
) -> Submission:
    if key:
        if not _KEY.match(key):
            raise Problem(422, "Idempotency-Key: printable ASCII, 200 characters at most")
        content = f"{PREFIX}Idempotency-Key: {key}\r\n".encode() + content
    if (trace := parse_traceparent(traceparent)) is not None:
        content = f"traceparent: {trace}\r\n".encode() + content
    if not content.endswith(b"\r\n"):
        content += b"\r\n"
    paths = tuple(dict.fromkeys(map(_path, to)))
    envelope = Envelope(
        reverse_path=sender,
        recipients=tuple(Recipient(place, path) for place, path in enumerate(paths)),
        body=BodyType.SEVEN_BIT if content.isascii() else BodyType.EIGHT_BIT_MIME,
        smtputf8=any(a.needs_smtputf8 for a in (*paths, *(() if sender is None else (sender,)))),
    )
    return Submission(envelope, content, API, client)


def _built(letter: LetterIn) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"] = _header(letter.sender)
    for name, boxes in (("To", letter.to), ("Cc", letter.cc), ("Reply-To", letter.reply_to)):
        if boxes:
            message[name] = tuple(map(_header, boxes))
    message["Subject"] = letter.subject
    for name, value in letter.headers.items():
        message[name] = value
    if letter.text is not None:
        message.set_content(letter.text)
    if letter.html is not None:
        if letter.text is None:
            message.set_content(letter.html, subtype="html")
        else:
            message.add_alternative(letter.html, subtype="html")
    for file in letter.attachments:
        maintype, _, subtype = file.content_type.partition("/")
        if maintype in {"multipart", "message"}:
            maintype, subtype = "application", "octet-stream"  # octets are not parsed again
        message.add_attachment(
            file.content,
            maintype=maintype,
            subtype=subtype,
            filename=file.name,
            disposition="inline" if file.content_id else "attachment",
            cid=f"<{file.content_id}>" if file.content_id else None,
        )
    return message


def _header(box: MailboxIn) -> HeaderAddress:
    address = _path(box.address)
    return HeaderAddress(box.name, address.local_part, address.domain)


def _path(text: str) -> Address:
    try:
        return parse_address(text)
    except InvalidAddress as error:
        raise Problem(422, f"not an address: {error}") from None
