"""The log: one line for each disposition, whole and on one line, JSON where a machine reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest

from gateway.domain.events import (
    AttemptCutShort,
    AttemptEnded,
    AttemptLost,
    Event,
    LetterCorrupt,
    LetterEvent,
    LetterReceived,
    RecipientFailed,
)
from gateway.domain.lifecycle import State
from gateway.observe.log import EventLog, set_up
from providers.contract.capabilities import Part, Shortfall
from providers.contract.outcome import DeliveryOutcome, Kind, Scope, accepted
from tests.support.letter_events import OF_A_LETTER, TRACE

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = DeliveryOutcome(Kind.DEFERRED, Scope.RECIPIENT, "4.2.1", 'busy "now"\u2028')
UNSUPPORTED = DeliveryOutcome(Kind.UNSUPPORTED, Scope.MESSAGE, "5.3.4")
LOST = DeliveryOutcome(Kind.UNCERTAIN, Scope.MESSAGE, "4.4.2")
REFUSED = DeliveryOutcome(Kind.REJECTED, Scope.RECIPIENT, "5.1.1")


def an_end(
    outcome: DeliveryOutcome,
    state: State,
    *,
    expired: bool = False,
    losses: tuple[Shortfall, ...] = (),
) -> AttemptEnded:
    return AttemptEnded(
        queue_id="1K7QH3M2V0C01",
        forward_path="боб@example.org",
        provider="main",
        attempt=2,
        arrival=NOW,
        claimed_at=NOW + timedelta(seconds=1),
        started_at=NOW + timedelta(seconds=1.5),
        ended_at=NOW + timedelta(seconds=3.25),
        outcome=outcome,
        state=state,
        due_at=NOW + timedelta(hours=1) if state is State.WAITING else None,
        expired=expired,
        losses=losses,
    )


def told(event: Event, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    """What the log says of an event, when a machine reads it."""
    set_up("json", "info")
    EventLog().see(event)
    (line,) = capsys.readouterr().err.splitlines()
    document = json.loads(line)
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize(
    ("event", "word", "level"),
    [
        (
            LetterReceived(NOW, "Q", "app", "127.0.0.1", "a@example.com", 2, 50, "<m>"),
            "received",
            "info",
        ),
        (an_end(accepted("42"), State.HANDED_OVER), "handed_over", "info"),
        (an_end(LATER, State.WAITING), "deferred", "warning"),
        (an_end(UNSUPPORTED, State.WAITING), "unsupported", "warning"),
        (an_end(LOST, State.UNCERTAIN), "uncertain", "warning"),
        (an_end(REFUSED, State.FAILED), "failed", "warning"),
        (
            RecipientFailed(NOW, "Q", "a@example.org", "main", NOW, "5.4.7", "old"),
            "failed",
            "warning",
        ),
        (AttemptCutShort(NOW, "Q", "a@example.org", "main", 1), "uncertain", "warning"),
        (AttemptLost(NOW, "Q", 0, "main", accepted()), "attempt_lost", "error"),
        (LetterCorrupt(NOW, "Q", "its content is gone"), "corrupt", "error"),
    ],
)
def test_each_event_is_one_line_with_its_word(
    event: Event, word: str, level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The words are those that operators search for."""
    line = told(event, capsys)
    assert (line["event"], line["level"]) == (word, level)
    assert line["queue_id"]
    assert str(line["at"]).endswith("Z")


def test_each_line_of_a_letter_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Queue id, Message-ID and trace id, whatever happens to it: no event there is is left out."""
    assert {type(event) for event in OF_A_LETTER} == set(get_args(LetterEvent))
    for event in OF_A_LETTER:
        line = told(event, capsys)
        assert line["queue_id"] == event.queue_id
        assert (line["message_id"], line["trace_id"]) == ("<m>", TRACE.trace_id)


def test_disposition_tells_delays_and_the_provider_s_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In the queue, in the window, in the attempt; the differences are taken here alone."""
    line = told(an_end(LATER, State.WAITING), capsys)
    assert line["delay"] == 3.25
    assert line["delays"] == "1/0.5/1.75"
    assert line["to"] == "боб@example.org"
    assert (line["dsn"], line["diagnostic"]) == ("4.2.1", 'busy "now"\u2028')
    assert line["due_at"] == "2026-01-02T04:04:05+00:00"


def test_losses_and_ids_are_told_where_there_are_any(capsys: pytest.CaptureFixture[str]) -> None:
    """The loss ledger reaches the log; what is not there takes no room."""
    loss = Shortfall(Part.REPLY_TO, "Reply-To cannot be given")
    line = told(an_end(accepted("42"), State.HANDED_OVER, losses=(loss,)), capsys)
    assert (line["losses"], line["provider_message_id"]) == (["reply_to"], "42")
    line = told(an_end(accepted(), State.HANDED_OVER), capsys)
    assert not {"losses", "provider_message_id", "due_at", "expired"} & set(line)


def test_level_leaves_out_what_is_less(capsys: pytest.CaptureFixture[str]) -> None:
    """`log.level: warning` tells of trouble only."""
    set_up("json", "warning")
    EventLog().see(an_end(accepted(), State.HANDED_OVER))
    EventLog().see(an_end(LATER, State.WAITING))
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["event"] == "deferred"


def test_people_get_lines_without_json(capsys: pytest.CaptureFixture[str]) -> None:
    """`log.format: human`."""
    set_up("human", "info")
    EventLog().see(an_end(accepted("42"), State.HANDED_OVER))
    text = capsys.readouterr().err
    assert "handed_over" in text
    assert not text.startswith("{")
