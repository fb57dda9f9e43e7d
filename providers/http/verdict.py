"""
From an HTTP status, or from silence, to an outcome: the table that both APIs share.

Pure. Decides from codes and phases, never from words; words become the diagnostic and, where they
name a wait, the wait. It must not know the shape of any API's success.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from providers.contract.capabilities import Part, Shortfall
from providers.contract.outcome import Cause, DeliveryOutcome, Kind, Scope
from providers.contract.provider import ProbeResult
from providers.http.exchange import HttpAnswer, NoAnswer, Phase

SHORTEST_WAIT = timedelta(seconds=1)  # none at all, or a date that has passed, would spin
LONGEST_WAIT = timedelta(hours=1)
MAX_DIAGNOSTIC = 300  # characters

_MAX_ID = 100

_SECONDS = re.compile(r"\d{1,9}")
_SECONDS_IN_TEXT = re.compile(r"\b(\d{1,9}(?:\.\d{1,3})?)\s*second", re.IGNORECASE)
_NOT_ONE_LINE = re.compile(r"[\s\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff]+")

_Verdict = tuple[Kind, Scope, str, Cause]

_REFUSED: _Verdict = (Kind.REJECTED, Scope.RECIPIENT, "5.0.0", Cause.OTHER)
_DOUBTFUL: _Verdict = (Kind.UNCERTAIN, Scope.RECIPIENT, "4.3.0", Cause.OTHER)
# The address in the settings is not the API's any more; nobody has read the letter.
_MOVED: _Verdict = (Kind.DEFERRED, Scope.PROVIDER, "4.3.5", Cause.OTHER)

_BY_STATUS: dict[int, _Verdict] = {
    301: _MOVED,
    # Laravel sends a browser away like this when a form does not validate, and when the session is
    # over (provider reference, D 25). Neither accepts; which of the two it is, nobody can tell.
    302: (Kind.DEFERRED, Scope.RECIPIENT, "4.3.0", Cause.OTHER),
    307: _MOVED,
    308: _MOVED,
    401: (Kind.DEFERRED, Scope.PROVIDER, "4.7.8", Cause.ACCOUNT),
    402: (Kind.DEFERRED, Scope.PROVIDER, "4.7.0", Cause.ACCOUNT),
    403: (Kind.DEFERRED, Scope.PROVIDER, "4.7.0", Cause.ACCOUNT),
    # The server tired of waiting for the request: it has not read it whole (RFC 9110 15.5.9).
    408: (Kind.DEFERRED, Scope.PROVIDER, "4.4.2", Cause.OTHER),
    409: (Kind.DEFERRED, Scope.RECIPIENT, "4.3.0", Cause.OTHER),
    413: (Kind.UNSUPPORTED, Scope.MESSAGE, "5.3.4", Cause.OTHER),
    425: (Kind.DEFERRED, Scope.PROVIDER, "4.7.0", Cause.OTHER),
    429: (Kind.DEFERRED, Scope.PROVIDER, "4.7.0", Cause.THROTTLED),
    503: (Kind.DEFERRED, Scope.PROVIDER, "4.3.2", Cause.THROTTLED),
}

_BY_PHASE: dict[Phase, _Verdict] = {
    Phase.WAIT: (Kind.DEFERRED, Scope.PROVIDER, "4.4.5", Cause.OTHER),
    Phase.CONNECT: (Kind.DEFERRED, Scope.PROVIDER, "4.4.1", Cause.UNREACHABLE),
    Phase.SEND: (Kind.DEFERRED, Scope.PROVIDER, "4.4.2", Cause.UNREACHABLE),
    Phase.ANSWER: (Kind.UNCERTAIN, Scope.RECIPIENT, "4.4.2", Cause.OTHER),
}


def outcome_from_failure(
    answer: HttpAnswer, text: str, *, now: datetime, code: int | None = None
) -> DeliveryOutcome:
    """
    The outcome of an answer that is not success, for the single recipient of its request.

    Args:
        answer: Its status decides, its headers may name a wait.
        text: What the provider said, of any length and content.
        now: Against which a date in Retry-After is read where the answer has no Date.
        code: Decides instead of the status, where a success code carries an error.

    Other 4xx are refusals for good, other 5xx prove nothing (traps T3, T4; provider reference,
    D 13 and D 14).
    """
    status = answer.status if code is None else code
    kind, scope, enhanced, cause = _BY_STATUS.get(
        status, _REFUSED if 400 <= status <= 499 else _DOUBTFUL
    )
    return DeliveryOutcome(
        kind,
        scope,
        enhanced,
        diagnostic=one_line(f"HTTP {answer.status} {text}"),
        retry_after=_wait_from(answer, text, now) if kind is Kind.DEFERRED else None,
        cause=cause,
    )


def outcome_from_no_answer(no_answer: NoAnswer) -> DeliveryOutcome:
    """The outcome for the single recipient of a request that brought no answer."""
    kind, scope, enhanced, cause = _BY_PHASE[no_answer.phase]
    return DeliveryOutcome(kind, scope, enhanced, one_line(no_answer.reason), cause=cause)


def doubtful(answer: HttpAnswer, why: str) -> DeliveryOutcome:
    """The outcome of a success code whose answer cannot be read: it may have been accepted."""
    kind, scope, enhanced, _ = _DOUBTFUL
    return DeliveryOutcome(kind, scope, enhanced, one_line(f"HTTP {answer.status}, {why}"))


def not_carried(shortfall: Shortfall) -> DeliveryOutcome:
    """The outcome of a letter that was not sent because the provider cannot carry it."""
    status = {Part.SIZE: "5.3.4", Part.ATTACHMENT: "5.3.4", Part.SMTPUTF8: "5.6.7"}
    enhanced = status.get(shortfall.part, "5.6.3")
    return DeliveryOutcome(Kind.UNSUPPORTED, Scope.MESSAGE, enhanced, one_line(shortfall.reason))


def probe_result_from(outcome: DeliveryOutcome) -> ProbeResult:
    """What a call that changes nothing tells about account and address."""
    if outcome.kind is Kind.ACCEPTED:
        return ProbeResult(ok=True, detail="answers, and takes our credentials")
    return ProbeResult(ok=False, detail=outcome.diagnostic, cause=outcome.cause)


def id_from(value: object) -> str:
    """
    A provider's id as text, since they write it as a number here and as a string there (D 10, 26).

    Empty for anything that is no id: a value of another type, a text too long to be one.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        return ""
    text = one_line(str(value))
    return text if len(text) <= _MAX_ID else ""


def wait_in(text: str) -> timedelta | None:
    """The wait that an error text names, as in "retry in 3 seconds", within sane bounds."""
    found = _SECONDS_IN_TEXT.search(text[: 10 * MAX_DIAGNOSTIC])
    return _sane(timedelta(seconds=float(found[1]))) if found else None


def one_line(text: str) -> str:
    """Any text as a diagnostic: one line, printable, capped."""
    # Cut before the cleaning too, so that a megabyte of blanks costs nothing.
    line = _NOT_ONE_LINE.sub(" ", text[: 10 * MAX_DIAGNOSTIC]).strip()
    return line if len(line) <= MAX_DIAGNOSTIC else line[: MAX_DIAGNOSTIC - 1] + "…"


def _wait_from(answer: HttpAnswer, text: str, now: datetime) -> timedelta | None:
    """Retry-After in seconds or as a date, else the wait in the text (D 13)."""
    named = answer.headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(named):
        return _sane(timedelta(seconds=int(named)))
    if (until := _date_from(named)) is not None:
        # The provider's own clock, where it tells it: ours may be wrong.
        return _sane(until - (_date_from(answer.headers.get("date", "")) or now))
    return wait_in(text)


def _date_from(text: str) -> datetime | None:
    """An HTTP date in any of the three forms of RFC 9110 5.6.7; `None` for anything else."""
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)


def _sane(wait: timedelta) -> timedelta:
    return max(SHORTEST_WAIT, min(wait, LONGEST_WAIT))
