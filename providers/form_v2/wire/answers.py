"""
The v2 API on the wire: a letter to the fields of sendEmail, an answer to an outcome.

Pure: no socket, no clock, no token. Source: provider reference, parts C.1 and C.2, and the cautions
of part D (24 to 29, 35).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from providers.contract.address import Address
from providers.contract.capabilities import Shortfall
from providers.contract.outcome import DeliveryOutcome, accepted
from providers.http.composition import Composition, Submission
from providers.http.exchange import HttpAnswer
from providers.http.forms import FormFile
from providers.http.verdict import doubtful, id_from, outcome_from_failure, wait_in
from providers.mime import html_from_text

SEND_EMAIL = "sendEmail"
TEMPLATES = "getEmailTemplates"


@dataclass(frozen=True, slots=True)
class Form:
    """
    One call before the token is put on.

    `fields` become an urlencoded form, with `files` a multipart one; `losses` is what of a letter
    could not be put in.
    """

    method: str
    fields: tuple[tuple[str, str], ...] = ()
    files: tuple[FormFile, ...] = ()
    losses: tuple[Shortfall, ...] = ()


def build_send_email(
    composition: Composition,
    email: Address,
    *,
    track_open: bool | None = None,
    track_click: bool | None = None,
) -> Form:
    """
    The call that sends one letter.

    Args:
        composition: The letter, with one attachment at most. Its plain text becomes HTML where it
            has no HTML of its own: `message` is the only body there is.
        email: The recipient.
        track_open: Whether openings shall be tracked; `None` leaves it to the service.
        track_click: The same for clicks.
    """
    html = composition.html if composition.html.strip() else html_from_text(composition.text)
    fields = [
        ("sender_email", composition.from_email),
        ("sender_name", composition.from_name),
        ("subject", composition.subject),
        ("message", html),
        ("email", email.addr_spec),
    ]
    for name, wanted in (("track_open", track_open), ("track_click", track_click)):
        if wanted is not None:
            fields.append((name, "1" if wanted else "0"))
    files = tuple(
        FormFile("attachment", file.filename, file.content_type, file.content)
        for file in composition.letter.attachments
    )
    present = tuple((name, value) for name, value in fields if value)
    return Form(SEND_EMAIL, present, files, composition.losses)


def read_answer(
    answer: HttpAnswer,
    now: datetime,
    _: Submission | None = None,
) -> DeliveryOutcome:
    """
    Read the answer to sendEmail for its single recipient, or to a question.

    Args:
        answer: Any status; HTTP 200 alone proves nothing (D 24).
        now: For a Retry-After that names a date.

    Returns:
        The outcome: success only with a 2xx, a JSON object, `status` ok in any case, and no error.
        Never raises.

    Source: provider reference, parts C.1 (errors: public and assumed) and C.2.
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
    if str(body.get("status")).lower() != "ok":
        return doubtful(answer, "and neither success nor an error in the answer")
    return accepted(_email_id(body.get("result")))


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


def _email_id(result: object) -> str:
    value = result.get("email_id") if isinstance(result, dict) else None
    return id_from(value)
