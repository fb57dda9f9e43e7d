"""
What the methods of the v2 API ask and tell, as values. Pure; sits on nothing.

Ids are text throughout: the service writes them as numbers here and as strings there (D 26).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# PHP drops fields past max_input_vars (1000) without a word; half of that is far below it (C.5).
MAX_ADDRESSES = 500
MAX_LETTERS = 200

_BREAKS_A_LINE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Content:
    """
    One letter: who it is from, its subject, and `message`, its only body, which is HTML (C.1).

    Raises:
        ValueError: A part that the service puts into a header field is not a single line.
    """

    sender_email: str
    sender_name: str
    subject: str
    message: str

    def __post_init__(self) -> None:
        for name in ("sender_email", "sender_name", "subject"):
            if _BREAKS_A_LINE.search(getattr(self, name)):
                raise ValueError(f"{name} is not a single line")


@dataclass(frozen=True, slots=True)
class Sending:
    """
    How letters are sent.

    Attributes:
        track_open: Whether openings are tracked; `None` leaves it to the service, which does.
        track_click: The same for clicks.
        schedule: `YYYY-MM-DD HH:MM` in the account's time zone; empty: at once.
    """

    track_open: bool | None = None
    track_click: bool | None = None
    schedule: str = ""


PLAIN = Sending()
"""At once, and tracked as the service likes."""


@dataclass(frozen=True, slots=True)
class PersonalLetter:
    """One of different letters in one batch; all have the batch's sender."""

    email: str
    subject: str
    message: str

    def __post_init__(self) -> None:
        if _BREAKS_A_LINE.search(self.subject):
            raise ValueError("subject is not a single line")


@dataclass(frozen=True, slots=True)
class EmailSent:
    """What sendEmail tells; the id is empty where the answer named none."""

    email_id: str


@dataclass(frozen=True, slots=True)
class ListSent:
    """What sendEmailByList tells: the mailing, and to how many addresses it goes."""

    message_id: str
    count_emails: int | None


@dataclass(frozen=True, slots=True)
class BatchTaken:
    """What sendBulkEmail tells; without a uuid the batch was taken and cannot be asked about."""

    uuid: str


@dataclass(frozen=True, slots=True)
class RecipientStatus:
    """
    One address that a mailing took.

    `email` has its blanks trimmed (D 27), `status` is the service's word in upper case, `error` is
    empty where there is none, however the service writes that (D 36).
    """

    email_id: str
    email: str
    status: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class RefusedAddress:
    """One address that a batch did not take, and why."""

    email: str
    error: str


@dataclass(frozen=True, slots=True)
class Mailing:
    """One mailing that came of a batch: whom it took, and whom not."""

    message_id: str
    name: str
    sender_email: str
    sender_name: str
    success: tuple[RecipientStatus, ...]
    errors: tuple[RefusedAddress, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """A template of the account; nothing can be sent by its id (C.10)."""

    id: str
    title: str


@dataclass(frozen=True, slots=True)
class Done:
    """What the methods tell that only say OK."""
