"""
The calls of the v2 API as form fields, before the token is put on. Pure.

Source: provider reference, parts C.2 to C.10. Lists travel in PHP's brackets, their indices
consecutive from 0. What would make a call that the service half-reads cannot be built.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from providers.contract.address import InvalidAddress, parse_address
from providers.form_v2.wire.values import (
    MAX_ADDRESSES,
    MAX_LETTERS,
    PLAIN,
    Content,
    PersonalLetter,
    Sending,
)
from providers.http.forms import FormFile

SEND_EMAIL = "sendEmail"
SEND_BY_LIST = "sendEmailByList"
DELIVERY_LIST = "getEmailDeliveryList"
SEND_BULK = "sendBulkEmail"
BULK_STATUS = "statusBulkEmail"
UNSUBSCRIBE = "unsubscribeEmail"
SUBSCRIBE = "subscribeEmail"
TEMPLATES = "getEmailTemplates"

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Form:
    """
    One call before the token is put on.

    `fields` become an urlencoded form, with `files` a multipart one.
    """

    method: str
    fields: tuple[tuple[str, str], ...] = ()
    files: tuple[FormFile, ...] = ()


def build_send_email(
    content: Content, email: str, sending: Sending = PLAIN, attachment: FormFile | None = None
) -> Form:
    """The call that sends one letter to one address, with one file at most (C.2)."""
    fields = _present(
        *_sender(content.sender_email, content.sender_name),
        ("subject", content.subject),
        ("message", content.message),
        ("email", email),
        *_switches(sending),
    )
    return Form(SEND_EMAIL, fields, _files(attachment))


def build_send_by_list(
    content: Content,
    list_id: str,
    sending: Sending = PLAIN,
    *,
    name: str = "",
    attachment: FormFile | None = None,
) -> Form:
    """The call that sends one letter to a list which the account keeps (C.3)."""
    fields = _present(
        ("name", name),
        ("list_id", list_id),
        *_sender(content.sender_email, content.sender_name),
        ("subject", content.subject),
        ("message", content.message),
        *_switches(sending),
    )
    return Form(SEND_BY_LIST, fields, _files(attachment))


def build_bulk(
    content: Content, emails: Sequence[str], sending: Sending = PLAIN, *, name: str = ""
) -> Form:
    """
    The call that sends the same letter to many addresses (C.5, `bulk`).

    Raises:
        ValueError: No address, more than `MAX_ADDRESSES`, or one of them twice.
    """
    _check(emails, MAX_ADDRESSES)
    fields = _present(
        ("name", name),
        *_sender(content.sender_email, content.sender_name),
        ("message_type", "bulk"),
        ("subject", content.subject),
        ("message", content.message),
        *_switches(sending),
    )
    return Form(SEND_BULK, (*fields, *_bracketed_addresses(emails)))


def build_personal(
    sender_email: str,
    sender_name: str,
    letters: Sequence[PersonalLetter],
    sending: Sending = PLAIN,
    *,
    name: str = "",
) -> Form:
    """
    The call that sends a letter of its own to each address (C.5, `personal`).

    Raises:
        ValueError: No letter, more than `MAX_LETTERS`, or two to one address.
    """
    _check([letter.email for letter in letters], MAX_LETTERS)
    fields = _present(
        ("name", name),
        *_sender(sender_email, sender_name),
        ("message_type", "personal"),
        *_switches(sending),
    )
    return Form(SEND_BULK, (*fields, *_bracketed_letters(letters)))


def build_bulk_status(uuid: str) -> Form:
    """The question what became of a batch (C.6)."""
    return Form(BULK_STATUS, (("uuid", uuid),))


def build_delivery_list(message_id: str) -> Form:
    """The question for a mailing's recipients and their statuses (C.4)."""
    return Form(DELIVERY_LIST, (("message_id", message_id),))


def build_unsubscribe(email: str, list_ids: Sequence[str] = (), reason: str = "") -> Form:
    """The call that keeps mailings from an address, those of certain lists or all (C.8)."""
    fields = (("email", email), ("list_ids", ",".join(list_ids)), ("reason", reason))
    return Form(UNSUBSCRIBE, _present(*fields))


def build_subscribe(email: str, list_ids: Sequence[str] = ()) -> Form:
    """The call that lifts that again (C.9)."""
    return Form(SUBSCRIBE, _present(("email", email), ("list_ids", ",".join(list_ids))))


def build_templates() -> Form:
    """The question for the account's templates (C.10); its token stands in the query."""
    return Form(TEMPLATES)


def schedule_from(send_at: datetime | None, zone: tzinfo, now: datetime) -> str:
    """
    A moment as `d_schedule`: minutes, in the account's time zone (C.1, D 33).

    Args:
        send_at: With its own zone.
        zone: The account's.
        now: What has passed, or will within the minute, is sent at once: nobody knows what the
            service makes of a moment in the past.

    Returns:
        `YYYY-MM-DD HH:MM`, seconds rounded up so that nothing goes early; empty for at once.
    """
    if send_at is None:
        return ""
    # Rounded in UTC: in a zone whose clocks are put back, some minutes come twice.
    minute = send_at.astimezone(now.tzinfo)
    if minute.second or minute.microsecond:
        minute = minute.replace(second=0, microsecond=0) + _MINUTE
    if minute <= now + _MINUTE:
        return ""
    return minute.astimezone(zone).strftime("%Y-%m-%d %H:%M")


def folded(email: str) -> str:
    """An address for matching: without blanks, in lower case, its domain as A-labels (D 27)."""
    text = email.strip()
    try:
        return parse_address(text).folded
    except InvalidAddress:
        return text.lower()


def _sender(email: str, name: str) -> Iterator[tuple[str, str]]:
    yield "sender_email", email
    yield "sender_name", name


def _switches(sending: Sending) -> Iterator[tuple[str, str]]:
    yield "d_schedule", sending.schedule
    for name, wanted in (("track_open", sending.track_open), ("track_click", sending.track_click)):
        if wanted is not None:
            yield name, "1" if wanted else "0"


def _present(*fields: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in fields if value)


def _files(attachment: FormFile | None) -> tuple[FormFile, ...]:
    return () if attachment is None else (attachment,)


def _bracketed_addresses(emails: Iterable[str]) -> Iterator[tuple[str, str]]:
    for index, email in enumerate(emails):
        yield f"delivery_list[{index}]", email


def _bracketed_letters(letters: Iterable[PersonalLetter]) -> Iterator[tuple[str, str]]:
    for index, letter in enumerate(letters):
        yield f"delivery_list[{index}][email]", letter.email
        yield f"delivery_list[{index}][subject]", letter.subject
        yield f"delivery_list[{index}][message]", letter.message


def _check(emails: Sequence[str], most: int) -> None:
    if not 0 < len(emails) <= most:
        raise ValueError(f"a batch has 1 to {most} recipients, not {len(emails)}")
    if len({folded(email) for email in emails}) != len(emails):
        raise ValueError("an address stands twice in one batch")
