"""
What a call to the v1 API can fail with, by status (provider reference, B.1 and D 14).

Exceptions, because here a person or a program asked for one thing and waits for it. A letter on its
way through the gateway is judged by `wire` instead, as an outcome.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from providers.contract.errors import ProviderError
from providers.http.exchange import HttpAnswer, NoAnswer, Phase
from providers.http.verdict import one_line, outcome_from_failure
from providers.rest_v1.problem import Reason, code_in, reasons_in, text_of


class RestV1Error(ProviderError):
    """
    A call failed. Its text is one line without secrets.

    Attributes:
        status: Of HTTP; 0 where no answer came.
        reasons: What the platform complains of, each field by itself where it names them.
        done: Whether what was asked for may have been done all the same.
    """

    done: bool = False

    def __init__(self, text: str, status: int = 0, reasons: tuple[Reason, ...] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.reasons = reasons


class BadRequest(RestV1Error):
    """400: a parameter cannot be understood."""


class Unauthorised(RestV1Error):
    """401, 403: the key is wrong, or may not do this."""


class NotEnoughFunds(RestV1Error):
    """402: the account cannot pay."""


class NotFound(RestV1Error):
    """404: nothing has this id."""


class NotAvailable(RestV1Error):
    """404 or 405 to a method that older installations do not have (B.13)."""


class PageTooBig(RestV1Error):
    """412: the page size is above what this method takes."""


class UnsupportedMedia(RestV1Error):
    """413, 415: too large, or of a type that is not taken."""


class Unprocessable(RestV1Error):
    """422 and other refusals: `reasons` says which fields are wrong."""


class Throttled(RestV1Error):
    """429: too fast, or too many letters for the account's standing; they look alike (D 13)."""

    retry_after: timedelta | None = None


class ServerTrouble(RestV1Error):
    """5xx, or an answer that cannot be read: what was asked for may have been done."""

    done = True


class AnswerTooLarge(ServerTrouble):
    """A success whose answer is more than we read; a smaller page would do."""


class NotReached(RestV1Error):
    """No answer came, and nothing can have been done."""


class AnswerLost(RestV1Error):
    """The call was sent and no answer came (D 7): what was asked for may have been done."""

    done = True


_BY_STATUS: dict[int, type[RestV1Error]] = {
    400: BadRequest,
    401: Unauthorised,
    402: NotEnoughFunds,
    403: Unauthorised,
    404: NotFound,
    412: PageTooBig,
    413: UnsupportedMedia,
    415: UnsupportedMedia,
    429: Throttled,
}


def error_from_answer(answer: HttpAnswer, *, extra: bool, now: datetime) -> RestV1Error | None:
    """
    Why an answer is a failure; `None` where it is none.

    Args:
        answer: Any status and body. A success code proves nothing where `errors` stands in its
            body (D 9).
        extra: The method is one that older installations lack.
        now: Against which a date in Retry-After is read.
    """
    body = answer.json_object()
    status = answer.status
    if 200 <= status <= 299:
        if not (body and body.get("errors")):
            return None
        status = code_in(body["errors"])
    text = text_of(answer, body)
    kind = _BY_STATUS.get(status, Unprocessable if 300 <= status <= 499 else ServerTrouble)
    if extra and status in (404, 405):
        kind, text = NotAvailable, "this installation has no such method"
    error = kind(one_line(f"HTTP {answer.status} {text}"), status, reasons_in(answer, body))
    if isinstance(error, Throttled):
        error.retry_after = outcome_from_failure(answer, text, now=now, code=429).retry_after
    return error


def error_from_no_answer(no_answer: NoAnswer) -> RestV1Error:
    """Why no answer came; whether anything was done follows from how far the call got."""
    kind = AnswerLost if no_answer.phase is Phase.ANSWER else NotReached
    return kind(one_line(no_answer.reason))
