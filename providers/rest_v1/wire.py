"""
The v1 API on the wire: a letter to a request, an answer to an outcome.

Pure: no socket, no clock, no secret. Source: provider reference, part B.3, and the cautions of
part D (6 to 15, 17).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from datetime import datetime
from email.header import Header
from email.utils import formataddr
from typing import Any

from providers.contract.address import Address, InvalidAddress, parse_address
from providers.contract.capabilities import Part, Shortfall
from providers.contract.outcome import DeliveryOutcome, accepted
from providers.http.composition import Composition, Submission
from providers.http.exchange import HttpAnswer, HttpRequest
from providers.http.forms import FormFile, build_multipart
from providers.http.verdict import doubtful, id_from, one_line, outcome_from_failure
from providers.mime import Mailbox, ParsedLetter

JSON = ("Content-Type", "application/json")  # demanded of every request that is no form, GET too

# Two questions that change nothing. Not every installation knows the first (B.13).
BALANCE = HttpRequest("GET", "/email/balance", (JSON,))
ONE_LIST = HttpRequest("GET", "/email/lists", (JSON,), query="page_size=1")

_MESSAGES = "/email/messages"

# Header fields the platform writes itself, or that are false once it does (D 18). In lower case.
NOT_GIVEN = frozenset(
    (
        *("from", "sender", "to", "cc", "bcc", "subject", "date", "message-id", "mime-version"),
        *("received", "return-path", "delivered-to"),
        *("resent-from", "resent-sender", "resent-to", "resent-cc", "resent-bcc"),
        *("resent-date", "resent-message-id"),
        *("dkim-signature", "domainkey-signature", "authentication-results", "received-spf"),
        *("arc-seal", "arc-message-signature", "arc-authentication-results"),
    )
)
CLIENT_ID = "Client-Id"  # our trace; some clients of the platform use this name, too (D 7)

# RFC 5322 2.2 allows more; what nobody uses could only confuse a reader of `smtp_headers[Name]`.
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}\Z")

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
    header_fields, losses = _smtp_headers(composition.letter, client_id)
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
    text = _error_text(answer, body)
    if not 200 <= answer.status <= 299:
        return outcome_from_failure(answer, text, now=now)
    if body is None:
        return doubtful(answer, "and no JSON object in the answer")
    if body.get("errors"):
        return outcome_from_failure(answer, text, now=now, code=_code(body["errors"]))
    outcome = accepted(id_from(body.get("id")))
    if submission is not None and (lost := _lost_files(body, submission.filenames)):
        return replace(outcome, losses=lost)
    return outcome


def _smtp_headers(
    letter: ParsedLetter, client_id: str
) -> tuple[dict[str, str], tuple[Shortfall, ...]]:
    """What of the header goes along, by name as written; of a repeated field the first."""
    found: dict[str, str] = {}
    losses: list[Shortfall] = []
    if letter.reply_to:
        if reply_to := ", ".join(filter(None, map(_mailbox_text, letter.reply_to))):
            found["Reply-To"] = reply_to
        else:
            losses.append(Shortfall(Part.REPLY_TO, "Reply-To holds no address that can be given"))
    seen = {"reply-to"}
    for name, value in letter.header_fields:
        lower = name.lower()
        if lower in NOT_GIVEN or lower == "reply-to" or not value:
            continue
        if lower in seen or not _NAME.match(name):
            why = "stands there once more" if lower in seen else "has a name that cannot be given"
            losses.append(Shortfall(Part.HEADER_FIELD, one_line(f"header field {name} {why}")))
            continue
        seen.add(lower)
        found[name] = _ascii(value)
    if CLIENT_ID.lower() not in seen:
        found[CLIENT_ID] = client_id
    return found, tuple(losses)


def _mailbox_text(mailbox: Mailbox) -> str:
    """A mailbox as a header field writes it (RFC 5322 3.4, RFC 2047); empty without an address."""
    try:
        address = parse_address(mailbox.address)
    except InvalidAddress:
        return ""
    if address.needs_smtputf8:
        return ""
    return formataddr((mailbox.display_name, address.addr_spec))


def _ascii(value: str) -> str:
    """
    An unstructured value in ASCII: encoded words (RFC 2047) where it needs them.

    Whether the platform encodes what it is given is not known, and this is right in either case.
    """
    return value if value.isascii() else Header(value, "utf-8").encode(linesep="")


def _error_text(answer: HttpAnswer, body: dict[str, Any] | None) -> str:
    """What the provider says is wrong, wherever it says so (D 15)."""
    if body is None:
        return answer.text()
    errors = body.get("errors")
    if isinstance(errors, list):
        details = [e.get("detail") if isinstance(e, dict) else e for e in errors]
        if texts := [detail for detail in details if isinstance(detail, str) and detail]:
            return "; ".join(texts)
    for name in ("message", "error", "title"):
        if isinstance(body.get(name), str) and body[name]:
            return str(body[name])
    return answer.text()


def _code(errors: object) -> int:
    """The status that an error in a success answer names; a refusal where it names none."""
    first = errors[0] if isinstance(errors, list) else errors
    code = first.get("code") if isinstance(first, dict) else None
    return code if isinstance(code, int) and 400 <= code <= 599 else 422


def _lost_files(body: dict[str, Any], filenames: tuple[str, ...]) -> tuple[Shortfall, ...]:
    named = body.get("attachments")
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        return ()  # an installation that does not tell
    lost = Counter(filenames) - Counter(named)
    return tuple(
        Shortfall(Part.ATTACHMENT, one_line(f"the provider does not name {name} among the files"))
        for name in lost.elements()
    )
