"""The accounts themselves: each way to break the promise shows in them, or no drill proves it."""

from __future__ import annotations

from typing import Any

import pytest

from providers.sandbox.letterbox import Letterbox, ReceivedLetter
from tests.crash.accounts import Accounts, SpoolBook, compare
from tests.support.load import Load, LoadLetter, a_load_letter

BOB = ("Q1", "bob1@example.org")
LETTER = a_load_letter(1, BOB[1])


def received(letter: LoadLetter = LETTER, queue_id: str = "Q1", **changes: Any) -> ReceivedLetter:
    """A copy as the sandbox has it."""
    trace = b"Received: from c (192.0.2.1)\r\n\tby g (Mailquay) with SMTP id %s;\r\n\t1 Jan\r\n"
    content = trace % queue_id.encode() + letter.content
    values = {"recipient": letter.recipients[0], "content": content, **changes}
    return ReceivedLetter("smarthost", "1", **values)


def accounts(
    *arrived: ReceivedLetter,
    taken: dict[str, LoadLetter] | None = None,
    doubtful: int = 0,
    **spool: Any,
) -> Accounts:
    """The accounts of one letter, Q1 to Bob, handed over unless told otherwise."""
    load = Load(lambda: 0, iter(()))
    load.taken = {"Q1": LETTER} if taken is None else taken
    load.doubtful[1] = doubtful
    book = SpoolBook(**{"states": {BOB: "handed_over"}, "uncertain": {}, **spool})
    return compare(load, book, Letterbox(list(arrived)))


def test_all_is_well() -> None:
    """One letter, answered, handed over, arrived once."""
    found = accounts(received())
    found.check()
    assert found == Accounts(letters=1, recipients=1, handed_over=1)


@pytest.mark.parametrize(("state", "count"), [("waiting", "waiting"), ("failed", "failed")])
def test_what_has_not_arrived_and_is_known(state: str, count: str) -> None:
    """Answered 250 is kept by waiting, and ended by failing, as much as by arriving."""
    found = accounts(states={BOB: state})
    found.check()
    assert getattr(found, count) == 1


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (accounts(states={}), "does not know it"),
        (accounts(states={BOB: "handed_over"}), "never arrived"),
        (accounts(states={BOB: "sending"}), "left as sending"),
        (accounts(states={BOB: "held"}), "left as held"),
        (accounts(received(content=received().content[:-9])), "damaged"),
    ],
)
def test_a_lost_letter_is_found(found: Accounts, reason: str) -> None:
    """However a letter is lost: from the spool, on the way, left behind, or in part."""
    assert len(found.lost) == 1
    assert reason in found.lost[0]
    with pytest.raises(AssertionError):
        found.check()


def test_second_copies_have_as_many_reasons() -> None:
    """A lost answer explains one more copy, and no more."""
    explained = accounts(received(), received(), uncertain={BOB: 1})
    explained.check()
    assert (explained.second_copies, explained.uncertain) == (1, 1)
    too_many = accounts(received(), received(), received(), uncertain={BOB: 1})
    assert len(too_many.unexplained) == 1
    assert len(accounts(received(), received()).unexplained) == 1


def test_a_copy_of_what_was_not_handed_over_needs_a_reason() -> None:
    """A recipient that waits or failed has a copy only where an answer was lost."""
    assert len(accounts(received(), states={BOB: "waiting"}).unexplained) == 1
    accounts(received(), states={BOB: "waiting"}, uncertain={BOB: 1}).check()


def test_a_letter_that_the_client_does_not_know_of() -> None:
    """Taken with its answer lost, it may be there a second time; unsent it may not."""
    states = {BOB: "handed_over", ("Q2", BOB[1]): "handed_over"}
    both = (received(), received(queue_id="Q2"))
    again = accounts(*both, states=states, doubtful=1)
    again.check()
    assert again.sent_again == 1
    assert len(accounts(*both, states=states).unexplained) == 1


def test_reports_are_the_gateways_own() -> None:
    """One for each failure is right, two are not."""
    states = {BOB: "failed", ("Q2", "a@example.com"): "waiting"}
    told = accounts(states=states, reports=frozenset({"Q2"}))
    told.check()
    assert told.reports == 1
    twice = {**states, ("Q3", "a@example.com"): "waiting"}
    assert len(accounts(states=twice, reports=frozenset({"Q2", "Q3"})).unexplained) == 1
