"""
The answers of the v2 API as values, or as the outcome that says why there is none. Pure.

Reading never raises, whatever comes. Source: provider reference, parts C.1 (success and errors),
C.2 to C.10 (shapes), and D 24 to D 36.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from providers.contract.outcome import DeliveryOutcome
from providers.form_v2.wire.values import (
    BatchTaken,
    Done,
    EmailSent,
    ListSent,
    Mailing,
    RecipientStatus,
    RefusedAddress,
    Template,
)
from providers.http.exchange import HttpAnswer
from providers.http.verdict import doubtful, id_from, one_line, outcome_from_failure, wait_in

T = TypeVar("T")

Read = Callable[[HttpAnswer, datetime], T | DeliveryOutcome]
"""Of an answer, and the moment it came, the value; or the outcome that says why there is none."""


def read_done(answer: HttpAnswer, now: datetime) -> Done | DeliveryOutcome:
    """Of unsubscribeEmail and subscribeEmail: OK, and nothing more (C.8, C.9)."""
    found = _success(answer, now)
    return found if isinstance(found, DeliveryOutcome) else Done()


def read_email_sent(answer: HttpAnswer, now: datetime) -> EmailSent | DeliveryOutcome:
    """Of sendEmail (C.2). An OK whose result says nothing is an OK, its id unknown."""
    found = _success(answer, now)
    if isinstance(found, DeliveryOutcome):
        return found
    return EmailSent(id_from(_of(found.result).get("email_id")))


def read_list_sent(answer: HttpAnswer, now: datetime) -> ListSent | DeliveryOutcome:
    """Of sendEmailByList (C.3); the like."""
    found = _success(answer, now)
    if isinstance(found, DeliveryOutcome):
        return found
    result = _of(found.result)
    count = id_from(result.get("count_emails"))
    known = count.isascii() and count.isdigit()
    return ListSent(id_from(result.get("message_id")), int(count) if known else None)


def read_batch_taken(answer: HttpAnswer, now: datetime) -> BatchTaken | DeliveryOutcome:
    """Of sendBulkEmail (C.5); the like. An OK means that the batch was taken as a whole."""
    found = _success(answer, now)
    if isinstance(found, DeliveryOutcome):
        return found
    return BatchTaken(id_from(_of(found.result).get("uuid")))


def read_delivery_list(
    answer: HttpAnswer, now: datetime
) -> tuple[RecipientStatus, ...] | DeliveryOutcome:
    """Of getEmailDeliveryList (C.4): the address is called `email` here."""
    return _read_list(answer, now, lambda item: _recipient(item, "email"))


def read_mailings(answer: HttpAnswer, now: datetime) -> tuple[Mailing, ...] | DeliveryOutcome:
    """Of statusBulkEmail (C.6): none while the batch waits, possibly several."""
    return _read_list(answer, now, _mailing)


def read_templates(answer: HttpAnswer, now: datetime) -> tuple[Template, ...] | DeliveryOutcome:
    """Of getEmailTemplates (C.10)."""
    return _read_list(
        answer, now, lambda item: Template(id_from(item.get("id")), _text(item.get("title")))
    )


@dataclass(frozen=True, slots=True)
class _Success:
    result: object


def _success(answer: HttpAnswer, now: datetime) -> _Success | DeliveryOutcome:
    """
    Judge an answer by the rule of C.1, for the single recipient of its request or for a question.

    Success only with a 2xx, a JSON object, `status` ok in any case, and no error (D 24).
    """
    body = answer.json_object()
    text = _error_text(answer, body)
    if not 200 <= answer.status <= 299:
        return outcome_from_failure(answer, text, now=now)
    if body is None:
        return doubtful(answer, "and no JSON object in the answer")
    if _is_error(body):
        # No status tells a refusal from a rate excess, which other methods of the service report in
        # this dress, too; but only the latter names a wait.
        code = 422 if wait_in(text) is None else 429
        return outcome_from_failure(answer, text, now=now, code=code)
    if str(body.get("status")).strip().lower() != "ok":
        return doubtful(answer, "and neither success nor an error in the answer")
    return _Success(body.get("result"))


def _read_list(
    answer: HttpAnswer, now: datetime, read_item: Callable[[dict[str, Any]], T]
) -> tuple[T, ...] | DeliveryOutcome:
    found = _success(answer, now)
    if isinstance(found, DeliveryOutcome):
        return found
    # PHP writes a list whose keys have a gap as an object, and an empty one sometimes as null.
    result = list(found.result.values()) if isinstance(found.result, dict) else found.result
    if result is None:
        return ()
    if not isinstance(result, list):
        return doubtful(answer, "and no list in the answer")
    return tuple(read_item(item) for item in result if isinstance(item, dict))


def _mailing(item: dict[str, Any]) -> Mailing:
    return Mailing(
        message_id=id_from(item.get("message_id")),
        name=_text(item.get("name")),
        sender_email=_text(item.get("sender_email")),
        sender_name=_text(item.get("sender_name")),
        success=tuple(_recipient(entry, "recipient") for entry in _objects(item.get("success"))),
        errors=tuple(
            RefusedAddress(_text(entry.get("email")), _text(entry.get("error")))
            for entry in _objects(item.get("errors"))
        ),
    )


def _recipient(entry: dict[str, Any], address: str) -> RecipientStatus:
    return RecipientStatus(
        email_id=id_from(entry.get("email_id")),
        email=_text(entry.get(address)),
        status=_text(entry.get("status")).upper(),
        error=_text(entry.get("error")),
    )


def _objects(value: object) -> Iterator[dict[str, Any]]:
    entries = list(value.values()) if isinstance(value, dict) else value
    if isinstance(entries, list):
        yield from (entry for entry in entries if isinstance(entry, dict))


def _of(result: object) -> dict[str, Any]:
    return result if isinstance(result, dict) else {}


def _text(value: object) -> str:
    """Any scalar as one trimmed line; empty for null and for what is none (D 27, D 36)."""
    return one_line(str(value)) if isinstance(value, str | int) else ""


def _is_error(body: dict[str, Any]) -> bool:
    if body.get("error") or body.get("errors"):
        return True
    return isinstance(body.get("status"), str) and body["status"].strip().lower() == "error"


def _error_text(answer: HttpAnswer, body: dict[str, Any] | None) -> str:
    """The first of `error`, `message`, the first of `errors`, else the body (C.1)."""
    if body is None:
        return answer.text()
    for name in ("error", "message"):
        if isinstance(body.get(name), str) and body[name]:
            return str(body[name])
    return _first_text(body.get("errors")) or answer.text()


def _first_text(errors: object) -> str:
    """The first text in a list, or in Laravel's object of lists."""
    for _ in range(3):
        if isinstance(errors, str):
            return errors
        if isinstance(errors, dict):
            errors = next(iter(errors.values()), None)
        elif isinstance(errors, list):
            errors = errors[0] if errors else None
    return ""
