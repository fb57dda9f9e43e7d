"""
A letter on the wire: MAIL and RCPT lines from its envelope, content with its dots doubled.

Pure. Uses only what the server offered; what it cannot carry was settled by `adaptation`. A line
built here holds no control character, so that nothing of an envelope can become a command of its
own. `session` sends what is built here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from providers.contract.envelope import Envelope, Recipient
from providers.smarthost.adaptation import AdaptedLetter

END_OF_DATA = b".\r\n"

# RFC 5321 4.1.2: the value of a parameter. Here only checked, never recoded: ENVID and ORCPT travel
# as the client encoded them (RFC 3461 4).
_PARAMETER_VALUE = re.compile(r"[!-<>-~]{1,500}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def build_mail(letter: AdaptedLetter, envelope: Envelope, offered: Mapping[str, str]) -> str:
    """
    The MAIL command, without its CRLF.

    SIZE, BODY, SMTPUTF8, RET and ENVID are given where they are offered and needed.

    Raises:
        ValueError: The reverse-path holds a control character.
    """
    words = [f"MAIL FROM:<{'' if envelope.reverse_path is None else envelope.reverse_path}>"]
    if "size" in offered:
        words.append(f"SIZE={letter.size}")
    if letter.eight_bit:
        words.append("BODY=8BITMIME")
    if letter.smtputf8:
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


def build_bdat(octets: int, *, last: bool) -> str:
    """The command that announces a chunk of content (RFC 3030 2), without its CRLF."""
    return f"BDAT {octets} LAST" if last else f"BDAT {octets}"


def in_chunks(wire: bytes | memoryview, size: int) -> Iterator[memoryview]:
    """The octets in pieces of at most `size`, without copying."""
    view = memoryview(wire)
    return (view[at : at + size] for at in range(0, len(wire), size))


def _checked(words: list[str]) -> str:
    line = " ".join(words)
    # Addresses are checked where they enter; a value built past that check ends here.
    if not line.isprintable() and _CONTROL.search(line):
        raise ValueError("a command line holds a control character")
    return line
