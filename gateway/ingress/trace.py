"""
The header of a letter made complete: our Received on top, Date and Message-ID where they miss.

Pure: octets in, octets out, and what the client wrote stays as it is. What a client says of itself
goes into a header field of ours only in characters that cannot end it. `intake` calls it.
"""

from __future__ import annotations

import re
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache

from gateway.ingress.submission import Client, Submission
from providers.mime.header import find_field, header_block

# RFC 5322 2.2, with the blanks before the colon of 4.5. A name is no longer than a line may be, so
# that a body of one endless word is not looked through twice.
_FIELD = rb"[!-9;-~]{1,998}+[ \t]*+:"
_FIRST_FIELD = re.compile(_FIELD)
# What mbox files and some pipes put before the first field. Below our Received it would end the
# header, so it becomes a field, the one that Postfix makes of it too.
_FROM_LINE = re.compile(rb">?From [^\r\n]{0,998}+\r\n(?=" + _FIELD + rb")")
_FROM_LINE_FIELD = b"X-Mailbox-Line: "
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9._:\[\]-]")
_MSG_ID = re.compile(rb"<[^<>\s]+>")
_LONGEST_MESSAGE_ID = 998  # a line of RFC 5322 2.1.1


def complete(
    submission: Submission, *, queue_id: str, hostname: str, now: datetime
) -> tuple[bytes, str]:
    """
    Put what a letter needs on its way before what the client sent (RFC 5321 4.4, RFC 6409 8).

    A content without a header, as old devices send it, gets one.

    Args:
        submission: The letter as it came.
        queue_id: Ours.
        hostname: Ours.
        now: When the letter came in, aware.

    Returns:
        The content to store, in one copy, and the value of its Message-ID.
    """
    content = submission.content
    added = [received_field(submission, queue_id=queue_id, hostname=hostname, now=now)]
    header = b""
    before = b""
    if _FIRST_FIELD.match(content):
        header = header_block(content)
    elif _FROM_LINE.match(content):
        header = header_block(content)
        before = _FROM_LINE_FIELD
    elif not content.startswith(b"\r\n"):
        before = b"\r\n"
    if find_field(header, "Date") is None:
        added.append(f"Date: {_date_time(now.replace(microsecond=0))}\r\n".encode())
    given = find_field(header, "Message-ID")
    if given is None:
        message_id = f"<{queue_id}@{hostname}>"
        added.append(f"Message-ID: {message_id}\r\n".encode())
    else:
        message_id = _message_id(given)
    return b"".join((*added, before, content)), message_id


def received_field(submission: Submission, *, queue_id: str, hostname: str, now: datetime) -> bytes:
    """
    Our Received header field, folded, with its line end (RFC 5321 4.4).

    The recipient is told only where there is one: with more, it would show who was in Bcc.
    """
    client, envelope = submission.client, submission.envelope
    name = _NOT_IN_NAME.sub("?", client.helo[:255]) or "unknown"
    literal = f"IPv6:{client.address}" if ":" in client.address else client.address
    address = f" ([{literal}])" if literal else ""
    with_ = _transmission(client, smtputf8=envelope.smtputf8)
    recipient = envelope.recipients[0].forward_path.addr_spec
    told = len(envelope.recipients) == 1 and recipient.isascii()
    for_ = f"\r\n\tfor <{recipient}>" if told else ""
    return (
        f"Received: from {name}{address}\r\n"
        f"\tby {hostname} (Mailquay) with {with_} id {queue_id}{for_};\r\n"
        f"\t{_date_time(now.replace(microsecond=0))}\r\n"
    ).encode()


@lru_cache(maxsize=4)
def _date_time(second: datetime) -> str:
    """A date-time of RFC 5322 3.3; thousands of letters come within one second."""
    return format_datetime(second)


def _transmission(client: Client, *, smtputf8: bool) -> str:
    """How the letter came, in the words of RFC 3848 and RFC 6531 4.3."""
    if not client.esmtp:
        return "SMTP"
    name = "UTF8SMTP" if smtputf8 else "ESMTP"
    return f"{name}{'S' if client.tls else ''}{'A' if client.user else ''}"


def _message_id(value: bytes) -> str:
    value = value[:_LONGEST_MESSAGE_ID]
    match = _MSG_ID.search(value)
    return (match[0] if match else value).decode("utf-8", "replace")
