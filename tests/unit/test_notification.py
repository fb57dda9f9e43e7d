"""Whose sender is told what: NOTIFY over every end of an attempt, and who is never answered."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.domain.disposition import Disposition
from gateway.domain.lifecycle import State
from gateway.domain.notification import Action, Result, action_for, why_not_answered
from providers.contract.address import parse_address
from providers.contract.envelope import Notify, Recipient
from providers.contract.outcome import DeliveryOutcome, Kind, Scope, accepted

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
BOB = parse_address("bob@example.org")
SENDER = parse_address("news@example.com")
OURS = parse_address("bounces@example.com")

ACCEPTED = accepted("id-1")
REFUSED = DeliveryOutcome(Kind.REJECTED, Scope.RECIPIENT, "5.1.1", "550 no")
PUT_OFF = DeliveryOutcome(Kind.DEFERRED, Scope.RECIPIENT, "4.2.1", "450 later")
LOST = DeliveryOutcome(Kind.UNCERTAIN, Scope.RECIPIENT, "4.4.2", "no answer")


def asked(
    notify: str | None,
    outcome: DeliveryOutcome,
    state: State,
    *,
    due_at: datetime | None = None,
    overdue: bool = False,
) -> Action | None:
    words = None if notify is None else frozenset(map(Notify, notify.split(",")))
    disposition = Disposition(state, due_at, "main", (), outcome.status)
    recipient = Recipient(0, BOB, notify=words)
    return action_for(recipient, outcome, disposition, overdue=overdue, now=NOW)


@pytest.mark.parametrize(
    ("notify", "failed", "delayed", "relayed"),
    [
        (None, True, True, False),  # RFC 3461 4.1: FAILURE, and DELAY as we choose
        ("NEVER", False, False, False),
        ("FAILURE", True, False, False),
        ("DELAY", False, True, False),
        ("SUCCESS", False, False, True),
        ("SUCCESS,FAILURE", True, False, True),
        ("FAILURE,DELAY", True, True, False),
        ("SUCCESS,FAILURE,DELAY", True, True, True),
    ],
)
def test_notify_decides(notify: str | None, *, failed: bool, delayed: bool, relayed: bool) -> None:
    """Each word of NOTIFY, alone and with others, over each end that it speaks of."""
    assert (asked(notify, REFUSED, State.FAILED) is Action.FAILED) is failed
    for outcome, state in ((PUT_OFF, State.WAITING), (LOST, State.UNCERTAIN)):
        late = asked(notify, outcome, state, due_at=LATER, overdue=True)
        assert (late is Action.DELAYED) is delayed
    assert (asked(notify, ACCEPTED, State.HANDED_OVER) is Action.RELAYED) is relayed


def test_success_is_told_by_whoever_was_asked_to() -> None:
    """RFC 3461 5.2.1: a server that was given NOTIFY reports, and a second report would be ours."""
    passed = replace(ACCEPTED, notify_passed=True)
    assert asked("SUCCESS", passed, State.HANDED_OVER) is None
    assert asked("SUCCESS", ACCEPTED, State.HANDED_OVER) is Action.RELAYED


def test_no_warning_before_its_time_and_none_twice() -> None:
    """Whether a letter is overdue, and was not warned of, is asked before."""
    assert asked(None, PUT_OFF, State.WAITING, due_at=LATER, overdue=False) is None


@pytest.mark.parametrize(("due_at", "told"), [(NOW, False), (LATER, True), (None, True)])
def test_no_warning_while_the_next_provider_gets_it_at_once(
    due_at: datetime | None, *, told: bool
) -> None:
    """After a long stop of ours a failover is no delay; what waits for a person is one."""
    action = asked(None, LOST, State.UNCERTAIN, due_at=due_at, overdue=True)
    assert (action is Action.DELAYED) is told


def test_who_is_sent_nothing_is_a_failure_to_the_sender() -> None:
    """The suppression list: told like any recipient that gets no letter, where NOTIFY lets us."""
    assert asked(None, REFUSED, State.SUPPRESSED) is Action.FAILED
    assert asked("DELAY", REFUSED, State.SUPPRESSED) is None


@pytest.mark.parametrize("state", [State.HELD, State.REMOVED, State.SENDING])
def test_what_a_person_did_is_not_reported(state: State) -> None:
    """Held and removed letters are an operator's doing, who may tell the sender himself."""
    assert asked("SUCCESS,FAILURE,DELAY", PUT_OFF, state, due_at=LATER, overdue=True) is None


def why(
    reverse_path: str | None = "news@example.com",
    auto_submitted: str = "",
    content_type: str = "text/plain",
) -> Result | None:
    return why_not_answered(
        None if reverse_path is None else parse_address(reverse_path),
        auto_submitted=auto_submitted,
        content_type=content_type,
        own=OURS,
    )


def test_nobody_is_told_of_a_letter_from_nobody() -> None:
    """RFC 5321 6.1: never a report for the null reverse-path, whatever else the letter says."""
    assert why(None) is Result.NULL_REVERSE_PATH
    assert why(None, "auto-replied", "multipart/report") is Result.NULL_REVERSE_PATH


@pytest.mark.parametrize("address", ["bounces@example.com", "Bounces@EXAMPLE.com"])
def test_our_own_reports_are_not_answered(address: str) -> None:
    """Where reports leave from an address of ours, that address is as good as the null one."""
    assert why(address) is Result.AUTOMATIC
    answered = why_not_answered(
        parse_address(address), auto_submitted="", content_type="", own=None
    )
    assert answered is None


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/report; report-type=delivery-status; boundary=x",
        "Multipart/Report",
        " multipart/report ;boundary=x",
        "multipart/report (a bounce)",
        "multipart/report; report-type=disposition-notification",
        "multipart/report; report-type=feedback-report",
    ],
)
def test_a_report_is_not_reported_on(content_type: str) -> None:
    """RFC 3464 2: no DSN about a DSN; nor about a read receipt or an abuse report."""
    assert why(content_type=content_type) is Result.AUTOMATIC


@pytest.mark.parametrize(
    ("value", "answered"),
    [
        ("", True),
        ("no", True),
        ("auto-generated", True),
        ("Auto-Generated (by cron)", True),
        ("auto-generated; type=newsletter", True),
        ("auto-replied", False),
        ("auto-replied (vacation)", False),
        ("auto-notified; owner-email=a@example.org", False),
        ("something-new", False),
    ],
)
def test_programs_are_told_but_not_when_they_answer(value: str, *, answered: bool) -> None:
    """
    RFC 3834 5: what was sent in answer is not answered.

    A program's own letter (an order, a password) is: its sender wants to know that it failed.
    """
    assert (why(auto_submitted=value) is None) is answered


@pytest.mark.parametrize(
    "content_type", ["", "multipart/mixed; boundary=multipart/report", "text/multipart/report"]
)
def test_ordinary_letters_are_answered(content_type: str) -> None:
    """Only the type itself counts, not what stands in a parameter."""
    assert why(content_type=content_type) is None
