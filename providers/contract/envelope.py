"""
The envelope of RFC 5321: who a letter is from and for, apart from what its header says.

Sits on `address`. It must not know the content: the envelope is the truth about recipients.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from providers.contract.address import Address


class BodyType(StrEnum):
    """The BODY parameter of MAIL (RFC 6152)."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT_MIME = "8BITMIME"


class Notify(StrEnum):
    """The NOTIFY parameter of RCPT (RFC 3461 4.1)."""

    NEVER = "NEVER"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    DELAY = "DELAY"


class Ret(StrEnum):
    """The RET parameter of MAIL (RFC 3461 4.3)."""

    FULL = "FULL"
    HEADERS = "HDRS"


@dataclass(frozen=True, slots=True)
class Recipient:
    """
    One RCPT of a letter.

    `key` is given once at admission, counts from 0 within its letter and never changes: stores and
    reports speak of keys, never of list positions. `orcpt` is the ORCPT parameter as received
    (`rfc822;…`), `notify` the NOTIFY one; `None` means that the client did not give it.
    """

    key: int
    forward_path: Address
    orcpt: str | None = None
    notify: frozenset[Notify] | None = None

    def __post_init__(self) -> None:
        if self.key < 0:
            raise ValueError("a recipient's key counts from 0")
        if self.notify and Notify.NEVER in self.notify and len(self.notify) > 1:
            raise ValueError("NOTIFY=NEVER stands alone (RFC 3461 4.1)")


@dataclass(frozen=True, slots=True)
class Envelope:
    """
    What MAIL and RCPT said.

    `reverse_path` is `None` for the null reverse-path `<>`. `recipients` is never empty and its
    keys are unique; a request to a provider holds only those that still wait.
    """

    reverse_path: Address | None
    recipients: tuple[Recipient, ...]
    body: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False
    ret: Ret | None = None
    envid: str | None = None

    def __post_init__(self) -> None:
        if not self.recipients:
            raise ValueError("an envelope needs a recipient")
        if len(self.recipients) > 1 and len({r.key for r in self.recipients}) != len(
            self.recipients
        ):
            raise ValueError("two recipients of one envelope have the same key")
