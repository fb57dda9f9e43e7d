"""From an HTTP answer, or none, to an outcome: the table both API adapters share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from providers.contract.capabilities import Part, Shortfall
from providers.contract.outcome import Cause, Kind, Scope, accepted
from providers.http.exchange import HttpAnswer, NoAnswer, Phase
from providers.http.verdict import (
    LONGEST_WAIT,
    MAX_DIAGNOSTIC,
    SHORTEST_WAIT,
    doubtful,
    id_from,
    not_carried,
    one_line,
    outcome_from_failure,
    outcome_from_no_answer,
    probe_result_from,
)

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def answer(status: int, **headers: str) -> HttpAnswer:
    return HttpAnswer(status, {k.replace("_", "-"): v for k, v in headers.items()}, b"")


REFUSED = (Kind.REJECTED, Scope.RECIPIENT, Cause.OTHER)
ACCOUNT = (Kind.DEFERRED, Scope.PROVIDER, Cause.ACCOUNT)
THROTTLED = (Kind.DEFERRED, Scope.PROVIDER, Cause.THROTTLED)
LATER = (Kind.DEFERRED, Scope.PROVIDER, Cause.OTHER)
PUT_OFF = (Kind.DEFERRED, Scope.RECIPIENT, Cause.OTHER)
DOUBT = (Kind.UNCERTAIN, Scope.RECIPIENT, Cause.OTHER)

TABLE = [
    *((status, REFUSED) for status in (400, 404, 405, 406, 410, 411, 412, 414, 415, 418)),
    *((status, REFUSED) for status in (421, 422, 426, 431, 451, 499)),
    *((status, ACCOUNT) for status in (401, 402, 403)),
    (408, LATER),
    (409, PUT_OFF),
    (413, (Kind.UNSUPPORTED, Scope.MESSAGE, Cause.OTHER)),
    (425, LATER),
    (429, THROTTLED),
    (503, THROTTLED),
    *((status, DOUBT) for status in (500, 501, 502, 504, 505, 507, 520, 599)),
    *((status, LATER) for status in (301, 307, 308)),
    (302, PUT_OFF),
    *((status, DOUBT) for status in (100, 300, 303, 304, 600, 999)),
]


@pytest.mark.parametrize(("status", "expected"), TABLE)
def test_statuses(status: int, expected: tuple[Kind, Scope, Cause]) -> None:
    """T4: 408, 409, 425, 429 are temporary, 401 to 403 the account's, the rest as above."""
    outcome = outcome_from_failure(answer(status), "why", now=NOW)
    assert (outcome.kind, outcome.scope, outcome.cause) == expected
    assert outcome.diagnostic == f"HTTP {status} why"


def test_a_code_decides_instead_of_the_status() -> None:
    """An error with HTTP 200 is judged by its own code, and told with what came."""
    outcome = outcome_from_failure(answer(200), "no funds", now=NOW, code=402)
    assert (outcome.kind, outcome.cause) == (Kind.DEFERRED, Cause.ACCOUNT)
    assert outcome.diagnostic == "HTTP 200 no funds"


class TestWait:
    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({"retry_after": "7"}, 7),
            ({"retry_after": " 7 "}, 7),
            ({"retry_after": "Thu, 01 Jan 2026 12:00:30 GMT"}, 30),
            ({"retry_after": "Thursday, 01-Jan-26 12:00:30 GMT"}, 30),
            ({"retry_after": "Thu Jan  1 12:00:30 2026"}, 30),
            ({"retry_after": "Thu, 01 Jan 2026 14:00:30 +0200"}, 30),
        ],
    )
    def test_spellings_of_the_header(self, headers: dict[str, str], seconds: int) -> None:
        """T3: seconds, or an HTTP date in any of its forms."""
        outcome = outcome_from_failure(answer(429, **headers), "", now=NOW)
        assert outcome.retry_after == timedelta(seconds=seconds)

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("Limit exceeded, retry in 3 seconds", 3),
            ("wait 1 second please", 1),
            ("Wait 90 Seconds", 90),
            ("2.5 seconds", 2.5),
            ("error 12; next try in 40seconds, not in 50 seconds", 40),
        ],
    )
    def test_the_wait_in_the_text(self, text: str, seconds: float) -> None:
        """T3: no header, but "N seconds" in what the provider says."""
        outcome = outcome_from_failure(answer(429), text, now=NOW)
        assert outcome.retry_after == timedelta(seconds=seconds)

    def test_the_header_goes_before_the_text(self) -> None:
        """D 13: Retry-After if present, else the text."""
        outcome = outcome_from_failure(answer(503, retry_after="5"), "in 60 seconds", now=NOW)
        assert outcome.retry_after == timedelta(seconds=5)

    def test_a_date_counts_from_the_providers_clock(self) -> None:
        """A clock that is wrong, theirs or ours, does not change the wait."""
        headers = {
            "date": "Thu, 01 Jan 2026 09:00:00 GMT",
            "retry_after": "Thu, 01 Jan 2026 09:00:08 GMT",
        }
        outcome = outcome_from_failure(answer(429, **headers), "", now=NOW)
        assert outcome.retry_after == timedelta(seconds=8)

    @pytest.mark.parametrize(
        ("header", "wait"),
        [
            ("0", SHORTEST_WAIT),
            ("Thu, 01 Jan 2026 11:00:00 GMT", SHORTEST_WAIT),
            ("999999999", LONGEST_WAIT),
            ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_WAIT),
        ],
    )
    def test_sane_bounds(self, header: str, wait: timedelta) -> None:
        """Neither a spin nor a year."""
        outcome = outcome_from_failure(answer(429, retry_after=header), "", now=NOW)
        assert outcome.retry_after == wait

    @pytest.mark.parametrize("header", ["", "soon", "-5", "1e3", "9999999999", "Thu, 99 Foo 2026"])
    def test_what_is_no_wait(self, header: str) -> None:
        """Nonsense is no wait; the gateway's own schedule takes over."""
        outcome = outcome_from_failure(answer(429, retry_after=header), "try later", now=NOW)
        assert outcome.retry_after is None

    @pytest.mark.parametrize("status", [400, 413, 422, 500])
    def test_only_who_is_put_off_waits(self, status: int) -> None:
        """A wait beside a refusal means nothing."""
        outcome = outcome_from_failure(answer(status, retry_after="5"), "", now=NOW)
        assert outcome.retry_after is None


class TestNoAnswer:
    @pytest.mark.parametrize(
        ("phase", "kind", "cause"),
        [
            (Phase.WAIT, Kind.DEFERRED, Cause.OTHER),
            (Phase.CONNECT, Kind.DEFERRED, Cause.UNREACHABLE),
            (Phase.SEND, Kind.DEFERRED, Cause.UNREACHABLE),
            (Phase.ANSWER, Kind.UNCERTAIN, Cause.OTHER),
        ],
    )
    def test_the_phase_decides(self, phase: Phase, kind: Kind, cause: Cause) -> None:
        """Doubt begins with the last octet of the request and not before."""
        outcome = outcome_from_no_answer(NoAnswer(phase, "the line\nwas cut"))
        assert (outcome.kind, outcome.cause) == (kind, cause)
        scope = Scope.RECIPIENT if kind is Kind.UNCERTAIN else Scope.PROVIDER
        assert outcome.scope is scope
        assert outcome.diagnostic == "the line was cut"


def test_every_phase_has_a_verdict() -> None:
    """No phase is forgotten."""
    for phase in Phase:
        assert outcome_from_no_answer(NoAnswer(phase, ""))


def test_doubtful() -> None:
    """A success that cannot be read may be one."""
    outcome = doubtful(answer(201), "and no JSON")
    assert (outcome.kind, outcome.scope) == (Kind.UNCERTAIN, Scope.RECIPIENT)
    assert outcome.diagnostic == "HTTP 201, and no JSON"


@pytest.mark.parametrize("part", list(Part))
def test_not_carried(part: Part) -> None:
    """Whatever stands in the way: nothing was sent, and it concerns the letter."""
    outcome = not_carried(Shortfall(part, "too\nmuch"))
    assert (outcome.kind, outcome.scope) == (Kind.UNSUPPORTED, Scope.MESSAGE)
    assert outcome.diagnostic == "too much"


def test_probe_results() -> None:
    """A question is judged like a letter."""
    assert probe_result_from(accepted()).ok
    refused = probe_result_from(outcome_from_failure(answer(401), "Invalid token", now=NOW))
    assert not refused.ok
    assert refused.cause is Cause.ACCOUNT
    assert refused.detail == "HTTP 401 Invalid token"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12345, "12345"),
        (5_000_000_001, "5000000001"),
        ("12345", "12345"),
        (" 12\n", "12"),
        (True, ""),
        (None, ""),
        (1.5, ""),
        ([], ""),
        ({}, ""),
        ("x" * 101, ""),
        (int("9" * 101), ""),
    ],
)
def test_ids(value: object, text: str) -> None:
    """D 10 and D 26: numbers and strings are one; what is no id is none."""
    assert id_from(value) == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        (" a\r\n\tb\x00c\u2028d\x85e ", "a b c d e"),
        ("\ud800x", "x"),
        ("x" * 400, "x" * (MAX_DIAGNOSTIC - 1) + "…"),
        (" " * 2000 + "x", "x"),
    ],
)
def test_one_line(text: str, line: str) -> None:
    """A diagnostic is one line, printable, capped."""
    assert one_line(text) == line
