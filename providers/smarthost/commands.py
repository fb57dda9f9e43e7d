"""
A letter on the wire: MAIL and RCPT lines from its envelope, content with its dots doubled.

Pure. Uses only what the server offered, and says beforehand what of a letter it cannot carry. A
line built here holds no control character, so that nothing of an envelope can become a command of
its own. Sits on `providers.contract`; `session` sends what is built here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from providers.contract.envelope import Envelope, Recipient
from providers.contract.message import Message
from providers.contract.outcome import DeliveryOutcome, Kind, Scope

END_OF_DATA = b".\r\n"

# RFC 5321 4.1.2: the value of a parameter. Here only checked, never recoded: ENVID and ORCPT travel
# as the client encoded them (RFC 3461 4).
_PARAMETER_VALUE = re.compile(r"[!-<>-~]{1,500}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def find_obstacle(
    message: Message, envelope: Envelope, offered: Mapping[str, str]
) -> DeliveryOutcome | None:
    """
    Why this letter cannot go to a server that offers these extensions, if so.

    Args:
        message: The letter.
        envelope: The recipients of this attempt.
        offered: EHLO keywords in lower case, with their parameters.

    Returns:
        An `unsupported` outcome for all recipients: larger than SIZE allows (5.3.4, RFC 1870),
        octets above 127 and no 8BITMIME (5.6.3; the letter is not re-encoded here), an address or
        header that needs SMTPUTF8 (5.6.7). `None` when it can go.
    """
    limit = _size_limit(offered)
    if limit is not None and message.size > limit:
        return unsupported("5.3.4", f"{message.size} octets, at most {limit} are taken")
    if "smtputf8" not in offered and needs_smtputf8(message, envelope):
        return unsupported("5.6.7", "an address or the header needs SMTPUTF8, which is not offered")
    if "8bitmime" not in offered and not message.content.isascii():
        return unsupported("5.6.3", "the content is 8-bit, and 8BITMIME is not offered")
    return None


def needs_smtputf8(message: Message, envelope: Envelope) -> bool:
    """Whether the SMTPUTF8 parameter must be given (RFC 6531 3.4)."""
    reverse_path = envelope.reverse_path
    return (
        message.needs.smtputf8
        or (reverse_path is not None and reverse_path.needs_smtputf8)
        or any(recipient.forward_path.needs_smtputf8 for recipient in envelope.recipients)
    )


def build_mail(message: Message, envelope: Envelope, offered: Mapping[str, str]) -> str:
    """
    The MAIL command, without its CRLF.

    SIZE, BODY, SMTPUTF8, RET and ENVID are given where they are offered and needed.

    Raises:
        ValueError: The reverse-path holds a control character.
    """
    words = [f"MAIL FROM:<{'' if envelope.reverse_path is None else envelope.reverse_path}>"]
    if "size" in offered:
        words.append(f"SIZE={message.size}")
    if "8bitmime" in offered and not message.content.isascii():
        words.append("BODY=8BITMIME")
    if "smtputf8" in offered and needs_smtputf8(message, envelope):
        words.append("SMTPUTF8")
    if "dsn" in offered:
        if envelope.ret is not None:
            words.append(f"RET={envelope.ret}")
        if envelope.envid is not None and _PARAMETER_VALUE.match(envelope.envid):
            words.append(f"ENVID={envelope.envid}")
    return _checked(words)


def build_rcpt(recipient: Recipient, offered: Mapping[str, str]) -> str:
    """
    The RCPT command, without its CRLF; NOTIFY and ORCPT where DSN is offered.

    Raises:
        ValueError: The forward-path holds a control character.
    """
    words = [f"RCPT TO:<{recipient.forward_path}>"]
    if "dsn" in offered:
        if recipient.notify:
            words.append(f"NOTIFY={','.join(sorted(recipient.notify))}")
        if recipient.orcpt is not None and _PARAMETER_VALUE.match(recipient.orcpt):
            words.append(f"ORCPT={recipient.orcpt}")
    return _checked(words)


def build_content(content: bytes) -> bytes:
    """
    Content as it goes over the wire, without the line that ends it (RFC 5321 4.5.2).

    A line's leading dot is doubled and all else kept octet for octet; that no CR or LF stands alone
    is promised by `Message`. Where no line starts with a dot, the very same object comes back: most
    letters are never copied.
    """
    if content.startswith(b"."):
        content = b"." + content
    if b"\r\n." in content:
        content = content.replace(b"\r\n.", b"\r\n..")
    if content and not content.endswith(b"\r\n"):
        # `Message` promises the line end; without it the final dot would not be one.
        content += b"\r\n"
    return content


def in_chunks(wire: bytes, size: int) -> Iterator[memoryview]:
    """The octets in pieces of at most `size`, without copying."""
    view = memoryview(wire)
    return (view[at : at + size] for at in range(0, len(wire), size))


def _size_limit(offered: Mapping[str, str]) -> int | None:
    """What SIZE allows; a missing value or zero is no limit (RFC 1870 4)."""
    value = offered.get("size", "").strip()
    return int(value[:20]) or None if value.isdecimal() and value.isascii() else None


def unsupported(status: str, diagnostic: str) -> DeliveryOutcome:
    """Nothing was sent: this server cannot carry the letter."""
    return DeliveryOutcome(Kind.UNSUPPORTED, Scope.MESSAGE, status, diagnostic)


def _checked(words: list[str]) -> str:
    line = " ".join(words)
    # Addresses are checked where they enter; a value built past that check ends here.
    if not line.isprintable() and _CONTROL.search(line):
        raise ValueError("a command line holds a control character")
    return line
