"""
What is put before a letter: our Received, and the fields it lacked; so that it is complete.

Pure: octets in, octets out. What a client says of itself goes into a header field of ours only in
characters that cannot end it. What else a letter needs is `repair`'s to do. `intake` calls it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from gateway.domain.repair import Repair
from gateway.ingress.repair import mend
from gateway.ingress.repair_fields import date_time
from gateway.ingress.submission import Client, Submission

_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9._:\[\]-]")


@dataclass(frozen=True, slots=True)
class Completed:
    """
    A letter as it is stored.

    `message_id` is the value of its Message-ID; `repairs` is what its client needed.
    """

    content: bytes
    message_id: str
    repairs: tuple[Repair, ...] = ()


def complete(submission: Submission, *, queue_id: str, hostname: str, now: datetime) -> Completed:
    """
    Put what a letter needs on its way before what the client sent (RFC 5321 4.4, RFC 6409 8).

    Args:
        submission: The letter as it came.
        queue_id: Ours.
        hostname: Ours.
        now: When the letter came in, aware.

    Raises:
        SealedPart: It would have to be changed where it is signed.
    """
    mended = mend(
        submission.content, submission.envelope, queue_id=queue_id, hostname=hostname, now=now
    )
    received = received_field(submission, queue_id=queue_id, hostname=hostname, now=now)
    repairs = (Repair.LINE_ENDS, *mended.repairs) if submission.bare_line_ends else mended.repairs
    content = b"".join((received, mended.added, mended.content))
    return Completed(content, mended.message_id, repairs)


def received_field(submission: Submission, *, queue_id: str, hostname: str, now: datetime) -> bytes:
    """
    Our Received header field, folded, with its line end (RFC 5321 4.4).

    The recipient is told only where there is one: with more, it would show who was in Bcc.
    """
    client, envelope = submission.client, submission.envelope
    with_ = _transmission(client, smtputf8=envelope.smtputf8)
    recipient = envelope.recipients[0].forward_path.addr_spec
    told = len(envelope.recipients) == 1 and recipient.isascii()
    for_ = f"\r\n\tfor <{recipient}>" if told else ""
    return (
        f"Received: from {_from(client.helo, client.address)}\r\n"
        f"\tby {hostname} (Mailquay) with {with_} id {queue_id}{for_};\r\n"
        f"\t{date_time(now)}\r\n"
    ).encode()


@lru_cache(maxsize=256)
def _from(helo: str, address: str) -> str:
    """Who it came from; a client says the same all day."""
    name = _NOT_IN_NAME.sub("?", helo[:255]) or "unknown"
    literal = f"IPv6:{address}" if ":" in address else address
    return f"{name} ([{literal}])" if literal else name


def _transmission(client: Client, *, smtputf8: bool) -> str:
    """How the letter came, in the words of RFC 3848 and RFC 6531 4.3."""
    if not client.esmtp:
        return "SMTP"
    name = "UTF8SMTP" if smtputf8 else "ESMTP"
    return f"{name}{'S' if client.tls else ''}{'A' if client.user else ''}"
