"""
The v1 API on the wire: a letter to a request, an answer to an outcome.

Pure: no socket, no clock, no secret. Source: provider reference, parts B.3 and B.4, and the
cautions of part D (6 to 15, 17). Letters to whole lists are in `list_letter`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from providers.contract.address import Address
from providers.contract.capabilities import Part, Shortfall
from providers.contract.outcome import DeliveryOutcome, accepted
from providers.http.composition import Composition, Submission
from providers.http.exchange import HttpAnswer, HttpRequest
from providers.http.forms import FormFile, build_multipart
from providers.http.verdict import doubtful, id_from, one_line, outcome_from_failure
from providers.rest_v1.problem import code_in, text_of
from providers.rest_v1.smtp_headers import not_carried_from, smtp_headers_from

JSON = ("Content-Type", "application/json")  # demanded of every request that is no form, GET too

# Two questions that change nothing. Not every installation knows the first (B.13).
BALANCE = HttpRequest("GET", "/email/balance", (JSON,))
ONE_LIST = HttpRequest("GET", "/email/lists", (JSON,), query="page_size=1")

PAYMENTS = ("subscriber_priority", "credit_priority", "subscriber", "credit")

_MESSAGES = "/email/messages"

_encode_json = json.JSONEncoder(ensure_ascii=False).encode


def build_message(
    composition: Composition, to: Address, *, client_id: str, payment: str | None = None
) -> Submission:
    """
    The request that creates one message: JSON, or a multipart form when there are files.

    Args:
        composition: The letter. Its line ends go as they are.
        to: The recipient; the API takes one.
        client_id: Our own name for this letter and recipient, for tracing.
        payment: Which credits to use; `None` leaves it to the platform.
    """
    fields = {"from_email": composition.from_email, "from_name": composition.from_name}
    fields |= {"to": to.addr_spec, "subject": composition.subject}
    fields |= {"text": composition.text, "html": composition.html, "payment": payment or ""}
    fields = {name: value for name, value in fields.items() if value}
    header_fields, losses = smtp_headers_from(composition.letter, client_id)
    losses = (*composition.losses, *losses)
    files = tuple(
        FormFile("attachments[]", file.filename, file.content_type, file.content)
        for file in composition.letter.attachments
    )
    if not files:
        payload = {**fields, "smtp_headers": header_fields}
        body = _encode_json(payload).encode()
        return Submission(HttpRequest("POST", _MESSAGES, (JSON,), body), (), losses)
    parts = [*fields.items(), *((f"smtp_headers[{n}]", v) for n, v in header_fields.items())]
    content_type, body = build_multipart(parts, files)
    request = HttpRequest("POST", _MESSAGES, (("Content-Type", content_type),), body)
    return Submission(request, tuple(file.filename for file in files), losses)


def build_template_message(
    composition: Composition,
    to: Address,
    *,
    template: str,
    params: Mapping[str, str | int | float | bool],
    payment: str | None = None,
) -> Submission:
    """
    The request that creates one message of a template (B.4).

    The template takes the place of sender, subject and bodies, as the client wished. Files and
    header fields of the letter have no place in it, and are losses.

    Args:
        composition: The letter, for what of it is lost.
        to: The recipient.
        template: Its id.
        params: What is filled in.
        payment: Which credits to use; `None` leaves it to the platform.
    """
    fields: dict[str, Any] = {"to": to.addr_spec, "params": dict(params)}
    if payment:
        fields["payment"] = payment
    path = f"/email/templates/{quote(template, safe='')}/messages"
    files = tuple(
        Shortfall(Part.ATTACHMENT, one_line(f"a template letter takes no file: {file.filename}"))
        for file in composition.letter.attachments
    )
    request = HttpRequest("POST", path, (JSON,), _encode_json(fields).encode())
    return Submission(request, (), (*files, *not_carried_from(composition.letter)))


def unknown_payment(payment: str | None) -> Shortfall | None:
    """A way of payment that the platform does not know, before it refuses the letter for it."""
    if payment is None or payment in PAYMENTS:
        return None
    return Shortfall(Part.PAYMENT, one_line(f"there is no payment {payment!r}"))


def read_answer(
    answer: HttpAnswer, now: datetime, submission: Submission | None = None
) -> DeliveryOutcome:
    """
    Read the answer to "create message" for its single recipient, or to a question.

    Args:
        answer: Any status; the body may be HTML, cut or empty when a proxy answered.
        now: For a Retry-After that names a date.
        submission: What was sent, if it was a letter.

    Returns:
        The outcome. Never raises: an answer that cannot be read is judged by its status alone, and
        is `uncertain` where the status does not prove a refusal. Files that the answer does not
        name are losses: the platform drops a part it does not know without a word (D 17).

    Source: provider reference, part B.1 (error body: public; text of 429: public), B.3, D 9.
    """
    body = answer.json_object()
    if not 200 <= answer.status <= 299:
        return outcome_from_failure(answer, text_of(answer, body), now=now)
    if body is None:
        return doubtful(answer, "and no JSON object in the answer")
    if body.get("errors"):
        code = code_in(body["errors"])
        return outcome_from_failure(answer, text_of(answer, body), now=now, code=code)
    outcome = accepted(id_from(body.get("id")))
    if submission is not None and (lost := _lost_files(body, submission.filenames)):
        return replace(outcome, losses=lost)
    return outcome


def _lost_files(body: dict[str, Any], filenames: tuple[str, ...]) -> tuple[Shortfall, ...]:
    named = body.get("attachments")
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        return ()  # an installation that does not tell
    lost = Counter(filenames) - Counter(named)
    return tuple(
        Shortfall(Part.ATTACHMENT, one_line(f"the provider does not name {name} among the files"))
        for name in lost.elements()
    )
